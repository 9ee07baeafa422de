"""Encoder of series: variables measured at irregular times."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
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
    """Length of a row of `step_features`.

    >>> step_size(2)
    10
    """
    return 3 * variables + 4


def step_features(
    time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> Float[Tensor, "s k"]:
    """What is known at each step, whatever the gaps.

    Per variable the value last observed (0 before any), whether it was observed at this very step,
    and the time since it last was (since the series began, before any); then the time t, and
    ``log(1 + 100 x)`` with x the time since the step before (0 at the first), since the first and
    until the last: steep near 0, so that the first and last step stand out. Times are about [0, 1].

    >>> value = torch.tensor([[5.0], [float("nan")]])
    >>> step_features(torch.tensor([0.0, 0.5]), value, torch.tensor([0, 2]))[1, :4].tolist()
    [5.0, 0.0, 0.5, 0.5]
    """
    x, known = observed(value)
    if len(time) == 0:
        return x.new_zeros(0, step_size(x.shape[1]))
    at = last_observed(known, offsets)
    ids = segment_ids(offsets)
    begin = offsets[:-1][ids]
    earlier = at.clamp_min(0)
    carried = torch.where(at >= 0, x.gather(0, earlier), 0)
    since = time[:, None] - torch.where(at >= 0, time[earlier], time[begin][:, None])
    place = torch.arange(len(time), device=time.device)
    gap = torch.where(place > begin, time - time[(place - 1).clamp_min(0)], 0)
    end = time[(offsets[1:] - 1).clamp_min(0)][ids]
    spans = torch.stack([gap, time - time[begin], end - time], dim=1)
    places = [time[:, None], (100 * spans).log1p()]
    return torch.cat([carried, known.to(x.dtype), since, *places], dim=1)


class SeriesEncoder(Encoder):
    """Summaries of each variable beside an encoding of the time course.

    Pooled is a `ResidualMLP` of [`summarise`; course]. The course is read over `step_features`, by
    a GRU (its last state; tokens are the states behind each step) or a transformer (its summary
    token; tokens are its outputs). A series of more than `EncoderSettings.max_steps` steps is first
    averaged into as many time bins (`bin_steps`), which bounds the cost; summaries see all steps.
    Steps that stand out of order are sorted by time.

    Args:
        modality: its features are the variables.
        settings: `EncoderSettings.series` chooses; `summaries=False` leaves the course alone.

    >>> encoder = SeriesEncoder(Modality("a", "series", ("x",)), EncoderSettings(width=8))
    >>> steps = {"time": torch.tensor([0.0, 1.0]), "value": torch.tensor([[1.0], [2.0]])}
    >>> encoded = encoder(Values(steps, torch.tensor([0, 2]), torch.tensor([0])))
    >>> encoded.pooled.shape, encoded.tokens.shape
    (torch.Size([1, 8]), torch.Size([1, 2, 8]))
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
        time, value = values.data["time"].to(self.real), values.data["value"].to(self.real)
        offsets = values.offsets
        order = order_steps(time, offsets)
        if order is not None:
            time, value = time[order], value[order]
        course, tokens, present = self._course(time, value, offsets)
        parts = [course]
        if self.settings.summaries:
            parts.append(summarise(time, value, offsets).to(self.dtype))
        return Encoded(self.body(torch.cat(parts, dim=1)), tokens, present)

    def _course(
        self, time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
    ) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        time, value, offsets = bin_steps(time, value, offsets, self.settings.max_steps)
        steps = step_features(time, value, offsets).to(self.dtype)
        if self.settings.series == "transformer":
            tokens, present = pad(self.step(steps), offsets)
            return *self.course(tokens, present), present
        last, states = self.course(steps, offsets)
        return last, *pad(states, offsets)
