"""What statements about modalities are worth: do they find what is bad, and what is leant on.

`amodal.metrics.reliability` holds the rank correlation that these stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError
from amodal.metrics.arrays import ratio, weighted_mean
from amodal.metrics.discrimination import auroc
from amodal.metrics.inputs import check_weight
from amodal.metrics.reliability import check_present, take_present

__all__ = ["agreement", "detection_auroc", "entropy", "log_likelihood", "mean_change"]


def detection_auroc(
    score: ArrayLike, bad: ArrayLike, present: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """The chance that a bad (row, modality) pair has a higher score than a good one.

    P(score_b > score_g) + P(score_b = score_g) / 2 over present pairs b that are bad and g that are
    not, of any row and modality. With one minus reliability as the score it tells how well
    reliability finds what was corrupted; .5 is chance.

    Args:
        score: [n, m], higher where a pair is held to be worse; not read where absent.
        bad: [n, m] bool.
        present: [n, m] bool.
        weight: of the rows: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN where only good or only bad pairs have weight.

    Raises:
        DataError: shapes differ, or a present score is not finite.

    Of the two pairs of a bad and a good one, one is in the right order:

    >>> detection_auroc([[0.5, 0.1], [0.9, 7]], [[True, False], [False, True]],
    ...                 [[True, True], [True, False]])
    0.5
    """
    there = check_present(present)
    weights, single = check_weight(weight, len(there))
    values, struck = take_present(score, there, "score"), np.asarray(bad, dtype=bool)[there]
    if not struck.any() or struck.all():
        return float("nan") if single else np.full(len(weights), np.nan)
    order = np.unique(values, return_inverse=True)[1] / max(len(values) - 1, 1)
    found = auroc(struck.astype(float), order, weight=weights[:, np.nonzero(there)[0]])
    return float(found[0]) if single else found


def agreement(
    a: ArrayLike, b: ArrayLike, present: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """How often two statements put the modalities of one row in the same order.

    Over the pairs of present modalities of a row that b tells apart: the share that a orders as b
    does, a tie in a counting one half; the mean over the rows that have such a pair. 1 is full
    agreement, .5 chance. What differs between rows, such as how hard they are, plays no part.

    With reliance for a, and for b the drop in log likelihood when a modality is taken away, it is
    the faithfulness of reliance.

    Args:
        a: [n, m]; not read where absent.
        b: [n, m]; likewise.
        present: [n, m] bool.
        weight: of the rows: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN where no row counts.

    Raises:
        DataError: shapes differ, or a present value is not finite.

    One row agrees in one pair of three (1/3), the other in its only one:

    >>> round(agreement([[1, 2, 3], [5, 4, 0]], [[1, 0, -1], [7, 2, 0]],
    ...                 [[True] * 3, [True, True, False]]), 4)
    0.5
    """
    there = check_present(present)
    weights, single = check_weight(weight, len(there))
    first, second = np.zeros(there.shape), np.zeros(there.shape)
    first[there], second[there] = take_present(a, there, "a"), take_present(b, there, "b")
    i, j = np.triu_indices(there.shape[1], 1)
    both = there[:, i] & there[:, j] & (second[:, i] != second[:, j])
    same = 0.5 + 0.5 * np.sign(first[:, i] - first[:, j]) * np.sign(second[:, i] - second[:, j])
    counts = both.sum(axis=1)
    share = ratio((same * both).sum(axis=1), counts.astype(float))
    rows = counts > 0
    found = weighted_mean(share[rows], weights[:, rows])
    return float(found[0]) if single else found


def mean_change(
    change: ArrayLike, present: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """The mean of a change over present pairs, rows weighted.

    Args:
        change: [n, m], for example the entropy after a modality is removed minus that before.
        present: [n, m] bool.
        weight: of the rows: None, [n] or [B, n], at least 0.

    >>> mean_change([[1.0, 3.0], [5.0, np.nan]], [[True, True], [True, False]])
    3.0
    """
    there = check_present(present)
    weights, single = check_weight(weight, len(there))
    found = weighted_mean(take_present(change, there, "change"), weights[:, np.nonzero(there)[0]])
    return float(found[0]) if single else found


def log_likelihood(y: ArrayLike, outputs: Mapping[str, ArrayLike]) -> np.ndarray:
    """[n] log likelihood of each row's target, in nats; clipped as in `log_loss`.

    Args:
        y: [n] 0/1, class indices or numbers; [n, L] of 0/1.
        outputs: as metrics read them: ``probability`` ([n], [n, C] or [n, L]), or ``mean`` and
            ``std``, taken as a normal distribution.

    >>> np.exp(log_likelihood([1, 0], {"probability": [0.8, 0.4]})).round(3).tolist()
    [0.8, 0.6]
    """
    y = np.asarray(y, dtype=np.float64)
    if "mean" in outputs:
        mean, std = (np.asarray(outputs[k], dtype=np.float64) for k in ("mean", "std"))
        return -0.5 * np.log(2 * np.pi * std**2) - 0.5 * ((y - mean) / std) ** 2
    p = _probability(outputs)
    if p.ndim == 2 and y.ndim == 1:
        return np.log(p[np.arange(len(p)), y.astype(int)])
    each = np.log(np.where(y == 1, p, 1 - p))
    return each if each.ndim == 1 else each.sum(axis=1)


def entropy(outputs: Mapping[str, ArrayLike], *, labels: bool = False) -> np.ndarray:
    """[n] entropy of each row's prediction, in nats.

    Args:
        outputs: as in `log_likelihood`.
        labels: whether the columns of ``probability`` are labels, each with an entropy of its own
            that are added up, and not classes.

    >>> entropy({"probability": [[0.5, 0.5], [1.0, 0.0]]}).round(4).tolist()
    [0.6931, 0.0]
    """
    if "mean" in outputs:
        return 0.5 * np.log(2 * np.pi * np.e * np.asarray(outputs["std"], dtype=np.float64) ** 2)
    p = _probability(outputs)
    if p.ndim == 2 and not labels:
        return -(p * np.log(p)).sum(axis=1)
    each = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    return each if each.ndim == 1 else each.sum(axis=1)


def _probability(outputs: Mapping[str, ArrayLike]) -> np.ndarray:
    if "probability" not in outputs:
        raise DataError(
            f"outputs hold probability, or mean and std; found {sorted(outputs)}. Pass predictions."
        )
    eps = np.finfo(np.float64).eps
    return np.clip(np.asarray(outputs["probability"], dtype=np.float64), eps, 1 - eps)
