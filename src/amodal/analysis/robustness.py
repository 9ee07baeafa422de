"""Robustness as one number: area under the curve against the rate, effective and relative robustness.

All come with the bootstrap replicates that `Pool` shares between methods and rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from amodal.analysis.pooling import Pool, Scores
from amodal.metrics import METRICS, Interval
from amodal.study.results import At

__all__ = ["area_rows", "area_weights", "effective_robustness", "robustness_rows"]

_LEAST = 3  # baselines through which a line is drawn
_NEAR = 1e-3  # distance from 0 and 1 at which a metric is clipped before its logit


def area_weights(rates: Sequence[float]) -> np.ndarray:
    """Weights of the values at `rates` that give the area under them, over the width.

    The trapezoidal rule: a mean over rates that does not depend on how densely they were chosen.

    Args:
        rates: at least two, distinct, rising.

    >>> area_weights([0.0, 0.5, 1.0]).tolist()
    [0.25, 0.5, 0.25]
    """
    x = np.asarray(rates, dtype=np.float64)
    steps = np.diff(x) / (x[-1] - x[0])
    return 0.5 * (np.append(steps, 0.0) + np.append(0.0, steps))


def area_rows(pool: Pool, metric: str) -> list[dict[str, Any]]:
    """The area under metric against rate of each method, and its difference from the first's.

    Methods that lack a rate are left out; all are on the same resamples.
    """
    results, rows = pool.results, []
    for mechanism in results.mechanisms:
        rates = results.rates(mechanism)
        if len(rates) < 2:
            continue
        weights, first = area_weights(rates), None
        for method in results.methods:
            points = [At(mechanism, r) for r in rates]
            if not all(results.units(method, at) for at in points):
                continue
            each = [pool.scores(method, at)[metric] for at in points]
            value = float(weights @ [s.value for s in each])
            samples = weights @ np.stack([s.samples for s in each])
            first = first or (method, value, samples)
            apart = Interval.of_samples(value - first[1], samples - first[2])
            whole = Interval.of_samples(value, samples)
            head = {"method": method, "mechanism": mechanism, "metric": metric}
            head |= {"from_rate": rates[0], "to_rate": rates[-1]}
            head |= {"area": value, "low": whole.low, "high": whole.high, "other": first[0]}
            rows.append(
                {**head, "difference": apart.value, "d_low": apart.low, "d_high": apart.high}
            )
    return rows


def effective_robustness(
    clean: np.ndarray, shifted: np.ndarray, baselines: np.ndarray
) -> np.ndarray:
    """How far each method lies above the line that baselines draw.

    rho = shifted - beta(clean), with beta the least-squares line of logit(shifted) on logit(clean)
    over the baselines, taken back through the logistic function. A method that does better under a
    shift only as far as it does better without one has 0.

    Reference: Taori et al., NeurIPS 2020, section 2.

    Args:
        clean: [k] or [k, B] a metric between 0 and 1, higher is better, without the shift.
        shifted: the same under it.
        baselines: [k] bool, who draws the line: at least three that differ without the shift.

    Returns:
        As `clean`; NaN where no line can be drawn.

    >>> clean = np.array([0.6, 0.7, 0.8, 0.8])
    >>> shifted = np.array([0.6, 0.7, 0.8, 0.9])
    >>> found = effective_robustness(clean, shifted, np.array([True] * 3 + [False]))
    >>> np.abs(found).round(6).tolist()
    [0.0, 0.0, 0.0, 0.1]
    """
    x, y = (_logit(np.asarray(v, dtype=np.float64)) for v in (clean, shifted))
    near, far = x[baselines], y[baselines]
    if len(near) < _LEAST:
        return np.full(x.shape, np.nan)
    centre = near.mean(axis=0)
    spread = ((near - centre) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = ((near - centre) * far).sum(axis=0) / np.where(spread > 1e-12, spread, np.nan)
    line = far.mean(axis=0) + slope * (x - centre)
    return np.asarray(shifted, dtype=np.float64) - 1.0 / (1.0 + np.exp(-line))


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, _NEAR, 1 - _NEAR)
    return np.log(p) - np.log1p(-p)


def robustness_rows(pool: Pool, metric: str) -> list[dict[str, Any]]:
    """Effective and relative robustness of each method at each rate above 0.

    Effective: see `effective_robustness`, the line drawn through the baselines of the study. Relative:
    the metric under the shift minus that of the reference method under it (Taori et al. 2020). Only
    for metrics between 0 and 1 of which more is better, and where rate 0 was run.
    """
    known, results = METRICS[metric], pool.results
    if known.higher_is_better is not True or known.ideal != 1.0 or metric == "r2":
        return []
    rows = []
    for mechanism in results.mechanisms:
        rates = results.rates(mechanism)
        for rate in rates if rates and rates[0] == 0 else ():
            if rate > 0:
                rows += _at(pool, metric, start=At(mechanism, 0.0), at=At(mechanism, rate))
    return rows


def _at(pool: Pool, metric: str, *, start: At, at: At) -> list[dict[str, Any]]:
    results = pool.results
    methods = [m for m in results.methods if results.units(m, at) and results.units(m, start)]
    before = [pool.scores(m, start)[metric] for m in methods]
    after = [pool.scores(m, at)[metric] for m in methods]
    drawn = np.array([m in results.baselines for m in methods])
    value = effective_robustness(_values(before), _values(after), drawn)
    samples = effective_robustness(_samples(before), _samples(after), drawn)
    reference = methods.index(results.reference) if results.reference in methods else None
    rows = []
    for k, method in enumerate(methods):
        found = Interval.of_samples(float(value[k]), samples[k])
        relative = Interval(math.nan, math.nan, math.nan)
        if reference is not None:
            base = after[reference]
            apart = after[k].samples - base.samples
            relative = Interval.of_samples(after[k].value - base.value, apart)
        head = {"method": method, "mechanism": at.mechanism, "rate": at.rate, "metric": metric}
        head |= {"clean": before[k].value, "shifted": after[k].value}
        head |= {"effective": found.value, "low": found.low, "high": found.high}
        head |= {"relative": relative.value, "r_low": relative.low, "r_high": relative.high}
        rows.append({**head, "reference": results.reference, "line_through": int(drawn.sum())})
    return rows


def _values(scores: Sequence[Scores]) -> np.ndarray:
    return np.array([s.value for s in scores])


def _samples(scores: Sequence[Scores]) -> np.ndarray:
    return np.stack([s.samples for s in scores])
