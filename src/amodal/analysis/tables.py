"""The tables of a study as CSV files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amodal.analysis.compare import Comparison, against_base, against_best, against_reference
from amodal.analysis.latex import write_latex
from amodal.analysis.pooling import Pool
from amodal.analysis.robustness import area_rows, robustness_rows
from amodal.analysis.summaries import diagnostic_rows, rate_rows, reliability_rows
from amodal.analysis.worth import read_probes, worth_tables
from amodal.disclosure import is_small, safe_share
from amodal.metrics import METRICS
from amodal.study.files import write_csv

__all__ = ["comparison_rows", "pooled_rows", "write_tables"]


def write_tables(pool: Pool, folder: Path) -> list[Path]:
    """Writes every table into `folder`: cells, pooled, differences, ablations, areas, robustness,
    rates, reliability and what it is worth, diagnostics; as CSV, and all but the cells as LaTeX.

    Counts under ten, and shares from which one follows, are left empty.
    """
    ranked = [m for m in pool.results.metrics if METRICS[m].higher_is_better is not None]
    modalities = len(pool.results.data["modalities"])
    best = [row for m in ranked for row in against_best(pool, m)]
    reference = [row for m in ranked for row in against_reference(pool, m)]
    tables = {
        "cells": [_guarded(row, modalities) for row in pool.results.tidy()],
        "pooled": pooled_rows(pool),
        "against_best_baseline": comparison_rows(best),
        "against_reference": comparison_rows(reference),
        "ablations": comparison_rows(row for m in ranked for row in against_base(pool, m)),
        "rates": rate_rows(pool.results),
        "reliability": reliability_rows(pool.results),
        "diagnostics": diagnostic_rows(pool.results),
        "areas": [row for m in ranked for row in area_rows(pool, m)],
        "robustness": [row for m in ranked for row in robustness_rows(pool, m)],
        **worth_tables(read_probes(pool.results)),
    }
    known = {k: rows for k, rows in tables.items() if rows}
    written = [write_csv(folder / f"{k}.csv", rows) for k, rows in known.items()]
    texts = [write_latex(folder / f"{k}.tex", rows) for k, rows in known.items() if k != "cells"]
    return [*written, *texts]


def pooled_rows(pool: Pool) -> list[dict[str, Any]]:
    """One dict per method, point and metric: the mean over seeds with its interval."""
    rows, results = [], pool.results
    for method in results.methods:
        for at in results.points():
            units = results.units(method, at)
            if not units:
                continue
            for name, scores in pool.scores(method, at).items():
                found = scores.interval
                rows.append(
                    {
                        "method": method,
                        "mechanism": at.mechanism,
                        "rate": at.rate,
                        "metric": name,
                        "value": found.value,
                        "low": found.low,
                        "high": found.high,
                        "sd_between_seeds": scores.spread,
                        "sd_of_sampling": _deviation(scores.samples),
                        "seeds": len(scores.seeds),
                        "cells": len(units),
                        "n": scores.rows,
                    }
                )
    return rows


def _deviation(samples: np.ndarray) -> float:
    """The standard deviation of bootstrap replicates: the chance of which rows were tested."""
    kept = samples[~np.isnan(samples)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else math.nan


def comparison_rows(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """One dict per comparison.

    >>> from amodal.metrics import Interval
    >>> from amodal.study.results import At
    >>> mean = Comparison("auroc", At("mcar", None), "a", "b", Interval(0.02, 0.01, 0.03), p=0.01)
    >>> row = comparison_rows([mean])[0]
    >>> row["rate"], row["difference"], row["verdict"], row["margin"]
    ('mean over rates', 0.02, 'better', None)
    """
    return [
        {
            "metric": c.metric,
            "mechanism": c.at.mechanism,
            "rate": "mean over rates" if c.at.rate is None else c.at.rate,
            "method": c.method,
            "other": c.other,
            "difference": c.interval.value,
            "low": c.interval.low,
            "high": c.interval.high,
            "p": c.p,
            "p_holm": c.p_holm,
            "margin": c.margin or None,
            "verdict": c.verdict,
            "cells": c.units,
            "same_cells": c.complete,
        }
        for c in comparisons
    ]


def _guarded(row: Mapping[str, Any], modalities: int) -> dict[str, Any]:
    pairs = row["n"] * modalities
    totals = {"achieved": pairs, "achieved_present": pairs, "natural_absence": pairs}
    safe = {k: safe_share(row[k], n) for k, n in {**totals, "with_nothing": row["n"]}.items()}
    return {**row, **safe, "n": None if is_small(row["n"]) else row["n"]}
