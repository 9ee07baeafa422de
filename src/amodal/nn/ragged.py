"""Operations on packed sequences: s steps of v sequences, one after the other.

Sequence j has the steps ``offsets[j]:offsets[j + 1]``; it may have none. No loop over sequences.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "bin_steps",
    "order_steps",
    "pad",
    "segment_ids",
    "segment_max",
    "segment_mean",
    "segment_sum",
]


def segment_ids(offsets: Int[Tensor, " v1"]) -> Int[Tensor, " s"]:
    """The sequence of each step.

    >>> segment_ids(torch.tensor([0, 2, 2, 3])).tolist()
    [0, 0, 2]
    """
    lengths = offsets[1:] - offsets[:-1]
    ids = torch.arange(len(lengths), device=offsets.device)
    return torch.repeat_interleave(ids, lengths, output_size=int(offsets[-1] - offsets[0]))


def segment_sum(
    x: Float[Tensor, "s d"], ids: Int[Tensor, " s"], count: int
) -> Float[Tensor, "v d"]:
    """The sum over the steps of each sequence; 0 for one without steps.

    Args:
        x: one row per step.
        ids: the sequence of each step, 0 to `count` - 1, in any order.
        count: number v of sequences.

    >>> segment_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 2]), 3).tolist()
    [[3.0], [0.0], [4.0]]
    """
    out = x.new_zeros(count, x.shape[1])
    return out.scatter_add(0, ids[:, None].expand_as(x), x)


def segment_mean(
    x: Float[Tensor, "s d"], ids: Int[Tensor, " s"], count: int
) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v d"]]:
    """``(mean, number)`` of the observed (not NaN) steps; mean 0 where nothing was observed.

    >>> x = torch.tensor([[1.0], [float("nan")], [3.0]])
    >>> mean, number = segment_mean(x, torch.tensor([0, 0, 0]), 2)
    >>> mean.tolist(), number.tolist()
    ([[2.0], [0.0]], [[2.0], [0.0]])
    """
    known = ~x.isnan()
    x = torch.where(known, x, torch.zeros_like(x))
    total = segment_sum(torch.cat([x, known.to(x.dtype)], dim=1), ids, count)
    total, number = total.chunk(2, dim=1)
    return total / number.clamp_min(1), number


def segment_max(
    x: Float[Tensor, "s d"], ids: Int[Tensor, " s"], count: int, *, empty: float = 0.0
) -> Float[Tensor, "v d"]:
    """The largest observed (not NaN) step of each sequence; `empty` where nothing was observed.

    >>> x = torch.tensor([[1.0], [float("nan")], [-3.0]])
    >>> segment_max(x, torch.tensor([0, 0, 1]), 3).tolist()
    [[1.0], [-3.0], [0.0]]
    """
    low = torch.finfo(x.dtype).min
    x = torch.where(x.isnan(), torch.full_like(x, low), x)
    out = x.new_full((count, x.shape[1]), low)
    out = out.scatter_reduce(0, ids[:, None].expand_as(x), x, "amax")
    return torch.where(out > low, out, torch.full_like(out, empty))


def pad(
    values: Tensor, offsets: Int[Tensor, " v1"], max_len: int | None = None
) -> tuple[Tensor, Bool[Tensor, "v t"]]:
    """Packed ``[s, ...]`` -> padded ``[v, t, ...]`` with 0 behind the end, and where a step is.

    t is the longest length; of a sequence longer than `max_len` the last steps are kept.

    >>> x, present = pad(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 2, 3]))
    >>> x.tolist(), present.tolist()
    ([[1, 2], [0, 0], [3, 0]], [[True, True], [False, False], [True, False]])
    >>> pad(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 2, 3]), max_len=1)[0].tolist()
    [[2], [0], [3]]
    """
    lengths = offsets[1:] - offsets[:-1]
    longest = int(lengths.max()) if len(lengths) else 0
    longest = longest if max_len is None else min(longest, max_len)
    kept = lengths.clamp_max(longest)
    place = torch.arange(longest, device=offsets.device)
    present = place < kept[:, None]
    at = torch.where(present, (offsets[1:] - kept)[:, None] + place, 0)
    padded = values[at] if len(values) else values.new_zeros(*at.shape, *values.shape[1:])
    shape = present.shape + (1,) * (values.ndim - 1)
    return torch.where(present.view(shape), padded, torch.zeros_like(padded)), present


def order_steps(
    time: Float[Tensor, " s"], offsets: Int[Tensor, " v1"]
) -> Int[Tensor, " s"] | None:
    """The order that sorts the steps of each sequence by time; None where they are in order.

    Steps of unknown (NaN) time come first; ties keep their order.

    >>> order_steps(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 3])).tolist()
    [1, 0, 2]
    """
    ids = segment_ids(offsets)
    time = torch.where(time.isnan(), torch.full_like(time, -torch.inf), time)
    if bool(((time[1:] >= time[:-1]) | (ids[1:] != ids[:-1])).all()):
        return None
    order = torch.argsort(time, stable=True)
    return order[torch.argsort(ids[order], stable=True)]


def bin_steps(
    time: Float[Tensor, " s"],
    value: Float[Tensor, "s d"],
    offsets: Int[Tensor, " v1"],
    max_steps: int,
) -> tuple[Float[Tensor, " s2"], Float[Tensor, "s2 d"], Int[Tensor, " v1"]]:
    """Averages each sequence of more than `max_steps` steps into as many equal-width time bins.

    The bins span the time from the first to the last step; a bin's value is the mean of what was
    observed in it (NaN where nothing was), its time the mean time of its steps; bins without steps
    are left out. Shorter sequences stay as they are.

    Args:
        time: in order within each sequence.
        value: NaN = not observed.
        offsets: where the sequences begin and end.
        max_steps: the most steps that a sequence may keep.

    >>> time, value = torch.tensor([0.0, 1.0, 9.0, 10.0]), torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    >>> t, x, at = bin_steps(time, value, torch.tensor([0, 4]), 2)
    >>> t.tolist(), x.flatten().tolist(), at.tolist()
    ([0.5, 9.5], [2.0, 6.0], [0, 2])
    """
    lengths = offsets[1:] - offsets[:-1]
    if len(lengths) == 0 or int(lengths.max()) <= max_steps:
        return time, value, offsets
    ids = segment_ids(offsets)
    first = time[offsets[:-1].clamp_max(len(time) - 1)]
    span = time[(offsets[1:] - 1).clamp_min(0)] - first
    share = (time - first[ids]) / torch.where(span > 0, span, torch.ones_like(span))[ids]
    bins = (share * max_steps).long().clamp(0, max_steps - 1)
    place = torch.arange(len(time), device=time.device) - offsets[:-1][ids]
    bins = torch.where(lengths[ids] > max_steps, bins, place)
    key = ids * max_steps + bins
    _, step, size = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    total = len(size)
    mean, number = segment_mean(torch.cat([time[:, None], value], dim=1), step, total)
    mean = torch.where(number > 0, mean, torch.full_like(mean, torch.nan))
    kept = torch.zeros_like(lengths).scatter_add(0, ids[size.cumsum(0) - 1], torch.ones_like(size))
    ends = torch.cat([kept.new_zeros(1), kept.cumsum(0)])
    return mean[:, 0], mean[:, 1:], ends
