"""What reliability is worth: a table of measures, and how claims fall under noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from amodal.report.content import Entry, Grid
from amodal.report.figures import SIZE, end_labels, title
from amodal.report.style import looks, method_name, rc
from amodal.report.svg import Drawing, draw
from amodal.report.words import number
from amodal.study.results import Results

__all__ = ["TITLES", "noise_panels", "removal_grid", "worth_grid"]

TITLES = {
    "noise_correlation": "Falls with noise",
    "detection_auroc": "Finds the noisy one",
    "detection_in_row": "… within its row",
    "faithfulness": "Reliance is faithful",
    "reliability_faithfulness": "Reliability agrees with drop",
    "truth_correlation": "Known truth",
    "conflict_auroc": "Conflict finds a swap",
    "swap_auroc": "Claim finds a swap",
    "log_loss_change": "Log loss without a modality",
    "entropy_change": "Entropy without a modality",
    "evenness": "Evenness of reliance",
    "spread": "Spread of reliability",
}
"""Measure -> head of its column, in the order of the table."""


def worth_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """One row per method, one column per measure; what calls for a look is marked."""
    known = [name for name in TITLES if any(r["measure"] == name for r in rows)]
    at = {(r["method"], r["measure"]): r for r in rows}
    body = []
    for method in dict.fromkeys(r["method"] for r in rows):
        cells = [_cell(at.get((method, name))) for name in known]
        body.append([Entry(method_name(method)), *cells])
    return Grid(["Method", *(TITLES[n] for n in known)], body)


def _cell(row: Mapping[str, Any] | None) -> Entry:
    if row is None:
        return Entry("n/a", look="faint")
    ends = ""
    if row["low"] == row["low"]:
        ends = f"{number(row['low'])} to {number(row['high'])}"
    mark = "\N{WARNING SIGN}\N{NO-BREAK SPACE}" if row["alarm"] else ""
    return Entry(mark + number(row["value"]), ends, "worse" if row["alarm"] else "")


def removal_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """What taking each modality away costs: one row per method and modality."""
    body = [
        [
            method_name(r["method"]),
            r["modality"],
            number(r["log_loss_change"]),
            number(r["entropy_change"]),
            f"{r['surer']:.0%}",
        ]
        for r in rows
    ]
    head = ["Method", "Without", "Log loss changes by", "Entropy changes by", "Rows that are surer"]
    return Grid(head, body, texts=2)


def noise_panels(results: Results, rows: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    """Mean claim of the pairs that got noise against its severity, one line per method."""
    lines = {
        m: {r["severity"]: r["struck"] for r in rows if r["method"] == m} for m in results.methods
    }
    lines = {m: points for m, points in lines.items() if points}
    if not lines:
        return []
    style = looks(results.methods, results.focus)
    with mpl.rc_context(rc()):
        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0.105, 0.13, 0.595, 0.70))
        steps = sorted({s for points in lines.values() for s in points})
        place = {s: k for k, s in enumerate(steps)}
        axes.set(xlim=(-0.2, len(steps) - 0.8), ylim=(0, 1))
        for method, points in lines.items():
            x = [place[s] for s in sorted(points)]
            axes.plot(x, [points[s] for s in sorted(points)], **style[method].line)
        lasts = {m: points[max(points)] for m, points in lines.items()}
        end_labels(axes, lasts, end=(len(steps) - 0.8) / (len(steps) - 0.6), style=style)
        axes.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
        axes.set_xlabel("severity of noise on one modality of each row", labelpad=2)
        axes.grid(visible=False, axis="x")
        title(figure, "What a method says of a modality that got noise", "mean of its claim")
        told = [
            f"{style[m].name} from {p[min(p)]:.2f} to {p[max(p)]:.2f}" for m, p in lines.items()
        ]
        alt = f"Mean claim of modalities against the severity of their noise: {'; '.join(told)}."
        return [draw(figure, "worth-noise", alt=alt)]
