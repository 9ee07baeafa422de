"""Tables on calibration under absence and on clinical usefulness, as text ready to be set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from amodal.analysis.calibrations import ALL
from amodal.analysis.usefulness import ends_of_study
from amodal.metrics import METRICS
from amodal.report.content import Entry, Grid, method_entry
from amodal.report.style import method_name, point_name
from amodal.report.words import number
from amodal.study.results import At, Results

__all__ = [
    "alert_grid",
    "calibration_grid",
    "characteristic_grid",
    "sample_size_words",
    "site_grid",
    "subgroup_grid",
    "tipping_grid",
]

Rows = Sequence[Mapping[str, Any]]

_MEASURES = {
    "brier_miscalibration": "Brier: miscalibration",
    "brier_discrimination": "Brier: discrimination",
    "brier_uncertainty": "Brier: uncertainty",
    "alerts_per_100": "Alerts per 100",
    "ppv": "PPV",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "npv": "NPV",
}
_ON_PAGE = (
    "ece",
    "classwise_ece",
    "calibration_slope",
    "log_loss",
    "brier_miscalibration",
    "brier_discrimination",
    "aurc",
    "coverage_90",
    "gaussian_nll",
)


def _title(measure: str) -> str:
    return METRICS[measure].title if measure in METRICS else _MEASURES[measure]


def _entry(row: Mapping[str, Any] | None, *, factor: float = 1.0) -> Entry:
    """A value with its interval under it."""
    if row is None or row["value"] is None:
        return Entry("not shown" if row is not None else "", look="faint")
    value, low, high = (_times(row[k], factor) for k in ("value", "low", "high"))
    dash = "\N{EN DASH}" if low is not None and low >= 0 else " to "
    return Entry(number(value), f"{number(low)}{dash}{number(high)}")


def _times(x: float | None, factor: float) -> float | None:
    return None if x is None else x * factor


def _at(row: Mapping[str, Any]) -> At:
    return At(row["mechanism"], row["rate"])


def _ordered(rows: Rows, *keys: str) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(r[k] for k in keys) for r in rows))


def calibration_grid(results: Results, rows: Rows) -> Grid:
    """Methods in focus and the first baseline by part of the rows, at both ends of the study."""
    methods = (*results.focus[:2], *results.baselines[:1])
    points = [(a.mechanism, a.rate) for a in ends_of_study(results)]
    kept = [
        r
        for r in rows
        if r["method"] in methods and ((r["mechanism"], r["rate"]) in points or r["rate"] == 0)
    ]
    measures = [m for (m,) in _ordered(kept, "measure") if m in _ON_PAGE]
    found = {(r["method"], _at(r), r["rows"], r["measure"]): r for r in kept}
    body = []
    for method, mechanism, rate, part in _ordered(kept, "method", "mechanism", "rate", "rows"):
        at = At(mechanism, rate)
        cells = [_entry(found.get((method, at, part, m))) for m in measures]
        where = point_name(at).replace(" ", "\N{NO-BREAK SPACE}")
        body.append([method_entry(results, method), where, part, *cells])
    body.sort(key=lambda row: row[2] != ALL)
    return Grid(["Method", "Loss", "Rows", *map(_title, measures)], body, texts=3)


def alert_grid(results: Results, rows: Rows) -> Grid:
    """Each method at each stated threshold, at both ends of the study."""
    points = {(a.mechanism, a.rate) for a in ends_of_study(results)}
    kept = [r for r in rows if (r["mechanism"], r["rate"]) in points or r["rate"] == 0]
    measures = [m for (m,) in _ordered(kept, "measure")]
    found = {(r["method"], _at(r), r["threshold"], r["measure"]): r for r in kept}
    body = []
    for method, mechanism, rate, risk in _ordered(kept, "method", "mechanism", "rate", "threshold"):
        at = At(mechanism, rate)
        cells = [_entry(found.get((method, at, risk, m))) for m in measures]
        body.append([method_entry(results, method), point_name(at), f"{risk:g}", *cells])
    return Grid(["Method", "Loss", "Threshold", *map(_title, measures)], body, texts=3)


def subgroup_grid(results: Results, rows: Rows) -> Grid:
    """Each level of each column: rows, events, and metrics of every method."""
    metrics = [m for (m,) in _ordered(rows, "metric")]
    found = {(r["method"], _at(r), r["column"], r["level"], r["metric"]): r for r in rows}
    body = []
    for column, level, mechanism, rate, method in _ordered(
        rows, "column", "level", "mechanism", "rate", "method"
    ):
        at = At(mechanism, rate)
        first = found[method, at, column, level, metrics[0]]
        count = ["not shown" if first[k] is None else f"{first[k]:,}" for k in ("n", "events")]
        count = count if first["events"] is not None or first["n"] is None else [count[0], ""]
        cells = [_entry(found.get((method, at, column, level, m))) for m in metrics]
        name = f"{column_name(column)}: {level}"
        body.append([name, point_name(at), method_name(method), *count, *cells])
    head = ["Subgroup", "Loss", "Method", "Rows", "Events", *map(_title, metrics)]
    return Grid(head, body, texts=3)


def column_name(spec: str) -> str:
    """A column as people read it.

    >>> column_name("demographics.age:18:65"), column_name("sex")
    ('age', 'sex')
    """
    return spec.split(":")[0].rpartition(".")[2]


def site_grid(rows: Rows) -> Grid:
    """Each metric of each method: every site, their mean, and what to expect of another site."""
    body = []
    for r in rows:
        count = "" if r["n"] is None else f"{r['n']:,}"
        extra = ["", "", ""]
        if r["sites"] is not None:
            tau = "" if r["tau"] is None else f"{number(r['tau'])} ({r['scale']})"
            extra = [str(r["sites"]), tau, f"{r['i2']:.0%}"]
        look = "best" if r["sites"] is not None else ""
        name = Entry(_title(r["metric"]))
        site = Entry(r["site"], look=look)
        body.append(
            [name, method_name(r["method"]), point_name(_at(r)), site, count, _entry(r), *extra]
        )
    head = ["Metric", "Method", "Loss", "Site", "Rows", "Value", "Sites", "Tau (scale)", "I²"]
    return Grid(head, body, texts=4)


def tipping_grid(results: Results, rows: Rows) -> Grid:
    """How far outcomes of rows that lack a modality must shift for the verdict to change."""
    binary = results.task.kind == "binary"
    body = []
    for r in rows:
        sides = [
            _shift(r[side], r[f"verdict_{side}"], r["largest"], sign=sign, binary=binary)
            for side, sign in (("below", -1), ("above", 1))
        ]
        names = [method_name(r["method"]), method_name(r["other"])]
        at = point_name(_at(r))
        body.append([names[0], names[1], at, r["modality"], r["verdict"], *sides])
    how = "odds of the outcome" if binary else "mean of the target"
    head = ["Method", "Against", "Loss", "Modality absent", "Verdict"]
    return Grid([*head, f"Changes if {how} fall to", f"Changes if {how} rise to"], body, texts=7)


def _shift(delta: float | None, told: str, largest: float, *, sign: int, binary: bool) -> Entry:
    shown = sign * largest if delta is None else delta
    text = f"\N{MULTIPLICATION SIGN}{math.exp(shown):.2f}" if binary else f"{shown:+.2f} SD"
    return Entry(text, f"then {told}") if delta is not None else Entry("no change", f"up to {text}")


def characteristic_grid(rows: Rows) -> Grid:
    """Table 1."""
    return Grid(list(rows[0]), [[str(x) for x in r.values()] for r in rows])


def sample_size_words(rows: Rows) -> list[str]:
    """One sentence per assumed R squared: what is asked for, what there is."""
    told = []
    for r in rows:
        events = r["events_for_development"]
        have = f"{r['rows_for_development']:,} labelled rows"
        have += "" if events is None else f" ({events:,} with the rarer outcome)"
        asked = [r[f"needs_{k}"] for k in ("shrinkage", "optimism", "overall_risk", "small_error")]
        each = ", ".join("not defined" if x is None else f"{x:,}" for x in asked)
        verdict = "enough" if r["rows_for_development"] >= r["needs_needed"] else "too few"
        told.append(
            f"With R² (Cox-Snell) {number(r['r2'])} ({r['r2_from']}), a regression with all "
            f"{r['parameters']:,} candidate parameters needs {r['needs_needed']:,} rows, "
            f"{r['needs_events']:,} of them with the rarer outcome (criteria: {each}). A model is "
            f"fitted on {have}: {verdict}; they support {r['parameters_supported']:,} parameters."
        )
    return told
