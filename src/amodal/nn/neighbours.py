"""Entropy and mutual information from distances to nearest neighbours: no network, no training."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.special import digamma

from amodal.errors import DataError, unknown_name

__all__ = ["VARIANTS", "knn_entropy", "ksg"]

VARIANTS = (1, 2)


def ksg(
    x: Float[np.ndarray, "n *d"],
    y: Float[np.ndarray, "n *e"],
    *,
    neighbours: int = 3,
    variant: int = 1,
) -> float:
    """The estimate of I(X; Y) by Kraskov, Stoegbauer and Grassberger, in nats.

    With e_i the distance from (x_i, y_i) to its k-th neighbour, the largest over both spaces:
    variant 1 counts the points strictly nearer than e_i in each space, n_x and n_y, and is
    psi(k) + psi(n) - mean [psi(n_x + 1) + psi(n_y + 1)]. Variant 2 takes in each space the distance
    that the k neighbours reach there, counts the points within it, and is
    psi(k) - 1/k + psi(n) - mean [psi(n_x) + psi(n_y)]; less scatter in few dimensions of strong
    dependence, more bias.

    Columns are standardised first, which changes no information. Values must not repeat: add a
    little noise to rounded ones. It is not a bound; the estimate can fall below 0 by chance.

    Args:
        x, y: ``[n]`` or ``[n, d]``, finite.
        neighbours: k, below n.
        variant: one of `VARIANTS`.

    Raises:
        DataError: different lengths, not more than k rows, values that are not finite.
        UnknownNameError: another variant.

    Reference: Physical Review E 69, 066138 (2004), equations 8 and 9.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=2000)  # I = 0.2231
    >>> abs(ksg(x, y) - 0.2231) < 0.05
    True
    """
    if variant not in VARIANTS:
        raise unknown_name("variant of ksg", str(variant), [str(v) for v in VARIANTS])
    a, b = _columns(x, neighbours), _columns(y, neighbours)
    if len(a) != len(b):
        raise DataError(
            f"pairs have as many x as y; got {len(a)} and {len(b)}; hand in rows of the same pairs"
        )
    k, n = neighbours, len(a)
    both = np.hstack([a, b])
    distance, near = KDTree(both).query(both, k + 1, p=np.inf)
    if variant == 1:
        reach = np.nextafter(distance[:, -1], 0)
        counts = [_within(part, reach) for part in (a, b)]  # the point itself is the + 1
        return float(digamma(k) + digamma(n) - sum(digamma(c).mean() for c in counts))
    counts = []
    for part in (a, b):
        own = np.abs(part[near] - part[:, None]).max(axis=(1, 2))
        counts.append(np.maximum(_within(part, own * (1 + 1e-12)) - 1, 1))
    return float(digamma(k) - 1 / k + digamma(n) - sum(digamma(c).mean() for c in counts))


def knn_entropy(x: Float[np.ndarray, "n *d"], *, neighbours: int = 3) -> float:
    """The differential entropy of X in nats, by Kozachenko and Leonenko.

    psi(n) - psi(k) + d mean log(2 e_i), with e_i the distance to the k-th neighbour in the largest
    coordinate. Values must not repeat.

    Raises:
        DataError: not more than k rows, values that are not finite, or that repeat k times.

    >>> x = np.random.default_rng(0).uniform(0, 2, size=4000)
    >>> bool(abs(knn_entropy(x) - np.log(2)) < 0.05)
    True
    """
    raw = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    z = _columns(raw, neighbours)
    scale = raw.std(axis=0)
    distance = KDTree(z).query(z, neighbours + 1, p=np.inf)[0][:, -1]
    if (distance == 0).any():
        raise DataError(
            f"a density is estimated from values that differ; one repeats {neighbours} times or "
            "more; add a little noise to rounded values"
        )
    told = digamma(len(z)) - digamma(neighbours) + z.shape[1] * np.log(2 * distance).mean()
    return float(told + np.log(np.where(scale > 0, scale, 1.0)).sum())


def _within(points: Float[np.ndarray, "n d"], reach: Float[np.ndarray, " n"]) -> np.ndarray:
    """``Int[n]``: points not farther than `reach` from each, itself included."""
    return KDTree(points).query_ball_point(points, reach, p=np.inf, return_length=True)


def _columns(x: np.ndarray, neighbours: int) -> Float[np.ndarray, "n d"]:
    """``[n, d]``, each column with mean 0 and standard deviation 1."""
    z = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    if len(z) <= neighbours or neighbours < 1:
        raise DataError(
            f"k neighbours need k from 1 and more than k rows; got k = {neighbours} and {len(z)} "
            "rows; lower k"
        )
    if not np.isfinite(z).all():
        raise DataError("distances need finite values; some are not; leave such rows out")
    scale = z.std(axis=0)
    return (z - z.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
