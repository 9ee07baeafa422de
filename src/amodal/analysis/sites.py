"""Internal-external validation: each site's results where none of its rows was trained on, pooled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.analysis.pooling import Pool
from amodal.analysis.sample import Sample, ends, kept_rows
from amodal.analysis.usefulness import ends_of_study
from amodal.disclosure import SMALLEST, is_small
from amodal.metrics import METRICS, Interval, RandomEffects, random_effects
from amodal.study.predictions import Predicted
from amodal.study.results import Results

__all__ = ["POOLED", "Scale", "held_out", "scale_of", "site_rows"]

POOLED, PREDICTED = "all sites", "another such site"
_LEAST_SITES = 2


@dataclass(frozen=True)
class Scale:
    """On which a metric is about normal over sites.

    Args:
        name: as people read it.
        there: metric -> scale.
        back: scale -> metric.
    """

    name: str
    there: Callable[[Any], Any]
    back: Callable[[Any], Any]


_PLAIN = Scale("as it is", lambda x: x, lambda x: x)
_LOG = Scale("log", np.log, np.exp)
_LOGIT = Scale("logit", lambda x: np.log(x) - np.log1p(-x), lambda x: 1 / (1 + np.exp(-x)))
_SCALES = {"auroc": _LOGIT, "accuracy": _LOGIT, "observed_expected": _LOG, "log_loss": _LOG}
_SCALES |= {"brier": _LOG, "rmse": _LOG, "mae": _LOG}


def scale_of(metric: str) -> Scale:
    """The scale on which a metric is pooled: logit, log, or as it is.

    Reference: Snell et al., Stat Methods Med Res 27, 2018: logit for the c statistic, log for
    observed over expected, as it is for the calibration slope.

    >>> scale_of("auroc").name, scale_of("calibration_slope").name
    ('logit', 'as it is')
    """
    return _SCALES.get(metric, _PLAIN)


def held_out(results: Results, site: Mapping[str, str]) -> bool:
    """Whether no row of a tested site was trained on: all its labelled rows are tested together.

    Args:
        results: of the study.
        site: row id -> site, of all labelled rows.
    """
    every: dict[str, set[str]] = {}
    for row, name in site.items():
        every.setdefault(name, set()).add(row)
    parts = {c.unit: c.predicted.row_id.tolist() for c in results.cells}
    for rows in parts.values():
        tested: dict[str, set[str]] = {}
        for row in rows:
            tested.setdefault(site[row], set()).add(row)
        if any(tested[name] != every[name] for name in tested):
            return False
    return True


def site_rows(pool: Pool, site: Mapping[str, str]) -> list[dict[str, Any]]:
    """Metrics of each method on each site, pooled over sites by random effects.

    One dict per method, point, metric and site, then one for `POOLED` (its mean over sites) and one
    for "another such site" (prediction interval). Standard errors are those of bootstrap replicates
    on the scale of `scale_of`, drawn by group, or by row where a site is one group. Sites with under
    ten rows of either outcome, or on which a metric is undefined in more than one replicate of ten,
    are left out; ``sites`` tells how many were pooled.

    Args:
        pool: of the study.
        site: row id -> site, of all labelled rows.

    References: Steyerberg and Harrell, J Clin Epidemiol 69, 2016; `amodal.metrics.random_effects`.
    """
    if not site:
        return []
    about = [pool.results.plan.site]
    return kept_rows(pool, "sites", lambda: _site_rows(pool, site), about=about)


def _site_rows(pool: Pool, site: Mapping[str, str]) -> list[dict[str, Any]]:
    results, rows = pool.results, []
    out = held_out(results, site)
    names = _metrics(results)
    for at in ends_of_study(results):
        for method in results.methods:
            cells = results.group(method, at)
            if not cells:
                continue
            tested = sorted({site[r] for c in cells for r in c.predicted.row_id.tolist()})
            found = {name: _scored(_sample(pool, cells, site, name), names) for name in tested}
            head = {"method": method, "mechanism": at.mechanism, "rate": at.rate}
            head |= {"held_out": out}
            for k, metric in enumerate(names):
                rows += [{**head, **row} for row in _of_metric(metric, k, found)]
    return rows


def _metrics(results: Results) -> tuple[str, ...]:
    extra = ()
    if results.task.kind == "binary":
        extra = ("auroc", "observed_expected", "calibration_slope")
    return tuple(dict.fromkeys((results.primary, *extra)))


def _of(site: Mapping[str, str], name: str) -> Callable[[Predicted], np.ndarray]:
    return lambda p: np.array([site[r] == name for r in p.row_id.tolist()], dtype=bool)


def _sample(pool: Pool, cells: Any, site: Mapping[str, str], name: str) -> Sample:
    """The rows of a site, resampled by group, or by row where all are of one group."""
    found = Sample(pool, cells, keep=_of(site, name))
    if all(len(np.unique(p.unit)) == 1 for p in found.parts):
        found = Sample(pool, cells, keep=_of(site, name), by_row=True)
    return found


def _scored(sample: Sample, names: tuple[str, ...]) -> tuple[int, Any] | None:
    """(rows of a seed, (values [k], replicates [B, k])); None where rows are too few."""
    least = sample.fewest
    for p in sample.parts:
        if p.task.kind == "binary":
            least = min(least, int(p.target.sum()), int((1 - p.target).sum()))
    if least < SMALLEST:
        return None

    def statistic(p: Predicted, weight: np.ndarray | None) -> np.ndarray:
        each = [METRICS[n](p.target, p.outputs, weight=weight) for n in names]
        return np.stack(each, axis=-1)

    rows = round(np.mean([len(p) for p in sample.parts]))
    return rows, sample.values(statistic)


def _of_metric(metric: str, k: int, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    scale, rows, told, errors = scale_of(metric), [], [], []
    for name, scored in found.items():
        if scored is None:
            continue
        n, (value, samples) = scored
        interval = ends(value[[k]], samples[:, [k]], kinds=[METRICS[metric].interval])[0]
        at, error = _on(scale, float(value[k]), samples[:, k])
        if math.isnan(error):
            continue
        told.append(at)
        errors.append(error)
        rows.append(_row(metric, name, interval, n=None if is_small(n) else n))
    if len(told) < _LEAST_SITES:
        return rows
    pooled = random_effects(told, errors)
    return [*rows, *_pooled(metric, scale, pooled)]


def _on(scale: Scale, value: float, samples: np.ndarray) -> tuple[float, float]:
    """Estimate and standard error on a scale; NaN where they are not to be had."""
    with np.errstate(divide="ignore", invalid="ignore"):
        at, draws = float(scale.there(value)), scale.there(samples)
    kept = draws[np.isfinite(draws)]
    if not math.isfinite(at) or len(kept) < 0.9 * len(draws):
        return math.nan, math.nan
    error = float(kept.std(ddof=1))
    return at, error if error > 0 else math.nan


def _pooled(metric: str, scale: Scale, found: RandomEffects) -> list[dict[str, Any]]:
    back = [float(scale.back(x)) for x in (found.value, found.low, found.high)]
    mean = Interval(*back)
    ends_ = [float(scale.back(x)) for x in (found.prediction_low, found.prediction_high)]
    other = Interval(back[0], *ends_)
    extra = {"sites": found.sites, "tau": found.tau, "i2": found.i2, "scale": scale.name}
    return [
        _row(metric, POOLED, mean, n=None) | extra,
        _row(metric, PREDICTED, other, n=None) | extra,
    ]


def _row(metric: str, name: str, i: Interval, *, n: int | None) -> dict[str, Any]:
    told = {"metric": metric, "site": name, "n": n, "value": i.value, "low": i.low, "high": i.high}
    return told | dict.fromkeys(("sites", "tau", "i2", "scale"))
