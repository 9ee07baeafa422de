"""Proper scores, intercept, slope and observed/expected: scikit-learn, closed forms, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from amodal.metrics.calibration import (
    brier,
    calibration_intercept,
    calibration_slope,
    log_loss,
    observed_expected,
)
from amodal.metrics.logistic import fit_offset, fit_slope

ALL = (log_loss, brier, calibration_intercept, calibration_slope, observed_expected)


def sk_slope(y, p, weight=None) -> float:
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=500)
    return float(model.fit(logit(p)[:, None], y, sample_weight=weight).coef_[0, 0])


@pytest.fixture
def inner(binary):
    """The binary fixture with probabilities strictly inside (0, 1)."""
    y, p, w = binary
    return y, np.clip(p, 0.02, 0.98), w


def test_proper_scores_equal_scikit_learn(binary, multiclass):
    for y, p, w in (binary, multiclass):
        labels = [0, 1] if p.ndim == 1 else range(4)
        for weight in (None, w):
            assert log_loss(y, p, weight=weight) == pytest.approx(
                sk.log_loss(y, p, sample_weight=weight, labels=list(labels)), rel=1e-12
            )
    y, p, w = binary
    assert brier(y, p, weight=w) == pytest.approx(sk.brier_score_loss(y, p, sample_weight=w))


def test_multiclass_brier_sums_over_classes(multiclass):
    y, p, w = multiclass
    by_row = ((p - np.eye(4)[y]) ** 2).sum(axis=1)
    assert brier(y, p, weight=w) == pytest.approx(np.average(by_row, weights=w))
    q = p[:, 0]
    two = np.stack([1 - q, q], axis=1)
    binary_y = (y == 0).astype(int)
    assert brier(binary_y, two) == pytest.approx(2 * brier(binary_y, q))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_mistakes_are_clipped_by_the_type_they_came_in(dtype):
    p = np.array([1, 0.5], dtype=dtype)
    expected = (-np.log(np.finfo(dtype).eps) + np.log(2)) / 2
    assert log_loss([0, 1], p) == pytest.approx(expected, rel=1e-6)
    assert log_loss([0, 1], p) == pytest.approx(sk.log_loss([0, 1], p), rel=1e-5)


def test_slope_equals_unpenalised_logistic_regression(inner):
    y, p, w = inner
    assert calibration_slope(y, p) == pytest.approx(sk_slope(y, p), rel=1e-7)
    assert calibration_slope(y, p, weight=w) == pytest.approx(sk_slope(y, p, w), rel=1e-7)


def test_slope_and_intercept_undo_a_known_distortion():
    # 10 of each predicted risk, the observed share having log odds 0.4 + 0.5 logit p exactly
    risk = np.array([0.1, 0.3, 0.5, 0.8])
    share = expit(0.4 + 0.5 * logit(risk))
    y, p = np.tile([1, 0], 4), np.repeat(risk, 2)
    weight = np.stack([share, 1 - share], axis=1).ravel()
    assert calibration_slope(y, p, weight=weight) == pytest.approx(0.5, rel=1e-9)
    shifted = expit(logit(risk) + 0.7)
    weight = np.stack([shifted, 1 - shifted], axis=1).ravel()
    assert calibration_intercept(y, p, weight=weight) == pytest.approx(0.7, rel=1e-9)
    assert calibration_slope(y, p, weight=weight) == pytest.approx(1.0, rel=1e-9)


def test_intercept_solves_its_equation(inner):
    y, p, w = inner
    expected = brentq(lambda a: w @ (y - expit(a + logit(p))), -9, 9, xtol=1e-13)
    assert calibration_intercept(y, p, weight=w) == pytest.approx(expected, abs=1e-10)


def test_intercept_of_a_constant_prediction_is_a_difference_of_log_odds():
    y = np.array([1, 0, 0, 0])
    assert calibration_intercept(y, np.full(4, 0.5)) == pytest.approx(-np.log(3))
    assert calibration_intercept(y, np.full(4, 0.25)) == pytest.approx(0, abs=1e-12)


def test_intercept_is_found_far_away_from_0():
    """Certain and wrong: the root lies near the logit of the machine epsilon."""
    eps = np.finfo(float).eps
    y, p = np.array([1, 1, 0]), np.zeros(3)
    assert calibration_intercept(y, p) == pytest.approx(np.log(2) - logit(eps), rel=1e-6)
    # half at 0, half at 1, three quarters of each wrong: the equation is symmetric, a = 0
    y, p = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.repeat([0.0, 1.0], 4)
    assert calibration_intercept(y, p) == pytest.approx(0, abs=1e-6)


def test_multiclass_pools_one_against_the_rest(multiclass):
    y, p, w = multiclass
    p = 0.9 * p + 0.1 / 4
    flat, target = p.ravel(), np.eye(4)[y].ravel().astype(int)
    pairs = np.repeat(w, 4)
    assert calibration_slope(y, p, weight=w) == pytest.approx(sk_slope(target, flat, pairs))
    assert calibration_intercept(y, p, weight=w) == pytest.approx(
        calibration_intercept(target, flat, weight=pairs)
    )
    assert observed_expected(y, p, weight=w) == pytest.approx(1)


def test_observed_expected_by_hand():
    assert observed_expected([1, 0, 1], [0.5, 0.25, 0.25]) == 2
    assert observed_expected([1, 0, 1], [0.5, 0.25, 0.25], weight=[0, 1, 1]) == 2
    assert np.isnan(observed_expected([1, 0], [0.0, 0.0]))


@pytest.mark.parametrize("metric", ALL)
def test_many_weights_at_once_equal_one_by_one(metric, inner, multiclass):
    for y, p, _ in (inner, multiclass):
        weights = np.random.default_rng(3).integers(0, 3, size=(7, len(y)))
        weights[2] = 0
        together = metric(y, p, weight=weights)
        assert np.isnan(together[2])
        one_by_one = [metric(y, p, weight=w) for w in weights]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-8, atol=1e-10)


def test_slope_of_many_resamples_equals_logistic_regression(inner):
    y, p, _ = inner
    weights = np.random.default_rng(5).integers(0, 3, size=(20, len(y))).astype(float)
    expected = [sk_slope(y, p, w) for w in weights]
    np.testing.assert_allclose(calibration_slope(y, p, weight=weights), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([1, 1, 1], [0.2, 0.4, 0.6]),  # one class
        ([0, 1, 0, 1], [0.3] * 4),  # constant prediction
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]),  # separated
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4]),  # separated up to one shared point
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]),  # separated the wrong way round
        ([], []),
        ([1], [0.4]),
    ],
)
def test_slope_is_nan_where_it_is_not_identified(y, p):
    assert np.isnan(calibration_slope(y, p))


def test_slope_depends_on_the_weighted_rows_only():
    """Separated once the overlapping row has no weight; identified while it has any."""
    y, p = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.3, 0.4, 0.6, 0.2])
    slope = calibration_slope(y, p, weight=[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1e-3], [1] * 5])
    assert np.isnan(slope[0])
    assert slope[1] > slope[2] > 0


def test_slope_survives_over_confidence():
    """Logits of +-34 (clipped certainty), a third of them wrong: 1/17 of log 2 per log odd."""
    y, p = np.array([0, 0, 1, 1, 1, 0]), np.repeat([0.0, 1.0], 3)
    expected = np.log(2) / logit(1 - np.finfo(float).eps)
    assert calibration_slope(y, p) == pytest.approx(expected, rel=1e-6)


def test_slope_of_extreme_tails_agrees_with_logistic_regression():
    rng = np.random.default_rng(7)
    score = rng.standard_t(1.5, size=500) * 3
    y = (rng.random(500) < expit(0.3 * score)).astype(int)
    p = expit(np.clip(score, -30, 30))
    assert calibration_slope(y, p) == pytest.approx(sk_slope(y, p), rel=1e-5)


def test_intercept_is_nan_with_one_class():
    assert np.isnan(calibration_intercept([1, 1], [0.2, 0.3]))
    assert np.isnan(calibration_intercept([], []))
    assert np.isnan(calibration_intercept([0, 1], [0.2, 0.3], weight=[[0, 1], [1, 0]])).all()


@pytest.mark.parametrize("metric", ALL)
def test_no_rows_is_undefined(metric):
    assert np.isnan(metric([], []))
    assert np.isnan(metric([], np.zeros((0, 3))))


@pytest.mark.parametrize("solve", [fit_offset, fit_slope])
@pytest.mark.parametrize("n", [14, 60, 900])
def test_replicates_together_are_the_replicates_one_by_one(solve, n) -> None:
    """One row of weights is solved by Newton's method alone, many begin near all of them."""
    rng = np.random.default_rng(n)
    logit = rng.normal(size=n) * 3
    y = rng.random(n) < 1 / (1 + np.exp(0.7 - 0.6 * logit))
    weight = rng.multinomial(n, np.full(n, 1 / n), size=40).astype(float)
    weight[1] *= rng.random(n) ** 8  # far from the others
    alone = [solve(y, logit, w[None])[0] for w in weight]
    np.testing.assert_allclose(solve(y, logit, weight), alone, rtol=1e-12, atol=1e-12)
