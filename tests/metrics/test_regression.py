"""Errors of means and spreads against scikit-learn, scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from amodal.errors import SettingError
from amodal.metrics.regression import coverage, gaussian_nll, interval_coverage, mae, r2, rmse


@pytest.fixture
def values() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    y = rng.normal(100, 3, size=80)
    return y, y + rng.normal(size=80), rng.uniform(0.5, 2, size=80), rng.random(80)


def test_errors_of_the_mean_equal_scikit_learn(values):
    y, mean, _, w = values
    for weight in (None, w):
        assert rmse(y, mean, weight=weight) == pytest.approx(
            sk.root_mean_squared_error(y, mean, sample_weight=weight)
        )
        assert mae(y, mean, weight=weight) == pytest.approx(
            sk.mean_absolute_error(y, mean, sample_weight=weight)
        )
        assert r2(y, mean, weight=weight) == pytest.approx(
            sk.r2_score(y, mean, sample_weight=weight)
        )


def test_likelihood_and_coverage_equal_scipy(values):
    y, mean, std, w = values
    expected = -np.average(norm.logpdf(y, mean, std), weights=w)
    assert gaussian_nll(y, mean, std=std, weight=w) == pytest.approx(expected)
    low, high = norm.interval(0.9, mean, std)
    inside = np.average((y >= low) & (y <= high), weights=w)
    assert 0.5 < inside < 1
    assert coverage(y, mean, std=std, weight=w) == pytest.approx(inside)
    assert interval_coverage(y, low, high=high, weight=w) == pytest.approx(inside)
    assert coverage(y, mean, std=std, level=0.5) < coverage(y, mean, std=std, level=0.99)


def test_many_weights_at_once_equal_one_by_one(values):
    y, mean, std, _ = values
    weights = np.random.default_rng(1).integers(0, 3, size=(6, 80))
    weights[4] = 0
    for metric, extra in ((rmse, {}), (mae, {}), (r2, {}), (gaussian_nll, {"std": std})):
        together = metric(y, mean, weight=weights, **extra)
        assert np.isnan(together[4])
        one_by_one = [metric(y, mean, weight=w, **extra) for w in weights]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-10)


def test_edge_sizes():
    for metric in (rmse, mae, r2):
        assert np.isnan(metric([], []))
    assert np.isnan(gaussian_nll([], [], std=[]))
    assert np.isnan(coverage([], [], std=[]))
    assert rmse([2.0], [5.0]) == mae([2.0], [5.0]) == 3
    assert np.isnan(r2([2.0], [5.0]))


def test_r2_is_undefined_where_the_weighted_targets_are_equal():
    y, mean = np.array([0.1, 0.1, 0.1, 7.0]), np.zeros(4)
    assert np.isnan(r2(y, mean, weight=[3, 1, 7, 0]))
    assert r2(y, mean, weight=[3, 1, 7, 1]) < 1


def test_level_is_checked():
    with pytest.raises(SettingError, match="level lies between 0 and 1; found 90"):
        coverage([1.0], [1.0], std=[1.0], level=90)
