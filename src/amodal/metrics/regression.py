"""Errors of predicted means and honesty of predicted spreads.

Every function takes `weight` [n] (one number comes back) or [B, n] (B numbers).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import SettingError
from amodal.metrics.arrays import ratio, weighted_mean
from amodal.metrics.inputs import check_regression

__all__ = ["coverage", "gaussian_nll", "interval_coverage", "mae", "r2", "rmse"]


def rmse(y: ArrayLike, mean: ArrayLike, *, weight: ArrayLike | None = None) -> float | np.ndarray:
    """Root of the mean squared error, in units of y; lower is better.

    Args:
        y: [n] targets.
        mean: [n] predicted means.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at least 0, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes differ, or values are not finite.

    >>> rmse([0, 0], [1, 7])
    5.0
    """
    rows = check_regression(y, mean, weight)
    return rows.out(np.sqrt(weighted_mean((rows.y - rows.prediction) ** 2, rows.weight)))


def mae(y: ArrayLike, mean: ArrayLike, *, weight: ArrayLike | None = None) -> float | np.ndarray:
    """Mean absolute error, in units of y; lower is better.

    Args:
        y: [n] targets.
        mean: [n] predicted means.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at least 0, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes differ, or values are not finite.

    >>> mae([0, 0], [1, -7])
    4.0
    """
    rows = check_regression(y, mean, weight)
    return rows.out(weighted_mean(np.abs(rows.y - rows.prediction), rows.weight))


def r2(y: ArrayLike, mean: ArrayLike, *, weight: ArrayLike | None = None) -> float | np.ndarray:
    """Share of variance explained: 1 - sum w (y - mean)^2 / sum w (y - ybar)^2.

    ybar is the weighted mean of the targets that are scored; 0 is as good as ybar itself.

    Args:
        y: [n] targets.
        mean: [n] predicted means.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at most 1, or [B] of them; NaN where all weighted targets are equal.

    Raises:
        DataError: shapes differ, or values are not finite.

    >>> r2([0, 2], [0, 1])
    0.5
    """
    rows = check_regression(y, mean, weight)
    off = weighted_mean((rows.y - rows.prediction) ** 2, rows.weight)
    middle = weighted_mean(rows.y, rows.weight)
    squares = np.einsum("bi,bi->b", rows.weight, (rows.y - middle[:, None]) ** 2)
    spread = ratio(squares, rows.weight.sum(axis=1))
    # where all are equal, the rounding of their mean is not variance
    spread = np.where(spread > (1e-14 * middle) ** 2, spread, 0)
    return rows.out(1 - ratio(off, spread))


def gaussian_nll(
    y: ArrayLike, mean: ArrayLike, *, std: ArrayLike, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean of -log N(y_i; mean_i, std_i^2), in nats; lower is better.

    log(2 pi std^2) / 2 + (y - mean)^2 / (2 std^2).

    Args:
        y: [n] targets.
        mean: [n] predicted means.
        std: [n] predicted standard deviations, above 0, in units of y.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes differ, values are not finite, or std is not above 0.

    log(2 pi) / 2 = .9189, and 1/2 for one standard deviation off:

    >>> round(gaussian_nll([1.0], [0.0], std=[1.0]), 4)
    1.4189
    """
    rows = check_regression(y, mean, weight, std=std)
    z = (rows.y - rows.prediction) / rows.std
    return rows.out(weighted_mean(np.log(2 * np.pi) / 2 + np.log(rows.std) + z**2 / 2, rows.weight))


def coverage(
    y: ArrayLike,
    mean: ArrayLike,
    *,
    std: ArrayLike,
    level: float = 0.9,
    weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Share of targets inside the central Gaussian interval mean -/+ z std; `level` is ideal.

    Args:
        y: [n] targets.
        mean: [n] predicted means.
        std: [n] predicted standard deviations, above 0.
        level: the share promised, between 0 and 1 (.9: z = 1.645).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes differ, values are not finite, or std is not above 0.
        SettingError: level outside (0, 1).

    >>> coverage([0.0, 1.6, 1.7, -3.0], [0, 0, 0, 0], std=[1, 1, 1, 2])
    0.75
    """
    if not 0 < level < 1:
        raise SettingError(f"level lies between 0 and 1; found {level}. Use .9 for 90%.")
    rows = check_regression(y, mean, weight, std=std)
    z = NormalDist().inv_cdf((1 + level) / 2)
    inside = np.abs(rows.y - rows.prediction) <= z * rows.std
    return rows.out(weighted_mean(inside.astype(float), rows.weight))


def interval_coverage(
    y: ArrayLike, low: ArrayLike, *, high: ArrayLike, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Share of targets inside [low_i, high_i], for intervals of any origin (conformal, quantiles).

    Args:
        y: [n] targets.
        low: [n] lower ends, included.
        high: [n] upper ends, included.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes differ, or values are not finite.

    >>> interval_coverage([1, 5], [0, 0], high=[2, 2])
    0.5
    """
    rows, upper = check_regression(y, low, weight), check_regression(y, high, None)
    inside = (rows.y >= rows.prediction) & (rows.y <= upper.prediction)
    return rows.out(weighted_mean(inside.astype(float), rows.weight))
