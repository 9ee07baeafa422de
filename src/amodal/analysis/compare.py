"""Paired differences between methods: same rows, same patterns of loss, same resamples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from amodal.analysis.pooling import Pool, Scores, Units
from amodal.metrics import METRICS, Interval
from amodal.study.results import At

__all__ = [
    "VERDICTS",
    "Comparison",
    "against_base",
    "against_best",
    "against_reference",
    "bases",
    "best_method",
    "compare",
    "holm",
    "p_value",
    "verdict",
]

VERDICTS = ("better", "non-inferior", "worse", "undecided")
_TAIL = 10  # replicates beyond 0 from which their share is trusted


@dataclass(frozen=True)
class Comparison:
    """The difference of a metric between two methods.

    Args:
        metric: name.
        at: under which loss.
        method: the one.
        other: the other.
        interval: of method - other.
        p: two-sided, see `p_value`.
        p_holm: the same, adjusted for the comparisons of its table.
        units: (seed, fold) pairs that both have.
        complete: whether both have all the units that either has.
        margin: by how much `method` may be worse and still count as non-inferior; 0 where no margin
            was stated for this metric.

    >>> worse = Interval(-0.005, -0.009, -0.001)
    >>> told = {"at": At("mcar", 0.5), "method": "a", "other": "b", "interval": worse, "p": 0.02}
    >>> Comparison("auroc", **told).verdict, Comparison("auroc", **told, margin=0.01).verdict
    ('worse', 'non-inferior')
    """

    metric: str
    at: At
    method: str
    other: str
    interval: Interval
    p: float
    p_holm: float = math.nan
    units: int = 0
    complete: bool = True
    margin: float = 0.0

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, see `verdict`."""
        return verdict(self.interval, METRICS[self.metric].higher_is_better, margin=self.margin)


def verdict(interval: Interval, higher_is_better: bool | None, *, margin: float = 0.0) -> str:
    """What a difference says, by where its interval lies.

    "better" where the interval lies wholly on the good side of 0. With a margin, "non-inferior" where
    it lies wholly on the good side of -margin, also where it lies below 0 (worse, but by less than
    matters). Else "worse" where it lies wholly on the bad side of 0, and "undecided" where it
    holds 0.

    Reference: Piaggio et al., JAMA 2012 (CONSORT for non-inferiority), figure 1.

    >>> verdict(Interval(0.02, 0.01, 0.03), True), verdict(Interval(0.02, 0.01, 0.03), False)
    ('better', 'worse')
    >>> verdict(Interval(0.02, -0.01, 0.05), True)
    'undecided'
    >>> verdict(Interval(0.0, -0.008, 0.008), True, margin=0.01)
    'non-inferior'
    >>> verdict(Interval(0.0, -0.008, 0.02), False, margin=0.01)
    'undecided'
    """
    if higher_is_better is None or math.isnan(interval.low) or math.isnan(interval.high):
        return "undecided"
    least, most = interval.low, interval.high
    if not higher_is_better:
        least, most = -most, -least
    if least > 0:
        return "better"
    if margin > 0 and least > -margin:
        return "non-inferior"
    return "worse" if most < 0 else "undecided"


