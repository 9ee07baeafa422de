"""`boosting`: gradient-boosted trees on concatenated features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from amodal.methods.classic import ClassicMethod
from amodal.methods.classic_rows import Examples

__all__ = ["Boosting"]

_MOST_TREES = 500
_PATIENCE = 15
_SHAPES = (  # leaves, rows in a leaf, l2 penalty, share of features tried at a split
    (15, 40, 10.0, 0.2),
    (8, 40, 1.0, 0.3),
    (4, 20, 1.0, 0.3),
    (15, 20, 1.0, 1.0),
    (31, 20, 10.0, 0.2),
)


class Boosting(ClassicMethod):
    """Gradient boosting with histograms; the strongest of the classic methods as a rule.

    Shapes of the trees are tried on validation rows, each with as many steps as their log loss
    asks for; then, with the best of them, unknown numbers at their mean instead of in a branch of
    their own, and half the learning rate. Missing indicators are given in either case. The final
    fit on training and validation rows takes the number of steps found.
    """

    name: ClassVar[str] = "boosting"
    title: ClassVar[str] = "Gradient boosting"
    reference: ClassVar[str] = "Ke et al., LightGBM, NeurIPS (as in scikit-learn)"
    year: ClassVar[int] = 2017

    def grid(self, rows: Examples) -> Sequence[dict[str, Any]]:
        few = max(2, len(rows) // 40)
        return [
            {
                "learning_rate": 0.06,
                "max_leaf_nodes": leaves,
                "min_samples_leaf": min(least, few),
                "l2_regularization": penalty,
                "max_features": share,
                "max_iter": 100,
                "impute": False,
            }
            for leaves, least, penalty, share in _SHAPES
        ]

    def refine(self, best: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {**best, "impute": True},
            {**best, "learning_rate": best["learning_rate"] / 2},
        ]

    def train(
        self,
        settings: dict[str, Any],
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        held: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None,
    ) -> tuple[Any, dict[str, Any]]:
        classes = self.task.is_classification
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        tree = {k: v for k, v in settings.items() if k not in ("impute", "max_iter")}
        if held is None:
            model = kind(
                max_iter=settings["max_iter"],
                early_stopping=False,
                categorical_features=None,
                random_state=self.seed,
                **tree,
            )
            return model.fit(x, y, sample_weight=weight), settings
        model = kind(
            max_iter=_MOST_TREES,
            early_stopping=True,
            n_iter_no_change=_PATIENCE,
            categorical_features=None,
            random_state=self.seed,
            **tree,
        )
        model.fit(
            x, y, sample_weight=weight, X_val=held[0], y_val=held[1], sample_weight_val=held[2]
        )
        steps = max(1, int(np.argmax(model.validation_score_)))
        return model, {**settings, "max_iter": steps}
