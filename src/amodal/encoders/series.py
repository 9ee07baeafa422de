"""Encoder of series: variables measured at irregular times."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.encoders.summaries import summarise, summary_size
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.nn.ragged import bin_steps, last_observed, order_steps, pad, segment_ids
from amodal.nn.recurrent import GRU
from amodal.types import Modality
from amodal.values import Values

__all__ = ["SeriesEncoder", "step_features", "step_size"]


def step_size(variables: int) -> int:
    """Length of a row of `step_features`."""
    return 3 * variables + 2


def step_features(
    time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> Float[Tensor, "s k"]:
    """What is known at each step, whatever the gaps.

    Per variable the value last observed (0 before any), whether it was observed at this very step,
    and the time since it last was (since the series began, before any); then the time, and
    ``log(1 + 100 gap)`` with the gap to the step before.
    """
    x, known = observed(value)
    if len(time) == 0:
        return x.new_zeros(0, step_size(x.shape[1]))
    at = last_observed(known, offsets)
    begin = offsets[:-1][segment_ids(offsets)]
    earlier = at.clamp_min(0)
    carried = torch.where(at >= 0, x.gather(0, earlier), 0)
    since = time[:, None] - torch.where(at >= 0, time[earlier], time[begin][:, None])
    place = torch.arange(len(time), device=time.device)
    gap = torch.where(place > begin, time - time[(place - 1).clamp_min(0)], 0)
    ends = [time[:, None], (100 * gap).log1p()[:, None]]
    return torch.cat([carried, known.to(x.dtype), since, *ends], dim=1)


class SeriesEncoder(Encoder):
    """Summaries of each variable beside an encoding of the time course.
    """

    kind = "series"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        n, width, rate = modality.n_features, settings.width, settings.dropout
        if settings.series == "gru":
            self.course = GRU(step_size(n), width)
        else:
            self.step = nn.Linear(step_size(n), width)
            self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        wide = width + (summary_size(n) if settings.summaries else 0)
        self.body = ResidualMLP(wide, width, depth=settings.depth, dropout=rate)

    def forward(self, values: Values) -> Encoded:
        time, value = values.data["time"].to(self.dtype), values.data["value"].to(self.dtype)
        offsets = values.offsets
        order = order_steps(time, offsets)
        if order is not None:
            time, value = time[order], value[order]
        course, tokens, present = self._course(time, value, offsets)
        parts = [course]
        if self.settings.summaries:
            parts.append(summarise(time, value, offsets))
        return Encoded(self.body(torch.cat(parts, dim=1)), tokens, present)

    def _course(
        self, time: Tensor, value: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        time, value, offsets = bin_steps(time, value, offsets, self.settings.max_steps)
        steps = step_features(time, value, offsets)
        if self.settings.series == "transformer":
            tokens, present = pad(self.step(steps), offsets)
            return *self.course(tokens, present), present
        last, states = self.course(steps, offsets)
        return last, *pad(states, offsets)