def p_value(value: float, samples: np.ndarray) -> float:
    """Two-sided p-value of a difference from its replicates.

    Twice the share of replicates on the other side of 0, each count plus one. Where fewer than ten
    lie there, the share is too coarse for an adjustment over many comparisons (1,000 replicates
    cannot go below .002), and the tail of the normal distribution with the replicates' standard
    deviation takes its place, if it is smaller.

    >>> round(p_value(1.0, np.array([-1.0, 1.0, 2.0, 3.0] * 25)), 4)  # 2 (25 + 1) / (100 + 1)
    0.5149
    >>> rng = np.random.default_rng(0)
    >>> p_value(5.0, rng.normal(5, 1, 1000)) < 1e-5
    True
    """
    kept = samples[~np.isnan(samples)]
    if not len(kept) or math.isnan(value):
        return math.nan
    tail = min((kept <= 0).sum(), (kept >= 0).sum())
    share = min(1.0, 2 * (1 + tail) / (len(kept) + 1))
    deviation = float(kept.std())
    if tail >= _TAIL or deviation == 0:
        return float(share)
    return float(min(share, 2 * NormalDist().cdf(-abs(value) / deviation)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down rule; NaN stays and is not counted.

    The k-th smallest of K is multiplied by K - k + 1, then made to rise.

    Reference: Holm, 1979.

    >>> [round(x, 3) for x in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted((k for k in range(len(p)) if not math.isnan(p[k])), key=lambda k: p[k])
    found, largest = [math.nan] * len(p), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p[k]))
        found[k] = largest
    return found


def best_method(pool: Pool, metric: str, *, at: At, methods: Sequence[str]) -> str | None:
    """The method with the best value; those with fewer finished cells than others play no part."""
    shared = {m: _shared(pool, at, [m]) for m in methods}
    size = {m: (len(units), sum(map(len, units.values()))) for m, units in shared.items() if units}
    known = [m for m in size if size[m] == max(size.values())]
    values = {m: _scores(pool, metric, at=at, method=m, shared=shared[m]).value for m in known}
    values = {m: v for m, v in values.items() if not math.isnan(v)}
    return min(values, key=lambda m: METRICS[metric].to_minimise(values[m]), default=None)


def against_best(pool: Pool, metric: str) -> list[Comparison]:
    """Each method in focus against the best baseline at each rate, and over all rates.

    The best baseline is picked on the rows on which it is compared, which favours it: a verdict
    "better" is the harder to get.
    """
    rows, results = [], pool.results
    for at in results.points(means=True):
        other = best_method(pool, metric, at=at, methods=results.baselines)
        if other is not None:
            rows += [compare(pool, metric, at=at, method=m, other=other) for m in results.focus]
    return _adjusted(rows)


def against_reference(pool: Pool, metric: str) -> list[Comparison]:
    """Every other method against the reference method at each rate, and over all rates."""
    results = pool.results
    reference = results.reference
    others = [m for m in results.methods if m != reference]
    return _adjusted(
        [
            compare(pool, metric, at=at, method=m, other=reference)
            for at in results.points(means=True)
            for m in others
        ]
    )


def bases(methods: Sequence[str]) -> dict[str, str]:
    """Variant -> its base: the spec of the same method with most, but not all, of its settings.

    So each is compared to what differs from it by the fewest settings; of several, the first. A
    variant of which no part stands by itself has none: two such differ in more than one way.

    >>> bases(["aum:vib=false", "aum", "boosting", "imro:layers=1", "imro:weights=gate"])
    {'aum:vib=false': 'aum'}
    >>> bases(["aum", "aum:beta=0.01", "aum:beta=0.01:draws=4"])
    {'aum:beta=0.01': 'aum', 'aum:beta=0.01:draws=4': 'aum:beta=0.01'}
    """
    parts = {m: frozenset(m.split(":")[1:]) for m in methods}
    found = {}
    for variant, own in parts.items():
        name = variant.split(":")[0]
        less = [m for m, of in parts.items() if m.split(":")[0] == name and of < own]
        if less:
            found[variant] = max(less, key=lambda m: len(parts[m]))  # the first of several
    return found


def against_base(pool: Pool, metric: str) -> list[Comparison]:
    """Ablations: each variant of a method against its base at each rate, and over all rates."""
    results = pool.results
    return _adjusted(
        [
            compare(pool, metric, at=at, method=variant, other=base)
            for variant, base in bases(results.methods).items()
            for at in results.points(means=True)
        ]
    )


def compare(pool: Pool, metric: str, *, at: At, method: str, other: str) -> Comparison | None:
    """method - other on the units that both have; None where they have none in common."""
    shared = _shared(pool, at, [method, other])
    if not shared:
        return None
    a = _scores(pool, metric, at=at, method=method, shared=shared)
    b = _scores(pool, metric, at=at, method=other, shared=shared)
    value, samples = a.value - b.value, a.samples - b.samples
    interval = Interval.of_samples(value, samples, kind=METRICS[metric].interval)
    if METRICS[metric].interval == "centred":
        samples = samples - np.nanmedian(samples) + value
    complete = all(_shared(pool, at, [m]) == shared for m in (method, other))
    return Comparison(
        metric,
        at,
        method,
        other,
        interval,
        p_value(value, samples),
        units=sum(map(len, shared.values())),
        complete=complete,
        margin=pool.results.plan.margin if metric == pool.results.primary else 0.0,
    )


def _shared(pool: Pool, at: At, methods: Sequence[str]) -> dict[float, Units]:
    """rate -> units that all of `methods` have, without rates at which they share none."""
    rates = pool.results.rates(at.mechanism) if at.rate is None else (at.rate,)
    found = {
        r: frozenset.intersection(*(pool.results.units(m, At(at.mechanism, r)) for m in methods))
        for r in rates
    }
    return {r: units for r, units in found.items() if units}


def _scores(
    pool: Pool, metric: str, *, at: At, method: str, shared: Mapping[float, Units]
) -> Scores:
    """The scores on the units of `shared`; at the mean over rates, the mean over its rates."""
    each = [
        pool.scores(method, At(at.mechanism, rate), units=units)[metric]
        for rate, units in shared.items()
    ]
    if len(each) == 1:
        return each[0]
    value = np.array([np.mean([s.value for s in each])])
    samples = np.mean([s.samples for s in each], axis=0)
    return Scores(METRICS[metric], value, samples, sum(s.rows for s in each))


def _adjusted(rows: list[Comparison | None]) -> list[Comparison]:
    kept = [row for row in rows if row is not None]
    adjusted = holm([row.p for row in kept])
    return [replace(row, p_holm=p) for row, p in zip(kept, adjusted, strict=True)]
