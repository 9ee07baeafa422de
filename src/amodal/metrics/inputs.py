"""The one checker behind every metric: shapes, finiteness, ranges and weights, looked at once.

A metric calls one of the `check_*` functions, computes on the `Rows` it gets back, and returns
`rows.out(values)`. Inside, nothing is checked again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError

__all__ = [
    "Rows",
    "check_classes",
    "check_forecast",
    "check_labels",
    "check_regression",
    "check_weight",
]

SUM_TOLERANCE = 1e-3  # a softmax in half precision still sums to 1 within this


@dataclass(frozen=True)
class Rows:
    """Checked input of a metric.

    Attributes:
        y: target: [n] 0/1 as bool (binary), [n] class index (multiclass), [n, L] bool
            (multilabel), [n] float64 (regression).
        prediction: [n], [n, C] or [n, L] probabilities, or [n] predicted means; float64.
        weight: [B, n] float64, at least 0; one row of weights per replicate.
        single: True where the caller asked for one number rather than one per replicate.
        eps: distance from 0 and 1 at which probabilities are clipped before a logarithm: the
            machine epsilon of the type in which they came.
        std: [n] predicted standard deviations (regression), or None.

    >>> rows = check_classes([0, 1], [0.0, 1.0], None)
    >>> rows.prediction.tolist(), bool(rows.clipped.min() > 0), rows.out(np.array([0.5]))
    ([0.0, 1.0], True, 0.5)
    """

    y: np.ndarray
    prediction: np.ndarray
    weight: np.ndarray
    single: bool
    eps: float
    std: np.ndarray | None = None

    @property
    def clipped(self) -> np.ndarray:
        """Probabilities moved off 0 and 1 by `eps`, so that their logarithm is finite."""
        return np.clip(self.prediction, self.eps, 1 - self.eps)

    def out(self, values: np.ndarray) -> float | np.ndarray:
        """[B] values as the caller wants them: one float, or the array."""
        return float(values[0]) if self.single else values


def check_weight(weight: ArrayLike | None, n: int) -> tuple[np.ndarray, bool]:
    """Weights as [B, n] float64, and whether one number was asked for.

    Args:
        weight: None (all rows count 1), [n], or [B, n] with B replicates; finite and at least 0.
        n: number of rows.

    Raises:
        DataError: wrong shape, negative or not finite.

    >>> check_weight(None, 2)
    (array([[1., 1.]]), True)
    >>> check_weight([[1, 2], [0, 3]], 2)[1]
    False
    """
    if weight is None:
        return np.ones((1, n)), True
    array = _numbers(weight, "weight")
    if array.ndim not in (1, 2) or array.shape[-1] != n:
        raise DataError(
            f"weight has shape [n] or [replicates, n] with n = {n} rows; found "
            f"{list(array.shape)}. Pass one weight per row of y."
        )
    # min() is NaN and sum() is infinite or NaN where an entry is: two passes, no temporary array
    if array.size and not (array.min() >= 0 and np.isfinite(array.sum())):
        raise DataError(
            "weights are finite and at least 0; found others. Use 0 to leave a row out."
        )
    return (array[None], True) if array.ndim == 1 else (array, False)


def check_forecast(probability: ArrayLike, weight: ArrayLike | None) -> Rows:
    """Checks probabilities [n] or [n, C] that come without a target; `y` is all 0.

    Raises:
        DataError: as `check_classes`.

    >>> check_forecast([0.2, 0.7], None).y
    array([False, False])
    """
    p = _numbers(probability, "probability")
    return check_classes(np.zeros(p.shape[:1]), probability, weight)


def check_classes(y: ArrayLike, probability: ArrayLike, weight: ArrayLike | None) -> Rows:
    """Checks one target per row: binary (`probability` [n]) or multiclass ([n, C]).

    Args:
        y: [n]; 0/1 where `probability` is P(y = 1), else class indices 0 .. C-1.
        probability: [n] in [0, 1], or [n, C] with rows that sum to 1 (within .001), C >= 2.
        weight: see `check_weight`.

    Raises:
        DataError: wrong shape, not finite, out of range, or a class that has no column.

    >>> check_classes([1], [[0.5, 0.501]], None).y  # a sum of 1.001 passes
    array([1])
    >>> check_classes([1], [[0.5, 0.502]], None)
    Traceback (most recent call last):
    amodal.errors.DataError: class probabilities of a row sum to 1; found 1 of 1 rows that do not. ...
    """
    p, eps = _probabilities(probability)
    target = _numbers(y, "y")
    if p.ndim not in (1, 2) or (p.ndim == 2 and p.shape[1] < 2):
        raise DataError(
            f"probability has shape [n] (binary) or [n, classes] with at least 2 classes; found "
            f"{list(p.shape)}. For two classes pass P(y = 1) as [n]."
        )
    _same_rows(target, p, ndim=1)
    if p.ndim == 1:
        target = _zero_one(target)
    else:
        _sums_to_one(p)
        target = _class_index(target, p.shape[1])
    return Rows(target, p, *check_weight(weight, len(target)), eps)


def check_labels(y: ArrayLike, probability: ArrayLike, weight: ArrayLike | None) -> Rows:
    """Checks a multilabel target: `y` [n, L] of 0/1 and `probability` [n, L] in [0, 1].

    Raises:
        DataError: wrong shape, not finite or out of range.

    >>> check_labels([[1, 0]], [[0.9, 0.4]], None).y  # a row's probabilities need not sum to 1
    array([[ True, False]])
    """
    p, eps = _probabilities(probability)
    target = _numbers(y, "y")
    if target.ndim != 2 or target.shape != p.shape:
        raise DataError(
            f"y and probability have the same shape [n, labels]; found {list(target.shape)} and "
            f"{list(p.shape)}. Pass one column per label."
        )
    return Rows(_zero_one(target), p, *check_weight(weight, len(target)), eps)


def check_regression(
    y: ArrayLike, mean: ArrayLike, weight: ArrayLike | None, *, std: ArrayLike | None = None
) -> Rows:
    """Checks a real-valued target [n], predicted means [n] and, where given, std > 0 [n].

    Raises:
        DataError: wrong shape, not finite, or a standard deviation that is not above 0.

    >>> check_regression([1.0], [0.5], None, std=[0.0])
    Traceback (most recent call last):
    amodal.errors.DataError: std has the shape of mean ([1]) and is above 0; found shape [1] with 1 ...
    """
    target, center = _numbers(y, "y"), _numbers(mean, "mean")
    for name, array in (("y", target), ("mean", center)):
        _finite(array, name)
    _same_rows(target, center, ndim=1, name="mean")
    if center.ndim != 1:
        raise DataError(f"mean has shape [n]; found {list(center.shape)}. Pass one mean per row.")
    spread = None
    if std is not None:
        spread = _numbers(std, "std")
        _finite(spread, "std")
        if spread.shape != center.shape or (spread <= 0).any():
            raise DataError(
                f"std has the shape of mean ({list(center.shape)}) and is above 0; found shape "
                f"{list(spread.shape)} with {int((spread <= 0).sum())} entries at or below 0. "
                "Pass standard deviations, not log-variances."
            )
    weights, single = check_weight(weight, len(target))
    return Rows(target, center, weights, single, float(np.finfo(float).eps), spread)


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biufO":  # not text, times or complex numbers, which also convert
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise DataError(
        f"{name} is an array of numbers; found something else. Encode classes as integers "
        "and drop rows without a value."
    )


def _finite(array: np.ndarray, name: str) -> None:
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise DataError(
            f"{name} is finite; found NaN or infinity in {bad} of {array.size} entries. "
            "Drop rows without a target before scoring."
        )


def _probabilities(probability: ArrayLike) -> tuple[np.ndarray, float]:
    p = _numbers(probability, "probability")
    _finite(p, "probability")
    outside = int(((p < 0) | (p > 1)).sum())
    if outside:
        raise DataError(
            f"probabilities lie in [0, 1]; found {outside} of {p.size} outside. "
            "Pass probabilities, not logits."
        )
    given = np.asarray(probability).dtype
    return p, float(np.finfo(given if np.issubdtype(given, np.floating) else np.float64).eps)


def _same_rows(y: np.ndarray, p: np.ndarray, *, ndim: int, name: str = "probability") -> None:
    if y.ndim != ndim or p.ndim == 0 or len(y) != len(p):
        raise DataError(
            f"y has shape [n] and {name} has the same n rows; found {list(y.shape)} and "
            f"{list(p.shape)}. Pass one target and one prediction per row."
        )


def _zero_one(y: np.ndarray) -> np.ndarray:
    _finite(y, "y")
    positive = y == 1
    other = int((~positive & (y != 0)).sum())
    if other:
        raise DataError(
            f"a binary target is 0 or 1; found {other} of {y.size} entries that are neither. "
            "Encode the classes as 0 and 1."
        )
    return positive


def _class_index(y: np.ndarray, classes: int) -> np.ndarray:
    _finite(y, "y")
    other = int(((y < 0) | (y >= classes) | (y != np.floor(y))).sum())
    if other:
        raise DataError(
            f"a multiclass target is an integer from 0 to {classes - 1}, the column of its class; "
            f"found {other} of {y.size} entries that are not. Encode classes by their column."
        )
    return y.astype(np.int64)


def _sums_to_one(p: np.ndarray) -> None:
    off = int((np.abs(p.sum(axis=1) - 1) > SUM_TOLERANCE).sum())
    if off:
        raise DataError(
            f"class probabilities of a row sum to 1; found {off} of {len(p)} rows that do not. "
            "Apply a softmax first."
        )
