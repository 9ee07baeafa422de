"""Weighted arithmetic shared by the metrics, over many replicates of weights at once.

Letters: n rows, B replicates; `weight` is [B, n]. Rows with equal predictions form a *tie group*
and are never separated, so that a result depends on the weighted sample and not on its order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Ties", "in_blocks", "midpoints", "nan_mean", "ratio", "share_of", "weighted_mean"]

BLOCK = 2**21  # entries of the largest temporary array: 16 MB as float64


def ratio(top: np.ndarray, bottom: np.ndarray, *, empty: float = np.nan) -> np.ndarray:
    """top / bottom, and `empty` where bottom is not above 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    out = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), empty)
    return np.divide(top, bottom, out=out, where=bottom > 0)


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole of parts from 0 to their whole, and 0 where both are 0: faster than `ratio`.

    >>> share_of(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, 0. ])
    """
    return part / np.maximum(whole, np.finfo(float).tiny)


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of values [n] under each row of weight [B, n]: [B]; NaN where all weights are 0.

    >>> weighted_mean(np.array([1.0, 4.0]), np.array([[1.0, 1.0], [2.0, 1.0], [0.0, 0.0]]))
    array([2.5, 2. , nan])
    """
    return ratio(weight @ values, weight.sum(axis=1))


def nan_mean(columns: list[np.ndarray], count: int) -> np.ndarray:
    """Mean over columns (each [B]) of the entries that are not NaN: [count]; NaN if none is.

    >>> nan_mean([np.array([1.0, np.nan]), np.array([3.0, np.nan])], 2)
    array([ 2., nan])
    """
    table = np.array(columns).reshape(-1, count)
    defined = ~np.isnan(table)
    return ratio(np.where(defined, table, 0).sum(axis=0), defined.sum(axis=0))


class Ties:
    """Rows sorted by a score, ascending, with the tie groups that they form.

    Attributes:
        order: [n] row indices in ascending order of the score.
        first: [g] position (in sorted order) of the first row of each group.
        last: [g] position of the last row of each group.

    >>> ties = Ties(np.array([3.0, 1.0, 3.0]))
    >>> ties.order.tolist(), ties.first.tolist(), ties.last.tolist(), ties.distinct
    ([1, 0, 2], [0, 1], [0, 2], False)
    >>> ties.cumulative(ties.ranked(np.array([[5.0, 1.0, 2.0]])))  # 1, and 1 + 5 + 2
    array([[1., 8.]])
    """

    def __init__(self, score: np.ndarray) -> None:
        self.order = np.argsort(score, kind="stable")
        ranked = score[self.order]
        new = np.ones(len(score), dtype=bool)
        new[1:] = ranked[1:] != ranked[:-1]
        self.first = np.flatnonzero(new)
        self.last = np.append(self.first[1:], len(score)) - 1 if len(score) else self.first

    @property
    def distinct(self) -> bool:
        """True where no two rows are tied."""
        return len(self.first) == len(self.order)

    def ranked(self, values: np.ndarray) -> np.ndarray:
        """[..., n] values in sorted order."""
        return np.take(values, self.order, axis=-1)

    def group_sums(self, ranked: np.ndarray) -> np.ndarray:
        """[B, g] sums over each group of [B, n] values that are in sorted order."""
        return ranked if self.distinct else np.add.reduceat(ranked, self.first, axis=1)

    def cumulative(self, ranked: np.ndarray) -> np.ndarray:
        """[B, g] sums over each group and everything below it, of [B, n] sorted values."""
        total = np.cumsum(ranked, axis=1)
        return total if self.distinct else total[:, self.last]


def midpoints(cumulative: np.ndarray) -> np.ndarray:
    """Share of the weight below each group plus half of its own: [B, g] in [0, 1].

    The weighted mid-rank divided by the total weight. `cumulative` is what `Ties.cumulative`
    gives for the weights. Undefined rows (total weight 0) are 0.

    >>> midpoints(np.array([[1.0, 2.0, 4.0]]))
    array([[0.125, 0.375, 0.75 ]])
    """
    middle = cumulative.copy()
    middle[:, 1:] += cumulative[:, :-1]
    middle *= 0.5
    return share_of(middle, cumulative[:, -1:])


def in_blocks(
    compute: Callable[[np.ndarray], np.ndarray], weight: np.ndarray, *, width: int
) -> np.ndarray:
    """compute(weight) over blocks of replicates, so that [block, width] stays small: [B].

    Args:
        compute: weight [block, n] -> [block].
        weight: [B, n].
        width: entries that `compute` holds at a time for each replicate.

    >>> in_blocks(lambda w: w.sum(axis=1), np.array([[1.0, 2.0], [3.0, 4.0]]), width=BLOCK)
    array([3., 7.])
    """
    step = max(1, BLOCK // max(1, width))
    if len(weight) <= step:
        return compute(weight)
    return np.concatenate([compute(weight[i : i + step]) for i in range(0, len(weight), step)])
