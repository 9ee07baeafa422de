"""What predictions say beyond metrics: rates that came out, calibration curves, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.analysis.pooling import concatenate
from amodal.analysis.smooth import Curve, coverage_curve, smooth_calibration
from amodal.disclosure import SMALLEST, safe_share
from amodal.study.predictions import Predicted
from amodal.study.results import At, Results

__all__ = [
    "QUANTILES",
    "Calibration",
    "calibration",
    "diagnostic_rows",
    "rate_rows",
    "reliability_rows",
]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST_PRESENT = 20  # rows below which quantiles would tell of single ones


def rate_rows(results: Results) -> list[dict[str, Any]]:
    """The rates asked for and those that came out on the test rows, over seeds and folds.

    All methods see the same, so that one of them stands for all. Shares that would tell a small
    count are None.
    """
    rows = []
    for at in results.points():
        method = max(results.methods, key=lambda m: len(results.units(m, at)))
        cells = results.group(method, at)
        size = np.array([c.record["rows"] for c in cells], dtype=float)
        came = [_came_out(c) for c in cells]
        concerned = len(came[0]["per_modality"]) or len(results.data["modalities"])
        pairs = size.sum() * concerned
        found = {"mechanism": at.mechanism, "rate": at.rate, "cells": len(cells)}
        for name, key, total in (
            ("achieved", "achieved", pairs),
            ("achieved_present", "achieved_present", pairs),
            ("natural_absence", "natural_absence", pairs),
            ("with_nothing", "empty_rows", size.sum()),
            ("worse", "worse", pairs),
        ):
            each = [r.get(key, 0.0) for r in came]
            share = [np.nan if x is None else x for x in each]
            found[name] = safe_share(float(np.average(share, weights=size)), total)
        rows.append({**found, "n": int(size.sum())})
    return rows


def _came_out(cell: Any) -> Mapping[str, Any]:
    """The rates of a cell: on test rows, or on training rows where these alone lose."""
    record = cell.record
    trained = record["pattern"] is None and record.get("trained_absence")
    return trained or record["absence"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """How predictions of one method at one point relate to what was observed.

    Args:
        curve: predicted against observed (regression: nominal level against coverage).
        edges: ``Float64[b + 1]`` bins of the predictions.
        share: ``Float64[b]`` of the rows in each bin; 0 where there are under ten.
    """

    curve: Curve
    edges: np.ndarray
    share: np.ndarray


def calibration(results: Results, method: str, at: At) -> Calibration | None:
    """The smooth calibration curve over seeds and folds, and where the predictions lie.

    For several classes: the confidence in the most probable class against whether it is right. For
    real-valued targets: coverage of central intervals. None where there are too few rows, for several
    labels and for texts.
    """
    cells = results.group(method, at)
    if not cells or results.task.kind in ("multilabel", "sequence"):
        return None
    p = concatenate(cells)
    if results.task.kind == "regression":
        curve = coverage_curve(p.target, p.outputs["mean"], p.outputs["std"], unit=p.unit)
        return curve and Calibration(curve, np.array([]), np.array([]))
    y, chance = p.target, p.outputs["probability"]
    if chance.ndim == 2:
        y, chance = (chance.argmax(axis=1) == y).astype(float), chance.max(axis=1)
    curve = smooth_calibration(y, chance, unit=p.unit, weight=p.weight)
    if curve is None:
        return None
    counts, edges = np.histogram(chance, bins=25, range=(0, 1))
    return Calibration(curve, edges, np.where(counts < SMALLEST, 0, counts) / counts.sum())


def diagnostic_rows(results: Results) -> list[dict[str, Any]]:
    """What methods say of themselves, such as collapsed variances: means over seeds and folds."""
    rows = []
    for method in results.methods:
        for at in results.points():
            told = [c.record.get("diagnostics", {}) for c in results.group(method, at)]
            for name in dict.fromkeys(name for one in told for name in one):
                values = [one[name] for one in told if name in one]
                head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
                rows.append({**head, "diagnostic": name, "value": float(np.mean(values))})
    return rows


def reliability_rows(results: Results) -> list[dict[str, Any]]:
    """Quantiles of reliability and reliance over the test rows in which a modality is present.

    One dict per method that has them, mechanism, rate, modality and quantity; left out where fewer
    than twenty rows have the modality.
    """
    rows = []
    for method in results.methods:
        for at in results.points():
            cells = results.group(method, at)
            if cells and (cells[0].predicted.reliability is not None or _relies(cells)):
                rows += _reliability(method, at, concatenate(cells))
    return rows


def _relies(cells: Sequence[Any]) -> bool:
    return cells[0].predicted.reliance is not None


def _reliability(method: str, at: At, p: Predicted) -> list[dict[str, Any]]:
    rows = []
    for kind in ("reliability", "reliance"):
        values = getattr(p, kind)
        for k, name in enumerate(p.names if values is not None else ()):
            seen = values[p.present[:, k], k]
            if len(seen) < _LEAST_PRESENT:
                continue
            head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
            quantiles = np.quantile(seen, QUANTILES).tolist()
            named = {f"q{round(100 * q):02d}": x for q, x in zip(QUANTILES, quantiles, strict=True)}
            mean = {"mean": float(seen.mean()), "n": len(seen)}
            rows.append({**head, "modality": name, "quantity": kind, **named, **mean})
    return rows
