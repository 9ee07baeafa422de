"""One trial: a fit on development rows without the validation rows, which then score it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import amodal
from amodal.data.dataset import Dataset
from amodal.data.splits import folds, split_development
from amodal.errors import DataError
from amodal.metrics import METRICS
from amodal.model import Model
from amodal.study.cells import Pattern
from amodal.study.plan import Plan
from amodal.study.predictions import Predicted
from amodal.study.run import absence_shift
from amodal.study.work import development_rows, one_thread

__all__ = ["Part", "Rows", "rows_of", "score_of"]

_SHARE = 0.2


@dataclass(frozen=True)
class Part:
    """Rows that a model of a trial is fitted on, and those that score it.

    Args:
        fit: a fit draws its own validation rows out of them.
        held: (name of the loss, validation rows under it), the same for all trials and methods.
    """

    fit: Dataset
    held: tuple[tuple[str, Dataset], ...]


@dataclass(frozen=True)
class Rows:
    """What a search sees; test rows are in none of it.

    Args:
        parts: one, or as many as there are folds: a trial is fitted and scored in each.
        fingerprint: of the development rows.
        seed: of split, losses and models.
    """

    parts: tuple[Part, ...]
    fingerprint: str
    seed: int


def rows_of(plan: Plan, data: Dataset, validation_folds: int = 0) -> Rows:
    """The development rows of the plan's first seed (and first fold), split into two.

    Validation rows are the published validation and calibration rows, else a fifth; or, with
    `validation_folds`, each fold of the development rows in turn. They are scored as they are and
    under each mechanism and rate of the plan.

    Raises:
        DataError: too few rows.
        SettingError: one fold.
    """
    seed = plan.seeds[0]
    development, _ = development_rows(data, seed=seed, parts=plan.folds)
    if validation_folds:
        drawn = [held for _, held in folds(development, validation_folds, seed=seed)]
    else:
        drawn = [_validation_rows(development, seed)]
    losses = [("as they are", development)] if 0.0 in plan.rates else []
    for mechanism in plan.mechanisms:
        for rate in filter(None, plan.rates):
            pattern = Pattern(mechanism, rate, seed, plan.keep_one, "", amodal.__version__)
            losses.append((pattern.label, absence_shift(pattern)(development)))
    parts = []
    for rows in drawn:
        held = np.isin(np.arange(len(development)), rows)
        scored = held & development.labelled
        if not scored.any():
            raise DataError("a search needs labelled validation rows; there are none; add rows")
        under = tuple((name, changed.take(scored)) for name, changed in losses)
        parts.append(Part(development.take(~held).replace(split=None), under))
    return Rows(tuple(parts), development.fingerprint(), seed)


def _validation_rows(development: Dataset, seed: int) -> np.ndarray:
    """Positions of the published validation and calibration rows, else of a fifth."""
    if development.split is not None:
        published = np.isin(development.split, ("valid", "calibration"))
        if published.any():
            return np.flatnonzero(published & development.labelled)
    return split_development(development, seed=seed, valid=_SHARE, calibration=0.0)["valid"]


def score_of(rows: Rows, name: str, settings: Mapping[str, Any], *, metric: str) -> float:
    """The mean of a metric over the losses (and parts), so turned that lower is better.

    Raises:
        DataError: it is undefined under one of them.
    """
    with one_thread():
        found = [_under_losses(rows.seed, part, name, settings, metric) for part in rows.parts]
    return float(np.mean(found))


def _under_losses(
    seed: int, part: Part, name: str, settings: Mapping[str, Any], metric: str
) -> list[float]:
    model = Model(name, seed=seed, **settings).fit(part.fit)
    found = []
    for told, held in part.held:
        p = Predicted.of(held, model.predict(held))
        value = float(METRICS[metric](p.target, p.outputs, weight=p.weight))
        if not math.isfinite(value):
            raise DataError(
                f"{metric} must be defined on validation rows; {told} it is not; name another"
            )
        found.append(METRICS[metric].to_minimise(value))
    return found
