"""`ClassicMethod`: what the methods have in common that scikit-learn trains."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.errors import DataError, NotFittedError, SettingError
from amodal.methods.base_rates import base_params
from amodal.methods.classic_choice import Recipe, fit_head
from amodal.methods.classic_head import Head, Held
from amodal.methods.classic_rows import Examples, Sample, gather, numbers
from amodal.methods.classic_stored import TRUSTED, check_estimator
from amodal.space import Choice, Space
from amodal.types import LOST, PRESENT, Task

__all__ = ["TRUSTED", "ClassicMethod"]

_MOST = 15.0
"""Log odds beyond this are cut: no row is that certain."""


@cache
def _threads() -> ThreadpoolController:
    """Looking for the libraries that have threads takes long: it is done once."""
    return ThreadpoolController()


class ClassicMethod:
    """Base of the baselines: one matrix in, a scikit-learn estimator or two inside.

    A subclass says which estimators to try (`grid`, `refine`) and how to make one (`train`). The
    constructor is the configuration. Rows without a label are ignored, weights are respected, a
    column or modality that is never there is left out, a row with nothing present predicts the
    base rate of the training rows exactly.

    **Settings** are chosen on validation rows by log loss (regression: squared error), then the
    estimator is fitted on training and validation rows together. Where validation rows are too few
    to tell, both are cut into folds for the choice (`classic_rows.selection_pairs`). The first
    settings of the grid stay unless others are better by a standard error.

    **Losses.** An estimator that never saw a loss is over-confident under losses; one that learned
    from copies of the rows with random losses is slightly worse where nothing is lost. So two are
    fitted: rows without any `LOST` are predicted by the ``plain`` one, the others by the ``lossy``
    one. ``augment=False`` fits the plain one alone.

    **Parameters.** ``binary``: log odds within +-15; ``multiclass``: log probabilities;
    ``multilabel``: one model per label; ``regression``: mean and log standard deviation of the
    errors on held-out rows with as many modalities present (of all of them where those are fewer
    than 30). Targets and features come scaled (`amodal.data.scaling.Scaler`).

    Args:
        task: what is predicted.
        augment: learn from copies of the training rows with random losses too.
        search: try all settings; else the first of them.
        n_jobs: threads; -1 for all.

    Raises:
        SettingError: `n_jobs` is 0 or below -1.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    year: ClassVar[int] = 0
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel", "regression")
    """Kinds of task that it predicts."""
    reports: ClassVar[tuple[str, ...]] = ()
    """Which of ``reliability``, ``reliance`` and ``conflict`` its predictions have."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether rows without a label teach it anything."""
    search_space: ClassVar[Space] = {"augment": Choice((True, False))}
    """Where `amodal tune` looks for settings; penalties and shapes of trees are searched in any fit."""
    values: ClassVar[bool] = True
    """Whether it reads the numbers, or only which modalities are there."""
    cheap: ClassVar[bool] = False
    """Whether settings are searched anew for the rows with losses."""

    stops: ClassVar[bool] = False
    """Whether training stops early on held-out rows."""
    pooled: ClassVar[bool] = False
    """Whether settings are chosen by folds over all rows, however many validation rows there are."""
    folds: ClassVar[int] = 5
    """Folds for the choice of settings where validation rows are few."""

    def __init__(
        self, task: Task, *, augment: bool = True, search: bool = True, n_jobs: int = 1
    ) -> None:
        if n_jobs == 0 or n_jobs < -1:
            raise SettingError(f"n_jobs must be at least 1, or -1 for all; got {n_jobs}; change it")
        self.task = task
        self.augment, self.search, self.n_jobs = augment, search, n_jobs
        self._base: torch.Tensor | None = None
        self._columns: tuple[str, ...] = ()
        self._modalities: tuple[str, ...] = ()
        self.seed = 0
        self._heads: list[dict[str, Head]] = []

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Names and defaults of the settings, those of the bases included."""
        found: dict[str, Any] = {}
        for c in reversed(cls.__mro__):
            if "__init__" in vars(c) and issubclass(c, ClassicMethod):
                for p in inspect.signature(c).parameters.values():
                    if p.kind is p.KEYWORD_ONLY:
                        found[p.name] = p.default
        return found

    # -- what a method overrides ------------------------------------------------------------------

    def grid(self, rows: Examples) -> Sequence[dict[str, Any]]:
        """Settings to try on `rows`, the safest first.

        ``impute`` says whether unknown numbers become the mean.
        """
        raise NotImplementedError

    def refine(self, best: dict[str, Any]) -> list[dict[str, Any]]:
        """More settings to try around the best ones of the grid."""
        return []

    def settle(self, best: dict[str, Any]) -> dict[str, Any]:
        """The chosen settings as the final fit has them (methods that stop early)."""
        return best

    def train(
        self, settings: dict[str, Any], rows: Sample, held: Sample | None
    ) -> tuple[Any, dict[str, Any]]:
        """A fitted estimator, and the settings that a final fit needs (see `Recipe`)."""
        raise NotImplementedError

    # -- fit and predict --------------------------------------------------------------------------

    def fit(self, train: Dataset, valid: Dataset | None = None, *, seed: int = 0) -> ClassicMethod:
        """Learns from `train`, choosing settings on `valid`.

        Raises:
            DataError: no label at all.
            MediaError: a file cannot be decoded.
        """
        rows = gather(train, valid, values=self.values)
        self._base = self._base_rate(train)
        self._columns = numbers(train[:0], values=self.values).names
        self._modalities = train.names
        self.seed = int(seed) % 2**31  # scikit-learn takes no larger one
        labels = len(self.task.classes) if self.task.kind == "multilabel" else 1
        with self._limit():
            self._heads = [self._fit_label(rows.label(k)) for k in range(labels)]
        return self

    def _base_rate(self, train: Dataset) -> torch.Tensor:
        known = train.target is not None and ~np.isnan(train.target)
        if not np.any(known):
            raise DataError("training needs rows with a known target; got none; add the targets")
        rows = np.flatnonzero(known if known.ndim == 1 else known.any(axis=1))
        weight = None if train.weight is None else torch.tensor(train.weight[rows])
        return base_params(self.task, torch.tensor(train.target[rows]), weight).double()

    def _fit_label(self, rows: Examples) -> dict[str, Head]:
        rows = rows.take(rows.present.any(axis=1))
        if len(rows) == 0:
            return {}
        grid = list(self.grid(rows))
        plain = fit_head(rows, self._recipe(grid if self.search else grid[:1]), losses=False)
        if not self.augment or rows.absence.shape[1] < 2:
            return {"plain": plain}
        again = self._recipe(grid if self.cheap and self.search else [plain.chosen], again=True)
        lossy = fit_head(rows, again, losses=True)
        return {"plain": plain, "lossy": lossy}

    def _recipe(self, grid: list[dict[str, Any]], *, again: bool = False) -> Recipe:
        classes = {"binary": 2, "multilabel": 2, "multiclass": len(self.task.classes)}
        return Recipe(
            train=self.train,
            grid=grid,
            refine=self.refine if self.search and not again else lambda best: [],
            settle=self.settle,
            classes=classes.get(self.task.kind, 0),
            values=self.values,
            seed=self.seed,
            folds=self.folds,
            stops=self.stops,
            pooled=self.pooled,
        )

    def _limit(self) -> Any:
        return _threads().limit(limits=None if self.n_jobs < 0 else self.n_jobs)

    def predict(self, data: Dataset) -> Prediction:
        """The prediction for the rows of `data`, in float64.

        Raises:
            NotFittedError: the method was not fitted.
            DataError: other columns than those of the training rows.
        """
        if self._base is None:
            raise NotFittedError("a method predicts after it was fitted; call fit first")
        table = numbers(data, values=self.values)
        if data.names != self._modalities or table.names != self._columns:
            raise DataError(
                "rows must have the columns of the training rows; these differ; "
                "scale them with the scaler of the training rows"
            )
        with self._limit():
            found = [self._predict_label(heads, table.x, data.absence) for heads in self._heads]
        params = np.concatenate(found, axis=1)
        empty = ~data.present.any(axis=1)
        unknown = np.isnan(params)
        params = np.where(empty[:, None] | unknown, self._base.numpy(), params)
        return Prediction(self.task, torch.from_numpy(params), torch.tensor(data.present))

    def _predict_label(
        self, heads: dict[str, Head], x: np.ndarray, absence: np.ndarray
    ) -> np.ndarray:
        """``Float64[n, p]`` parameters; NaN where nothing is known."""
        width = {"multiclass": len(self.task.classes), "regression": 2}.get(self.task.kind, 1)
        found = np.full((len(x), width), np.nan)
        there = (absence == PRESENT).any(axis=1)
        lossy = (absence == LOST).any(axis=1) & ("lossy" in heads)
        for side, rows in (("plain", there & ~lossy), ("lossy", there & lossy)):
            if side in heads and rows.any():
                found[rows] = self._params(heads[side], x[rows], absence[rows])
        return found

    def _params(self, head: Head, x: np.ndarray, absence: np.ndarray) -> np.ndarray:
        if self.task.kind == "regression":
            count = (absence == PRESENT).sum(axis=1)
            return np.stack([head.mean(x, absence), np.log(head.std[count])], axis=1)
        found = head.log_proba(x, absence)
        if self.task.kind == "multiclass":
            return found
        return np.clip(found[:, 1:] - found[:, :1], -_MOST, _MOST)

    # -- storing ----------------------------------------------------------------------------------

    def estimators(self) -> dict[str, Any]:
        """The fitted scikit-learn estimators by name (fit for a file name)."""
        return {
            f"label{k}-{side}": head.estimator
            for k, heads in enumerate(self._heads)
            for side, head in heads.items()
            if head.estimator is not None
        }

    def state(self) -> dict[str, Any]:
        """All else that a prediction needs, as JSON."""
        if self._base is None:
            raise NotFittedError("a method is stored after it was fitted; call fit first")
        return {
            "base": self._base.tolist(),
            "columns": list(self._columns),
            "modalities": list(self._modalities),
            "heads": [{s: h.to_json() for s, h in heads.items()} for heads in self._heads],
        }

    def restore(self, estimators: Mapping[str, Any], state: Mapping[str, Any]) -> ClassicMethod:
        """Takes back what `estimators` and `state` gave.

        Raises:
            CheckpointError: an estimator that does not fit the state, or would read out of bounds.
            KeyError: something lacks.
        """
        heads = [
            {
                side: self._restore_head(facts[side], estimators, f"label{k}-{side}")
                for side in facts
            }
            for k, facts in enumerate(state["heads"])
        ]
        base = torch.tensor(state["base"], dtype=torch.float64)
        self._base, self._heads = base, heads
        self._columns, self._modalities = tuple(state["columns"]), tuple(state["modalities"])
        return self

    def _restore_head(
        self, facts: Mapping[str, Any], estimators: Mapping[str, Any], name: str
    ) -> Head:
        head = Head.from_json(facts, None if facts["constant"] else estimators[name])
        if head.estimator is not None:
            check_estimator(head.estimator, head.design.width)
        return head

    @property
    def held(self) -> list[Held | None]:
        """Per label, how the plain estimator did on rows held out (after `fit`, not stored)."""
        return [heads["plain"].held if heads else None for heads in self._heads]

    @property
    def chosen(self) -> list[dict[str, dict[str, Any]]]:
        """The settings that were chosen: per label, per side (``plain``, ``lossy``)."""
        return [{side: head.chosen for side, head in heads.items()} for heads in self._heads]
