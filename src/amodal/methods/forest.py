"""`forest`: a random forest on concatenated features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from amodal.errors import at_least
from amodal.methods.classic import ClassicMethod
from amodal.methods.classic_rows import Examples, Sample
from amodal.space import Choice, Space
from amodal.types import Task

__all__ = ["Forest"]

_SEARCH_TREES = 60


class Forest(ClassicMethod):
    """A random forest; unknown features at their mean, with missing indicators.

    The least number of rows in a leaf (3 or 10) and the share of features tried at a split (root,
    a tenth, a fifth) are chosen on validation rows with 60 trees.

    Args:
        task: what is predicted.
        trees: number of trees of the final forest; more than 200 gain nothing that can be seen.
        augment, search, n_jobs: see `ClassicMethod`.

    Raises:
        SettingError: no tree.
    """

    name: ClassVar[str] = "forest"
    title: ClassVar[str] = "Random forest"
    reference: ClassVar[str] = "Breiman, Random forests, Machine Learning 45"
    year: ClassVar[int] = 2001
    folds: ClassVar[int] = 3
    search_space: ClassVar[Space] = {
        **ClassicMethod.search_space,
        "trees": Choice((100, 200, 500)),
    }

    def __init__(self, task: Task, *, trees: int = 200, **settings: Any) -> None:
        super().__init__(task, **settings)
        at_least(1, trees=trees)
        self.trees = trees

    def grid(self, rows: Examples) -> Sequence[dict[str, Any]]:
        shares = (0.1, 0.2, "sqrt") if self.task.is_classification else (0.33, 0.1, 0.6)
        return [
            {"min_samples_leaf": leaf, "max_features": share, "impute": True}
            for share in shares
            for leaf in (3, 10)
        ]

    def train(
        self, settings: dict[str, Any], rows: Sample, held: Sample | None
    ) -> tuple[Any, dict[str, Any]]:
        kind = RandomForestClassifier if self.task.is_classification else RandomForestRegressor
        model = kind(
            self.trees if held is None else min(self.trees, _SEARCH_TREES),
            min_samples_leaf=settings["min_samples_leaf"],
            max_features=settings["max_features"],
            n_jobs=self.n_jobs,
            random_state=self.seed,
        )
        return model.fit(rows.x, rows.y, sample_weight=rows.weight), settings
