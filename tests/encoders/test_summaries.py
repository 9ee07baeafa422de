"""Summaries against a loop in numpy."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from amodal.encoders.summaries import (
    SUMMARIES,
    WINDOWS,
    summarise,
    summary_size,
    window_means,
)


def by_hand(time, value):
    """All summaries of one series: ``time [t]``, ``value [t, d]`` with NaN."""
    rows = []
    for column in value.T:
        seen = ~np.isnan(column)
        t, x = time[seen], column[seen]
        if not len(x):
            rows.append([0.0] * 9 + [1.0])
            continue
        slope = np.mean((t - t.mean()) * (x - x.mean())) / (np.var(t) + 0.01)
        ends = [x[-1], x[0], x.mean(), x.min(), x.max(), x.std(), slope]
        rows.append([*ends, math.log(1 + len(x)), time[-1] - t[-1], 0.0])
    whole = [time[0], time[-1], math.log(1 + len(time))] if len(time) else [0.0, 0.0, 0.0]
    return np.concatenate([np.array(rows).T.ravel(), whole])


def series(lengths, d=3, seed=0, hidden=0.5):
    rng = np.random.default_rng(seed)
    time = np.concatenate([np.zeros(0), *(np.sort(rng.random(n)) for n in lengths)])
    value = rng.normal(2.0, 3.0, (len(time), d))
    value[rng.random(value.shape) < hidden] = np.nan
    return time, value, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@pytest.mark.parametrize("hidden", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lengths", [[1], [0], [4, 0, 0, 30, 2], [0, 3], [5, 0], [60]])
def test_summaries_match_numpy(lengths, hidden):
    time, value, offsets = series(lengths, hidden=hidden)
    found = summarise(*(torch.from_numpy(x) for x in (time, value, offsets)))
    assert found.shape == (len(lengths), summary_size(3))
    for j, (a, b) in enumerate(pairwise(offsets)):
        np.testing.assert_allclose(found[j], by_hand(time[a:b], value[a:b]), atol=2e-6)


def test_single_precision_is_good_enough_far_from_zero():
    """Two passes: the spread of large numbers is not lost in rounding."""
    time = torch.linspace(0, 1, 1000)
    value = 1000 + 0.1 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    found = dict(
        zip(SUMMARIES, summarise(time, value, torch.tensor([0, 1000]))[0].tolist(), strict=False)
    )
    assert found["std"] == pytest.approx(value.double().std(correction=0).item(), rel=0.02)


def test_gradients_match_finite_differences():
    time, value, offsets = (torch.from_numpy(x) for x in series([5, 0, 3, 1], d=2, hidden=0.3))
    known = ~value.isnan()
    x = value[known].requires_grad_()

    def run(x):
        full = torch.full_like(value, math.nan)
        return summarise(time, full.masked_scatter(known, x), offsets)

    assert torch.autograd.gradcheck(run, x)


def test_a_constant_variable_has_finite_gradients():
    x = torch.full((4, 1), 3.0, requires_grad=True)
    y = summarise(torch.arange(4.0), x, torch.tensor([0, 4]))
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.isfinite().all()


def test_window_means_by_loops() -> None:
    torch.manual_seed(0)
    lengths = [0, 1, 7, 12]
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    time = torch.cat([torch.rand(k).sort().values for k in lengths]) * 1.2 - 0.1
    value = torch.randn(len(time), 2)
    value[torch.rand_like(value) < 0.4] = float("nan")
    found = window_means(time, value, offsets).reshape(4, 2, WINDOWS, 2)
    for j in range(4):
        steps = range(int(offsets[j]), int(offsets[j + 1]))
        for d in range(2):
            carried = 0.0
            for w in range(WINDOWS):
                here = [
                    value[s, d].item()
                    for s in steps
                    if min(max(int(np.floor(time[s].item() * WINDOWS)), 0), WINDOWS - 1) == w
                    and not value[s, d].isnan()
                ]
                carried = float(np.mean(here)) if here else carried
                assert found[j, 0, w, d].item() == pytest.approx(carried, abs=1e-6)
                assert found[j, 1, w, d].item() == pytest.approx(np.log1p(len(here)), abs=1e-6)
