"""Packed sequences against Python loops, with empty sequences and NaN."""

from __future__ import annotations

import math

import pytest
import torch

from amodal.nn.ragged import (
    bin_steps,
    last_observed,
    order_steps,
    pad,
    segment_ids,
    segment_max,
    segment_mean,
    segment_sum,
)

LENGTHS = ([], [0], [1], [0, 0], [3, 0, 5, 1, 0], [0, 7, 2], [40, 1, 13])


def packed(lengths, d=3, seed=0, hidden=0.4):
    g = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()])
    x = torch.randn(int(offsets[-1]), d, generator=g, dtype=torch.float64)
    x[torch.rand(x.shape, generator=g) < hidden] = math.nan
    return x, offsets


def pieces(x, offsets):
    return [x[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def known(column):
    return [c for c in column.tolist() if not math.isnan(c)]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_segment_reductions_match_loops(lengths):
    x, offsets = packed(lengths)
    mean, number = segment_mean(x, offsets)
    top = segment_max(x, offsets, empty=-7.0)
    total = segment_sum(torch.nan_to_num(x), offsets)
    assert mean.shape == number.shape == top.shape == total.shape == (len(lengths), 3)
    for j, piece in enumerate(pieces(x, offsets)):
        for k in range(3):
            seen = known(piece[:, k])
            assert number[j, k] == len(seen)
            assert total[j, k].item() == pytest.approx(sum(seen))
            assert mean[j, k].item() == pytest.approx(sum(seen) / max(len(seen), 1))
            assert top[j, k].item() == max(seen, default=-7.0)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_segment_ids_and_last_observed_match_loops(lengths):
    x, offsets = packed(lengths)
    assert segment_ids(offsets).tolist() == [j for j, n in enumerate(lengths) for _ in range(n)]
    found, expected = last_observed(~x.isnan(), offsets).tolist(), []
    for begin, piece in zip(offsets.tolist(), pieces(x, offsets), strict=False):
        last = [-1] * 3
        for step, row in enumerate(piece.tolist()):
            last = [
                old if math.isnan(c) else begin + step for old, c in zip(last, row, strict=True)
            ]
            expected.append(last)
    assert found == expected


@pytest.mark.parametrize("max_len", [None, 1, 4])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_pad_keeps_the_last_steps(lengths, max_len):
    x, offsets = packed(lengths, hidden=0.0)
    padded, present = pad(x, offsets, max_len)
    t = min(max(lengths, default=0), max_len or 10**9)
    assert padded.shape == (len(lengths), t, 3)
    assert present.sum(1).tolist() == [min(n, t) for n in lengths]
    for row, there, piece in zip(padded, present, pieces(x, offsets), strict=True):
        assert row[there].tolist() == (piece[-t:].tolist() if t else [])
        assert (row[~there] == 0).all()


def test_padding_hides_nan_of_other_sequences_from_gradients():
    x = torch.tensor([[math.nan], [1.0], [2.0]], requires_grad=True)
    padded, _ = pad(x, torch.tensor([0, 1, 3]))
    (grad,) = torch.autograd.grad(padded[1].sum(), x)
    assert grad.flatten().tolist() == [0.0, 1.0, 1.0]


def test_reductions_have_finite_gradients_and_none_at_nan():
    x, offsets = packed([4, 0, 6, 1], seed=3)
    x.requires_grad_()
    for y in (segment_mean(x, offsets)[0], segment_max(x, offsets)):
        (grad,) = torch.autograd.grad(y.square().sum(), x)
        assert grad.isfinite().all()
        assert (grad[x.isnan()] == 0).all()
        assert (grad[~x.isnan()] != 0).any()


def test_order_steps_sorts_within_sequences_only():
    time = torch.tensor([3.0, 1.0, 1.0, 0.0, 9.0, math.nan, 2.0])
    offsets = torch.tensor([0, 3, 3, 4, 7])
    order = order_steps(time, offsets)
    assert order.tolist() == [1, 2, 0, 3, 5, 6, 4]  # stable; unknown time first
    assert order_steps(time[order], offsets) is None
    assert order_steps(time[:0], torch.tensor([0, 0])) is None


def binned(time, value, max_steps):
    """One sequence, by loops."""
    if len(time) <= max_steps:
        return time, value
    span = (time[-1] - time[0]) or 1.0
    bins: dict[int, list[int]] = {}
    for i, t in enumerate(time):
        place = min(max_steps - 1, math.floor((t - time[0]) / span * max_steps))
        bins.setdefault(place, []).append(i)
    times = [sum(time[i] for i in b) / len(b) for b in bins.values()]
    values = []
    for b in bins.values():
        columns = [[value[i][k] for i in b if not math.isnan(value[i][k])] for k in range(3)]
        values.append([sum(c) / len(c) if c else math.nan for c in columns])
    return times, values


@pytest.mark.parametrize("max_steps", [1, 5, 12, 1000])
@pytest.mark.parametrize("lengths", [*LENGTHS, [20, 0, 5, 33, 6]])
def test_bin_steps_matches_loops(lengths, max_steps):
    value, offsets = packed(lengths, seed=1, hidden=0.6)
    g = torch.Generator().manual_seed(2)
    time = torch.rand(len(value), generator=g, dtype=torch.float64)
    order = order_steps(time, offsets)
    time = time if order is None else time[order]
    t, x, at = bin_steps(time, value, offsets, max_steps)
    assert len(at) == len(offsets)
    assert int(at[-1]) == len(t) == len(x)
    old = zip(pieces(time, offsets), pieces(value, offsets), strict=True)
    new = zip(pieces(t, at), pieces(x, at), strict=True)
    for (time_j, value_j), (t_j, x_j) in zip(old, new, strict=True):
        times, values = binned(time_j.tolist(), value_j.tolist(), max_steps)
        torch.testing.assert_close(t_j, torch.as_tensor(times, dtype=torch.float64))
        expected = torch.as_tensor(values, dtype=torch.float64).reshape(-1, 3)
        torch.testing.assert_close(x_j, expected, equal_nan=True)
        assert len(t_j) <= max_steps


def test_bin_steps_at_one_time_is_one_step():
    t, x, at = bin_steps(torch.ones(4), torch.arange(4.0)[:, None], torch.tensor([0, 4]), 2)
    assert (t.tolist(), x.tolist(), at.tolist()) == ([1.0], [[1.5]], [0, 1])


def test_bins_of_a_sequence_do_not_depend_on_the_others():
    value, offsets = packed([30, 50, 2], seed=4)
    time = torch.cat([torch.linspace(0.1, 0.9, n, dtype=torch.float64) for n in (30, 50, 2)])
    t, x, at = bin_steps(time, value, offsets, 7)
    alone_t, alone_x, _ = bin_steps(time[30:80], value[30:80], torch.tensor([0, 50]), 7)
    assert t[at[1] : at[2]].tolist() == alone_t.tolist()
    torch.testing.assert_close(x[at[1] : at[2]], alone_x, equal_nan=True, rtol=0, atol=0)
