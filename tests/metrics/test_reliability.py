"""Rank correlation and attention entropy against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, spearmanr

from amodal.errors import DataError
from amodal.metrics.reliability import attention_entropy, rank_correlation


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 8, size=(60, 4)).astype(float)  # ties
    return a, a + rng.normal(0, 3, size=a.shape), rng.random(a.shape) < 0.7


def test_equals_spearman_over_present_pairs(pairs):
    a, b, present = pairs
    expected = spearmanr(a[present], b[present]).statistic
    assert rank_correlation(a, b, present) == pytest.approx(expected)


def test_absent_pairs_are_not_read(pairs):
    a, b, present = pairs
    garbage = np.where(present, a, np.nan)
    assert rank_correlation(garbage, b, present) == rank_correlation(a, b, present)


def test_a_row_weight_of_2_is_the_row_twice(pairs):
    a, b, present = pairs
    times = np.random.default_rng(1).integers(0, 3, size=(5, 60))
    found = rank_correlation(a, b, present, weight=times)
    entropies = attention_entropy(np.abs(b), present, weight=times)
    for k, w in enumerate(times):
        again = np.repeat(np.arange(60), w)
        assert found[k] == pytest.approx(rank_correlation(a[again], b[again], present[again]))
        assert entropies[k] == pytest.approx(attention_entropy(np.abs(b[again]), present[again]))


def test_only_the_order_matters(pairs):
    a, b, present = pairs
    value = rank_correlation(a, b, present)
    assert rank_correlation(np.exp(a), b**3, present) == pytest.approx(value)
    assert rank_correlation(-a, b, present) == pytest.approx(-value)


def test_correlation_is_undefined_without_two_different_pairs():
    yes = np.array([[True, True]])
    assert np.isnan(rank_correlation(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2), bool)))
    assert np.isnan(rank_correlation([[1, 2]], [[1, 2]], ~yes))
    assert np.isnan(rank_correlation([[1, 2]], [[1, 2]], [[True, False]]))
    assert np.isnan(rank_correlation([[3, 3]], [[1, 2]], yes))
    three = [[1.0, 2.0], [5.0, 6.0], [7.0, 7.0]]
    assert np.isnan(rank_correlation(three, three, np.ones((3, 2), bool), weight=[0, 0, 7]))


def test_entropy_equals_scipy(pairs):
    _, b, present = pairs
    reliance = np.abs(b) / 50  # does not sum to 1: the rest lies on the prior
    rows = [i for i in range(len(b)) if present[i].sum() >= 2]
    expected = [entropy(reliance[i, present[i]]) / np.log(present[i].sum()) for i in rows]
    assert attention_entropy(reliance, present) == pytest.approx(np.mean(expected))


def test_entropy_of_equal_and_of_lone_shares():
    present = np.array([[True, True, True], [True, True, False], [True, False, False]])
    assert attention_entropy(np.full((3, 3), 0.2), present) == pytest.approx(1)
    assert attention_entropy(np.eye(3), present) == 0  # row 3 has one modality: left out


def test_entropy_is_undefined_where_no_row_counts():
    assert np.isnan(attention_entropy(np.zeros((0, 2)), np.zeros((0, 2), bool)))
    assert np.isnan(attention_entropy([[1.0, 0.0]], [[True, False]]))
    assert np.isnan(attention_entropy([[0.0, 0.0]], [[True, True]]))
    assert np.isnan(attention_entropy([[0.5, 0.5]], [[True, True]], weight=[0]))


@pytest.mark.parametrize(
    ("a", "present", "message"),
    [
        ([[1.0, np.nan]], [[True, True]], "a is finite where present; found 1 of 2"),
        ([[1.0]], [[True, True]], r"a has the shape of present, \[1, 2\]; found \[1, 1\]"),
        ([[1.0, 2.0]], [[0, 1]], "present is a bool array"),
        ([1.0], [True], "present is a bool array"),
    ],
)
def test_bad_input(a, present, message):
    with pytest.raises(DataError, match=message):
        rank_correlation(a, [[1.0, 2.0]], present)


def test_negative_reliance():
    with pytest.raises(DataError, match="reliance is at least 0; found 1 negative"):
        attention_entropy([[-0.1, 0.5]], [[True, True]])
