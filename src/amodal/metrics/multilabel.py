"""Metrics of multilabel targets: `y` [n, L] of 0/1, `probability` [n, L], one column per label.

Either the mean over labels of the binary metric (*macro*), or the binary metric of all (row,
label) pairs together (*pooled*). `weight` weighs rows: None, [n] or [B, n] (B numbers come back).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amodal.metrics import calibration, discrimination
from amodal.metrics.arrays import in_blocks, nan_mean, ratio
from amodal.metrics.inputs import Rows, check_labels

__all__ = [
    "accuracy",
    "auprc",
    "auroc",
    "brier",
    "calibration_intercept",
    "calibration_slope",
    "ece",
    "ece_of_perfect",
    "log_loss",
    "macro_f1",
    "observed_expected",
    "perfect_ece_draws",
]

Binary = Callable[..., "float | np.ndarray"]


def auroc(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean AUROC over the labels of which both classes have weight; NaN if there is none.

    Args and errors: see the module; the binary metric: `amodal.metrics.discrimination.auroc`.

    The second label has no positive row and is left out:

    >>> auroc([[0, 0], [1, 0]], [[0.2, 0.1], [0.9, 0.4]])
    1.0
    """
    return _macro(discrimination.auroc, check_labels(y, probability, weight))


def auprc(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean average precision over the labels of which both classes have weight.

    Args and errors: see the module; the binary metric: `amodal.metrics.discrimination.auprc`.

    >>> auprc([[0, 0], [1, 0]], [[0.9, 0.1], [0.2, 0.4]])
    0.5
    """
    return _macro(discrimination.auprc, check_labels(y, probability, weight))


def accuracy(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Share of (row, label) pairs decided correctly at .5 (1 - Hamming loss).

    Args and errors: see the module.

    >>> accuracy([[0, 1], [1, 0]], [[0.2, 0.9], [0.4, 0.4]])
    0.75
    """
    return _pooled(discrimination.accuracy, check_labels(y, probability, weight))


def macro_f1(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean over labels of F1 = 2 TP / (2 TP + FP + FN) of the positive class at .5.

    A label that is, by weight, neither true nor predicted anywhere is left out.

    Args and errors: see the module.

    First label 2 / (2 + 1), second 1:

    >>> round(macro_f1([[0, 1], [1, 0]], [[0.8, 0.9], [0.9, 0.4]]), 4)
    0.8333
    """
    rows = check_labels(y, probability, weight)
    decided = rows.prediction > 0.5
    hits = rows.weight @ (decided & rows.y).astype(float)
    both = rows.weight @ (decided.astype(float) + rows.y)
    return rows.out(nan_mean(list(ratio(2 * hits, both).T), len(rows.weight)))


def log_loss(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean binary log loss over (row, label) pairs, in nats.

    Args and errors: see the module; the binary metric: `amodal.metrics.calibration.log_loss`.

    >>> round(log_loss([[1, 0]], [[0.5, 0.75]]), 4)
    1.0397
    """
    rows = check_labels(y, probability, weight)
    # clipped here, by the precision in which the probabilities came; pairs are float64
    return _pooled(calibration.log_loss, rows, rows.clipped)


def brier(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean squared error of the probability over (row, label) pairs.

    Args and errors: see the module.

    >>> brier([[1, 0]], [[0.5, 0.25]])
    0.15625
    """
    return _pooled(calibration.brier, check_labels(y, probability, weight))


def ece(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Expected calibration error of all (row, label) pairs together.

    Args and errors: see the module and `amodal.metrics.binning.ece`.

    >>> ece([[0, 0], [1, 1]], [[0.25, 0.25], [0.75, 0.75]], bins=2)
    0.25
    """
    rows = check_labels(y, probability, weight)
    return _pooled(partial(calibration.ece, bins=bins, binning=binning), rows)


def perfect_ece_draws(
    probability: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    weight: ArrayLike | None = None,
    draws: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """Simulated ECE of a perfect model over all pairs, labels independent: [draws].

    Args and errors: see `amodal.metrics.binning.ece_of_perfect`; `probability` is [n, L].

    >>> float(perfect_ece_draws([[0.5, 0.5]], bins=1).max())
    0.5
    """
    p = np.asarray(probability)
    rows = check_labels(np.zeros(p.shape), p, weight)
    pairs = np.repeat(rows.weight[0] if rows.single else rows.weight, rows.y.shape[1], axis=-1)
    return calibration.perfect_ece_draws(
        rows.prediction.ravel(), bins=bins, binning=binning, weight=pairs, draws=draws, seed=seed
    )


def ece_of_perfect(probability: ArrayLike, **settings: Any) -> float:
    """Mean of `perfect_ece_draws`: the pooled ECE that sampling noise alone reaches.

    >>> ece_of_perfect([[0.0, 1.0]])
    0.0
    """
    return float(perfect_ece_draws(probability, **settings).mean())


def observed_expected(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Observed over expected positives of all (row, label) pairs; 1 is ideal.

    Args and errors: see the module.

    >>> observed_expected([[1, 0], [0, 1]], [[0.25, 0.25], [0.25, 0.25]])
    2.0
    """
    return _pooled(calibration.observed_expected, check_labels(y, probability, weight))


def calibration_intercept(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Calibration in the large over all (row, label) pairs; 0 is ideal.

    Args and errors: see the module and `amodal.metrics.calibration.calibration_intercept`.

    >>> round(calibration_intercept([[1, 1], [1, 0]], [[0.5, 0.5], [0.5, 0.5]]), 4)
    1.0986
    """
    rows = check_labels(y, probability, weight)
    return _pooled(calibration.calibration_intercept, rows, rows.clipped)


def calibration_slope(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Calibration slope over all (row, label) pairs; 1 is ideal.

    Args and errors: see the module and `amodal.metrics.calibration.calibration_slope`.

    >>> round(calibration_slope([[1, 0, 0], [1, 1, 0]], [[0.2] * 3, [0.8] * 3]), 6)
    0.5
    """
    rows = check_labels(y, probability, weight)
    return _pooled(calibration.calibration_slope, rows, rows.clipped)


def _macro(metric: Binary, rows: Rows) -> float | np.ndarray:
    scores = []
    for y, p in zip(rows.y.T, rows.prediction.T, strict=True):
        positive, negative = rows.weight @ y.astype(float), rows.weight @ (~y).astype(float)
        score = metric(y, p, weight=rows.weight)
        scores.append(np.where((positive > 0) & (negative > 0), score, np.nan))
    return rows.out(nan_mean(scores, len(rows.weight)))


def _pooled(metric: Binary, rows: Rows, p: np.ndarray | None = None) -> float | np.ndarray:
    """The binary metric over all pairs, of the predictions or of `p` in their place."""
    y, p = rows.y.ravel(), (rows.prediction if p is None else p).ravel()
    labels = rows.y.shape[1]

    def values(weight: np.ndarray) -> np.ndarray:
        return np.asarray(metric(y, p, weight=np.repeat(weight, labels, axis=1)))

    return rows.out(in_blocks(values, rows.weight, width=len(y)))
