"""A severity score of each row from a cross-fitted model: its own label does not enter it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.features import tabulate
from amodal.errors import DataError, SettingError
from amodal.shifts.keyed import uniform
from amodal.shifts.scores import labelled_outcome, standardise

__all__ = ["SeverityScore", "assign_folds", "row_features"]

_CLIP = 8.0
_PENALTY = 10.0  # ridge penalty on standardised features; logistic regression's C is 1 over it


def row_features(data: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """``Float64[n, f]`` features of the rows (NaN = missing) and their names.

    Those of `tabulate`, without the indicators of loss: loss tells nothing of a row.

    >>> x, names = row_features(Dataset.from_arrays({"a": [[1.5], None]}))
    >>> names, x.tolist()
    (('a:x0', 'a:not_measured'), [[1.5, 0.0], [nan, 1.0]])
    """
    table = tabulate(data)
    indicators = len(table.names) - 2 * data.shape[1]  # not_measured and lost of each come last
    keep = [j for j in range(len(table.names)) if j < indicators or (j - indicators) % 2 == 0]
    x = np.asarray(table.x, dtype=np.float64)[:, keep]
    return x, tuple(table.names[j] for j in keep)


def _aligned(x: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The columns `wanted` of `x`, by name; NaN where there is no such column."""
    place = {name: j for j, name in enumerate(names)}
    padded = np.column_stack([x, np.full(len(x), np.nan)])
    return padded[:, [place.get(name, -1) for name in wanted]]


def assign_folds(
    units: np.ndarray, y: np.ndarray, folds: int, *, seed: int = 0, classes: bool = True
) -> dict[str, int]:
    """Unit (a row, or a group of rows) -> fold, drawn by key, so that order changes nothing.

    Units are dealt out in turn, in keyed random order, the units with any positive row first where
    `classes`, so that every fold has its share of them.

    Args:
        units: ``str[n]`` the unit of each labelled row.
        y: ``Float[n]`` outcomes; 0 or 1 where `classes`.
        folds: at most this many, at most one per unit, and where `classes` at most one per positive
            unit.
        seed: any integer.
        classes: whether the outcome is a class.

    Raises:
        DataError: fewer than two folds are possible, or a fold's complement has one class only.

    >>> fold = assign_folds(np.array(["p", "q", "r", "s"]), np.array([1.0, 0.0, 1.0, 0.0]), 5)
    >>> sorted(fold.values()), fold["p"] != fold["r"]  # two positive units: two folds
    ([0, 0, 1, 1], True)
    """
    names, which = np.unique(units, return_inverse=True)
    top = np.zeros(len(names))
    if classes:
        np.maximum.at(top, which, y)
    most = min(folds, len(names), int(top.sum()) if classes else len(names))
    if most >= 2:
        order = np.lexsort((uniform(seed, names, ["fold"], "severity")[:, 0], -top))
        fold = np.empty(len(names), dtype=int)
        fold[order] = np.arange(len(names)) % most
        rest = [y[fold[which] != k] for k in range(most)]
        if not classes or all(len(np.unique(part)) == 2 for part in rest):
            return dict(zip(names.tolist(), fold.tolist(), strict=True))
    what = "rows (or groups) of each class" if classes else "labelled rows (or groups)"
    raise DataError(
        f"a cross-fitted severity score needs at least two {what} in the reference; "
        f"got fewer in {len(y)} labelled rows; hand in other rows as reference or use 'mcar'"
    )


