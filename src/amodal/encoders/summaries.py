"""What a clinician reads off a series at a glance: last, first, mean, lowest, ..."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amodal.encoders.base import observed
from amodal.nn.ragged import last_observed, segment_ids, segment_max, segment_sum

__all__ = [
    "SUMMARIES",
    "WHOLE",
    "WINDOWS",
    "summarise",
    "summary_size",
    "window_means",
    "window_size",
]

SUMMARIES = (
    "last",
    "first",
    "mean",
    "min",
    "max",
    "std",
    "slope",
    "log_count",
    "since_last",
    "missing",
)
"""What `summarise` tells of each variable, in order."""
WHOLE = ("begin", "end", "log_length")
"""What it tells of the series as a whole."""

WINDOWS = 8
"""Equal windows of time that `window_means` tells apart."""

_RIDGE = 0.01  # keeps the slope of observations close in time near 0; times are about [0, 1]


def summary_size(variables: int) -> int:
    """Length of a row of `summarise`.

    >>> summary_size(2)
    23
    """
    return len(SUMMARIES) * variables + len(WHOLE)


def summarise(
    time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> Float[Tensor, "v k"]:
    """Summaries of each variable of each series, and of the series as a whole.

    Per variable, over its observed steps (all 0 but "missing" = 1 where there is none): the last
    and first value, mean, lowest, highest, standard deviation (over the number, not one less),
    slope ``cov(t, x) / (var(t) + 0.01)``, ``log(1 + number)``, time from its last observation to
    the end of the series; then begin, end and ``log(1 + length)`` of the series (0 if empty).
    Order: all variables' last, then all variables' first, and so on (`SUMMARIES`, `WHOLE`).

    Args:
        time: in order within each series.
        value: NaN = not observed; neither value nor gradient passes.
        offsets: where the series begin and end.

    >>> x = summarise(torch.tensor([0.0, 1.0]), torch.tensor([[1.0], [3.0]]), torch.tensor([0, 2]))
    >>> dict(zip(SUMMARIES, x[0].tolist()))["mean"]
    2.0
    """
    x, known = observed(value)
    t = time[:, None].expand_as(x)
    ids, seen = segment_ids(offsets), known.to(x.dtype)
    sums = segment_sum(torch.cat([seen, x, torch.where(known, t, 0)], dim=1), offsets)
    number, mean, middle = sums.chunk(3, dim=1)
    some, least = number > 0, number.clamp_min(1)
    mean, middle = mean / least, middle / least
    dx = torch.where(known, x - mean[ids], 0)
    dt = torch.where(known, t - middle[ids], 0)
    moments = segment_sum(torch.cat([dx * dx, dt * dt, dx * dt], dim=1), offsets)
    var_x, var_t, both = (moments / least.repeat(1, 3)).chunk(3, dim=1)
    hidden = torch.where(known, x, torch.nan)
    top, low = segment_max(torch.cat([hidden, -hidden], dim=1), offsets).chunk(2, dim=1)
    last, first, when = _ends(x, t, known, offsets)
    whole = _whole(time, offsets)
    since = torch.where(some, whole[:, 1:2] - when, 0)
    std = (var_x + 1e-12).sqrt() * (number > 1)  # a gradient at 0 stays finite
    parts = [last, first, mean, -low, top, std, both / (var_t + _RIDGE), number.log1p(), since]
    return torch.cat([*parts, (~some).to(x.dtype), whole], dim=1)


def window_size(variables: int) -> int:
    """Length of a row of `window_means`.

    >>> window_size(2)
    32
    """
    return 2 * WINDOWS * variables


def window_means(
    time: Float[Tensor, " s"], value: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> Float[Tensor, "v k"]:
    """The time course as a flat vector: mean of each variable in each of 8 windows of [0, 1].

    A window without an observation has the mean of the last one that had (0 before any); beside it
    stands ``log(1 + number of observations)`` in the window. Order: means of the first window, of
    the second, ..., then counts of the first window, and so on. Times outside [0, 1] count in the
    nearest window.

    >>> means = window_means(torch.tensor([0.3]), torch.tensor([[5.0]]), torch.tensor([0, 1]))
    >>> means[0, :4].tolist()
    [0.0, 0.0, 5.0, 5.0]
    """
    v, n = len(offsets) - 1, value.shape[1]
    x, known = observed(value)
    window = (time.clamp(0, 1) * WINDOWS).long().clamp_max(WINDOWS - 1)
    cell = segment_ids(offsets) * WINDOWS + window
    total = x.new_zeros(v * WINDOWS, n).index_add_(0, cell, x)
    count = x.new_zeros(v * WINDOWS, n).index_add_(0, cell, known.to(x.dtype))
    mean = (total / count.clamp_min(1)).view(v, WINDOWS, n)
    count = count.view(v, WINDOWS, n)
    place = torch.arange(WINDOWS, device=x.device)[:, None].expand(v, WINDOWS, n)
    last = torch.where(count > 0, place, -1).cummax(dim=1).values
    carried = torch.where(last >= 0, mean.gather(1, last.clamp_min(0)), 0)
    return torch.cat([carried.flatten(1), count.log1p().flatten(1)], dim=1)


def _ends(x: Tensor, t: Tensor, known: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Last and first observed value of each series, and the time of the last; 0 without."""
    if len(x) == 0:
        return (x.new_zeros(len(offsets) - 1, x.shape[1]),) * 3
    length = offsets[1:] - offsets[:-1]
    end = (offsets[1:] - 1).clamp_min(0)
    at = torch.where((length > 0)[:, None], last_observed(known, offsets)[end], -1)
    back = torch.where((length > 0)[:, None], _first_observed(known, offsets), -1)
    last, when = x.gather(0, at.clamp_min(0)), t.gather(0, at.clamp_min(0))
    first = x.gather(0, back.clamp_min(0))
    return tuple(torch.where(i >= 0, y, 0) for i, y in ((at, last), (back, first), (at, when)))


def _first_observed(known: Tensor, offsets: Tensor) -> Tensor:
    """The first step of each series at which a variable was observed; -1 without."""
    s = len(known)
    place = torch.arange(s, device=known.device)[:, None]
    at = torch.where(known, place, s).flip(0).cummin(dim=0).values.flip(0)
    at = at[offsets[:-1].clamp_max(s - 1)]
    return torch.where(at < offsets[1:, None], at, -1)


def _whole(time: Float[Tensor, " s"], offsets: Int[Tensor, " v1"]) -> Float[Tensor, "v 3"]:
    length = offsets[1:] - offsets[:-1]
    if len(time) == 0:
        return time.new_zeros(len(length), len(WHOLE))
    begin = torch.where(length > 0, time[offsets[:-1].clamp_max(len(time) - 1)], 0)
    end = torch.where(length > 0, time[(offsets[1:] - 1).clamp_min(0)], 0)
    return torch.stack([begin, end, length.to(time.dtype).log1p()], dim=1)
