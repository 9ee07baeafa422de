"""How well predictions separate the classes: AUROC, average precision, accuracy, macro F1.

Every function takes `weight` [n] (one number comes back) or [B, n] (B numbers: one for each
replicate of a bootstrap). Rows are sorted once; every replicate reuses the order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from amodal.metrics.arrays import Ties, nan_mean, ratio, share_of, weighted_mean
from amodal.metrics.inputs import Rows, check_classes

__all__ = ["accuracy", "auprc", "auroc", "macro_f1"]

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def auroc(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Area under the receiver operating characteristic curve, ties counted one half.

    P(p_i > p_j) + P(p_i = p_j) / 2 for a positive i and a negative j drawn by weight.
    Multiclass: the mean over classes of one-vs-rest; a class without positive or without negative
    weight is left out.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1] (.5 is chance), or [B] of them; NaN where only one class has weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Hanley and McNeil, 1982. Three of the four pairs are in the right order:

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    rows = check_classes(y, probability, weight)
    return rows.out(_one_vs_rest(_auroc, rows))


def auprc(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Area under the precision-recall curve as average precision: sum (R_k - R_(k-1)) P_k.

    k runs over the distinct predictions from high to low; P_k and R_k are precision and recall
    of calling everything from the k-th one up positive (no interpolation, as in scikit-learn).
    Multiclass: the mean over the classes that have weight, one-vs-rest. Chance is the prevalence.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without positive weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Recall 1/2 at precision 1, then recall 1 at precision 2/3: 1/2 + 1/3.

    >>> round(auprc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    rows = check_classes(y, probability, weight)
    return rows.out(_one_vs_rest(_auprc, rows))


def accuracy(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Weighted share of rows whose most probable class is the true one.

    Binary: class 1 where P(y = 1) > .5. Multiclass: the largest probability, the first on ties
    (so that two columns [1 - p, p] and one column p agree).

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    >>> accuracy([0, 1, 1], [0.2, 0.9, 0.4], weight=[1, 1, 2])
    0.5
    """
    rows = check_classes(y, probability, weight)
    correct = (_decided(rows.prediction) == rows.y).astype(float)
    return rows.out(weighted_mean(correct, rows.weight))


def macro_f1(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), at the decision that `accuracy` uses.

    Binary: the mean over both classes. A class that is, by weight, neither true nor predicted
    anywhere is left out.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Class 0: 2 / (2 + 1); class 1: 4 / (4 + 1).

    >>> round(macro_f1([0, 0, 1, 1], [0.1, 0.8, 0.7, 0.9]), 4)
    0.7333
    """
    rows = check_classes(y, probability, weight)
    decided = _decided(rows.prediction)
    classes = 2 if rows.prediction.ndim == 1 else rows.prediction.shape[1]
    # 2 TP + FP + FN is the weight of the class among targets plus its weight among decisions
    hits = _class_weight(np.where(decided == rows.y, decided, classes), classes, rows.weight)
    both = _class_weight(rows.y, classes, rows.weight)
    both += _class_weight(decided, classes, rows.weight)
    return rows.out(nan_mean(list(ratio(2 * hits, both).T), len(rows.weight)))


def _one_vs_rest(kernel: Kernel, rows: Rows) -> np.ndarray:
    if rows.prediction.ndim == 1:
        return kernel(rows.y, rows.prediction, rows.weight)
    scores = [kernel(rows.y == c, p, rows.weight) for c, p in enumerate(rows.prediction.T)]
    return nan_mean(scores, len(rows.weight))


def _auroc(y: np.ndarray, p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    positive, negative = np.flatnonzero(y), np.flatnonzero(~y)
    negative = negative[np.argsort(p[negative], kind="stable")]
    below = np.searchsorted(p[negative], p[positive], side="left")
    up_to = np.searchsorted(p[negative], p[positive], side="right")
    lost = np.zeros((len(weight), len(negative) + 1))  # negative weight below each position
    np.cumsum(np.take(weight, negative, axis=1), axis=1, out=lost[:, 1:])
    own = np.take(weight, positive, axis=1)
    wins = np.einsum("bi,bi->b", own, np.take(lost, below, axis=1))
    if (below != up_to).any():
        wins = (wins + np.einsum("bi,bi->b", own, np.take(lost, up_to, axis=1))) / 2
    return ratio(wins, own.sum(axis=1) * lost[:, -1])


def _auprc(y: np.ndarray, p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if not y.any():
        return np.full(len(weight), np.nan)
    ties = Ties(-p)
    ranked = ties.ranked(weight)
    hits = np.flatnonzero(y[ties.order])  # recall moves at these rows only
    group = np.searchsorted(ties.first, hits, side="right") - 1
    keep, start = np.unique(group, return_index=True)
    gained = np.take(ranked, hits, axis=1)
    if len(keep) < len(hits):
        gained = np.add.reduceat(gained, start, axis=1)
    called = np.take(np.cumsum(ranked, axis=1), ties.last[keep], axis=1)
    true = np.cumsum(gained, axis=1)
    precision = share_of(true, called)
    return ratio(np.einsum("bk,bk->b", gained, precision), true[:, -1])


def _decided(probability: np.ndarray) -> np.ndarray:
    return probability > 0.5 if probability.ndim == 1 else probability.argmax(axis=1)


def _class_weight(index: np.ndarray, classes: int, weight: np.ndarray) -> np.ndarray:
    """Weight [B, classes] of the rows with each class index; other indices are left out."""
    return weight @ (index[:, None] == np.arange(classes)).astype(float)