@dataclass(frozen=True, eq=False)
class _Linear:
    """A linear model on standardised features, a missing one standing at its mean."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, *, classes: bool) -> _Linear:
        from sklearn.linear_model import LogisticRegression, Ridge

        known = ~np.isnan(x)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, x, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
        flat = spread <= 1e-12 * np.maximum(1.0, np.abs(mean))
        scale = np.where(flat, np.inf, spread)
        model = cls(mean, scale, np.zeros(x.shape[1]), 0.0)
        z = model.inputs(x)
        if classes:
            fitted = LogisticRegression(C=1 / _PENALTY, max_iter=2000).fit(z, y > 0)
            return cls(mean, scale, fitted.coef_[0], float(fitted.intercept_[0]))
        fitted = Ridge(alpha=_PENALTY).fit(z, y)
        return cls(mean, scale, fitted.coef_, float(fitted.intercept_))

    def inputs(self, x: np.ndarray) -> np.ndarray:
        z = np.clip((x - self.mean) / self.scale, -_CLIP, _CLIP)
        return np.where(np.isnan(z), 0.0, z)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """``Float64[n]`` log-odds of the marked class, or the mean."""
        return self.inputs(x) @ self.weight + self.bias


class SeverityScore:
    """How severe the case of a row is by its features: one score a row.

    Logistic regression (penalty 10 on standardised features) of the marked class, or ridge
    regression of the number of labels (multilabel) or of the value (regression), on the features of
    `tabulate` without indicators of loss. Rows of the reference are divided into folds, groups kept
    together; a labelled row, or a row of such a row's group, is scored by the model that was fitted
    without its fold, any other row by the mean of the models. Scores are standardised to mean 0 and
    standard deviation 1 over the rows of the reference.

    Args:
        reference: rows with labels, before any loss.
        folds: number of folds, at least 2; fewer where classes are small.
        positive: the class that counts as severe; see `marked_class`.
        seed: deals rows out to folds.

    Raises:
        DataError: no labels, one class only, or too few rows of a class.

    >>> x, y = np.arange(40.0)[:, None], np.arange(40) >= 20
    >>> d = Dataset.from_arrays({"a": x}, y.astype(int))
    >>> score = SeverityScore(d)(d, ["a"]).ravel()
    >>> bool(score[y].min() > score[~y].max()), round(float(score.std()), 6)
    (True, 1.0)
    """

    def __init__(
        self, reference: Dataset, *, folds: int = 5, positive: str | None = None, seed: int = 0
    ) -> None:
        if not isinstance(folds, int) or folds < 2:
            raise SettingError(
                f"the number of folds must be an integer of at least 2; got {folds!r}; change it"
            )
        y, marked = labelled_outcome(reference, positive)
        self._task = reference.task
        x, self._names = row_features(reference)
        rows = np.flatnonzero(~np.isnan(y))
        rows = rows[np.argsort(reference.row_id[rows], kind="stable")]  # order changes nothing
        row_id, classes = reference.row_id[rows], marked is not None
        units = row_id if reference.group is None else reference.group[rows]
        dealt = assign_folds(units, y[rows], folds, seed=seed, classes=classes)
        fold = np.array([dealt[u] for u in units.tolist()])
        self._of_row = dict(zip(row_id.tolist(), fold.tolist(), strict=True))
        self._of_group = {} if reference.group is None else dealt
        self._models = [
            _Linear.fit(x[rows[fold != k]], y[rows[fold != k]], classes=classes)
            for k in range(fold.max() + 1)
        ]
        self._raw = self._score(reference)
        self.facts: dict[str, Any] = {"outcome": self._task.name, "folds": len(self._models)}
        if classes:
            self.facts["positive"] = self._task.classes[marked]

    def _folds(self, data: Dataset) -> np.ndarray:
        """``Int[n]`` the fold that holds a row, or others of its group; -1 where none does."""
        fold = [self._of_row.get(r, -1) for r in data.row_id.tolist()]
        if data.group is not None and self._of_group:
            groups = data.group.tolist()
            fold = [self._of_group.get(g, f) for f, g in zip(fold, groups, strict=True)]
        return np.array(fold, dtype=int)

    def _score(self, data: Dataset) -> np.ndarray:
        x, names = row_features(data)
        x = _aligned(x, names, self._names)
        each = np.column_stack([model.predict(x) for model in self._models])
        fold = self._folds(data)
        own = each[np.arange(len(x)), fold]
        return np.where(fold >= 0, own, each.mean(axis=1))

    def __call__(self, data: Dataset, names: Sequence[str]) -> np.ndarray:
        """``Float64[n, 1]`` the scores of the rows of `data`."""
        return standardise(self._score(data), self._raw)[:, None]
