"""The metrics of real values: an entry each, and which are printed by default."""

from __future__ import annotations

import numpy as np

from amodal.metrics import regression
from amodal.metrics.metric import Metric, of_mean, of_mean_std

__all__ = ["VALUE_DEFAULTS", "VALUE_METRICS"]

_VALUES = ("regression",)

VALUE_METRICS: tuple[Metric, ...] = (
    Metric(
        "rmse",
        of_mean(regression.rmse),
        _VALUES,
        "RMSE",
        "0 upwards, units of the target",
        higher_is_better=False,
        ideal=0.0,
    ),
    Metric(
        "mae",
        of_mean(regression.mae),
        _VALUES,
        "MAE",
        "0 upwards, units of the target",
        higher_is_better=False,
        ideal=0.0,
    ),
    Metric(
        "r2",
        of_mean(regression.r2),
        _VALUES,
        "R squared",
        "up to 1, 0 = the mean",
        higher_is_better=True,
        ideal=1.0,
    ),
    Metric(
        "gaussian_nll",
        of_mean_std(regression.gaussian_nll),
        _VALUES,
        "Gaussian NLL",
        "any number, nats",
        higher_is_better=False,
        ideal=-np.inf,
    ),
    Metric(
        "coverage_90",
        of_mean_std(regression.coverage),
        _VALUES,
        "Coverage of 90% intervals",
        "0 to 1, .9 ideal",
        higher_is_better=None,
        ideal=0.9,
    ),
)

VALUE_DEFAULTS: dict[str, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2", "gaussian_nll", "coverage_90", "aurc"),
}
"""What is printed for each kind of task where nobody asks for others, in this order."""
