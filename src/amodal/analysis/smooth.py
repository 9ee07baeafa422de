"""Smooth calibration curves: no bins, thus no small counts to read off, and bands by patient."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from amodal.disclosure import SMALLEST

__all__ = ["Curve", "coverage_curve", "smooth_calibration", "spline_basis"]

_EPS = 1e-4  # predictions are kept off 0 and 1 by this on the way to their log odds
_RIDGE = 1e-3  # keeps coefficients finite where the outcomes can be separated
_POINTS = 61


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve with a 95% band: ``Float64[p]`` each."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def spline_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline: 1, x, and k - 2 cubic terms that are linear beyond the outer knots.

    Term j is ((x - t_j)+^3 - (x - t_(k-1))+^3 (t_k - t_j) / (t_k - t_(k-1))
    + (x - t_k)+^3 (t_(k-1) - t_j) / (t_k - t_(k-1))) / (t_k - t_1)^2.

    Args:
        x: [n].
        knots: [k], ascending and distinct; fewer than three give a straight line.

    Returns:
        ``Float64[n, max(2, k)]``.

    Reference: Harrell, Regression Modeling Strategies, 2nd ed., section 2.4.5.

    >>> spline_basis(np.array([0.0, 1.0]), np.array([]))
    array([[1., 0.],
           [1., 1.]])
    """
    columns = [np.ones_like(x), x]
    if len(knots) >= 3:
        first, before, last = knots[0], knots[-2], knots[-1]

        def cubed(t: float) -> np.ndarray:
            return np.maximum(x - t, 0) ** 3

        for t in knots[:-2]:
            bent = cubed(before) * (last - t) - cubed(last) * (before - t)
            columns.append((cubed(t) - bent / (last - before)) / (last - first) ** 2)
    return np.column_stack(columns)


def smooth_calibration(
    y: np.ndarray, p: np.ndarray, *, unit: np.ndarray, weight: np.ndarray | None = None
) -> Curve | None:
    """The observed frequency as a smooth function of the prediction.

    Logistic regression of the outcome on a restricted cubic spline of logit p: four knots at the
    5, 35, 65 and 95% quantiles, three with under 100 rows of the rarer outcome, a straight line
    with under 30. The band is 1.96 cluster-robust standard errors on the log odds: rows of one unit
    (a patient; a row that was predicted under several seeds) count as one observation. It runs
    between the tenth smallest and the tenth largest prediction.

    Args:
        y: ``[n]`` 0 or 1.
        p: ``[n]`` predicted probability of 1.
        unit: ``[n]`` ids of what is independent.
        weight: ``[n]`` or None.

    Returns:
        The curve; None with fewer than 20 rows, ten of an outcome, or two distinct predictions.

    Reference: Van Calster et al., 2016, "A calibration hierarchy for risk models was defined".

    >>> y, p = np.repeat([0, 1], 10), np.linspace(0.1, 0.9, 20)
    >>> smooth_calibration(y[1:], p[1:], unit=np.arange(19)) is None  # nine of an outcome
    True
    >>> curve = smooth_calibration(y, p, unit=np.arange(20))
    >>> bool((curve.low <= curve.y).all() and (curve.y <= curve.high).all())
    True
    """
    rarer = min(y.sum(), (1 - y).sum())
    if len(y) < 2 * SMALLEST or rarer < SMALLEST or len(np.unique(p)) < 2:
        return None
    x = _logit(p)
    quantiles = (0.05, 0.35, 0.65, 0.95) if rarer >= 100 else (0.1, 0.5, 0.9)
    knots = np.unique(np.quantile(x, quantiles)) if rarer >= 30 else np.array([])
    ranked = np.sort(p)
    grid = np.linspace(ranked[SMALLEST - 1], ranked[-SMALLEST], _POINTS)
    if grid[0] == grid[-1]:
        return None
    basis, at = spline_basis(x, knots), spline_basis(_logit(grid), knots)
    centre, scale = basis[:, 1:].mean(0), basis[:, 1:].std(0) + 1e-12
    basis[:, 1:], at[:, 1:] = (basis[:, 1:] - centre) / scale, (at[:, 1:] - centre) / scale
    weight = np.ones(len(y)) if weight is None else weight / weight.mean()
    beta, covariance = _fit(basis, y.astype(float), weight=weight, unit=unit)
    middle = at @ beta
    half = 1.959964 * np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at).clip(min=0))
    return Curve(grid, _expit(middle), _expit(middle - half), _expit(middle + half))


def coverage_curve(
    y: np.ndarray, mean: np.ndarray, std: np.ndarray, *, unit: np.ndarray
) -> Curve | None:
    """Of real-valued predictions: how often central intervals hold the target, by nominal level.

    Args:
        y: ``[n]`` targets.
        mean: ``[n]`` predicted means.
        std: ``[n]`` predicted standard deviations.
        unit: ``[n]`` ids of what is independent.

    Returns:
        x: the nominal level, y: the share of rows inside; None with fewer than 20 rows.

    >>> two = coverage_curve(np.zeros(40), np.zeros(40), np.ones(40), unit=np.arange(40))
    >>> two.y.min()
    np.float64(1.0)
    """
    if len(y) < 2 * SMALLEST:
        return None
    levels = np.linspace(0.05, 0.95, 19)
    limit = np.array([NormalDist().inv_cdf((1 + q) / 2) for q in levels])
    inside = (np.abs(y - mean) / std)[:, None] <= limit
    share = inside.mean(axis=0)
    _, member = np.unique(unit, return_inverse=True)
    sums = np.zeros((member.max() + 1, len(levels)))
    np.add.at(sums, member, inside - share)
    half = 1.959964 * np.sqrt((sums**2).sum(axis=0)) / len(y)
    return Curve(levels, share, (share - half).clip(min=0), (share + half).clip(max=1))


def _fit(
    basis: np.ndarray, y: np.ndarray, *, weight: np.ndarray, unit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a logistic regression, by Newton's method; cluster-robust covariance."""
    ridge = _RIDGE * np.eye(basis.shape[1])
    ridge[0, 0] = 0.0
    beta = np.zeros(basis.shape[1])
    for _ in range(50):
        p = _expit(basis @ beta)
        gradient = basis.T @ (weight * (y - p)) - ridge @ beta
        hessian = (basis * (weight * p * (1 - p))[:, None]).T @ basis + ridge
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(beta)), gradient)
        beta = beta + step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    p = _expit(basis @ beta)
    hessian = (basis * (weight * p * (1 - p))[:, None]).T @ basis + ridge
    bread = np.linalg.pinv(hessian, hermitian=True)
    _, member = np.unique(unit, return_inverse=True)
    score = np.zeros((member.max() + 1, basis.shape[1]))
    np.add.at(score, member, basis * (weight * (y - p))[:, None])
    return beta, bread @ (score.T @ score) @ bread


def _logit(p: np.ndarray) -> np.ndarray:
    kept = np.clip(p, _EPS, 1 - _EPS)
    return np.log(kept) - np.log1p(-kept)


def _expit(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -35, 35)))
