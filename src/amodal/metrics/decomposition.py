"""The Brier score taken apart; calibration error class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.metrics.arrays import Ties, weighted_mean
from amodal.metrics.binning import ece
from amodal.metrics.inputs import Rows, check_classes

__all__ = ["BrierParts", "brier_decomposition", "classwise_ece"]


@dataclass(frozen=True)
class BrierParts:
    """Brier = miscalibration - discrimination + uncertainty. Numbers, or [B] for weights [B, n].

    Attributes:
        miscalibration: what calibration by hindsight would save; 0 is ideal.
        discrimination: what predictions, so calibrated, save against the base rate; the more the
            better.
        uncertainty: the score of the base rate: a fact of the outcome, not of the model.
    """

    miscalibration: float | np.ndarray
    discrimination: float | np.ndarray
    uncertainty: float | np.ndarray


def brier_decomposition(
    y: ArrayLike, probability: ArrayLike, *, weight: ArrayLike | None = None
) -> BrierParts:
    """The Brier score as miscalibration - discrimination + uncertainty, without bins.

    With c the isotonic regression of y on p (equal p share one value) and r the base rate:
    miscalibration = BS(p) - BS(c), discrimination = BS(r) - BS(c), uncertainty = BS(r). All three
    are at least 0 and add up exactly, which the classical decomposition does for as many bins as
    there are distinct predictions only.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C] (then: sums over classes, each against the rest).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        The parts; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Dimitriadis, Gneiting and Jordan, PNAS 118, 2021 (CORP). Half of each pair happens to
    be an event at .25 and .75: hindsight would say 1/2 to all, and nothing is told apart.

    >>> parts = brier_decomposition([0, 1, 0, 1], [0.25, 0.25, 0.75, 0.75])
    >>> parts.miscalibration, parts.discrimination, parts.uncertainty
    (0.0625, 0.0, 0.25)
    """
    rows = check_classes(y, probability, weight)
    p = rows.prediction[:, None] if rows.prediction.ndim == 1 else rows.prediction
    if rows.prediction.ndim == 1:
        events = rows.y[:, None].astype(float)
    else:
        events = (rows.y[:, None] == np.arange(p.shape[1])).astype(float)
    each = [_parts(p[:, c], events[:, c], rows.weight) for c in range(p.shape[1])]
    return BrierParts(*(rows.out(np.sum(part, axis=0)) for part in zip(*each, strict=True)))


def _parts(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    """Miscalibration, discrimination and uncertainty of one event: [B] each."""
    score = weighted_mean((p - y) ** 2, weight)
    rate = weighted_mean(y, weight)
    base = rate * (1 - rate)
    ties = Ties(p)
    sizes = ties.group_sums(ties.ranked(weight))
    events = ties.group_sums(ties.ranked(weight * y))
    best = np.array([_isotonic_brier(n, k) for n, k in zip(sizes, events, strict=True)])
    # what rounding leaves below 0 is no part of a score
    return np.maximum(score - best, 0.0), np.maximum(base - best, 0.0), base


def _isotonic_brier(size: np.ndarray, events: np.ndarray) -> float:
    """Brier score of the isotonic regression on groups in ascending order of their prediction."""
    from scipy.optimize import isotonic_regression

    there = size > 0
    if not there.any():
        return float("nan")
    size, events = size[there], events[there]
    fitted = isotonic_regression(events / size, weights=size).x
    # sum over rows of (c - y)^2 = n c^2 - 2 c k + k, for y of 0 and 1
    return float((size * fitted**2 - 2 * fitted * events + events).sum() / size.sum())


def classwise_ece(
    y: ArrayLike, probability: ArrayLike, *, bins: int = 15, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean over classes of the calibration error of each class against the rest.

    The ECE of the most probable class does not see probabilities of the others, which a decision
    with unequal costs reads too. Binary: the plain ECE, which is that of both classes.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        bins: of equal weight, per class.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: bins below 1.

    Reference: Kull et al., NeurIPS 2019 (there with bins of equal width). The first class is
    right, the two others are off by .25 each:

    >>> round(classwise_ece([1, 1], [[0, 0.75, 0.25], [0, 0.75, 0.25]]), 4)
    0.1667
    """
    rows: Rows = check_classes(y, probability, weight)
    if rows.prediction.ndim == 1:
        return ece(y, probability, bins=bins, weight=weight)
    each = [
        ece(rows.y == c, rows.prediction[:, c], bins=bins, weight=rows.weight)
        for c in range(rows.prediction.shape[1])
    ]
    return rows.out(np.mean(each, axis=0))
