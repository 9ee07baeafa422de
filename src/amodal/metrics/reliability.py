"""Checks of what a method says about its modalities: does reliability rank as it should, and is
the prediction spread over the modalities or resting on one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError
from amodal.metrics.arrays import Ties, midpoints, ratio, weighted_mean
from amodal.metrics.inputs import check_weight

__all__ = ["attention_entropy", "check_present", "rank_correlation", "take_present"]


def rank_correlation(
    a: ArrayLike, b: ArrayLike, present: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Spearman's rank correlation of a and b over the pairs (row, modality) that are present.

    The correlation of mid-ranks (equal values share the mean of their ranks), all present pairs
    ranked together. What stands where a pair is absent, NaN included, is not read.

    Args:
        a: [n, m], for example learned variances.
        b: [n, m], for example true ones.
        present: [n, m] bool.
        weight: of the rows: None, [n] or [B, n], at least 0.

    Returns:
        A number in [-1, 1], or [B] of them; NaN with fewer than two pairs or constant values.

    Raises:
        DataError: shapes differ, or a present value is not finite.

    >>> rank_correlation([[1, 2], [3, 0]], [[1, 4], [9, 5]], [[True, True], [True, False]])
    1.0
    """
    there = check_present(present)
    weights, single = check_weight(weight, len(there))
    first, second = take_present(a, there, "a"), take_present(b, there, "b")
    pairs = weights[:, np.nonzero(there)[0]]
    value = _correlation(_ranks(first, pairs), _ranks(second, pairs), pairs)
    return float(value[0]) if single else value


def attention_entropy(
    reliance: ArrayLike, present: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Entropy of how reliance is shared among present modalities, relative to equal shares.

    Row i with m_i present modalities and shares q_ik = reliance_ik / sum_k reliance_ik:
    -sum_k q_ik log q_ik / log m_i; the mean over the rows with m_i of at least 2 and any reliance.
    1: all present modalities count equally; 0: one decides alone.

    Args:
        reliance: [n, m], at least 0; not read where absent.
        present: [n, m] bool.
        weight: of the rows: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN where no row counts.

    Raises:
        DataError: shapes differ, or a present value is negative or not finite.

    Equal shares of two (1) and all on one (0):

    >>> attention_entropy([[0.3, 0.3, 9], [0.8, 0, 9]], [[True, True, False]] * 2)
    0.5
    """
    there = check_present(present)
    weights, single = check_weight(weight, len(there))
    values = take_present(reliance, there, "reliance")
    if (values < 0).any():
        raise DataError(
            f"reliance is at least 0; found {int((values < 0).sum())} negative entries. "
            "Pass shares, not logits."
        )
    table = np.zeros(there.shape)
    table[there] = values
    share = ratio(table, table.sum(axis=1, keepdims=True), empty=0.0)
    safe = np.where(share > 0, share, 1)
    count = there.sum(axis=1)
    counts = (count >= 2) & (table.sum(axis=1) > 0)
    entropy = -(share * np.log(safe)).sum(axis=1)[counts] / np.log(count[counts])
    value = weighted_mean(np.clip(entropy, 0, 1), weights[:, counts])
    return float(value[0]) if single else value


def check_present(present: ArrayLike) -> np.ndarray:
    """`present` as a bool array [n, m].

    Raises:
        DataError: it is none.
    """
    there = np.asarray(present)
    if there.dtype != bool or there.ndim != 2:
        raise DataError(
            f"present is a bool array [rows, modalities]; found {there.dtype} with shape "
            f"{list(there.shape)}. Compare codes with PRESENT first."
        )
    return there


def take_present(values: ArrayLike, there: np.ndarray, name: str) -> np.ndarray:
    """[k] the entries of `values` [n, m] at the k present pairs, row by row.

    Raises:
        DataError: another shape than `there`, or a present entry that is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.shape != there.shape:
        raise DataError(
            f"{name} has the shape of present, {list(there.shape)}; found {list(table.shape)}. "
            "Pass one value per row and modality."
        )
    kept = table[there]
    if not np.isfinite(kept).all():
        raise DataError(
            f"{name} is finite where present; found {int((~np.isfinite(kept)).sum())} of "
            f"{kept.size} entries that are not. Mark them absent."
        )
    return kept


def _ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[B, k] weighted mid-ranks as shares of the total weight, centred on their mean of 1/2."""
    ties = Ties(values)
    middle = midpoints(ties.cumulative(ties.ranked(weight))) - 0.5
    out = np.empty(weight.shape)
    out[:, ties.order] = np.repeat(middle, np.diff(np.append(ties.first, len(values))), axis=1)
    return out


def _correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = weight.sum(axis=1)
    both, one, two = (
        ratio(np.einsum("bi,bi,bi->b", weight, x, z), total) for x, z in ((a, b), (a, a), (b, b))
    )
    # ranks of a constant are 1/2 up to rounding: not variance
    one, two = (np.where(v > 1e-24, v, 0) for v in (one, two))
    return np.clip(ratio(both, np.sqrt(one * two)), -1, 1)
