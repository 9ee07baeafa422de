"""Encoder of series: variables measured at irregular times."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.encoders.numbers import Pieces, number_size
from amodal.encoders.summaries import WHOLE, summarise, summary_size, window_means, window_size
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.nn.ragged import bin_steps, last_observed, order_steps, pad, segment_ids
from amodal.nn.recurrent import GRU, MinGRU
from amodal.types import Modality
from amodal.values import Values

__all__ = ["SeriesEncoder", "step_features", "step_size"]

_FLAT = ("summaries", "windows")


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

    Pooled is a `ResidualMLP` of [`summarise`; course], the summaries in `Pieces` unless
    ``numbers="linear"``. The course is left out, or is `window_means` (neither of which a parameter
    changes: worked out once, and as cheap as a table; no tokens), or is read over
    `step_features` by a `GRU` or `MinGRU` (its last state; tokens are the states behind each step)
    or a `Transformer` (its summary token; tokens are its outputs). For these, a series of more than
    `EncoderSettings.max_steps` steps is first averaged into as many time bins (`bin_steps`), which
    bounds the cost; summaries see all steps. Steps that stand out of order are sorted by time.

    Args:
        modality: its features are the variables.
        settings: `EncoderSettings.series` chooses; `summaries=False` leaves the course alone.

    >>> settings = EncoderSettings(width=8, series="gru")
    >>> encoder = SeriesEncoder(Modality("a", "series", ("x",)), settings)
    >>> steps = {"time": torch.tensor([0.0, 1.0]), "value": torch.tensor([[1.0], [2.0]])}
    >>> encoded = encoder(Values(steps, torch.tensor([0, 2]), torch.tensor([0])))
    >>> encoded.pooled.shape, encoded.tokens.shape
    (torch.Size([1, 8]), torch.Size([1, 2, 8]))
    """

    kind = "series"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        n, width, rate = modality.n_features, settings.width, settings.dropout
        if settings.series in _FLAT:
            self.course = None
        elif settings.series == "transformer":
            self.step = nn.Linear(step_size(n), width)
            self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        else:
            self.course = {"gru": GRU, "mingru": MinGRU}[settings.series](step_size(n), width)
        wide = {"summaries": 0, "windows": window_size(n)}.get(settings.series, width)
        self.pieces = None
        if settings.summaries:
            columns = summary_size(n) - n  # the flags of what is missing stay as they are
            if settings.numbers == "piecewise":
                self.pieces = Pieces(columns, settings.pieces)
            wide += n + number_size(columns, settings.numbers, settings.pieces)
        self.body = ResidualMLP(wide, width, depth=settings.blocks, dropout=rate)

    @property
    def columns(self) -> int:
        n = self.modality.n_features
        return summary_size(n) - n if self.settings.summaries else 0

    def numbers(self, values: Values) -> Float[Tensor, "v f"]:
        if not self.settings.summaries:
            return super().numbers(values)
        return self.prepare(values).whole["summary"]

    def fit(self, values: Values) -> None:
        self.body.slow(len(values))
        if self.pieces is not None:
            self.pieces.fit(self.numbers(values))

    def prepare(self, values: Values) -> Values:
        """`step_features` of the binned steps, and `summarise` of all steps beside them."""
        if "step" in values.data:
            return values
        time, value = values.data["time"].to(self.real), values.data["value"].to(self.real)
        offsets = values.offsets
        order = order_steps(time, offsets)
        if order is not None:
            time, value = time[order], value[order]
        whole = self._summaries(time, value, offsets) if self.settings.summaries else {}
        if self.settings.series == "windows":
            whole["windows"] = window_means(time, value, offsets)
        if self.settings.series in _FLAT:
            none = time.new_zeros(len(offsets) - 1, 0)
            return Values({"step": none}, None, values.index, whole)
        time, value, offsets = bin_steps(time, value, offsets, self.settings.max_steps)
        steps = {"step": step_features(time, value, offsets)}
        return Values(steps, offsets, values.index, whole)

    def forward(self, values: Values) -> Encoded:
        values = self.prepare(values)
        if self.course is None:
            return Encoded(self._pooled(values, None))
        steps = values.data["step"].to(self.dtype)
        course, tokens, present = self._course(steps, values.offsets)
        return Encoded(self._pooled(values, course), tokens, present)

    def pool(self, values: Values) -> Float[Tensor, "v d"]:
        values = self.prepare(values)
        if self.course is None:
            return self._pooled(values, None)
        steps = values.data["step"].to(self.dtype)
        if self.settings.series == "transformer":
            return self._pooled(values, self.course.summarise(self.step(steps), values.offsets))
        return self._pooled(values, self.course(steps, values.offsets)[0])

    def _pooled(self, values: Values, course: Tensor | None) -> Float[Tensor, "v d"]:
        parts = [] if course is None else [course]
        if "windows" in values.whole:
            parts.append(values.whole["windows"])
        if self.settings.summaries:
            numbers = values.whole["summary"]
            parts += [numbers if self.pieces is None else self.pieces(numbers)]
            parts += [values.whole["missing"]]
        return self.body(torch.cat([x.to(self.dtype) for x in parts], dim=1))

    def _summaries(self, time: Tensor, value: Tensor, offsets: Tensor) -> dict[str, Tensor]:
        """Summaries ``[v, c]``, in pieces NaN of a variable never observed, and which those are."""
        n = self.modality.n_features
        told = summarise(time, value, offsets)
        of_variables, missing, whole = told.split([9 * n, n, len(WHOLE)], dim=1)
        missing = missing > 0.5
        if self.pieces is not None:
            of_variables = of_variables.masked_fill(missing.repeat(1, 9), torch.nan)
        return {"summary": torch.cat([of_variables, whole], dim=1), "missing": missing}

    def _course(
        self, steps: Float[Tensor, "s k"], offsets: Int[Tensor, " v1"]
    ) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        if self.settings.series == "transformer":
            tokens, present = pad(self.step(steps), offsets)
            return *self.course(tokens, present), present
        last, states = self.course(steps, offsets)
        return last, *pad(states, offsets)
