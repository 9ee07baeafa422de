"""`single`: the best modality alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.errors import DataError, NotFittedError
from amodal.methods.boosting import Boosting
from amodal.methods.classic import ClassicMethod
from amodal.methods.logistic import Logistic
from amodal.types import Task

__all__ = ["Single"]


class _Linear(Logistic):
    pooled: ClassVar[bool] = True
    folds: ClassVar[int] = 3


class _Trees(Boosting):
    pooled: ClassVar[bool] = True


_KINDS: dict[str, type[ClassicMethod]] = {"logistic": _Linear, "boosting": _Trees}


class Single(ClassicMethod):
    """Each row by one modality alone: the best one that it has.

    Every modality gets a logistic regression and a boosting of its own, on the rows that have it;
    the better of the two in three-fold cross-validation is kept. Modalities are ranked by how much
    log loss (regression: squared error) they save there over the base rate, rows that lack a
    modality saving nothing: what is good but rarely there ranks low. A row is predicted by the
    first modality of that ranking that it has; its reliance is 1 there and 0 elsewhere.

    After `fit`, ``ranking`` lists the modalities, best first.

    Args:
        task: what is predicted.
        trees: most steps of a boosting.
        search, n_jobs: see `ClassicMethod`; ``augment`` changes nothing here, for a lone modality
            that is lost leaves nothing to learn from.
    """

    name: ClassVar[str] = "single"
    title: ClassVar[str] = "Best single modality"
    reference: ClassVar[str] = "le Cessie and van Houwelingen 1992; Ke et al. 2017"
    year: ClassVar[int] = 2017
    reports: ClassVar[tuple[str, ...]] = ("reliance",)

    def __init__(self, task: Task, *, trees: int = 500, **settings: Any) -> None:
        super().__init__(task, **settings)
        self.trees = trees
        self.ranking: tuple[str, ...] = ()
        self._parts: dict[str, tuple[str, ClassicMethod]] = {}

    def fit(self, train: Dataset, valid: Dataset | None = None, *, seed: int = 0) -> Single:
        self._base = self._base_rate(train)
        self._modalities = train.names
        self._parts, saved = {}, {}
        for name in train.names:
            if not (train.present[:, train.names.index(name)] & _known(train)).any():
                continue  # nothing to learn from: rows that have only this get the base rate
            tried = [self._fit_part(kind, name, train, valid, seed) for kind in _KINDS]
            saved[name], kind, part = max(tried, key=lambda t: t[0])
            self._parts[name] = (kind, part)
        self.ranking = tuple(sorted(saved, key=lambda name: -saved[name]))
        return self

    def _fit_part(
        self, kind: str, name: str, train: Dataset, valid: Dataset | None, seed: int
    ) -> tuple[float, str, ClassicMethod]:
        """(loss saved per row of all rows, kind, the method fitted on rows that have `name`)."""
        own: dict[str, Any] = {"search": self.search}
        if kind == "boosting":  # shapes of trees matter little for the few columns of one modality
            own = {"search": False, "trees": self.trees}
        part = _KINDS[kind](self.task, augment=False, n_jobs=self.n_jobs, **own)
        data = [d for d in (train, valid) if d is not None and len(d)]
        alone = [_alone(d, name) for d in data]
        part.fit(alone[0], alone[1] if len(alone) > 1 else None, seed=seed)
        share = sum(_weight(d) for d in alone) / max(sum(_weight(d) for d in data), 1e-300)
        return share * self._gain(part), kind, part

    def _gain(self, part: ClassicMethod) -> float:
        """Mean loss saved over the base rate on the held-out rows of `part`, over its labels."""
        total = 0.0
        for k, held in enumerate(part.held):
            if held is not None:
                base = self._base_loss(k, held.target)
                total += float(np.average(base - held.loss, weights=held.weight))
        return total

    def _base_loss(self, label: int, target: np.ndarray) -> np.ndarray:
        if self.task.kind == "regression":
            return (target - float(self._base[0])) ** 2
        if self.task.kind == "multiclass":
            return -self._base.log_softmax(0).numpy()[target.astype(np.int64)]
        logit = float(self._base[label])
        return np.logaddexp(0.0, np.where(target == 1, -logit, logit))

    def predict(self, data: Dataset) -> Prediction:
        if self._base is None:
            raise NotFittedError("a method predicts after it was fitted; call fit first")
        if data.names != self._modalities:
            raise DataError(
                "rows must have the columns of the training rows; these differ; "
                "scale them with the scaler of the training rows"
            )
        params = self._base.repeat(len(data), 1)
        reliance = torch.zeros(data.shape, dtype=torch.float64)
        left = np.ones(len(data), dtype=bool)
        for name in self.ranking:
            k = data.names.index(name)
            rows = np.flatnonzero(left & data.present[:, k])
            if len(rows):
                found = self._parts[name][1].predict(data.take(rows).select([name]))
                params[rows], reliance[rows, k] = found.params, 1.0
                left[rows] = False
        return Prediction(self.task, params, torch.tensor(data.present), reliance=reliance)

    def estimators(self) -> dict[str, Any]:
        found = {}
        for k, name in enumerate(self.ranking):
            for key, estimator in self._parts[name][1].estimators().items():
                found[f"rank{k}-{key}"] = estimator
        return found

    def state(self) -> dict[str, Any]:
        if self._base is None:
            raise NotFittedError("a method is stored after it was fitted; call fit first")
        parts = [(name, *self._parts[name]) for name in self.ranking]
        return {
            "base": self._base.tolist(),
            "modalities": list(self._modalities),
            "parts": [{"modality": n, "kind": kind, "state": p.state()} for n, kind, p in parts],
        }

    def restore(self, estimators: Mapping[str, Any], state: Mapping[str, Any]) -> Single:
        parts = {}
        for k, facts in enumerate(state["parts"]):
            own = {
                key.removeprefix(f"rank{k}-"): e
                for key, e in estimators.items()
                if key.startswith(f"rank{k}-")
            }
            part = _KINDS[facts["kind"]](self.task, n_jobs=self.n_jobs)
            parts[facts["modality"]] = (facts["kind"], part.restore(own, facts["state"]))
        self._base = torch.tensor(state["base"], dtype=torch.float64)
        self._modalities = tuple(state["modalities"])
        self._parts, self.ranking = parts, tuple(parts)
        return self

    @property
    def chosen(self) -> list[dict[str, dict[str, Any]]]:
        """Per modality, best first: its kind of model and the settings of its first label."""
        found = []
        for name in self.ranking:
            kind, part = self._parts[name]
            first = part.chosen[0].get("plain", {})
            found.append({name: {"model": kind, **first}})
        return found


def _known(data: Dataset) -> np.ndarray:
    """``Bool[n]``: rows with a label."""
    if data.target is None:
        return np.zeros(len(data), dtype=bool)
    known = ~np.isnan(data.target)
    return known if known.ndim == 1 else known.any(axis=1)


def _alone(data: Dataset, name: str) -> Dataset:
    """The rows that have `name`, with nothing else."""
    return data.take(np.flatnonzero(data.present[:, data.names.index(name)])).select([name])


def _weight(data: Dataset) -> float:
    rows = _known(data)
    return float(rows.sum() if data.weight is None else data.weight[rows].sum())
