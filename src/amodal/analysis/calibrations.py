"""Calibration and selective prediction under absence: by rate, by pattern of presence, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from amodal.analysis.pooling import Pool
from amodal.analysis.sample import Sample, ends, kept_rows
from amodal.analysis.summaries import calibration
from amodal.disclosure import SMALLEST
from amodal.metrics import METRICS
from amodal.metrics.decomposition import brier_decomposition
from amodal.metrics.selective import risk_coverage
from amodal.study.predictions import Predicted
from amodal.study.results import At, Results
from amodal.types import LOST, NOT_MEASURED

__all__ = [
    "ALL",
    "LEAST_ROWS",
    "MEASURES",
    "calibration_rows",
    "curve_rows",
    "patterns_of",
    "risk_rows",
]

ALL = "all rows"
LEAST_ROWS = 50
"""Rows per seed from which a part of the rows is told of: fewer say little, and tell of single ones."""
_MOST_PATTERNS = 6
_REASONS = ("everything present", "not measured, nothing lost", "something lost")

MEASURES: dict[str, tuple[str, ...]] = {
    "binary": (
        "ece",
        "brier",
        "log_loss",
        "calibration_intercept",
        "calibration_slope",
        "observed_expected",
        "aurc",
    ),
    "multiclass": ("ece", "classwise_ece", "brier", "log_loss", "calibration_slope", "aurc"),
    "multilabel": ("ece", "brier", "log_loss", "calibration_slope"),
    "regression": ("coverage_90", "gaussian_nll", "aurc"),
}
"""Kind of task -> metrics of which the table tells, besides the parts of the Brier score."""
_PARTS = ("miscalibration", "discrimination", "uncertainty")


def patterns_of(results: Results, at: At) -> dict[str, Callable[[Predicted], np.ndarray]]:
    """Name -> which rows: all, by reason of absence, and by the most frequent patterns of presence.

    Patterns are told at the lowest and the highest rate of each mechanism, reasons at every rate.
    Only parts with at least `LEAST_ROWS` rows in every seed; all methods see the same ones.
    """
    method = max(results.methods, key=lambda m: len(results.units(m, at)))
    cells = results.group(method, at)
    found: dict[str, Callable[[Predicted], np.ndarray]] = {ALL: lambda p: np.ones(len(p), bool)}
    for reason in _REASONS:
        found[reason] = lambda p, reason=reason: _reason(p) == reason
    counts = Counter(text for cell in cells for text in _pattern(cell.predicted).tolist())
    every = "only " + " + ".join(cells[0].predicted.names)  # told by the first reason
    counts.pop(every, None)
    told = at.rate in (0, results.rates(at.mechanism)[-1])
    for text, _ in counts.most_common(_MOST_PATTERNS if told else 0):
        found[text] = lambda p, text=text: _pattern(p) == text
    seeds = {c.unit[0] for c in cells}
    fewest = {
        name: min(
            sum(int(rows(c.predicted).sum()) for c in cells if c.unit[0] == seed) for seed in seeds
        )
        for name, rows in found.items()
    }
    return {name: rows for name, rows in found.items() if name == ALL or fewest[name] >= LEAST_ROWS}


def _reason(p: Predicted) -> np.ndarray:
    lost = (p.absence == LOST).any(axis=1)
    lacking = (p.absence == NOT_MEASURED).any(axis=1)
    return np.array(_REASONS)[np.where(lost, 2, np.where(lacking, 1, 0))]


def _pattern(p: Predicted) -> np.ndarray:
    """``str[n]``: the modalities that are there."""
    code = p.present @ (1 << np.arange(len(p.names)))
    told = {
        k: " + ".join(n for j, n in enumerate(p.names) if k >> j & 1)
        for k in np.unique(code).tolist()
    }
    return np.array([f"only {told[k]}" if told[k] else "nothing" for k in code.tolist()])


def calibration_rows(pool: Pool) -> list[dict[str, Any]]:
    """One dict per method, point, part of the rows and measure, with its interval; not of texts."""
    if pool.results.task.kind not in MEASURES:
        return []
    return kept_rows(pool, "calibration", lambda: _calibration_rows(pool))


def _calibration_rows(pool: Pool) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    names = MEASURES[results.task.kind]
    brier = results.task.kind in ("binary", "multiclass")
    kinds = [METRICS[n].interval for n in names] + ["percentile"] * (len(_PARTS) * brier)
    for at in results.points():
        for part, keep in patterns_of(results, at).items():
            for method in results.methods:
                cells = results.group(method, at)
                if not cells:
                    continue
                sample = Sample(pool, cells, keep=keep)
                if part != ALL and sample.fewest < LEAST_ROWS:
                    continue
                found = ends(*sample.values(_measures(names, brier=brier)), kinds=kinds)
                head = {"method": method, "mechanism": at.mechanism, "rate": at.rate, "rows": part}
                told = [*names, *(f"brier_{x}" for x in _PARTS if brier)]
                rows += [
                    {**head, "measure": n, "value": i.value, "low": i.low, "high": i.high}
                    | {"n": sample.rows}
                    for n, i in zip(told, found, strict=True)
                ]
    return rows


def _measures(names: tuple[str, ...], *, brier: bool) -> Any:
    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        each = [METRICS[n](p.target, p.outputs, weight=weight) for n in names]
        if brier:
            parts = brier_decomposition(p.target, p.outputs["probability"], weight=weight)
            each += [getattr(parts, x) for x in _PARTS]
        return np.stack(each, axis=-1)

    return statistic


def risk_rows(pool: Pool) -> list[dict[str, Any]]:
    """Risk-coverage curves: mean error of the most certain share of rows, with intervals.

    One dict per method, point and coverage; steps hold ten rows at least, so that no row's error
    can be read off. Rows that are tied in confidence are kept in part.
    """
    if pool.results.task.kind in ("multilabel", "sequence"):
        return []
    return kept_rows(pool, "risk_coverage", lambda: _risk_rows(pool))


def _risk_rows(pool: Pool) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    for at in results.points():
        for method in results.methods:
            cells = results.group(method, at)
            if not cells:
                continue
            sample = Sample(pool, cells)
            steps = min(20, sample.fewest // SMALLEST)
            if steps < 2:
                continue
            grid = np.arange(1, steps + 1) / steps
            found = ends(*sample.values(_risk(grid)))
            head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
            rows += [
                {**head, "coverage": float(c), "risk": i.value, "low": i.low, "high": i.high}
                for c, i in zip(grid, found, strict=True)
            ]
    return rows


def _risk(grid: np.ndarray) -> Any:
    """Risk at each coverage: losses added up to it, a row that lies across counted in part."""

    def one(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        curve = risk_coverage(p.target, p.outputs, weight=weight)
        lost = np.interp(grid, np.r_[0, curve.coverage], np.r_[0, curve.risk * curve.coverage])
        return lost / grid

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        if weight is None or weight.ndim == 1:
            return one(p, weight)
        return np.array([one(p, w) for w in weight])

    return statistic


def curve_rows(pool: Pool) -> list[dict[str, Any]]:
    """Smooth calibration curves with their bands: one dict per method, point and prediction.

    For regression: nominal level against the share inside. See `amodal.analysis.smooth`.
    """
    return kept_rows(pool, "calibration_curves", lambda: _curve_rows(pool))


def _curve_rows(pool: Pool) -> list[dict[str, Any]]:
    rows = []
    for at in pool.results.points():
        for method in pool.results.methods:
            found = calibration(pool.results, method, at)
            if found is None:
                continue
            head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
            curve = found.curve
            each = zip(curve.x, curve.y, curve.low, curve.high, strict=True)
            rows += [
                {**head, "predicted": x, "observed": y, "low": low, "high": high}
                for x, y, low, high in (map(float, point) for point in each)
            ]
    return rows
