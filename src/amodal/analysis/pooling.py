"""Metrics pooled over folds and seeds, on resamples that all methods and rates share.

One set of resamples of the groups (patients, or rows where there are none) serves every method,
mechanism and rate, so that any two of them, and means over rates, are compared on the same
resamples. Within a seed the out-of-fold predictions are put together and scored once; over seeds
the scores are averaged. An interval thus holds the chance of which patients were seen; how far the
scores differ between seeds (split, pattern of loss, initial weights) is given apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from amodal.errors import DataError
from amodal.metrics import METRICS, Bootstrap, Interval, Metric
from amodal.study.files import digest, put_file
from amodal.study.predictions import Predicted
from amodal.study.results import At, Cell, Results, read_results

__all__ = ["Pool", "Scores", "Units", "concatenate"]

Units = frozenset[tuple[int, int]]
"""(seed, fold) pairs."""


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of one method under one pattern of loss.

    Args:
        metric: which.
        seeds: ``Float64[S]`` its value for each seed, out-of-fold predictions put together.
        samples: ``Float64[B]`` replicates of their mean.
        rows: test rows, over all seeds.

    >>> scores = Scores(METRICS["auroc"], np.array([0.7, 0.9]), np.array([0.6, 0.8, 1.0]), rows=50)
    >>> round(scores.value, 2), round(scores.spread, 3)  # sqrt(2) / 10
    (0.8, 0.141)
    """

    metric: Metric
    seeds: np.ndarray
    samples: np.ndarray
    rows: int

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.seeds.mean())

    @property
    def spread(self) -> float:
        """Standard deviation between seeds; NaN for one seed."""
        return float(self.seeds.std(ddof=1)) if len(self.seeds) > 1 else float("nan")

    @cached_property
    def interval(self) -> Interval:
        """The mean with its bootstrap interval."""
        kind = "percentile" if self.metric.samples else self.metric.interval
        return Interval.of_samples(self.value, self.samples, kind=kind)


def concatenate(cells: Sequence[Cell]) -> Predicted:
    """The predictions of several cells of one method, one after the other.

    >>> from types import SimpleNamespace
    >>> from amodal.types import Task
    >>> def cell(row, probability):
    ...     arrays = np.array([row]), np.ones(1), {"probability": np.array([probability])}
    ...     p = Predicted(Task("binary"), ("a",), *arrays, np.zeros((1, 1)))
    ...     return SimpleNamespace(predicted=p)
    >>> both = concatenate([cell("p", 0.2), cell("q", 0.7)])
    >>> both.row_id.tolist(), both.outputs["probability"].tolist(), both.group
    (['p', 'q'], [0.2, 0.7], None)
    """
    parts = [c.predicted for c in cells]
    first = parts[0]

    def join(name: str) -> np.ndarray | None:
        found = [getattr(p, name) for p in parts]
        return None if any(x is None for x in found) else np.concatenate(found)

    outputs = {k: np.concatenate([p.outputs[k] for p in parts]) for k in first.outputs}
    names = ("row_id", "target", "absence", "group", "weight", "reliability", "reliance")
    arrays = {name: join(name) for name in (*names, "conflict")}
    return Predicted(task=first.task, names=first.names, outputs=outputs, **arrays)


