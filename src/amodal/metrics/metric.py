"""What a metric is to the rest: a name, a function of outputs, and how to read the number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError

__all__ = ["EXTRAS", "KINDS", "Metric", "of_mean", "of_mean_std", "of_probability"]

KINDS = ("binary", "multiclass", "multilabel", "regression", "sequence")
EXTRAS = {"captions": "pycocoevalcap"}
"""Extras of this package that metrics need, and what each brings to import."""

Outputs = Mapping[str, ArrayLike]
Function = Callable[..., "float | np.ndarray"]


@dataclass(frozen=True)
class Metric:
    """A metric under its name. Call it: `metric(y, outputs, weight=None)`.

    Attributes:
        name: key in `METRICS`.
        function: (y, outputs, *, weight) -> float, or [B] for weight [B, n].
        kinds: tasks it is for, out of `KINDS`.
        title: as a table prints it.
        range: values and their meaning, in words.
        higher_is_better: None where the best value lies inside the range (`ideal`).
        ideal: the best possible value.
        interval: "percentile" or "centred", see `Interval.of_samples`.
        samples: (outputs, *, weight) -> [R]; set where the metric is itself a simulation, whose
            draws give its range in place of a bootstrap.
        extra: what is to be installed for it, out of `EXTRAS`; empty for nothing.
    """

    name: str
    function: Function
    kinds: tuple[str, ...]
    title: str
    range: str
    higher_is_better: bool | None
    ideal: float
    interval: str = "percentile"
    samples: Callable[..., np.ndarray] | None = None
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether what it needs is there."""
        return not self.extra or find_spec(EXTRAS[self.extra]) is not None

    def __call__(
        self, y: ArrayLike, outputs: Outputs, *, weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        """The metric of outputs: {"probability": ...}, {"mean": [n], "std": [n]} or {"text": [n]}."""
        return self.function(y, outputs, weight=weight)

    def to_minimise(self, value: float) -> float:
        """A number that is lower for better values: for early stopping and for ranking.

        >>> slope = Metric("slope", max, ("binary",), "Slope", "1 is ideal", None, 1.0)
        >>> slope.to_minimise(0.75), slope.to_minimise(1.5)
        (0.25, 0.5)
        """
        if self.higher_is_better is None:
            return abs(value - self.ideal)
        return -value if self.higher_is_better else value


def of_probability(single: Function, multilabel: Function | None = None) -> Function:
    """A function of outputs from one of probabilities; `multilabel` serves y [n, L].

    >>> of_probability(lambda y, p, weight: (y, p))([1], {"probability": [0.5]})
    ([1], [0.5])
    """

    def function(
        y: ArrayLike, outputs: Outputs, *, weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        chosen = multilabel if multilabel is not None and np.ndim(y) == 2 else single
        return chosen(y, _take(outputs, "probability"), weight=weight)

    return function


def of_mean(metric: Function) -> Function:
    """A function of outputs from one of predicted means.

    >>> of_mean(lambda y, mean, weight: mean)([1], {"mean": [0.5]})
    [0.5]
    """

    def function(
        y: ArrayLike, outputs: Outputs, *, weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        return metric(y, _take(outputs, "mean"), weight=weight)

    return function


def of_mean_std(metric: Function) -> Function:
    """A function of outputs from one of predicted means and standard deviations.

    >>> of_mean_std(lambda y, mean, std, weight: std)([1], {"mean": [0.5], "std": [2]})
    [2]
    """

    def function(
        y: ArrayLike, outputs: Outputs, *, weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        return metric(y, _take(outputs, "mean"), std=_take(outputs, "std"), weight=weight)

    return function


def _take(outputs: Outputs, name: str) -> ArrayLike:
    if name not in outputs:
        raise DataError(
            f"this metric reads {name!r} from outputs; found {sorted(outputs)}. "
            "Choose metrics that fit the task."
        )
    return outputs[name]
