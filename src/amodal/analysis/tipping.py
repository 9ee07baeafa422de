"""How far outcomes behind absent modalities must lie from those seen for a verdict to change.

A comparison of two methods rests on rows some of which lack a modality. If outcomes among such rows
are elsewhere rarer or more frequent than here (absence not at random), would the verdict stand? For
each modality, rows that lack it are weighted so that their outcome is shifted by delta (see
`amodal.metrics.tipping`), and the smallest delta on either side is found at which the verdict is
another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from amodal.analysis.calibrations import LEAST_ROWS
from amodal.analysis.compare import best_method, verdict
from amodal.analysis.pooling import Pool
from amodal.analysis.sample import Sample, kept_rows
from amodal.analysis.usefulness import ends_of_study
from amodal.metrics import METRICS, Interval
from amodal.metrics.tipping import outcome_shift, tipping_point
from amodal.study.predictions import Predicted
from amodal.study.results import At

__all__ = ["tipping_rows"]

_LARGEST = {"binary": 3.0, "regression": 1.5}
_STEP = {"binary": 0.25, "regression": 0.125}


def tipping_rows(pool: Pool) -> list[dict[str, Any]]:
    """Each method in focus against the best baseline, for each modality that enough rows lack.

    One dict per point (the data as they are, and the highest rate of the first mechanism),
    comparison and modality: the verdict, and the deltas at which it changes; None where it holds as
    far as was searched (3 on the log odds; 1.5 standard deviations). Modalities that under fifty
    rows of a seed lack, or have, are left out. For binary and real-valued targets.
    """
    if pool.results.task.kind not in _LARGEST:
        return []
    return kept_rows(pool, "tipping", lambda: _tipping_rows(pool))


def _tipping_rows(pool: Pool) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    for at in ends_of_study(results):
        other = best_method(pool, results.primary, at=at, methods=results.baselines)
        for method in results.focus if other else ():
            shared = results.units(method, at) & results.units(other, at)
            pair = [
                Sample(pool, [c for c in results.group(m, at) if c.unit in shared])
                for m in (method, other)
            ]
            if shared:
                rows += _of_pair(pool, at, pair, names=(method, other))
    return rows


def _of_pair(
    pool: Pool, at: At, pair: list[Sample], *, names: tuple[str, str]
) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    kind = results.task.kind
    for k, modality in enumerate(pair[0].parts[0].names):
        lacking = [int((~p.present[:, k]).sum()) for p in pair[0].parts]
        having = [len(p) - n for p, n in zip(pair[0].parts, lacking, strict=True)]
        if min(lacking + having) < LEAST_ROWS:
            continue
        found = tipping_point(_verdict(pool, pair, k), largest=_LARGEST[kind], step=_STEP[kind])
        head = {"mechanism": at.mechanism, "rate": at.rate, "metric": results.primary}
        head |= {"method": names[0], "other": names[1], "modality": modality}
        rows.append({**head, **vars(found)})
    return rows


def _verdict(pool: Pool, pair: list[Sample], k: int) -> Callable[[float], str]:
    """delta -> verdict, with outcomes of rows that lack modality k shifted by it."""
    results = pool.results
    metric = METRICS[results.primary]

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        return np.asarray(metric(p.target, p.outputs, weight=weight))[..., None]

    def told(delta: float) -> str:
        def weight(p: Predicted) -> np.ndarray:
            return outcome_shift(p.target, ~p.present[:, k], delta=delta)

        (a, draws_a), (b, draws_b) = (s.values(statistic, weight=weight) for s in pair)
        gap = Interval.of_samples(
            float(a[0] - b[0]), draws_a[:, 0] - draws_b[:, 0], kind=metric.interval
        )
        return verdict(gap, metric.higher_is_better, margin=results.plan.margin)

    return told
