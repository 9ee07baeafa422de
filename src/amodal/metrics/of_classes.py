"""The metrics of classes and of labels: an entry each, and which are printed by default."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from amodal.metrics import (
    calibration,
    decomposition,
    discrimination,
    multilabel,
    selective,
)
from amodal.metrics.metric import Metric, of_probability

__all__ = ["CLASS_DEFAULTS", "CLASS_METRICS"]

_CLASSES = ("binary", "multiclass", "multilabel")
_EVENTS = ("binary", "multilabel")


def _perfect_ece_draws(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> np.ndarray:
    module = multilabel if np.ndim(y) == 2 else calibration
    return module.perfect_ece_draws(outputs["probability"], weight=weight)


def _ece_of_perfect(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    if np.ndim(weight) == 2:
        return np.array([_ece_of_perfect(y, outputs, weight=w) for w in np.asarray(weight)])
    return float(_perfect_ece_draws(y, outputs, weight=weight).mean())


CLASS_METRICS: tuple[Metric, ...] = (
    Metric(
        "auroc",
        of_probability(discrimination.auroc, multilabel.auroc),
        _CLASSES,
        "AUROC",
        "0 to 1, chance .5",
        higher_is_better=True,
        ideal=1.0,
    ),
    Metric(
        "auprc",
        of_probability(discrimination.auprc, multilabel.auprc),
        _CLASSES,
        "AUPRC",
        "0 to 1, chance = prevalence",
        higher_is_better=True,
        ideal=1.0,
    ),
    Metric(
        "accuracy",
        of_probability(discrimination.accuracy, multilabel.accuracy),
        _CLASSES,
        "Accuracy",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    Metric(
        "macro_f1",
        of_probability(discrimination.macro_f1, multilabel.macro_f1),
        _CLASSES,
        "Macro F1",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    Metric(
        "log_loss",
        of_probability(calibration.log_loss, multilabel.log_loss),
        _CLASSES,
        "Log loss",
        "0 upwards, nats",
        higher_is_better=False,
        ideal=0.0,
    ),
    Metric(
        "brier",
        of_probability(calibration.brier, multilabel.brier),
        _CLASSES,
        "Brier score",
        "0 to 1, with several classes 0 to 2",
        higher_is_better=False,
        ideal=0.0,
    ),
    Metric(
        "ece",
        of_probability(calibration.ece, multilabel.ece),
        _CLASSES,
        "ECE",
        "0 to 1, above 0 by noise alone",
        higher_is_better=False,
        ideal=0.0,
        interval="centred",
    ),
    Metric(
        "classwise_ece",
        of_probability(decomposition.classwise_ece),
        ("multiclass",),
        "Class-wise ECE",
        "0 to 1, above 0 by noise alone",
        higher_is_better=False,
        ideal=0.0,
        interval="centred",
    ),
    Metric(
        "ece_of_perfect",
        _ece_of_perfect,
        _CLASSES,
        "ECE of a perfect model",
        "0 to 1, what noise alone gives",
        higher_is_better=None,
        ideal=0.0,
        samples=_perfect_ece_draws,
    ),
    Metric(
        "calibration_intercept",
        of_probability(calibration.calibration_intercept, multilabel.calibration_intercept),
        _CLASSES,
        "Calibration intercept",
        "log odds, 0 ideal, above 0 risks underestimated",
        higher_is_better=None,
        ideal=0.0,
    ),
    Metric(
        "calibration_slope",
        of_probability(calibration.calibration_slope, multilabel.calibration_slope),
        _CLASSES,
        "Calibration slope",
        "1 ideal, below 1 over-confident",
        higher_is_better=None,
        ideal=1.0,
    ),
    Metric(
        "observed_expected",
        of_probability(calibration.observed_expected, multilabel.observed_expected),
        _EVENTS,
        "Observed / expected",
        "0 upwards, 1 ideal",
        higher_is_better=None,
        ideal=1.0,
    ),
    Metric(
        "aurc",
        selective.aurc,
        ("binary", "multiclass", "regression"),
        "AURC",
        "0 upwards, mean loss at most where confidence is informative",
        higher_is_better=False,
        ideal=0.0,
    ),
)
"""`aurc` serves real values too."""

CLASS_DEFAULTS: dict[str, tuple[str, ...]] = {
    "binary": (
        "auroc",
        "auprc",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_intercept",
        "calibration_slope",
        "observed_expected",
        "accuracy",
        "macro_f1",
        "aurc",
    ),
    "multiclass": (
        "accuracy",
        "macro_f1",
        "auroc",
        "auprc",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_slope",
        "aurc",
    ),
    "multilabel": (
        "auroc",
        "auprc",
        "macro_f1",
        "accuracy",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_slope",
        "observed_expected",
    ),
}
"""What is printed for each kind of task where nobody asks for others, in this order."""
