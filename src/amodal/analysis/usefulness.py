"""What predictions of a binary outcome are worth: decision curves, alerts, subgroups, sample size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from amodal.analysis.pooling import Pool
from amodal.analysis.sample import Sample, ends, kept_rows, sample_of
from amodal.disclosure import SMALLEST, is_small, safe_share
from amodal.metrics import METRICS
from amodal.metrics.decision import at_thresholds, decision_curve
from amodal.metrics.sample_size import (
    cox_snell,
    largest_cox_snell,
    sample_size,
    supported_parameters,
)
from amodal.study.predictions import Predicted
from amodal.study.results import At, Results

__all__ = [
    "GRID",
    "alert_rows",
    "decision_rows",
    "ends_of_study",
    "guarded",
    "sample_size_rows",
    "subgroup_metrics",
    "subgroup_rows",
]

GRID = tuple(round(0.01 * k, 2) for k in range(1, 100))
"""Thresholds of decision curves."""
_ALERTS = ("alerts_per_100", "ppv", "sensitivity", "specificity", "npv")
_MODEST_R2 = 0.15  # share of the largest R squared, where nothing is known (Riley et al., 2020)

Columns = Mapping[str, Mapping[str, str]]
"""Column -> row id -> text, as `read_cohort` gives them."""


def ends_of_study(results: Results) -> list[At]:
    """The data as they are, and the highest rate of the first mechanism."""
    mechanism = results.mechanisms[0]
    rates = results.rates(mechanism)
    return [At(mechanism, r) for r in dict.fromkeys((rates[0], rates[-1]))]


def decision_rows(pool: Pool) -> list[dict[str, Any]]:
    """Net benefit of each method, of acting on all and on none, over thresholds from .01 to .99.

    One dict per method, point and threshold. The method's value is None where a count of 1 to 9
    would follow: of rows with or without event, on either side of the threshold.
    """
    if pool.results.task.kind != "binary":
        return []
    return kept_rows(pool, "decision", lambda: _decision_rows(pool))


def _decision_rows(pool: Pool) -> list[dict[str, Any]]:
    grid, rows = np.array(GRID), []

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        chance = p.outputs["probability"]
        found = decision_curve(p.target, chance, thresholds=grid, weight=weight)
        return np.concatenate([found.model, found.treat_all], axis=-1)

    for head, sample in _samples(pool):
        found = ends(*sample.values(statistic))
        shown = _enough(sample, grid)
        for k, t in enumerate(GRID):
            own, every = found[k], found[len(GRID) + k]
            value = {"net_benefit": own.value, "low": own.low, "high": own.high}
            value = value if shown[k] else dict.fromkeys(value)
            rows.append({**head, "threshold": t, **value} | _policies(every.value))
    return rows


def _samples(pool: Pool) -> Iterator[tuple[dict[str, Any], Sample]]:
    """Each method at each point: what heads its rows, and all its predictions there."""
    for at in pool.results.points():
        for method in pool.results.methods:
            sample = sample_of(pool, method, at)
            if sample is not None:
                yield {"method": method, "mechanism": at.mechanism, "rate": at.rate}, sample


def _policies(treat_all: float) -> dict[str, float]:
    return {"treat_all": treat_all, "treat_none": 0.0}


def _enough(sample: Sample, grid: np.ndarray) -> np.ndarray:
    """``Bool[t]``: no seed has 1 to 9 rows in a cell of alert x event.

    With the events known, any one of the cells tells the other three, and so does a net benefit.
    """
    kept = np.ones(len(grid), dtype=bool)
    for p in sample.parts:
        alert = p.outputs["probability"][:, None] >= grid
        event = (p.target == 1)[:, None]
        for cell in (alert & event, alert & ~event, ~alert & event, ~alert & ~event):
            count = cell.sum(axis=0)
            kept &= (count == 0) | (count >= SMALLEST)
    return kept


def _clear(sample: Sample, grid: np.ndarray) -> np.ndarray:
    """``Bool[t]``: no seed has 1 to 9 rows at or above the threshold, nor below it."""
    kept = np.ones(len(grid), dtype=bool)
    for p in sample.parts:
        alerts = (p.outputs["probability"][:, None] >= grid).sum(axis=0)
        for count in (alerts, len(p) - alerts):
            kept &= (count == 0) | (count >= SMALLEST)
    return kept


def alert_rows(pool: Pool) -> list[dict[str, Any]]:
    """Alerts per 100 rows, predictive values, sensitivity and specificity at the plan's thresholds.

    One dict per method, point, threshold and measure; values from which a count under ten follows
    are None.
    """
    results = pool.results
    if results.task.kind != "binary" or not results.plan.thresholds:
        return []
    at = list(results.plan.thresholds)
    return kept_rows(pool, "alerts", lambda: _alert_rows(pool, np.array(at)), about=at)


def _alert_rows(pool: Pool, grid: np.ndarray) -> list[dict[str, Any]]:
    rows = []

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        found = at_thresholds(p.target, p.outputs["probability"], thresholds=grid, weight=weight)
        return np.concatenate([getattr(found, name) for name in _ALERTS], axis=-1)

    for head, sample in _samples(pool):
        found = ends(*sample.values(statistic))
        few = dict.fromkeys(_ALERTS[1:], _enough(sample, grid))
        safe = {_ALERTS[0]: _clear(sample, grid), **few}
        for j, name in enumerate(_ALERTS):
            for k, t in enumerate(grid.tolist()):
                i = found[j * len(grid) + k]
                ends_ = {"value": i.value, "low": i.low, "high": i.high}
                ends_ = ends_ if safe[name][k] else dict.fromkeys(ends_)
                rows.append({**head, "threshold": t, "measure": name, **ends_})
    return rows


# -- subgroups ------------------------------------------------------------------------------------


def subgroup_metrics(results: Results) -> tuple[str, ...]:
    """The metrics that are told of subgroups: the primary one, and for binary tasks a few more."""
    extra = ("auroc", "brier", "observed_expected") if results.task.kind == "binary" else ()
    return tuple(dict.fromkeys((results.primary, *extra)))


def subgroup_rows(pool: Pool, columns: Columns) -> list[dict[str, Any]]:
    """Metrics of each method in each level of the plan's columns, at both ends of the study.

    One dict per method, point, column, level and metric, with rows and events of one seed (the
    mean). Values of levels with under ten rows of either outcome are None, and so are their counts;
    where that leaves one level hidden, the counts of the next smallest are hidden with it.

    Args:
        pool: of the study.
        columns: as `read_cohort` gives them.
    """
    specs = list(pool.results.plan.subgroups)
    if not specs or not set(specs) <= set(columns):
        return []
    return kept_rows(pool, "subgroups", lambda: _subgroup_rows(pool, columns), about=specs)


def _subgroup_rows(pool: Pool, columns: Columns) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    names = subgroup_metrics(results)
    kinds = [METRICS[n].interval for n in names]

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        each = [METRICS[n](p.target, p.outputs, weight=weight) for n in names]
        return np.stack(each, axis=-1)

    for at in ends_of_study(results):
        for spec in results.plan.subgroups:
            for method in results.methods:
                cells = results.group(method, at)
                if not cells:
                    continue
                levels = _levels(pool, cells, columns[spec])
                counts = _counts(levels, results.task.kind)
                shown = _shown_counts(counts)
                head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
                for level, sample in levels.items():
                    here = {**head, "column": spec, "level": level, **shown[level]}
                    found = None
                    if not _too_few(*counts[level]):
                        found = ends(*sample.values(statistic), kinds=kinds)
                    for k, name in enumerate(names):
                        told = (
                            (found[k].value, found[k].low, found[k].high) if found else [None] * 3
                        )
                        value = dict(zip(("value", "low", "high"), told, strict=True))
                        rows.append({**here, "metric": name, **value})
    return rows


def _levels(pool: Pool, cells: Any, column: Mapping[str, str]) -> dict[str, Sample]:
    """Level -> the rows of it that are tested."""
    names = sorted({column[r] for c in cells for r in c.predicted.row_id.tolist()})

    def keep(level: str) -> Callable[[Predicted], np.ndarray]:
        return lambda p: np.array([column[r] == level for r in p.row_id.tolist()], dtype=bool)

    return {name: Sample(pool, cells, keep=keep(name)) for name in names}


def _counts(levels: Mapping[str, Sample], kind: str) -> dict[str, tuple[int, int | None, int]]:
    """Level -> (rows of a seed, events among them, the fewest of rows and of either outcome)."""
    found = {}
    for name, sample in levels.items():
        rows = round(np.mean([len(p) for p in sample.parts]))
        events, least = None, sample.fewest
        if kind == "binary":
            each = [int(p.target.sum()) for p in sample.parts]
            events = round(np.mean(each))
            least = min(
                least, *(min(e, len(p) - e) for e, p in zip(each, sample.parts, strict=True))
            )
        found[name] = (rows, events, least)
    return found


def _too_few(rows: int, events: int | None, least: int) -> bool:
    return least < SMALLEST


def _shown_counts(
    counts: Mapping[str, tuple[int, int | None, int]],
) -> dict[str, dict[str, int | None]]:
    """Rows and events as they may be shown, with complementary suppression."""
    hidden = {
        name
        for name, (rows, events, _) in counts.items()
        if is_small(rows) or (events is not None and (is_small(events) or is_small(rows - events)))
    }
    if len(hidden) == 1:
        rest = {name: c[0] for name, c in counts.items() if name not in hidden}
        hidden |= {min(rest, key=lambda name: rest[name])} if rest else set()
    return {
        name: {
            "n": None if name in hidden else rows,
            "events": None if name in hidden else events,
        }
        for name, (rows, events, _) in counts.items()
    }


# -- sample size ----------------------------------------------------------------------------------


def sample_size_rows(pool: Pool) -> list[dict[str, Any]]:
    """What the criteria of Riley et al. ask of a study of this prevalence and size.

    Two dicts: with the R squared of the method that has the best log loss on the data as they are,
    measured on test rows, and with 15% of the largest possible one, which the authors advise where
    nothing is known. Parameters are counted as the columns of the data: one per number, one less
    than levels per category, one per code, series variable or dimension of a vector.
    """
    results = pool.results
    if results.task.kind != "binary":
        return []
    return kept_rows(pool, "sample_size", lambda: _sample_size_rows(pool))


def _sample_size_rows(pool: Pool) -> list[dict[str, Any]]:
    results = pool.results
    counts = list(results.data["target"]["counts"].values())
    rows, events = sum(counts), min(counts)
    prevalence = counts[1] / rows
    develop = _development(results, rows)
    assumed = {"15% of the largest possible": _MODEST_R2 * largest_cox_snell(prevalence)}
    assumed |= _measured(pool)
    parameters = sum(m["features"] for m in results.data["modalities"])
    found = []
    for source, r2 in assumed.items():
        head = {"r2_from": source, "r2": r2, "prevalence": prevalence}
        head |= {"parameters": parameters, "rows_for_development": develop}
        head |= {"events_for_development": math.floor(develop * events / rows)}
        if not 0 < r2 < min(0.9, largest_cox_snell(prevalence)):
            continue
        needs = sample_size(max(1, parameters), prevalence, r2=r2)
        told = {f"needs_{k}": v for k, v in vars(needs).items()}
        supported = supported_parameters(develop, prevalence, r2=r2)
        found.append({**head, **told, "parameters_supported": supported})
    return found


def _development(results: Results, labelled: int) -> int:
    """Labelled rows that are not tested, of a typical fold."""
    tested = {c.unit: c.record["rows"] for c in results.cells}
    return labelled - round(np.mean(list(tested.values())))


def _measured(pool: Pool) -> dict[str, float]:
    """R squared (Cox-Snell) of the method with the best log loss at the lowest rate."""
    at = ends_of_study(pool.results)[0]
    found = {}
    for method in pool.results.methods:
        sample = sample_of(pool, method, at)
        if sample is None:
            continue
        each = []
        for p in sample.parts:
            rate = float(np.average(p.target, weights=p.weight))
            loss = METRICS["log_loss"](p.target, p.outputs, weight=p.weight)
            each.append(cox_snell(float(loss), rate) if 0 < rate < 1 else math.nan)
        found[method] = float(np.mean(each))
    best = max(found, key=lambda m: found[m] if found[m] == found[m] else -math.inf, default=None)
    return {} if best is None else {f"measured, {best}": found[best]}


def guarded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table as it may be written: shares and counts of few events hidden."""
    found = []
    for row in rows:
        events = row["events_for_development"]
        hidden = (
            is_small(events) or safe_share(row["prevalence"], row["rows_for_development"]) is None
        )
        few = {"events_for_development": None, "prevalence": None} if hidden else {}
        found.append({**row, **few})
    return found
