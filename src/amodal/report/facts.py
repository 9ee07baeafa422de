"""`Facts`: what a report's sentences are made from, read once from the scores of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amodal.analysis.compare import Comparison, against_best, best_method
from amodal.analysis.pooling import Pool
from amodal.metrics import Interval
from amodal.report.style import method_name
from amodal.study.results import At, Results

__all__ = ["CALIBRATION", "Facts", "facts_of"]

CALIBRATION = ("ece", "ece_of_perfect", "calibration_slope")


@dataclass(frozen=True)
class Facts:
    """Results in the form in which sentences read them.

    Args:
        metric: name of the primary metric.
        names: method -> as people read it, those in focus first.
        focus: the methods that the study is about.
        points: mechanism by mechanism, rate by rate, rate 0 once.
        values: (method, point) -> primary metric, pooled.
        best: point -> the method with the best primary metric.
        against: methods in focus against the best baseline, at each point and over all rates.
        calibration: (method, point, metric) -> value, for the metrics of `CALIBRATION`.
        expected: evaluations that the plan asks for.
        unfinished: those that are not finished.
        failed: cells that did not work.
        seeds: how many.
        folds: how many; 0 for one split per seed.
        rows: test rows scored per seed, about.
        resampled: "patients" or "rows": what the bootstrap draws.
    """

    metric: str
    names: Mapping[str, str]
    focus: tuple[str, ...]
    points: tuple[At, ...]
    values: Mapping[tuple[str, At], Interval]
    best: Mapping[At, str] = field(default_factory=dict)
    against: tuple[Comparison, ...] = ()
    calibration: Mapping[tuple[str, At, str], Interval] = field(default_factory=dict)
    expected: int = 0
    unfinished: int = 0
    failed: int = 0
    seeds: int = 1
    folds: int = 0
    rows: int = 0
    resampled: str = "rows"

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms of loss, without that of rate 0."""
        return tuple(dict.fromkeys(at.mechanism for at in self.points if at.rate))

    def under(self, mechanism: str) -> list[At]:
        """The points of one mechanism with a rate above 0, by rate."""
        return [at for at in self.points if at.mechanism == mechanism and at.rate]

    @property
    def start(self) -> At | None:
        """The point at rate 0, if it was evaluated."""
        return next((at for at in self.points if at.rate == 0), None)


def facts_of(pool: Pool) -> Facts:
    """The facts of a study."""
    results = pool.results
    points = tuple(results.points())
    primary, every = results.primary, results.methods
    values, calibration = {}, {}
    for method in results.methods:
        for at in points:
            if not results.units(method, at):
                continue
            scores = pool.scores(method, at)
            values[method, at] = scores[primary].interval
            for name in CALIBRATION:
                if name in scores:
                    calibration[method, at, name] = scores[name].interval
    return Facts(
        primary,
        {m: method_name(m) for m in results.methods},
        results.focus,
        points,
        values,
        {at: m for at in points if (m := best_method(pool, primary, at=at, methods=every))},
        tuple(against_best(pool, primary)),
        calibration,
        expected=results.expected,
        unfinished=results.unfinished,
        failed=len(results.failed),
        seeds=len({c.unit[0] for c in results.cells}),
        folds=results.plan.folds if results.plan.folds > 1 else 0,
        rows=_rows_per_seed(results),
        resampled="rows" if results.data["groups"] is None else "groups",
    )


def _rows_per_seed(results: Results) -> int:
    one = {c.unit: c.record["rows"] for c in results.cells}
    seeds = {seed for seed, _ in one}
    return round(sum(one.values()) / len(seeds)) if seeds else 0
