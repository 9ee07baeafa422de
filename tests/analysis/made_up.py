"""A study's folder with made-up predictions, written by the library's own writers; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.splits import folds
from amodal.settings import parse_method
from amodal.shifts import LossPattern, make_shift
from amodal.study.cells import Job, expand
from amodal.study.cohort import write_cohort
from amodal.study.describe import describe_data
from amodal.study.plan import Plan
from amodal.study.predictions import Predicted
from amodal.study.records import write_evaluation, write_failure, write_head
from amodal.study.results import OWN

TITLES = {
    "aum": ("Aleatoric uncertainty modelling", "A. Author et al.", 2026),
    "boosting": ("Gradient boosting", "Friedman, 2001", 2001),
    "logistic": ("Logistic regression", "", 0),
}


@dataclass(frozen=True)
class World:
    """Rows whose target each modality tells something of.

    Args:
        rows: how many.
        names: the modalities.
        skill: method spec -> weight of the signal (1 = all there is) and of its over-confidence.
        kind: of the task.
        per_group: rows per group; 0: no groups.
        sites: how many hospitals, which are the groups; 0: none.
        seed: of everything.
    """

    rows: int = 600
    names: tuple[str, ...] = ("vitals", "chemistry", "blood_gases", "notes")
    skill: dict[str, tuple[float, float]] = field(default_factory=dict)
    kind: str = "binary"
    per_group: int = 0
    sites: int = 0
    seed: int = 0

    def data(self) -> tuple[Dataset, np.ndarray]:
        """The data set, and the signal ``[n, m]`` that its modalities carry."""
        rng = np.random.default_rng(self.seed)
        m = len(self.names)
        signal = rng.normal(size=(self.rows, m)) * np.linspace(1.2, 0.5, m)
        logit = signal.sum(axis=1) - 1.2
        if self.kind == "binary":
            y = (rng.random(self.rows) < 1 / (1 + np.exp(-logit))).astype(float)
        elif self.kind == "multiclass":
            y = np.digitize(logit + rng.normal(size=self.rows), [-2, 0]).astype(float)
        else:
            y = logit + rng.normal(size=self.rows)
        values = {
            n: signal[:, [k]] + rng.normal(size=(self.rows, 1)) for k, n in enumerate(self.names)
        }
        for k, name in enumerate(self.names):
            values[name][rng.random(self.rows) < 0.08 * k] = np.nan
        rows = {"row_id": [f"r{k:05d}" for k in range(self.rows)]}
        if self.per_group:
            rows["group"] = [f"p{k // self.per_group:05d}" for k in range(self.rows)]
        if self.sites:
            site = np.array([f"h{k % self.sites}" for k in range(self.rows)])
            sex = np.where(rng.random(self.rows) < 0.6, "f", "m")
            sex[:4] = "x"
            rows |= {"group": site, "facts": {"site": site, "sex": sex}}
        target = y if self.kind == "regression" else y.astype(int)
        return Dataset.from_arrays(values, target, rows=rows), signal

    def predict(self, spec: str, data: Dataset, signal: np.ndarray) -> Predicted:
        """What a method with the stated skill says of rows with the stated absence."""
        name = spec.split(":")[0]
        rng = np.random.default_rng([self.seed, sum(spec.encode())])
        seen = np.where(data.present, signal, 0.0)
        skill, bold = self.skill.get(spec, (0.8, 1.0))
        score = skill * seen.sum(axis=1) + (1 - skill) * rng.normal(size=len(data)) * 1.5
        logit = bold * (score - 1.2)
        outputs = self._outputs(logit, score)
        extra = {}
        if name in OWN or name == "attention":
            noise = rng.beta(6, 2, size=data.shape) * np.linspace(1, 0.6, data.shape[1])
            shares = np.where(data.present, noise, 0.0)
            total = shares.sum(axis=1, keepdims=True)
            extra["reliance"] = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
            if name in OWN:
                extra["reliability"] = shares
        return Predicted(
            data.task,
            data.names,
            data.row_id,
            data.target,
            outputs,
            data.absence,
            data.group,
            data.weight,
            **extra,
        )

    def _outputs(self, logit: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
        if self.kind == "binary":
            return {"probability": 1 / (1 + np.exp(-logit))}
        if self.kind == "regression":
            return {"mean": score - 1.2, "std": np.full(len(score), 1.1)}
        centre = np.array([-3.0, -1.0, 1.0])
        odds = np.exp(-((score[:, None] - centre) ** 2) / 2)
        return {"probability": odds / odds.sum(axis=1, keepdims=True)}


def make_study(folder: Path, plan: Plan, world: World, *, failing: tuple[str, ...] = ()) -> Path:
    """Writes the folder of a finished study; methods in `failing` have a failed cell each."""
    data, signal = world.data()
    models = {spec: parse_method(spec) for spec in plan.methods}
    jobs = expand(plan, models, data=data.fingerprint(), version="0.1.0")
    write_head(folder, plan, jobs, description=describe_data(data))
    if plan.subgroups:
        write_cohort(folder, plan, data, parts=None)
    for job in jobs:
        if job.fit.method in failing and job.fit.unit == (plan.seeds[0], 0):
            error = RuntimeError("the loss is not finite")
            write_failure(folder / "fits" / job.fit.id, job.fit, error)
            continue
        _evaluate(folder, plan, job, world=world, data=data, signal=signal)
    return folder


def _evaluate(
    folder: Path, plan: Plan, job: Job, *, world: World, data: Dataset, signal: np.ndarray
) -> None:
    fit = job.fit
    rows = folds(data, fit.folds or 3, seed=fit.seed)[fit.fold][1]
    test = data.take(rows)
    name = fit.name
    title, reference, year = TITLES.get(name, (name.capitalize(), "", 0))
    about = {"title": title, "reference": reference, "year": year, "family": "classic"}
    for cell in job.evaluations:
        shifted, lost = test, np.zeros(test.shape, dtype=bool)
        if not cell.pattern.is_none:
            mechanism, settings = parse_method(cell.pattern.mechanism)
            shift = make_shift(mechanism, cell.pattern.rate, cell.pattern.seed, **settings)
            lost = shift.draw(data).lost[rows]
            shifted = test.lose(lost)
        rates = LossPattern.measure(test, lost, requested=cell.pattern.rate).rates
        facts = {"method": about, "shift": {}, "absence": rates.to_json()}
        facts |= {"fit_fingerprint": "0" * 16, "fit_seconds": 1.0, "seconds": 0.1}
        if name == "aum":
            collapse = 0.5 if cell.pattern.is_none else 0.01
            facts |= {"diagnostics": {"variance_collapse": collapse + 0.02 * fit.fold}}
        predicted = world.predict(fit.method, shifted, signal[rows])
        write_evaluation(folder, plan, cell, predicted, facts=facts)
