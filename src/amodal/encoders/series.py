"""Encoder of series: variables measured at irregular times."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.nn.ragged import bin_steps, order_steps, pad, segment_ids, segment_max, segment_sum
from amodal.types import Modality
from amodal.values import Values

__all__ = ["SUMMARIES", "SeriesEncoder", "summarise"]

SUMMARIES = (
    "last",
    "first",
    "mean",
    "min",
    "max",
    "std",
    "slope",
    "log_count",
    "last_time",
    "missing",
)
"""What `summarise` tells of each variable, in order."""


def summarise(
    time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> Float[Tensor, "v k"]:
    """Summaries of each variable of each series, and three of the whole: ``k = 10 d + 3``."""
    v, (s, d) = len(offsets) - 1, value.shape
    ids = segment_ids(offsets)
    x, known = observed(value)
    seen, t = known.to(x.dtype), time[:, None]
    place = (torch.arange(s, device=ids.device) - offsets[:-1][ids]).to(x.dtype)[:, None]
    hidden = torch.full_like(x, torch.nan)
    extremes = torch.cat([x, -x, place.expand_as(x), -place.expand_as(x)], dim=1)
    extremes = torch.where(known.repeat(1, 4), extremes, hidden.repeat(1, 4))
    top, low, last, first = segment_max(extremes, ids, v).chunk(4, dim=1)
    count, total, times = segment_sum(torch.cat([seen, x, seen * t], 1), ids, v).chunk(3, dim=1)
    some = count > 0
    mean, middle = total / count.clamp_min(1), times / count.clamp_min(1)
    dx, dt = (x - mean[ids]) * seen, (t - middle[ids]) * seen
    vx, vt, both = (segment_sum(torch.cat([dx**2, dt**2, dx * dt], 1), ids, v)).chunk(3, 1)
    std = (vx / count.clamp_min(1) + 1e-12).sqrt() * (count > 1)
    slope = both / (vt + 1e-2 * count.clamp_min(1))
    begin = offsets[:-1][:, None]
    at_last = (begin + last.long()).clamp_max(max(s - 1, 0))
    at_first = (begin - first.long()).clamp_max(max(s - 1, 0))
    if s == 0:
        x, t = x.new_zeros(1, d), t.new_zeros(1, 1)
    zero = torch.zeros_like(mean)
    ends = torch.where(some, x.gather(0, at_last), zero), torch.where(some, x.gather(0, at_first), zero)
    when = torch.where(some, t[:, 0][at_last], zero)
    parts = [*ends, mean, top * 0 - low, top, std, slope, count.log1p(), when, (~some).to(x.dtype)]
    whole = _whole(t[:, 0], offsets)
    return torch.cat([*parts, whole], dim=1)


def _whole(time: Float[Tensor, " s"], offsets: Int[Tensor, " v1"]) -> Float[Tensor, "v 3"]:
    lengths = offsets[1:] - offsets[:-1]
    first = time[offsets[:-1].clamp_max(len(time) - 1)]
    last = time[(offsets[1:] - 1).clamp_min(0)]
    zero = torch.zeros_like(first)
    some = lengths > 0
    first, last = torch.where(some, first, zero), torch.where(some, last, zero)
    return torch.stack([first, last, lengths.to(time.dtype).log1p()], dim=1)


def _carry(
    time: Float[Tensor, "v t"], x: Float[Tensor, "v t d"], known: Bool[Tensor, "v t d"]
) -> tuple[Float[Tensor, "v t d"], Float[Tensor, "v t d"]]:
    """The value last observed up to each step (0 before any), and how long ago that was."""
    place = torch.arange(x.shape[1], device=x.device)[None, :, None]
    at = torch.where(known, place, -1).cummax(dim=1).values if x.shape[1] else known.long()
    since = time[..., None] - time[..., None].expand_as(x).gather(1, at.clamp_min(0))
    carried = torch.where(at >= 0, x.gather(1, at.clamp_min(0)), torch.zeros_like(x))
    return carried, torch.where(at >= 0, since, time[..., None] - time[:, :1, None])


class SeriesEncoder(Encoder):
    """Summaries of each variable beside an encoding of the time course."""

    kind = "series"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        n, width, rate = modality.n_features, settings.width, settings.dropout
        inputs = 3 * n + 2
        self.step = nn.Linear(inputs, width)
        if settings.series == "gru":
            self.course = nn.GRU(width, width, batch_first=True)
        else:
            self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        wide = width + (len(SUMMARIES) * n + 3 if settings.summaries else 0)
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

    def _course(self, time: Tensor, value: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        time, value, offsets = bin_steps(time, value, offsets, self.settings.max_steps)
        both, present = pad(torch.cat([time[:, None], value], dim=1), offsets)
        x, known = observed(both[..., 1:])
        known = known & present[..., None]
        time = both[..., 0]
        x, since = _carry(time, x, known)
        gap = torch.diff(time, dim=1, prepend=time[:, :1]).clamp_min(0)
        parts = [x, known.to(x.dtype), since, time[..., None], (gap * 48).log1p()[..., None]]
        steps = self.step(torch.cat(parts, dim=2))
        if self.settings.series == "transformer":
            return *self.course(steps, present), present
        if steps.shape[0] == 0 or steps.shape[1] == 0:
            return steps.new_zeros(len(steps), self.width), steps, present
        tokens, _ = self.course(steps)
        end = (offsets[1:] - offsets[:-1] - 1).clamp_min(0)
        last = tokens[torch.arange(len(tokens), device=end.device), end]
        tokens = torch.where(present[..., None], tokens, torch.zeros_like(tokens))
        return torch.where(present.any(1, keepdim=True), last, torch.zeros_like(last)), tokens, present
