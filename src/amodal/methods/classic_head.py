"""`Head`: a fitted estimator with its design, and how its settings did on rows kept out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amodal.methods.classic_design import Design, impute_means

__all__ = ["Head", "Held"]


@dataclass(frozen=True, eq=False)
class Held:
    """How the chosen settings did on h rows that their estimator had not seen.

    Args:
        loss: ``Float64[h]`` negative log likelihood; regression: squared error.
        target, weight: ``Float64[h]``.
        count: ``Int64[h]`` number of present modalities.
    """

    loss: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    count: np.ndarray

    @property
    def mean(self) -> float:
        """The weighted mean loss."""
        return float(np.average(self.loss, weights=self.weight))


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted estimator and what turns its output into a distribution.

    Args:
        design: makes its matrix.
        estimator: of scikit-learn; None where the rows had one class only.
        prior: ``Float64[C]`` shares of the classes, none of them 0; regression: the mean, ``[1]``.
        rows: number of rows that it learned from.
        chosen: its settings.
        std: ``Float64[m + 1]`` standard deviation of the error with 0, 1, ... m modalities
            present; empty for classification.
        held: how the settings did; not stored.
    """

    design: Design
    estimator: Any
    prior: np.ndarray
    rows: int
    chosen: dict[str, Any]
    std: np.ndarray = field(default_factory=lambda: np.zeros(0))
    held: Held | None = None

    def log_proba(self, x: np.ndarray, absence: np.ndarray) -> np.ndarray:
        """``Float64[n, C]`` log probabilities.

        The estimator's probabilities count as n training rows, the class shares as one more:
        p' = (n p + prior) / (n + 1). So no class has probability 0, be it that a forest has
        never seen it or that no training row had it.
        """
        found = np.zeros((len(x), len(self.prior)))
        if self.estimator is None:
            found += self.prior
        elif len(x):
            seen = self.estimator.classes_.astype(np.int64)
            found[:, seen] = self.estimator.predict_proba(self._matrix(x, absence))
        return np.log((self.rows * found + self.prior) / (self.rows + 1.0))

    def mean(self, x: np.ndarray, absence: np.ndarray) -> np.ndarray:
        """``Float64[n]`` predicted means."""
        if self.estimator is None or len(x) == 0:
            return np.full(len(x), self.prior[0])
        return self.estimator.predict(self._matrix(x, absence)).reshape(len(x))

    def _matrix(self, x: np.ndarray, absence: np.ndarray) -> np.ndarray:
        found = self.design.apply(x, absence)
        return impute_means(found) if self.chosen["impute"] else found

    def to_json(self) -> dict[str, Any]:
        """All but the estimator, as JSON."""
        return {
            "design": self.design.to_json(),
            "prior": self.prior.tolist(),
            "rows": self.rows,
            "chosen": self.chosen,
            "std": self.std.tolist(),
            "constant": self.estimator is None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], estimator: Any) -> Head:
        """The head that `to_json` described, around its estimator."""
        prior, std = np.array(data["prior"]), np.array(data["std"], dtype=np.float64)
        design = Design.from_json(data["design"])
        return cls(design, estimator, prior, int(data["rows"]), dict(data["chosen"]), std)
