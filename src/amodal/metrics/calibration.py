"""How far probabilities can be believed: proper scores, intercept, slope, observed/expected.

The bin-based measures (`ece`, `ece_of_perfect`, `calibration_curve`) live in
`amodal.metrics.binning` and are offered here too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from amodal.metrics.arrays import in_blocks, ratio, weighted_mean
from amodal.metrics.binning import (
    CalibrationCurve,
    calibration_curve,
    ece,
    ece_of_perfect,
    perfect_ece_draws,
)
from amodal.metrics.inputs import Rows, check_classes
from amodal.metrics.logistic import fit_offset, fit_slope

__all__ = [
    "CalibrationCurve",
    "brier",
    "calibration_curve",
    "calibration_intercept",
    "calibration_slope",
    "ece",
    "ece_of_perfect",
    "log_loss",
    "observed_expected",
    "perfect_ece_draws",
]

Solver = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def log_loss(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean of -log P(y_i), in nats; lower is better.

    Probabilities are clipped to [eps, 1 - eps], eps being the machine epsilon of their type
    (as in scikit-learn), so that one certain mistake costs 36 (float64) or 16 (float32).

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at least 0, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    (log 2 + log 4) / 2 = 1.0397:

    >>> round(log_loss([1, 0], [0.5, 0.75]), 4)
    1.0397
    """
    rows = check_classes(y, probability, weight)
    p = rows.clipped
    if p.ndim == 1:
        loss = -np.log(np.where(rows.y, p, 1 - p))
    else:
        loss = -np.log(p[np.arange(len(p)), rows.y])
    return rows.out(weighted_mean(loss, rows.weight))


def brier(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Brier score: mean of (p_i - y_i)^2; multiclass: summed over classes. Lower is better.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1] (multiclass: [0, 2], twice the binary one for two classes), or [B] of
        them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Brier, 1950. (.25 + .0625) / 2:

    >>> brier([1, 0], [0.5, 0.25])
    0.15625
    """
    rows = check_classes(y, probability, weight)
    p = rows.prediction
    if p.ndim == 1:
        loss = (p - rows.y) ** 2
    else:
        loss = ((p - (rows.y[:, None] == np.arange(p.shape[1]))) ** 2).sum(axis=1)
    return rows.out(weighted_mean(loss, rows.weight))


def observed_expected(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Observed over expected positives: sum w_i y_i / sum w_i p_i; 1 is ideal.

    Above 1 the model predicts too few events. Multiclass: 1 by construction, since each row's
    probabilities sum to 1.

    Args:
        y: [n] 0/1.
        probability: [n] P(y = 1).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at least 0, or [B] of them; NaN where the expected number is 0.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    >>> observed_expected([1, 0, 0, 1], [0.25, 0.25, 0.25, 0.25])
    2.0
    """
    rows = check_classes(y, probability, weight)
    y_all, p_all = _pairs(rows, rows.prediction)
    share = rows.weight @ y_all.mean(axis=1)
    return rows.out(ratio(share, rows.weight @ p_all.mean(axis=1)))


def calibration_intercept(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Calibration in the large: a of P(y = 1) = sigmoid(a + logit p); 0 is ideal.

    Positive: risks are underestimated on the whole. Multiclass: one a over all (row, class)
    pairs, each class against the rest. Probabilities are clipped as in `log_loss`.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number (log odds), or [B] of them; NaN where only one class has weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Cox, 1958; Van Calster et al., 2016. All at 1/2, three of four positive: log 3.

    >>> round(calibration_intercept([1, 1, 1, 0], [0.5] * 4), 4)
    1.0986
    """
    return _recalibrated(fit_offset, check_classes(y, probability, weight))


def calibration_slope(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Calibration slope: b of P(y = 1) = sigmoid(a + b logit p); 1 is ideal.

    Below 1: predictions are too extreme (over-confident, over-fitted). Maximum likelihood without
    penalty. Multiclass: one a and one b over all (row, class) pairs, each class against the rest.
    Probabilities are clipped as in `log_loss`.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number, or [B] of them; NaN where it is not identified: one class only, constant
        probabilities, or classes that a threshold separates.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Cox, 1958. Predicted .2 and .8 (log odds -/+ log 4) where 1/3 and 2/3 happen
    (-/+ log 2): half as steep.

    >>> round(calibration_slope([1, 0, 0, 1, 1, 0], [0.2] * 3 + [0.8] * 3), 6)
    0.5
    """
    return _recalibrated(fit_slope, check_classes(y, probability, weight))


def _pairs(rows: Rows, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets (bool) and probabilities [n, K], K = 1 (binary) or the number of classes."""
    if p.ndim == 1:
        return rows.y[:, None], p[:, None]
    return rows.y[:, None] == np.arange(p.shape[1]), p


def _recalibrated(solve: Solver, rows: Rows) -> float | np.ndarray:
    y, p = _pairs(rows, rows.clipped)
    logit = (np.log(p) - np.log1p(-p)).ravel()
    flat, width = y.ravel(), y.shape[1]

    def values(weight: np.ndarray) -> np.ndarray:
        return solve(flat, logit, weight if width == 1 else np.repeat(weight, width, axis=1))

    return rows.out(in_blocks(values, rows.weight, width=len(flat)))