class Pool:
    """Scores of the methods of a study, computed once and kept in the study's folder.

    Args:
        results: the cells.
        replicates: bootstrap replicates; as the plan says if left out.
        keep: whether scores are read from and written to ``summary/`` in the study's folder.
    """

    def __init__(
        self, results: Results, *, replicates: int | None = None, keep: bool = True
    ) -> None:
        self.results = results
        self.replicates = replicates or results.plan.replicates
        self._keep = keep
        self._known: dict[tuple, dict[str, Scores]] = {}

    @cached_property
    def members(self) -> np.ndarray:
        """``str[G]`` all groups (or rows) that are tested anywhere, sorted."""
        one_per_unit = {c.unit: c for c in self.results.cells}
        every = [c.predicted.unit for c in one_per_unit.values()]
        return np.unique(np.concatenate(every)) if every else np.array([], dtype=str)

    @cached_property
    def _universe(self) -> str:
        return digest(self.members.tolist(), 16)

    def scores(self, method: str, at: At, *, units: Units | None = None) -> dict[str, Scores]:
        """Metric -> scores of a method at one point, on `units` (default: all that it has).

        Raises:
            DataError: there is no finished cell.
        """
        cells = self.results.group(method, at)
        cells = [c for c in cells if units is None or c.unit in units]
        if not cells:
            raise DataError(
                f"scores need finished cells; {method} has none under {at.mechanism} at "
                f"{at.rate:g}; run the study again"
            )
        key = tuple(c.record["id"] for c in cells)
        if key not in self._known:
            self._known[key] = self._load(cells) or self._compute(cells)
        return self._known[key]

    def fill(
        self, *, jobs: int = 1, progress: Callable[[int, int, str], None] | None = None
    ) -> None:
        """Computes all scores that are not kept yet, in several processes if so asked.

        Args:
            jobs: processes; changes nothing in the results.
            progress: called as progress(done, all, what), once at the start and after each.
        """
        results = self.results
        every = [(m, at) for m in results.methods for at in results.points()]
        every = [(m, at) for m, at in every if results.units(m, at)]
        todo = [(m, at) for m, at in every if not self._path(results.group(m, at)).exists()]
        tell = progress or (lambda done, total, text: None)
        tell(len(every) - len(todo), len(every), "scores")
        done = iter(self.scores(m, at) for m, at in todo)
        if jobs > 1 and len(todo) > jobs and self._keep:
            pool = Parallel(n_jobs=jobs, return_as="generator")
            done = pool(
                delayed(_fill)(results.folder, self.replicates, method=m, at=at) for m, at in todo
            )
        for k, (_, (method, at)) in enumerate(zip(done, todo, strict=True), len(every) - len(todo)):
            tell(k + 1, len(every), f"{method}, {at.mechanism} {at.rate:g}")

    def _path(self, cells: Sequence[Cell]) -> Path:
        made = {
            "cells": [(c.record["id"], c.record["finished"]) for c in cells],
            "members": self._universe,
            "metrics": self.results.metrics,
            "replicates": self.replicates,
        }
        return self.results.folder / "summary" / f"{digest(made, 16)}.npz"

    def _load(self, cells: Sequence[Cell]) -> dict[str, Scores] | None:
        path = self._path(cells)
        if not (self._keep and path.exists()):
            return None
        try:
            with np.load(path, allow_pickle=False) as kept:
                rows = int(kept["rows"])
                return {
                    name: Scores(METRICS[name], kept[f"seeds:{name}"], kept[f"all:{name}"], rows)
                    for name in self.results.metrics
                }
        except (OSError, ValueError, KeyError):
            return None  # computed anew: nothing is lost

    def _compute(self, cells: Sequence[Cell]) -> dict[str, Scores]:
        by_seed: dict[int, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_seed[cell.unit[0]].append(cell)
        parts = [concatenate(found) for _, found in sorted(by_seed.items())]
        metrics = {name: METRICS[name] for name in self.results.metrics}
        samples = self._samples(parts, metrics)
        rows = sum(len(p) for p in parts)
        found = {}
        for name, metric in metrics.items():
            seeds = [float(metric(p.target, p.outputs, weight=p.weight)) for p in parts]
            found[name] = Scores(metric, np.array(seeds), samples[name], rows)
        if self._keep:
            arrays = {f"seeds:{n}": s.seeds for n, s in found.items()}
            arrays |= {f"all:{n}": s.samples for n, s in found.items()}
            put_file(self._path(cells), lambda part: _save_arrays(part, rows, arrays))
        return found

    def _samples(
        self, parts: Sequence[Predicted], metrics: dict[str, Metric]
    ) -> dict[str, np.ndarray]:
        """Metric -> ``Float64[B]`` replicates of its mean over `parts`."""
        plain = {n: m for n, m in metrics.items() if m.samples is None}
        found = {n: np.full(self.replicates, np.nan) for n in plain}
        member = [np.searchsorted(self.members, p.unit) for p in parts]
        start, draws = 0, Bootstrap(len(self.members), replicates=self.replicates)
        for block in draws.weights():
            weights = [
                block[:, m] * (1.0 if p.weight is None else p.weight)
                for p, m in zip(parts, member, strict=True)
            ]
            for name, metric in plain.items():
                each = [
                    metric(p.target, p.outputs, weight=w)
                    for p, w in zip(parts, weights, strict=True)
                ]
                found[name][start : start + len(block)] = np.mean(each, axis=0)
            start += len(block)
        for name, metric in metrics.items():
            if metric.samples is not None:
                own = [metric.samples(p.target, p.outputs, weight=p.weight) for p in parts]
                found[name] = np.mean(own, axis=0)
        return found


@lru_cache(maxsize=1)
def _opened(folder: Path, replicates: int) -> Pool:
    return Pool(read_results(folder), replicates=replicates)


def _fill(folder: Path, replicates: int, *, method: str, at: At) -> None:
    """In another process: computes and keeps; only files come back."""
    _opened(folder, replicates).scores(method, at)


def _save_arrays(path: Path, rows: int, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # np.savez would append ".npz" to the temporary name
        np.savez(file, rows=np.array(rows), **arrays)
