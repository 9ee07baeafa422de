"""`logistic`: penalised logistic regression on concatenated features; ridge for a real target."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from amodal.methods.classic import ClassicMethod
from amodal.methods.classic_rows import Examples, Sample

__all__ = ["Logistic"]

_FIRST = 0.01
_GRID = (1e-4, 3e-4, 1e-3, 3e-3, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)


class Logistic(ClassicMethod):
    """Linear in the standardised features, unknown ones at their mean, with missing indicators.

    Minimises C sum_i w_i loss_i + |beta|^2 / 2, the intercept free, with the log loss (all classes
    at once) or half the squared error. C out of 1e-4 ... 10 is chosen on validation rows.
    """

    name: ClassVar[str] = "logistic"
    title: ClassVar[str] = "Logistic regression"
    reference: ClassVar[str] = (
        "le Cessie and van Houwelingen, Ridge estimators in logistic regression, "
        "Applied Statistics 41(1)"
    )
    year: ClassVar[int] = 1992
    cheap: ClassVar[bool] = True

    def grid(self, rows: Examples) -> Sequence[dict[str, Any]]:
        return [{"C": c, "impute": True} for c in (_FIRST, *_GRID)]

    def train(
        self, settings: dict[str, Any], rows: Sample, held: Sample | None
    ) -> tuple[Any, dict[str, Any]]:
        if self.task.kind == "regression":
            model = Ridge(alpha=1.0 / settings["C"])
            return model.fit(rows.x, rows.y, sample_weight=rows.weight), settings
        model = LogisticRegression(C=settings["C"], max_iter=1000)
        with warnings.catch_warnings():  # hardly penalised and separable: good enough to be scored
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(rows.x, rows.y, sample_weight=rows.weight), settings
