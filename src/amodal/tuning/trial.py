"""One trial: a fit on development rows without the validation rows, which then score it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import amodal
from amodal.data.dataset import Dataset
from amodal.data.splits import split_development
from amodal.errors import DataError
from amodal.metrics import METRICS
from amodal.model import Model
from amodal.study.cells import Pattern
from amodal.study.plan import Plan
from amodal.study.predictions import Predicted
from amodal.study.run import absence_shift
from amodal.study.work import development_rows, one_thread

__all__ = ["Rows", "rows_of", "score_of"]

_SHARE = 0.2


@dataclass(frozen=True)
class Rows:
    """What a search sees; test rows are in none of it.

    Args:
        fit: rows that trials are fitted on; a fit draws its own validation rows out of them.
        held: (name of the loss, validation rows under it), the same for all trials and methods.
        fingerprint: of the development rows.
        seed: of split, losses and models.
    """

    fit: Dataset
    held: tuple[tuple[str, Dataset], ...]
    fingerprint: str
    seed: int


def rows_of(plan: Plan, data: Dataset) -> Rows:
    """The development rows of the plan's first seed (and first fold), split into two.

    Validation rows are the published validation and calibration rows, else a fifth. They are scored
    as they are and under each mechanism and rate of the plan.

    Raises:
        DataError: too few rows.
    """
    seed = plan.seeds[0]
    development, _ = development_rows(data, seed=seed, parts=plan.folds)
    named = development.split if development.split is not None else np.array([])
    if np.isin(named, ("valid", "calibration")).any():
        held = np.isin(named, ("valid", "calibration"))
    else:
        drawn = split_development(development, seed=seed, valid=_SHARE, calibration=0.0)
        held = np.isin(np.arange(len(development)), drawn["valid"])
    held &= development.labelled
    if not held.any():
        raise DataError("a search needs labelled validation rows; there are none; add rows")
    rest = development.take(~held).replace(split=None)
    own = development.take(held)
    losses = [("as they are", own)] if 0.0 in plan.rates else []
    for mechanism in plan.mechanisms:
        for rate in filter(None, plan.rates):
            pattern = Pattern(mechanism, rate, seed, plan.keep_one, "", amodal.__version__)
            changed = absence_shift(pattern)(development)
            losses.append((pattern.label, changed.take(held)))
    return Rows(rest, tuple(losses), development.fingerprint(), seed)


def score_of(rows: Rows, name: str, settings: Mapping[str, Any], *, metric: str) -> float:
    """The mean of a metric over the losses, so turned that lower is better.

    Raises:
        DataError: it is undefined under one of them.
    """
    with one_thread():
        model = Model(name, seed=rows.seed, **settings).fit(rows.fit)
        found = []
        for told, held in rows.held:
            p = Predicted.of(held, model.predict(held))
            value = float(METRICS[metric](p.target, p.outputs, weight=p.weight))
            if not math.isfinite(value):
                raise DataError(
                    f"{metric} must be defined on validation rows; {told} it is not; name another"
                )
            found.append(METRICS[metric].to_minimise(value))
    return float(np.mean(found))
