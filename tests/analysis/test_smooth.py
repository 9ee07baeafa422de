"""Smooth calibration curves against other implementations and known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from amodal.analysis.smooth import _fit, coverage_curve, smooth_calibration, spline_basis


def _expit(x):
    return 1 / (1 + np.exp(-x))


def test_the_spline_is_cubic_inside_and_linear_outside():
    knots = np.array([-1.0, 0.0, 1.0, 2.0])
    x = np.linspace(-4, 5, 9001)
    basis = spline_basis(x, knots)
    assert basis.shape == (9001, 4)
    second = np.diff(basis, n=2, axis=0) / (x[1] - x[0]) ** 2
    outside = (x[1:-1] < -1.01) | (x[1:-1] > 2.01)
    np.testing.assert_allclose(second[outside], 0, atol=1e-4)
    assert np.abs(second[~outside]).max() > 0.1
    jumps = np.abs(np.diff(second, axis=0)).max()  # twice differentiable: no jump in curvature
    assert jumps < 0.01


def test_coefficients_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = (rng.random(400) < _expit(0.3 + x @ [1.0, -0.5])).astype(float)
    weight = rng.uniform(0.5, 2, 400)
    basis = np.column_stack([np.ones(400), x])
    beta, _ = _fit(basis, y, weight=weight, unit=np.arange(400))
    theirs = LogisticRegression(C=1e3, tol=1e-10, max_iter=1000).fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(beta, [*theirs.intercept_, *theirs.coef_[0]], atol=1e-4)


def test_the_covariance_is_the_cluster_sandwich():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    y = (rng.random(300) < _expit(x)).astype(float)
    unit = np.arange(300) // 3
    basis = np.column_stack([np.ones(300), x])
    beta, covariance = _fit(basis, y, weight=np.ones(300), unit=unit)
    p = _expit(basis @ beta)
    bread = np.linalg.inv(sum(a * (1 - a) * np.outer(b, b) for a, b in zip(p, basis, strict=True)))
    meat = np.zeros((2, 2))
    for u in np.unique(unit):
        score = ((y - p)[unit == u, None] * basis[unit == u]).sum(axis=0)
        meat += np.outer(score, score)
    np.testing.assert_allclose(covariance, bread @ meat @ bread, rtol=1e-3)


def test_repeating_every_row_changes_neither_curve_nor_band():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.02, 0.98, 500)
    y = (rng.random(500) < p).astype(float)
    once = smooth_calibration(y, p, unit=np.arange(500))
    twice = smooth_calibration(np.tile(y, 2), np.tile(p, 2), unit=np.tile(np.arange(500), 2))
    inner = slice(5, -5)  # the ends move: the tenth smallest row is another one
    at = np.interp(once.x[inner], twice.x, twice.y)
    np.testing.assert_allclose(at, once.y[inner], atol=0.02)
    width = np.interp(once.x[inner], twice.x, twice.high - twice.low)
    np.testing.assert_allclose(width, (once.high - once.low)[inner], atol=0.03)


def test_a_known_distortion_is_found_and_covered():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(40):
        p = rng.uniform(0.05, 0.95, 800)
        truth = _expit(0.5 * np.log(p / (1 - p)))  # over-confident: slope one half
        y = (rng.random(800) < truth).astype(float)
        curve = smooth_calibration(y, p, unit=np.arange(800))
        real = _expit(0.5 * np.log(curve.x / (1 - curve.x)))
        covered.append((curve.low <= real) & (real <= curve.high))
    assert 0.88 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(
    ("rows", "events"), [(0, 0), (19, 9), (500, 9), (500, 491), (40, 20), (40, 0)]
)
def test_few_rows_or_events_give_no_curve(rows, events):
    y = np.r_[np.ones(events), np.zeros(rows - events)]
    p = np.full(rows, 0.5)
    assert smooth_calibration(y, p, unit=np.arange(rows)) is None


def test_the_curve_keeps_ten_rows_beyond_either_end():
    rng = np.random.default_rng(4)
    p = rng.uniform(size=200)
    y = (rng.random(200) < p).astype(float)
    curve = smooth_calibration(y, p, unit=np.arange(200))
    assert (p <= curve.x[0]).sum() == 10
    assert (p >= curve.x[-1]).sum() == 10


def test_separated_outcomes_stay_finite():
    p = np.r_[np.linspace(0.01, 0.4, 50), np.linspace(0.6, 0.99, 50)]
    curve = smooth_calibration((p > 0.5).astype(float), p, unit=np.arange(100))
    assert np.isfinite([curve.y, curve.low, curve.high]).all()


def test_coverage_of_a_true_normal_is_nominal():
    rng = np.random.default_rng(5)
    mean, std = rng.normal(size=20000), rng.uniform(0.5, 2, 20000)
    y = rng.normal(mean, std)
    curve = coverage_curve(y, mean, std, unit=np.arange(20000))
    np.testing.assert_allclose(curve.y, curve.x, atol=0.012)
    wide = coverage_curve(y, mean, 2 * std, unit=np.arange(20000))
    expected = 2 * norm.cdf(2 * norm.ppf((1 + wide.x) / 2)) - 1
    np.testing.assert_allclose(wide.y, expected, atol=0.012)
    half = 1.96 * np.sqrt(curve.y * (1 - curve.y) / 20000)
    np.testing.assert_allclose(curve.high - curve.y, half, rtol=0.01)
    assert coverage_curve(y[:19], mean[:19], std[:19], unit=np.arange(19)) is None
