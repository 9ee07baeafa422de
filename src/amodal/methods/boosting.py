"""`boosting`: gradient-boosted trees on concatenated features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from amodal.errors import at_least
from amodal.methods.classic import ClassicMethod
from amodal.methods.classic_rows import Examples, Sample
from amodal.space import Choice, Space
from amodal.types import Task

__all__ = ["Boosting"]

_PATIENCE = 20
_SMALL_RATE, _COARSE_RATE, _FINE_RATE = 0.08, 0.1, 0.04
_SMALL = 1000
_SMALL_STEPS = 200
_BLIND_STEPS = 50  # with nothing to stop on
_BINS = 64
_SHAPES = (  # leaves, rows in a leaf, l2 penalty, share of features tried at a split
    (15, 40, 10.0, 0.2),
    (8, 40, 1.0, 0.3),
    (4, 20, 1.0, 0.3),
    (15, 20, 1.0, 1.0),
)


class Boosting(ClassicMethod):
    """Gradient boosting with histograms; the strongest of the classic methods as a rule.

    Four shapes of trees are tried on validation rows, each with as many steps as their log loss
    asks for; then, with the best of them, unknown numbers at their mean instead of in a branch of
    their own. Missing indicators are given in either case. The learning rate is .1 up to here and
    .04 for the final fit on training and validation rows, whose number of steps is found by
    three-fold cross-validation over them: one set of a few hundred rows stops it far too early or
    late. Below 1,000 rows the rate is .08 throughout, with at most 200 steps.

    Numbers enter in 64 bins: at a few thousand rows as good as 255, in less time.

    Args:
        task: what is predicted.
        trees: most steps; each is one tree (multiclass: one per class).
        augment, search, n_jobs: see `ClassicMethod`.

    Raises:
        SettingError: no tree.
    """

    name: ClassVar[str] = "boosting"
    title: ClassVar[str] = "Gradient boosting"
    reference: ClassVar[str] = "Ke et al., LightGBM, NeurIPS (as in scikit-learn)"
    year: ClassVar[int] = 2017
    folds: ClassVar[int] = 3
    search_space: ClassVar[Space] = {
        **ClassicMethod.search_space,
        "trees": Choice((200, 500, 1000)),
    }
    stops: ClassVar[bool] = True

    def __init__(self, task: Task, *, trees: int = 500, **settings: Any) -> None:
        super().__init__(task, **settings)
        at_least(1, trees=trees)
        self.trees = trees

    def grid(self, rows: Examples) -> Sequence[dict[str, Any]]:
        few = max(5, len(rows) // 40)
        return [
            {
                "learning_rate": _SMALL_RATE if len(rows) < _SMALL else _COARSE_RATE,
                "max_leaf_nodes": leaves,
                "min_samples_leaf": min(least, few),
                "l2_regularization": penalty,
                "max_features": share,
                "max_iter": min(self.trees, _BLIND_STEPS),
                "impute": False,
            }
            for leaves, least, penalty, share in _SHAPES
        ]

    def refine(self, best: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**best, "impute": True}]

    def settle(self, best: dict[str, Any]) -> dict[str, Any]:
        coarse = best["learning_rate"] == _COARSE_RATE
        return {**best, "learning_rate": _FINE_RATE} if coarse else best

    def train(
        self, settings: dict[str, Any], rows: Sample, held: Sample | None
    ) -> tuple[Any, dict[str, Any]]:
        classes = self.task.is_classification
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        most = min(self.trees, _SMALL_STEPS) if len(rows.y) < _SMALL else self.trees
        given = {k: v for k, v in settings.items() if k != "impute"}
        if held is not None:
            given["max_iter"] = most
        model = kind(
            **given,
            early_stopping=held is not None,
            n_iter_no_change=_PATIENCE,
            max_bins=_BINS,
            categorical_features=None,
            random_state=self.seed,
        )
        if held is None:
            return model.fit(rows.x, rows.y, sample_weight=rows.weight), settings
        model.fit(
            rows.x,
            rows.y,
            sample_weight=rows.weight,
            X_val=held.x,
            y_val=held.y,
            sample_weight_val=held.weight,
        )
        steps = max(1, int(np.argmax(model.validation_score_)))
        return model, {**settings, "max_iter": steps}
