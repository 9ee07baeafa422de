"""Small panels, one per method: decision curves, and error against the share of rows kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from amodal.analysis.usefulness import ends_of_study
from amodal.report.style import GREY, INK, Look, looks, rc
from amodal.report.svg import Drawing, draw, drawn_once
from amodal.study.results import At, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decision_panels", "risk_panels"]

_FIRST, _LAST = "#0072B2", "#D55E00"
_DASHES = ("-", (0, (5, 2)))
_MOST = 8  # panels: those in focus first; the tables hold all

Rows = Sequence[Mapping[str, Any]]


def decision_panels(results: Results, rows: Rows) -> list[Drawing]:
    """Net benefit against the threshold, with acting on all and on none.

    Args:
        results: names the methods.
        rows: as `decision_rows` gives them.
    """
    known = [r["net_benefit"] for r in rows if r["net_benefit"] is not None]
    if not known:
        return []
    top = max(max(known), max(r["treat_all"] for r in rows)) * 1.08
    limits = (-0.25 * top, top or 1.0)
    return _panels(results, rows, name="decision", x="threshold", y="net_benefit", limits=limits)


def risk_panels(results: Results, rows: Rows) -> list[Drawing]:
    """Mean error of the most certain share of rows, against that share.

    Args:
        results: names the methods.
        rows: as `risk_rows` gives them.
    """
    if not rows:
        return []
    top = 1.08 * max(r["high"] for r in rows) or 1.0
    return _panels(results, rows, name="risk", x="coverage", y="risk", limits=(0.0, top))


def _panels(
    results: Results, rows: Rows, *, name: str, x: str, y: str, limits: tuple[float, float]
) -> list[Drawing]:
    style, points = looks(results.methods, results.focus), ends_of_study(results)
    drawn = []
    with mpl.rc_context(rc()):
        for k, method in enumerate(results.methods[:_MOST]):
            own = {at: _of(rows, method, at) for at in points}
            own = {at: found for at, found in own.items() if found}
            if own:
                look = style[method]
                keys = {"name": f"{name}-{k}", "x": x, "y": y, "limits": limits}
                drawn.append(_panel(own, points, look, **keys))
    return drawn


def _of(rows: Rows, method: str, at: At) -> Rows:
    return [
        r
        for r in rows
        if r["method"] == method
        and r["rate"] == at.rate
        and (r["mechanism"] == at.mechanism or at.rate == 0)
    ]


@drawn_once
def _panel(
    found: Mapping[At, Rows],
    points: Sequence[At],
    look: Look,
    *,
    name: str,
    x: str,
    y: str,
    limits: tuple[float, float],
) -> Drawing:
    figure = Figure(figsize=(2.75, 2.6))
    axes = figure.add_axes((0.19, 0.16, 0.78, 0.71))
    _policies(axes, next(iter(found.values())))
    for at, rows in found.items():
        last = at == points[-1] and len(points) > 1
        shown = [r for r in rows if r[y] is not None]
        at_x = [r[x] for r in shown]
        colour = _LAST if last else _FIRST
        band = ([r["low"] for r in shown], [r["high"] for r in shown])
        axes.fill_between(at_x, *band, color=colour, alpha=0.16, linewidth=0)
        axes.plot(at_x, [r[y] for r in shown], color=colour, linestyle=_DASHES[last], linewidth=1.6)
    axes.set(xlim=(0, 1), ylim=limits, xticks=(0, 0.5, 1), xlabel=_AXES[x], ylabel=_AXES[y])
    axes.set_xticklabels(["0", "0.5", "1"])
    axes.locator_params(axis="y", nbins=4)
    weight = "bold" if look.focus else "normal"
    figure.text(0.03, 0.945, look.name, fontsize=8.5, fontweight=weight, color=INK, va="center")
    return draw(figure, name, alt=_alt(look.name, found, x=x, y=y))


_AXES = {
    "threshold": "threshold",
    "net_benefit": "net benefit",
    "coverage": "share of rows kept",
    "risk": "mean error",
}


def _policies(axes: Axes, rows: Rows) -> None:
    """Acting on all (dotted) and on none (the zero line), where rows tell of them."""
    if "treat_all" not in rows[0]:
        return
    axes.axhline(0, color=INK, linewidth=0.8)
    line = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (1.5, 1.8))}
    axes.plot([r["threshold"] for r in rows], [r["treat_all"] for r in rows], **line)


def _alt(name: str, found: Mapping[At, Rows], *, x: str, y: str) -> str:
    told = []
    for at, rows in found.items():
        middle = [r for r in rows if r[y] is not None]
        if middle:
            r = middle[len(middle) // 2]
            told.append(f"at rate {at.rate:g}, {r[y]:.3f} at {_AXES[x]} {r[x]:g}")
    return f"{_AXES[y].capitalize()} against {_AXES[x]} for {name}: {'; '.join(told)}."
