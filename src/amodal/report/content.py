"""The tables of a report, as text ready to be set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amodal.analysis.compare import Comparison, best_method
from amodal.analysis.pooling import Pool
from amodal.disclosure import shown_count, shown_counts, shown_share
from amodal.metrics import METRICS, Interval
from amodal.report.figures import perfect_ece
from amodal.report.meanings import ALARMS, diagnostic
from amodal.report.style import method_name, point_name, short_mechanism
from amodal.report.words import number, signed
from amodal.study.plan import NONE
from amodal.study.results import Results

__all__ = [
    "Entry",
    "Grid",
    "data_facts",
    "data_grid",
    "data_name",
    "diagnostic_grid",
    "difference_grid",
    "method_entry",
    "method_grid",
    "paired_grid",
    "rate_grid",
    "reference_grid",
    "settings_facts",
    "value_grid",
]

MARKS = {"better": "▲", "non-inferior": "△", "worse": "▼", "undecided": "○"}


@dataclass(frozen=True)
class Entry:
    """A cell of a table: a text, a smaller one under it, and a class for its look."""

    text: str
    small: str = ""
    look: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Args:
        head: one text per column.
        rows: entries, or plain texts.
        over: (text, number of columns) above the head; empty for none.
        texts: how many columns, from the left, hold text.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Entry | str]]
    over: Sequence[tuple[str, int]] = ()
    texts: int = 1

    @property
    def sides(self) -> list[str]:
        """A class per column, for its alignment."""
        return ["" if k < self.texts else "n" for k in range(len(self.head))]

    @property
    def cells(self) -> list[list[Entry]]:
        """The rows with every text as an entry."""
        return [[x if isinstance(x, Entry) else Entry(x) for x in row] for row in self.rows]


def _over(points: Sequence[Any]) -> list[tuple[str, int]]:
    """Spans of columns of one mechanism; the first column is that of the method."""
    found: list[tuple[str, int]] = [("", 1)]
    for at in points:
        text = "as they are" if at.mechanism == NONE else short_mechanism(at.mechanism)
        if len(found) > 1 and found[-1][0] == text:
            found[-1] = (text, found[-1][1] + 1)
        else:
            found.append((text, 1))
    return found


def _rate(at: Any) -> str:
    return "mean" if at.rate is None else f"{at.rate:g}"


def value_grid(pool: Pool, metric: str) -> Grid:
    """Every method at every rate: mean over seeds and interval; the best of each column marked."""
    results = pool.results
    points = results.points()
    found = {
        (m, at): pool.scores(m, at)[metric]
        for m in results.methods
        for at in points
        if results.units(m, at)
    }
    most = {at: max(len(results.units(m, at)) for m in results.methods) for at in points}
    ranked = points if METRICS[metric].higher_is_better is not None else ()
    best = {at: best_method(pool, metric, at=at, methods=results.methods) for at in ranked}
    rows: list[list[Entry]] = []
    for method in results.methods:
        row = [method_entry(results, method)]
        for at in points:
            if (method, at) not in found:
                row.append(Entry("n/a", look="faint"))
                continue
            i = found[method, at].interval
            few = "*" if len(results.units(method, at)) < most[at] else ""
            look = "best" if best.get(at) == method else ""
            row.append(Entry(number(i.value) + few, _range(i), look))
        rows.append(row)
    if metric == "ece" and "ece_of_perfect" in results.metrics:
        chance = [number(perfect_ece(pool, at)) for at in points]
        rows.append([Entry("a perfect model", look="faint"), *chance])
    return Grid(["Method", *map(_rate, points)], rows, over=_over(points))


def difference_grid(comparisons: Sequence[Comparison]) -> Grid:
    """Methods in focus against the best baseline: one row per point, one column per method."""
    methods = list(dict.fromkeys(c.method for c in comparisons))
    rows = []
    for at in dict.fromkeys(c.at for c in comparisons):
        here = {c.method: c for c in comparisons if c.at == at}
        others = dict.fromkeys(method_name(c.other) for c in here.values())
        found = [_difference(here[m]) if m in here else Entry("n/a") for m in methods]
        rows.append([point_name(at), ", ".join(others), *found])
    return Grid(["Loss", "Best baseline", *map(method_name, methods)], rows, texts=2)


def _difference(c: Comparison) -> Entry:
    star = "" if c.complete else "*"
    text = f"{MARKS[c.verdict]} {signed(c.interval.value)}{star}"
    return Entry(text, _range(c.interval), f"{c.verdict} inline")


def _range(interval: Interval) -> str:
    """Both ends; with a dash where no end has a minus."""
    dash = "\N{EN DASH}" if interval.low >= 0 else " to "
    return f"{number(interval.low)}{dash}{number(interval.high)}"


def reference_grid(comparisons: Sequence[Comparison]) -> Grid:
    """One row per comparison, with p-values."""
    rows = [
        [
            method_name(c.method),
            point_name(c.at),
            Entry(f"{MARKS[c.verdict]}\N{NO-BREAK SPACE}{c.verdict}", look=c.verdict),
            Entry(signed(c.interval.value), look=c.verdict),
            f"{number(c.interval.low)} to {number(c.interval.high)}",
            _p(c.p),
            _p(c.p_holm),
        ]
        for c in comparisons
    ]
    head = ["Method", "Loss", "Verdict", "Difference", "95% interval", "p", "p (Holm)"]
    return Grid(head, rows, texts=3)


def paired_grid(comparisons: Sequence[Comparison], *, other: str = "Best baseline") -> Grid:
    """As `reference_grid`, naming the other method too, in a column headed `other`."""
    plain = reference_grid(comparisons)
    rows = [
        [row[0], method_name(c.other), *row[1:]]
        for row, c in zip(plain.rows, comparisons, strict=True)
    ]
    return Grid([plain.head[0], other, *plain.head[1:]], rows, texts=4)


def _p(value: float) -> str:
    if value != value:
        return "n/a"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def rate_grid(rows: Sequence[Mapping[str, Any]], modalities: int) -> Grid:
    """Rates asked for and what came out; changed values where there are any."""
    body, worse = [], any(r["worse"] != 0 for r in rows)
    for r in rows:
        pairs = r["n"] * modalities
        name = "as they are" if r["mechanism"] == NONE else short_mechanism(r["mechanism"])
        shares = [_percent(r[k], pairs) for k in ("achieved", "achieved_present")]
        shares.append(_percent(r["natural_absence"], pairs))
        body.append([name, f"{r['rate']:g}", *shares, _percent(r["with_nothing"], r["n"])])
        if worse:
            body[-1].append(_percent(r["worse"], pairs))
    head = ["Mechanism", "Asked", "Of all pairs", "Of present pairs", "Not measured before"]
    return Grid([*head, "Rows left with nothing", *["Values changed"] * worse], body)


def diagnostic_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """What methods say of themselves; what calls for a look is marked."""
    names = list(dict.fromkeys(r["diagnostic"] for r in rows))
    at = {(r["method"], r["mechanism"], r["rate"]): {} for r in rows}
    for r in rows:
        at[r["method"], r["mechanism"], r["rate"]][r["diagnostic"]] = r["value"]
    body = []
    for (method, mechanism, rate), values in at.items():
        where = "as they are" if mechanism == NONE else f"{short_mechanism(mechanism)} {rate:g}"
        cells = [_diagnostic(name, values[name]) if name in values else "" for name in names]
        body.append([method_name(method), where, *cells])
    return Grid(["Method", "Loss", *(diagnostic(n) for n in names)], body, texts=2)


def _diagnostic(name: str, value: float) -> Entry:
    alarm = name in ALARMS and value > ALARMS[name]
    return Entry(number(value), look="worse" if alarm else "")


def _percent(share: float | None, total: float) -> str:
    return "few" if share is None else shown_share(share, total)


def method_grid(results: Results) -> Grid:
    """The methods, with paper and settings."""
    rows = []
    for method in results.methods:
        about = results.about(method)
        paper = ", ".join(str(x) for x in (about["reference"], about["year"]) if x)
        if str(about["year"]) in about["reference"]:
            paper = about["reference"]
        settings = ", ".join(f"{k} = {v}" for k, v in about["settings"].items()) or "defaults"
        role = "in focus" if method in results.focus else "baseline"
        rows.append([method_entry(results, method), about["title"], role, settings, paper or "n/a"])
    return Grid(["Method", "Title", "Role", "Settings", "Source"], rows, texts=5)


def method_entry(results: Results, method: str) -> Entry:
    """The name of a method, marked where it is in focus."""
    return Entry(method_name(method), look="focus" if method in results.focus else "")


def data_name(results: Results) -> str:
    """The data in a word or two, without the folder that they lie in."""
    return results.data.get("name") or Path(results.plan.data).name


def data_facts(results: Results) -> list[tuple[str, str]]:
    """(what, value): rows, labels, groups, classes; small counts hidden."""
    data, task = results.data, results.task
    rows, labelled = data["rows"], data["labelled"]
    told = f" ({source})" if (source := data.get("source", "")) and "/" not in source else ""
    found = [
        ("Data", data_name(results) + told),
        ("Predicted", f"{task.name} ({task.kind})"),
        ("Rows", shown_count(rows)),
        ("Labelled rows", shown_count(labelled, rows)),
    ]
    if data["groups"] is not None:
        found.append(("Groups kept on one side", shown_count(data["groups"])))
    target = data.get("target", {})
    if "counts" in target:
        hidden = shown_counts(target["counts"])
        told = [_class(k, hidden[k], share=n / labelled) for k, n in target["counts"].items()]
        found.append(("Classes", "; ".join(told)))
    if "positive" in target:
        told = [f"{k}: {shown_count(n, labelled)}" for k, n in target["positive"].items()]
        found.append(("Labels", "; ".join(told)))
    if "mean" in target:
        found.append(("Target", f"mean {target['mean']:.4g}, sd {target['std']:.4g}"))
    found.append(("Rows with nothing measured", shown_count(data["with_nothing"], rows)))
    return found


def flow_grid(flow: Mapping[str, Any]) -> Grid:
    """How many rows each rule of a cohort took out; small counts are hidden where it was written."""
    begin = flow["candidates"]
    rows = [["Candidates: " + begin["what"], begin["count"]]]
    rows += [[f"\N{MINUS SIGN} {reason}", count] for reason, count in flow["removed"].items()]
    rows.append(["Rows of the cohort", flow["rows"]])
    rows += [[f"Outcome: {name}", count] for name, count in flow["outcomes"].items()]
    return Grid(["Step", "Count"], rows, texts=1)


def _class(name: str, shown: str, *, share: float) -> str:
    """A class with its count, and its share where the count may be shown."""
    told = f" ({share:.1%})" if shown[0].isdigit() else ""
    return f"{name}: {shown}{told}"


def data_grid(results: Results) -> Grid:
    """The modalities: kind, size, and how often nobody measured them."""
    total = results.data["rows"]
    rows = []
    for m in results.data["modalities"]:
        absent = m["not_measured"]
        counts = [shown_count(m[k], total) for k in ("present", "not_measured")]
        share = shown_share(absent / total if total else None, total)
        rows.append([m["name"], m["kind"], f"{m['features']:,}", *counts, share])
    head = ["Modality", "Kind", "Features", "Rows with it", "Not measured", "Share"]
    return Grid(head, rows, texts=2)


def settings_facts(results: Results) -> list[tuple[str, str]]:
    """(what, value): versions and fingerprints."""
    found = [(name, version) for name, version in results.versions.items()]
    found.append(("fingerprint of the data", results.data["fingerprint"]))
    shifts = sorted({c.record["pattern"] for c in results.cells if c.record["pattern"]})
    found.append(("patterns of loss", ", ".join(shifts) or "none"))
    return found
