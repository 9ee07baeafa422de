"""Two small maximum-likelihood solvers for recalibration, over many replicates of weights.

Newton's method on all replicates together; a replicate that has converged drops out. Whether a
finite solution exists is decided beforehand, exactly, so that NaN means "not identified".

Replicates lie near the solution of all of them together. There sigmoid is expanded in a power
series of `ORDER`, whose sums over rows are one matrix product for all replicates: the root of each
one's polynomial is where Newton's method begins, and one step is left in place of four or five.
"""

from __future__ import annotations

from math import comb

import numpy as np

__all__ = ["fit_offset", "fit_slope"]

STEPS = 100  # a bound; three or four are needed from a warm start
TOLERANCE = 1e-10
LAST = 1e-8  # a whole Newton step of this size leaves about its square to go
ORDER = 6


def fit_offset(y: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """a of P(y = 1) = sigmoid(a + logit), for each row of weights.

    Solves sum_i w_i (y_i - sigmoid(a + logit_i)) = 0, whose left side falls in a. With b the
    logit of the weighted mean of y, the root lies between b - max logit and b - min logit; a
    Newton step that leaves what is left of this range is replaced by its middle.

    Args:
        y: [n] bool.
        logit: [n] offsets, finite.
        weight: [B, n], at least 0.

    Returns:
        [B]; NaN where only one class has weight (the root is infinite).

    >>> a = fit_offset(np.array([True, True, True, False]), np.zeros(4), np.ones((1, 4)))
    >>> float(np.round(a[0], 6)), float(np.round(np.log(3), 6))
    (1.098612, 1.098612)
    """
    positive, negative = weight @ y.astype(float), weight @ (~y).astype(float)
    out = np.full(len(weight), np.nan)
    live = np.flatnonzero((positive > 0) & (negative > 0))
    if not len(live):
        return out
    prior = np.log(positive[live]) - np.log(negative[live])
    low, high = prior - logit.max(), prior - logit.min()
    if len(weight) > 1:
        pooled = fit_offset(y, logit, weight.sum(axis=0)[None])
        near = pooled + _offsets_nearby(y, pooled + logit, weight[live])
        at = np.clip(np.where(np.isfinite(near), near, pooled), low, high)
    else:
        at = np.clip(0.0, low, high)
    left = weight[live]
    for _ in range(STEPS):
        # sigmoid(z) = [z > 0] - sign(z) sigmoid(-|z|): the sums of both parts keep what a sum of
        # probabilities that round to 0 or 1 would lose
        z = at[:, None] + logit
        rest = _sigmoid(-np.abs(z))
        slope = np.einsum("bi,bi->b", left, y - 1.0 * (z > 0))
        slope += np.einsum("bi,bi->b", left, np.where(z > 0, rest, -rest))
        rest *= 1 - rest
        curve = np.einsum("bi,bi->b", left, rest)
        low, high = np.where(slope > 0, at, low), np.where(slope < 0, at, high)
        to = at + np.divide(slope, curve, out=np.full_like(slope, np.inf), where=curve > 0)
        inside = (to >= low) & (to <= high)
        to = np.where(inside, to, (low + high) / 2)
        out[live] = to
        moving = np.abs(to - at) > np.where(inside, LAST, TOLERANCE) * (1 + np.abs(at))
        if not moving.any():
            break
        live, left, at, low, high = (a[moving] for a in (live, left, to, low, high))
    return out


def fit_slope(y: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """b of P(y = 1) = sigmoid(a + b logit), maximum likelihood, for each row of weights.

    A finite solution exists exactly where the logits of the two classes overlap in both
    directions (Albert and Anderson, 1984).

    Args:
        y: [n] bool.
        logit: [n], finite.
        weight: [B, n], at least 0.

    Returns:
        [B]; NaN where the solution is not finite or not unique (one class, separated classes,
        a constant logit), or was not reached in 100 steps.

    >>> y = np.array([True, False, False, True, True, False])
    >>> logit = np.array([-1.0, -1, -1, 1, 1, 1])  # shares 1/3 and 2/3: logits -log 2, log 2
    >>> float(np.round(fit_slope(y, logit, np.ones((1, 6)))[0], 6))
    0.693147
    """
    out = np.full(len(weight), np.nan)
    live = np.flatnonzero(_overlap(y, logit, weight))
    if not len(live):
        return out
    center, scale = logit.mean(), logit.std()
    x = (logit - center) / scale
    pooled = weight.sum(axis=0)[None]
    prior = np.log(pooled @ y) - np.log(pooled @ ~y)
    start = _newton(y, x, pooled, np.stack([prior, [0.0]], axis=1))
    if len(weight) > 1:
        weight = weight if len(live) == len(weight) else weight[live]
        near = start + _lines_nearby(y, x, weight, start)
        start = _newton(y, x, weight, np.where(np.isfinite(near).all(1)[:, None], near, start))
    out[live] = start[:, 1] / scale
    return out


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    """Overwrites its argument, a large temporary array."""
    with np.errstate(over="ignore"):  # exp(800) = inf, and 1 / inf = 0 is right
        np.exp(np.negative(logit, out=logit), out=logit)
    logit += 1
    return np.divide(1, logit, out=logit)


def _power_series(mean: np.ndarray) -> np.ndarray:
    """Coefficients c_k [K + 1, n] of sigmoid(z + t) = sum_k c_k t^k, from sigmoid(z).

    From s' = s - s^2: (k + 1) c_(k+1) = c_k - sum_j c_j c_(k-j). It converges where |t| < pi.

    >>> _power_series(np.array([0.5]))[:4, 0].round(4).tolist()  # 1/2, 1/4, 0, -1/48
    [0.5, 0.25, 0.0, -0.0208]
    """
    series = [mean]
    for k in range(ORDER):
        square = sum(series[j] * series[k - j] for j in range(k + 1))
        series.append((series[k] - square) / (k + 1))
    return np.array(series)


def _offsets_nearby(y: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """About the a of sum_i w_i (y_i - sigmoid(a + logit_i)) = 0 for small ones: [B]."""
    series = weight @ _power_series(_sigmoid(logit.copy())).T
    series[:, 0] -= weight @ y
    a = np.zeros(len(weight))
    with np.errstate(all="ignore"):  # what is not finite is not used
        for _ in range(ORDER + 2):
            excess = np.zeros(len(weight))
            for k in range(ORDER, -1, -1):
                excess = excess * a + series[:, k]
            a = a - excess / series[:, 1]
    return np.where(np.abs(a) < 1, a, np.nan)


def _lines_nearby(y: np.ndarray, x: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """About the intercept and slope [B, 2] that are to be added to `at` [1, 2], for small ones."""
    series = _power_series(_sigmoid(at[:, :1] + at[:, 1:] * x)[0])
    powers = x ** np.arange(ORDER + 2)[:, None]
    # (a + b x)^k = sum_j binomial(k, j) a^(k-j) b^j x^j: sums of w c_k x^j and of w c_k x^(j+1)
    k, j = np.tril_indices(ORDER + 1)
    columns = np.concatenate([c * powers[: e + 2] for e, c in enumerate(series)])
    sums = weight @ columns.T
    place = k * (k + 3) // 2 + j  # of (k, j) among the columns: k' + 2 of them for each k' < k
    sums[:, :2] -= weight @ np.stack([y, y * x], axis=1)
    first, second = np.take(sums, place, axis=1), np.take(sums, place + 1, axis=1)
    curve, ways = sums[:, 2:5], np.array([comb(*pair) for pair in zip(k, j, strict=True)])
    line = np.zeros((len(weight), 2))
    with np.errstate(all="ignore"):  # what is not finite is not used
        for _ in range(ORDER + 2):
            a, b = (c[:, None] ** np.arange(ORDER + 1) for c in line.T)
            term = ways * np.take(a, k - j, axis=1) * np.take(b, j, axis=1)
            excess = [np.einsum("bt,bt->b", term, part) for part in (first, second)]
            line = line - _solve(curve, np.stack(excess, axis=1))
    return np.where(np.abs(line) < 1, line, np.nan)


def _span(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of values [k] that have weight: [B] each; NaN where none has."""
    seen = weight > 0
    some = seen.any(axis=1)
    low = np.where(seen, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def _overlap(y: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> np.ndarray:
    low, high = _span(logit[y], weight[:, y])
    other_low, other_high = _span(logit[~y], weight[:, ~y])
    return (high > other_low) & (other_high > low)


def _newton(y: np.ndarray, x: np.ndarray, weight: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Intercept and slope on x, from start [B, 2]: [B, 2]; NaN where not reached.

    A step is halved where the log-likelihood, followed along it, falls more steeply at its end
    than half of what it rose at its beginning: the step went too far.
    """
    out = np.full_like(start, np.nan)
    live, at, scale = np.arange(len(start)), start, np.ones(len(start))
    slope, curve = _derivatives(y, x, weight, at)
    for _ in range(STEPS):
        step = _solve(curve, slope) * scale[:, None]
        to = at + step
        size = np.where(scale < 1, TOLERANCE, LAST) * (1 + np.abs(at).max(axis=1))
        small = np.abs(step).max(axis=1) <= size
        out[live[small]] = to[small]
        moving = ~small & np.isfinite(step).all(axis=1)
        if not moving.any():
            break
        if not moving.all():
            live, weight, at, scale = live[moving], weight[moving], at[moving], scale[moving]
            slope, curve, step, to = slope[moving], curve[moving], step[moving], to[moving]
        slope_to, curve_to = _derivatives(y, x, weight, to)
        good = (slope_to * step).sum(axis=1) >= -0.5 * (slope * step).sum(axis=1)
        at = np.where(good[:, None], to, at)
        slope = np.where(good[:, None], slope_to, slope)
        curve = np.where(good[:, None], curve_to, curve)
        scale = np.where(good, np.minimum(1, 2 * scale), scale / 2)
    return out


def _derivatives(
    y: np.ndarray, x: np.ndarray, weight: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient [B, 2] of the log-likelihood and its negative Hessian's (00, 01, 11) [B, 3]."""
    mean = _sigmoid(at[:, :1] + at[:, 1:] * x)
    powers = np.stack([np.ones_like(x), x, x * x], axis=1)
    slope = (weight * (y - mean)) @ powers[:, :2]
    mean *= 1 - mean
    mean *= weight
    return slope, mean @ powers


def _solve(curve: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Solves the [B] symmetric 2 x 2 systems; NaN where one is singular."""
    a, b, c = curve.T
    determinant = a * c - b * b
    safe = np.where(determinant > 0, determinant, np.nan)
    return (
        np.stack([c * slope[:, 0] - b * slope[:, 1], a * slope[:, 1] - b * slope[:, 0]], 1)
        / (safe[:, None])
    )
