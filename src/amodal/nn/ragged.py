"""Operations on packed sequences: s steps of v sequences, one after the other.

Sequence j has the steps ``offsets[j]:offsets[j + 1]``; it may have none. No loop over sequences.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "bin_steps",
    "buckets",
    "last_observed",
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


def segment_sum(x: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]) -> Float[Tensor, "v d"]:
    """The sum over the steps of each sequence; 0 for one without steps.

    >>> segment_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 2, 2, 3])).tolist()
    [[3.0], [0.0], [4.0]]
    """
    return torch.segment_reduce(x, "sum", offsets=offsets, axis=0, unsafe=True)


def segment_mean(
    x: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"]
) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v d"]]:
    """``(mean, number)`` of the observed (not NaN) steps; mean 0 where nothing was observed.

    >>> x = torch.tensor([[1.0], [float("nan")], [3.0]])
    >>> mean, number = segment_mean(x, torch.tensor([0, 3, 3]))
    >>> mean.tolist(), number.tolist()
    ([[2.0], [0.0]], [[2.0], [0.0]])
    """
    known = ~x.isnan()
    x = torch.where(known, x, torch.zeros_like(x))
    total = segment_sum(torch.cat([x, known.to(x.dtype)], dim=1), offsets)
    total, number = total.chunk(2, dim=1)
    return total / number.clamp_min(1), number


def segment_max(
    x: Float[Tensor, "s d"], offsets: Int[Tensor, " v1"], *, empty: float = 0.0
) -> Float[Tensor, "v d"]:
    """The largest observed (not NaN) step of each sequence; `empty` where nothing was observed.

    >>> x = torch.tensor([[1.0], [float("nan")], [-3.0]])
    >>> segment_max(x, torch.tensor([0, 2, 3, 3])).tolist()
    [[1.0], [-3.0], [0.0]]
    """
    x = torch.where(x.isnan(), torch.full_like(x, -torch.inf), x)
    top = torch.segment_reduce(x, "max", offsets=offsets, axis=0, unsafe=True)
    return torch.where(top > -torch.inf, top, torch.full_like(top, empty))


def last_observed(known: Bool[Tensor, "s d"], offsets: Int[Tensor, " v1"]) -> Int[Tensor, "s d"]:
    """The step at which each variable was last observed, up to each step; -1 where not yet.

    >>> known = torch.tensor([[True], [False], [False], [True]])
    >>> last_observed(known, torch.tensor([0, 2, 4])).flatten().tolist()
    [0, 0, -1, 3]
    """
    place = torch.arange(len(known), device=known.device)[:, None]
    at = torch.where(known, place, -1)
    at = at.cummax(dim=0).values if len(at) else at
    begin = offsets[:-1][segment_ids(offsets)][:, None]
    return torch.where(at >= begin, at, -1)


def pad(
    values: Tensor,
    offsets: Int[Tensor, " v1"],
    max_len: int | None = None,
    *,
    rows: Int[Tensor, " v"] | None = None,
) -> tuple[Tensor, Bool[Tensor, "v t"]]:
    """Packed ``[s, ...]`` -> padded ``[v, t, ...]`` with 0 behind the end, and where a step is.

    t is the longest length; of a sequence longer than `max_len` the last steps are kept. `rows`
    names the sequences wanted; None for all.

    >>> x, present = pad(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 2, 3]))
    >>> x.tolist(), present.tolist()
    ([[1, 2], [0, 0], [3, 0]], [[True, True], [False, False], [True, False]])
    >>> pad(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 2, 3]), max_len=1)[0].tolist()
    [[2], [0], [3]]
    """
    ends, lengths = offsets[1:], offsets[1:] - offsets[:-1]
    if rows is not None:
        ends, lengths = ends[rows], lengths[rows]
    longest = int(lengths.max()) if len(lengths) else 0
    longest = longest if max_len is None else min(longest, max_len)
    kept = lengths.clamp_max(longest)
    place = torch.arange(longest, device=offsets.device)
    present = place < kept[:, None]
    at = torch.where(present, (ends - kept)[:, None] + place, 0)
    padded = values[at] if len(values) else values.new_zeros(*at.shape, *values.shape[1:])
    shape = present.shape + (1,) * (values.ndim - 1)
    return torch.where(present.view(shape), padded, torch.zeros_like(padded)), present


def buckets(
    lengths: Int[Tensor, " v"], *, most: int = 8, least: int = 32
) -> tuple[Int[Tensor, " b"], ...]:
    """The places of sequences of like length, together: padded apart, they need little padding.

    Args:
        lengths: of the sequences.
        most: buckets.
        least: sequences of a bucket, where there are more than one.

    >>> [x.tolist() for x in buckets(torch.tensor([5, 1, 6, 2]), most=2, least=1)]
    [[1, 3], [0, 2]]
    """
    number = min(most, max(1, len(lengths) // least))
    if number == 1:
        return (torch.arange(len(lengths), device=lengths.device),)
    return torch.argsort(lengths, stable=True).tensor_split(number)


def order_steps(time: Float[Tensor, " s"], offsets: Int[Tensor, " v1"]) -> Int[Tensor, " s"] | None:
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

    >>> time = torch.tensor([0.0, 1.0, 9.0, 10.0])
    >>> value = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    >>> t, x, at = bin_steps(time, value, torch.tensor([0, 4]), 2)
    >>> t.tolist(), x.flatten().tolist(), at.tolist()
    ([0.5, 9.5], [2.0, 6.0], [0, 2])
    """
    lengths = offsets[1:] - offsets[:-1]
    if len(time) == 0 or int(lengths.max()) <= max_steps:
        return time, value, offsets
    key = _bins(time, offsets, max_steps)
    _, size = torch.unique_consecutive(key, return_counts=True)
    inner = torch.cat([size.new_zeros(1), size.cumsum(0)])
    mean, number = segment_mean(torch.cat([time[:, None], value], dim=1), inner)
    mean = torch.where(number > 0, mean, torch.full_like(mean, torch.nan))
    return mean[:, 0], mean[:, 1:], torch.searchsorted(inner, offsets)


def _bins(
    time: Float[Tensor, " s"], offsets: Int[Tensor, " v1"], max_steps: int
) -> Int[Tensor, " s"]:
    """A number for each bin, never falling; a step of a short sequence is a bin of its own."""
    lengths, ids = offsets[1:] - offsets[:-1], segment_ids(offsets)
    first = time[offsets[:-1].clamp_max(len(time) - 1)]
    span = time[(offsets[1:] - 1).clamp_min(0)] - first
    share = (time - first[ids]) / torch.where(span > 0, span, torch.ones_like(span))[ids]
    bins = (share * max_steps).long().clamp(0, max_steps - 1)
    place = torch.arange(len(time), device=time.device) - offsets[:-1][ids]
    return ids * max_steps + torch.where(lengths[ids] > max_steps, bins, place)
