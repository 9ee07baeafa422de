"""What a stored scikit-learn model may consist of, and that it reads nothing out of bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from amodal.errors import CheckpointError

__all__ = ["TRUSTED", "check_estimator"]

TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types that skops may load beyond its own list: arrays of tree nodes. Nothing else."""

_FORESTS = (RandomForestClassifier, RandomForestRegressor)
_BOOSTERS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_LINEAR = (LogisticRegression, Ridge)


def check_estimator(estimator: Any, width: int) -> None:
    """Checks that a loaded estimator is one of ours, reads `width` columns and its own nodes only.

    Trees predict in compiled code that trusts its node numbers: a file with wrong ones could crash
    the interpreter. Children come after their parent, so every path ends.

    Raises:
        CheckpointError: it is something else.
    """
    known = isinstance(estimator, _FORESTS + _BOOSTERS + _LINEAR)
    if not known or getattr(estimator, "n_features_in_", None) != width:
        raise _broken()
    if isinstance(estimator, _FORESTS):
        for tree in estimator.estimators_:
            t = tree.tree_
            leaf = t.children_left == -1
            _check_nodes(t.children_left, t.children_right, t.feature, leaf, width)
    elif isinstance(estimator, _BOOSTERS):
        for tree in (t for step in estimator._predictors for t in step):
            n = tree.nodes
            _check_nodes(n["left"], n["right"], n["feature_idx"], n["is_leaf"] != 0, width)
            if n["is_categorical"].any():
                raise _broken()


def _check_nodes(
    left: np.ndarray, right: np.ndarray, feature: np.ndarray, leaf: np.ndarray, width: int
) -> None:
    inner = np.flatnonzero(~leaf)
    if len(leaf) == 0:
        raise _broken()
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if (child <= inner).any() or (child >= len(leaf)).any():
            raise _broken()
    if (feature[inner] < 0).any() or (feature[inner] >= width).any():
        raise _broken()


def _broken() -> CheckpointError:
    return CheckpointError(
        "a stored estimator must be the one that was saved with its model; this one does not fit; "
        "train it again"
    )
