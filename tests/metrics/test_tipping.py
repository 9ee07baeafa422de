"""Shifts of outcomes behind absent values: totals, odds, and where a verdict turns."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError, SettingError
from amodal.metrics.discrimination import accuracy
from amodal.metrics.tipping import outcome_shift, tipping_point


def test_odds_are_multiplied_and_totals_kept(binary):
    y, _, weight = binary
    absent = np.arange(len(y)) % 3 == 0
    found = outcome_shift(y, absent, delta=0.7, weight=weight)
    assert found[~absent].tolist() == weight[~absent].tolist()
    assert found[absent].sum() == pytest.approx(weight[absent].sum())

    def odds(w):
        return (w * y)[absent].sum() / (w * (1 - y))[absent].sum()

    assert odds(found) == pytest.approx(np.exp(0.7) * odds(weight))
    assert outcome_shift(y, absent, delta=0.0, weight=weight) == pytest.approx(weight)


def test_the_mean_of_a_normal_target_moves_by_delta():
    y = np.random.default_rng(0).normal(5, 2, 200_000)
    found = outcome_shift(y, np.ones(len(y), dtype=bool), delta=0.5)
    assert np.average(y, weights=found) == pytest.approx(6.0, abs=0.05)


def test_nothing_absent_and_one_outcome_change_nothing():
    y = np.array([0, 1, 1.0])
    assert outcome_shift(y, np.zeros(3, dtype=bool), delta=9.0).tolist() == [1, 1, 1]
    assert outcome_shift(y, np.array([False, True, True]), delta=9.0).tolist() == [1, 1, 1]
    assert outcome_shift([], np.zeros(0, dtype=bool), delta=1.0).tolist() == []
    with pytest.raises(DataError, match="one entry per row"):
        outcome_shift([0, 1], [True], delta=1.0)
    with pytest.raises(DataError, match="one entry per row"):
        outcome_shift([0, 1], [1, 0], delta=1.0)


def test_a_comparison_tips_where_algebra_says():
    """a is right on events, b on the others; both sides absent: they tie at odds of 1."""
    y = np.array([1.0] * 20 + [0.0] * 10)
    a, b = np.full(30, 0.9), np.full(30, 0.1)
    absent = np.ones(30, dtype=bool)

    def verdict(delta):
        w = outcome_shift(y, absent, delta=delta)
        gap = accuracy(y, a, weight=w) - accuracy(y, b, weight=w)
        return "better" if gap > 0 else "worse"

    found = tipping_point(verdict)
    assert found.verdict == "better"
    assert found.below == pytest.approx(-np.log(2), abs=0.25 / 64 + 1e-9)
    assert found.below <= -np.log(2)
    assert (found.verdict_below, found.above, found.verdict_above) == ("worse", None, "")


def test_the_search_stops_where_it_is_told():
    tried = []
    found = tipping_point(lambda d: tried.append(d) or "same", largest=0.6, step=0.25)
    assert (found.below, found.above) == (None, None)
    assert (min(tried), max(tried), len(tried)) == (-0.6, 0.6, 7)
    with pytest.raises(SettingError):
        tipping_point(lambda d: "", largest=0)
