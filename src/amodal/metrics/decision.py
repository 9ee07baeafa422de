"""What a prediction is worth to who acts on it: decision curves, and alerts at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import SettingError
from amodal.metrics.arrays import ratio
from amodal.metrics.inputs import Rows, check_classes

__all__ = ["AtThreshold", "DecisionCurve", "at_thresholds", "decision_curve", "net_benefit"]


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of three ways to act, per row. Arrays are [t], or [B, t] for weights [B, n].

    Attributes:
        threshold: [t] risk from which one acts.
        model: act where the predicted risk reaches the threshold.
        treat_all: act on every row. To act on none has net benefit 0.
    """

    threshold: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


@dataclass(frozen=True)
class AtThreshold:
    """What acting from a threshold on brings. Arrays are [t], or [B, t] for weights [B, n].

    Attributes:
        threshold: [t] risk from which a row raises an alert.
        alerts_per_100: alerts among 100 rows.
        ppv: share of events among alerts; NaN without alerts.
        sensitivity: share of events that raise an alert; NaN without events.
        specificity: share of the others that raise none; NaN without others.
        npv: share of rows without event among those that raise no alert; NaN where all do.
    """

    threshold: np.ndarray
    alerts_per_100: np.ndarray
    ppv: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    npv: np.ndarray


def decision_curve(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    thresholds: ArrayLike,
    weight: ArrayLike | None = None,
) -> DecisionCurve:
    """Net benefit of a model, and of acting on all, at each threshold.

    At threshold t: TP/n - FP/n t / (1 - t), in true positives per row: who acts from risk t on
    holds a missed event for (1 - t) / t times as bad as a needless action.

    Args:
        y: [n] 0/1.
        probability: [n] P(y = 1).
        thresholds: [t] in (0, 1).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        The curves; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: a threshold outside (0, 1).

    Reference: Vickers and Elkin, Medical Decision Making 26, 2006. Two of four rows are events; at
    1/2 the model finds both and raises one needless alert: 2/4 - 1/4.

    >>> curve = decision_curve([1, 1, 0, 0], [0.9, 0.6, 0.5, 0.1], thresholds=[0.5])
    >>> curve.model.tolist(), curve.treat_all.tolist()
    ([0.25], [0.0])
    """
    rows, at = check_classes(y, probability, weight), _thresholds(thresholds)
    true, false, events, others = _counts(rows, at)
    total, odds = events + others, at / (1 - at)
    model = ratio(true, total) - ratio(false, total) * odds
    treat_all = ratio(events, total) - ratio(others, total) * odds
    return DecisionCurve(at, _out(rows, model), _out(rows, treat_all))


def net_benefit(
    y: ArrayLike, probability: ArrayLike, *, threshold: float, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Net benefit of a model at one threshold; see `decision_curve`.

    Args:
        y: [n] 0/1.
        probability: [n] P(y = 1).
        threshold: in (0, 1).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at most the prevalence, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: a threshold outside (0, 1).

    >>> net_benefit([1, 1, 0, 0], [0.9, 0.6, 0.5, 0.1], threshold=0.5)
    0.25
    """
    found = decision_curve(y, probability, thresholds=[threshold], weight=weight).model
    return float(found[0]) if found.ndim == 1 else found[:, 0]


def at_thresholds(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    thresholds: ArrayLike,
    weight: ArrayLike | None = None,
) -> AtThreshold:
    """Alerts, predictive values, sensitivity and specificity of acting from a risk on.

    Args:
        y: [n] 0/1.
        probability: [n] P(y = 1).
        thresholds: [t] in (0, 1); a risk that equals one raises an alert.
        weight: None, [n] or [B, n], at least 0.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: a threshold outside (0, 1).

    >>> found = at_thresholds([1, 1, 0, 0], [0.9, 0.6, 0.5, 0.1], thresholds=[0.5])
    >>> [round(float(x[0]), 3) for x in (found.alerts_per_100, found.ppv, found.sensitivity)]
    [75.0, 0.667, 1.0]
    """
    rows, at = check_classes(y, probability, weight), _thresholds(thresholds)
    true, false, events, others = _counts(rows, at)
    alerts, total = true + false, events + others
    parts = (
        100 * ratio(alerts, total),
        ratio(true, alerts),
        ratio(true, events),
        ratio(others - false, others),
        ratio(others - false, total - alerts),
    )
    return AtThreshold(at, *(_out(rows, part) for part in parts))


def _thresholds(thresholds: ArrayLike) -> np.ndarray:
    at = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if at.ndim != 1 or not ((at > 0) & (at < 1)).all():
        raise SettingError(
            f"thresholds are risks between 0 and 1, without the ends; found {at.tolist()!r}. "
            "Name risks from which one would act."
        )
    return at


def _counts(rows: Rows, at: np.ndarray) -> tuple[np.ndarray, ...]:
    """[B, t] true and false positives at each threshold, [B, 1] events and others."""
    alert = (rows.prediction[:, None] >= at).astype(float)
    event = rows.y.astype(float)
    true = rows.weight @ (alert * event[:, None])
    events = (rows.weight @ event)[:, None]
    total = rows.weight.sum(axis=1)[:, None]
    return true, rows.weight @ alert - true, events, total - events


def _out(rows: Rows, values: np.ndarray) -> np.ndarray:
    return values[0] if rows.single else values
