"""The cells of a study and their names: a readable part and a hash of all that determines them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from amodal.errors import unknown_name
from amodal.settings import keyed, told_spec
from amodal.shifts import AbsenceShift, shift_class
from amodal.shifts.rates import check_rates, rates_text
from amodal.study.files import digest
from amodal.study.plan import NONE, Plan

__all__ = ["Evaluation", "Fit", "Job", "Pattern", "expand", "merge_settings", "points"]


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
        return NONE if self.is_none else f"{safe(told_spec(self.mechanism))}{self.rate:g}"

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
        hidden: share of the development rows whose labels are hidden.

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
    hidden: float = 0.0

    @property
    def key(self) -> dict[str, Any]:
        """All that determines the model."""
        apart = ("method", "trained", *(() if self.hidden else ("hidden",)))
        known = {k: v for k, v in vars(self).items() if k not in apart}
        return {**known, "settings": keyed(self.settings), "trained": vars(self.trained)}

    @property
    def id(self) -> str:
        """Folder name."""
        trained = "" if self.trained.is_none else f"-{self.trained.label}"
        trained += f"-hidden{self.hidden:g}" if self.hidden else ""
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
    def at(self) -> Pattern:
        """The pattern under which it is shown: of the test rows, or of training where these lose
        nothing.
        """
        return self.fit.trained if self.pattern.is_none else self.pattern

    @property
    def id(self) -> str:
        """File name without ending."""
        fit, both = self.fit, {"fit": self.fit.key, "pattern": vars(self.pattern)}
        name = safe(told_spec(fit.method))
        return f"{name}-{self.at.label}-s{fit.seed}-f{fit.fold}-{digest(both)}"


@dataclass(frozen=True)
class Job:
    """A fit with the evaluations that need it: the unit of work of one process.

    Args:
        fit: the model.
        evaluations: of it.
        probe: whether it is measured what its reliability is worth.
    """

    fit: Fit
    evaluations: tuple[Evaluation, ...]
    probe: bool = False

    @property
    def cells(self) -> int:
        """How many files its work makes."""
        return len(self.evaluations) + self.probe


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


def points(plan: Plan, names: Sequence[str]) -> list[tuple[str, float]]:
    """(mechanism, rate) of every loss of a plan; a table of rates is part of its mechanism.

    Args:
        plan: what is compared.
        names: the modalities of the data.

    Raises:
        UnknownNameError: a table names a modality that the data lack.

    >>> points(Plan("d", ("mean",), rates=(0, 0.3, {"a": 0.5})), ["a", "b"])
    [('mcar', 0.3), ('mcar:rates=a=0.5/b=0', 0.25)]
    """
    found = [(m, r) for m, r in product(plan.mechanisms, plan.rates) if r > 0]
    for text in plan.unequal:
        own = dict(check_rates(text))
        for name in own:
            if name not in names:
                raise unknown_name("modality with a rate of its own", name, names)
        whole = {name: own.get(name, 0.0) for name in names}
        mean = round(sum(whole.values()) / len(whole), 12)
        specs = [_add(mechanism, whole) for mechanism in plan.mechanisms]
        found += [(spec, mean) for spec in specs if spec and mean > 0]
    return found


def _add(mechanism: str, rates: Mapping[str, float]) -> str:
    """The mechanism with rates of its own for its part that loses modalities; "" without one."""
    parts = mechanism.split("+")
    for k, part in enumerate(parts):
        if issubclass(shift_class(part.partition(":")[0]), AbsenceShift):
            parts[k] = f"{part}:rates={rates_text(rates)}"
            return "+".join(parts)
    return ""


def expand(
    plan: Plan,
    models: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    data: str,
    version: str,
    names: Sequence[str] = (),
) -> list[Job]:
    """All jobs of a plan; those of one seed and fold follow each other.

    Args:
        plan: what is compared.
        models: spec -> (name of the method, its settings, resolved).
        data: fingerprint of the data.
        version: of the package.
        names: the modalities of the data; needed for rates of single modalities.

    >>> plan = Plan("d", ("mean",), rates=(0, 0.5), mechanisms=("mcar", "mnar"), seeds=2)
    >>> jobs = expand(plan, {"mean": ("mean", {})}, data="x", version="1")
    >>> len(jobs), [e.pattern.label for e in jobs[0].evaluations]
    (2, ['none', 'mcar0.5', 'mnar0.5'])
    """
    jobs, losses = [], points(plan, names)
    for seed, fold, spec in product(plan.seeds, range(plan.n_folds), plan.methods):
        none = Pattern(NONE, 0.0, seed, False, data, version)
        lost = [Pattern(m, r, seed, plan.keep_one, data, version) for m, r in losses]
        patterns = [none, *lost] if 0.0 in plan.rates else lost
        groups = {
            "test": [(none, patterns)],
            "training": [(p, [none]) for p in patterns],
            "both": [(p, [p]) for p in patterns],
        }[plan.absent_at]
        folds = plan.folds if plan.folds > 1 else 0
        name, settings = models[spec]
        for trained, tested in groups:
            fit = Fit(
                spec, name, settings, seed, fold, folds, trained, data, version, plan.hidden_labels
            )
            jobs.append(Job(fit, tuple(Evaluation(fit, p) for p in tested), plan.probe))
    return jobs
