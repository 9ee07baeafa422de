"""The cells of a study and their names: a readable part and a hash of all that determines them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from amodal.settings import keyed, told_spec
from amodal.study.files import digest
from amodal.study.plan import NONE, Plan

__all__ = ["Evaluation", "Fit", "Job", "Pattern", "expand", "merge_settings"]


@dataclass(frozen=True)
class Pattern:
    """Which pairs are lost, at one seed: drawn once, the same for all methods.

    Args:
        mechanism: spec of an absence shift, `NONE` at rate 0.
        rate: the rate asked for.
        seed: of the draw.
        keep_one: a row never loses all that it had.
        data: fingerprint of the rows that it is drawn for.
        version: of the package.

    >>> pattern = Pattern("mcar", 0.5, 0, False, data="x", version="1")
    >>> pattern.label, pattern.id == Pattern("mcar", 0.5, 0, False, data="y", version="1").id
    ('mcar0.5', False)
    """

    mechanism: str
    rate: float
    seed: int
    keep_one: bool
    data: str
    version: str

    @property
    def is_none(self) -> bool:
        """Nothing is lost."""
        return self.mechanism == NONE

    @property
    def label(self) -> str:
        """The readable part: mechanism and rate."""
        return NONE if self.is_none else f"{safe(self.mechanism)}{self.rate:g}"

    @property
    def id(self) -> str:
        """File name without ending."""
        return f"{self.label}-s{self.seed}-{digest(vars(self))}"


@dataclass(frozen=True)
class Fit:
    """One model, fitted once.

    Args:
        method: the spec as the plan names it.
        name: the method's name.
        settings: all settings of the model that the plan states, resolved.
        seed: of split, loss and model.
        fold: the test part, from 0.
        folds: how many there are; 0 for a single split.
        trained: the pattern of the training rows.
        data: fingerprint of the data.
        version: of the package.

    >>> none = Pattern(NONE, 0.0, 0, False, data="x", version="1")
    >>> one, two = (Fit("mean", "mean", {"epochs": e}, 0, 2, 5, none, "x", "1") for e in (3, 4))
    >>> one.id[:11], one.id == two.id, one.unit
    ('mean-s0-f2-', False, (0, 2))
    """

    method: str
    name: str
    settings: Mapping[str, Any]
    seed: int
    fold: int
    folds: int
    trained: Pattern
    data: str
    version: str

    @property
    def key(self) -> dict[str, Any]:
        """All that determines the model."""
        known = {k: v for k, v in vars(self).items() if k not in ("method", "trained")}
        return {**known, "settings": keyed(self.settings), "trained": vars(self.trained)}

    @property
    def id(self) -> str:
        """Folder name."""
        trained = "" if self.trained.is_none else f"-{self.trained.label}"
        return (
            f"{safe(told_spec(self.method))}{trained}-s{self.seed}-f{self.fold}-{digest(self.key)}"
        )

    @property
    def unit(self) -> tuple[int, int]:
        """(seed, fold): which rows are tested."""
        return self.seed, self.fold


@dataclass(frozen=True)
class Evaluation:
    """One model on its test rows under one pattern of loss.

    >>> none, lost = (Pattern(m, r, 0, False, "x", "1") for m, r in ((NONE, 0.0), ("mcar", 0.5)))
    >>> fit = Fit("mean", "mean", {}, 0, 2, 5, none, "x", "1")
    >>> Evaluation(fit, lost).id[:19]
    'mean-mcar0.5-s0-f2-'
    """

    fit: Fit
    pattern: Pattern

    @property
    def id(self) -> str:
        """File name without ending."""
        fit, both = self.fit, {"fit": self.fit.key, "pattern": vars(self.pattern)}
        name = safe(told_spec(fit.method))
        return f"{name}-{self.pattern.label}-s{fit.seed}-f{fit.fold}-{digest(both)}"


@dataclass(frozen=True)
class Job:
    """A fit with the evaluations that need it: the unit of work of one process."""

    fit: Fit
    evaluations: tuple[Evaluation, ...]


def safe(text: str) -> str:
    """`text` with what file systems dislike replaced.

    >>> safe("aum:aggregation=posterior:ensemble=4")
    'aum_aggregation-posterior_ensemble-4'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text.replace(":", "_"))[:80]


def merge_settings(
    plan: Plan, spec: str, *, name: str, family: str, own: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of one method: those for all, its family, its name, its spec, in the spec.

    >>> plan = Plan("d", ("aum:width=8",), settings={"*": {"epochs": 3}, "aum": {"width": 4}})
    >>> merge_settings(plan, "aum:width=8", name="aum", family="neural", own={"width": 8})
    {'epochs': 3, 'width': 8}
    """
    merged: dict[str, Any] = {}
    for key in ("*", family, name, spec):
        merged.update(plan.settings.get(key, {}))
    return {**merged, **own}


def expand(
    plan: Plan, models: Mapping[str, tuple[str, Mapping[str, Any]]], *, data: str, version: str
) -> list[Job]:
    """All jobs of a plan; those of one seed and fold follow each other.

    Args:
        plan: what is compared.
        models: spec -> (name of the method, its settings, resolved).
        data: fingerprint of the data.
        version: of the package.

    >>> plan = Plan("d", ("mean",), rates=(0, 0.5), mechanisms=("mcar", "mnar"), seeds=2)
    >>> jobs = expand(plan, {"mean": ("mean", {})}, data="x", version="1")
    >>> len(jobs), [e.pattern.label for e in jobs[0].evaluations]
    (2, ['none', 'mcar0.5', 'mnar0.5'])
    """
    jobs = []
    for seed, fold, spec in product(plan.seeds, range(plan.n_folds), plan.methods):
        none = Pattern(NONE, 0.0, seed, False, data, version)
        lost = [
            Pattern(m, r, seed, plan.keep_one, data, version)
            for m, r in product(plan.mechanisms, plan.rates)
            if r > 0
        ]
        patterns = [none, *lost] if 0.0 in plan.rates else lost
        groups = [(none, patterns)] if plan.absent_at == "test" else [(p, [p]) for p in patterns]
        folds = plan.folds if plan.folds > 1 else 0
        name, settings = models[spec]
        for trained, tested in groups:
            fit = Fit(spec, name, settings, seed, fold, folds, trained, data, version)
            jobs.append(Job(fit, tuple(Evaluation(fit, p) for p in tested)))
    return jobs
