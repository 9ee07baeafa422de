"""Metric against rate: one panel per metric and mechanism, every method labelled at its line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from amodal.metrics import METRICS, Interval
from amodal.report.style import GREY, INK, Look, looks, mechanism_name, rc
from amodal.report.svg import Drawing, draw
from amodal.study.plan import NONE, parse_spec
from amodal.study.pooling import Pool
from amodal.study.results import At

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve_panels", "spread"]

_SIZE = (4.7, 3.35)
_LABELS = 0.30  # share of the width that the labels at the right take


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to `wanted` as can be that lie `gap` apart, in the same order.

    Least squares: neighbours that are too close are joined and centred on the mean of what they
    want. Where there is no room for all, the gap shrinks.

    >>> spread([0.5, 0.5, 0.9], 0.1, 0, 1)
    [0.45, 0.55, 0.9]
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    blocks: list[tuple[float, int]] = []  # mean of (wanted - place * gap), number of members
    for place, k in enumerate(order):
        mean, size = wanted[k] - place * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    base = [mean for mean, size in blocks for _ in range(size)]
    top = high - (len(wanted) - 1) * gap
    found = [0.0] * len(wanted)
    for place, k in enumerate(order):
        found[k] = round(min(max(base[place], low), top) + place * gap, 12)
    return found


def curve_panels(pool: Pool, metric: str) -> list[Drawing]:
    """One panel per mechanism, with one vertical range for all of them."""
    results = pool.results
    drawn = {
        mechanism: _values(pool, metric, mechanism) for mechanism in results.mechanisms
    }
    ends = [
        x
        for lines in drawn.values()
        for points in lines.values()
        for i in points.values()
        for x in (i.value, i.low, i.high)
        if np.isfinite(x)
    ]
    if not ends:
        return []
    margin = 0.06 * (max(ends) - min(ends)) or 0.05
    limits = (min(ends) - margin, max(ends) + margin)
    style = looks(results.methods, results.focus)
    with mpl.rc_context(rc()):
        return [
            _panel(metric, mechanism, lines, style=style, limits=limits)
            for mechanism, lines in drawn.items()
        ]


def _values(pool: Pool, metric: str, mechanism: str) -> dict[str, dict[float, Interval]]:
    """Method -> rate -> value with its interval."""
    results, found = pool.results, {}
    for method in results.methods:
        points = {
            rate: pool.scores(method, At(mechanism, rate))[metric].interval
            for rate in results.rates(mechanism)
            if results.units(method, At(mechanism, rate))
        }
        found[method] = {r: i for r, i in points.items() if np.isfinite(i.value)}
    return {m: points for m, points in found.items() if points}


def _panel(
    metric: str,
    mechanism: str,
    lines: Mapping[str, Mapping[float, Interval]],
    *,
    style: Mapping[str, Look],
    limits: tuple[float, float],
) -> Drawing:
    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes((0.105, 0.13, 1 - 0.105 - _LABELS, 0.70))
    rates = sorted({r for points in lines.values() for r in points})
    width = (rates[-1] - rates[0]) or 1.0
    axes.set_ylim(*limits)
    axes.set_xlim(rates[0] - 0.05 * width, rates[-1] + 0.05 * width)
    _ideal(axes, metric, limits)
    shifts = np.linspace(-0.028, 0.028, len(lines)) * width if len(lines) > 1 else [0.0]
    for (method, points), shift in zip(lines.items(), shifts, strict=True):
        _line(axes, points, look=style[method], shift=float(shift))
    _end_labels(axes, lines, style=style)
    axes.set_xticks(rates, [f"{r:g}" for r in rates])
    axes.set_xlabel("rate of loss", labelpad=2)
    axes.grid(visible=False, axis="x")
    _title(figure, METRICS[metric].title, mechanism_name(mechanism), METRICS[metric])
    name = f"{metric}-{parse_spec(mechanism)[0]}" + ("-own" if ":" in mechanism else "")
    return draw(figure, name, alt=_alt(metric, mechanism, lines, style=style))


def _title(figure: Figure, title: str, second: str, metric: object) -> None:
    better = {True: "higher is better", False: "lower is better"}.get(
        getattr(metric, "higher_is_better", None), ""
    )
    figure.text(0.012, 0.955, title, fontsize=10, fontweight="bold", color=INK, va="center")
    line = " · ".join(filter(None, [second, better]))
    figure.text(0.012, 0.885, line, fontsize=8, color=GREY, va="center")


def _ideal(axes: Axes, metric: str, limits: tuple[float, float]) -> None:
    """A line at the ideal value of metrics that have one inside their range."""
    known = METRICS[metric]
    if known.higher_is_better is None and limits[0] < known.ideal < limits[1]:
        axes.axhline(known.ideal, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)


def _line(
    axes: Axes, points: Mapping[float, Interval], *, look: Look, shift: float
) -> None:
    x = np.array(sorted(points)) + shift
    found = [points[r] for r in sorted(points)]
    y, low, high = (np.array([getattr(i, k) for i in found]) for k in ("value", "low", "high"))
    axes.plot(x, y, **look.line)
    axes.vlines(
        x,
        low,
        high,
        colors=look.colour,
        linewidth=1.5 if look.focus else 0.7,
        alpha=0.9 if look.focus else 0.75,
        zorder=3 if look.focus else 1,
    )


def _end_labels(
    axes: Axes, lines: Mapping[str, Mapping[float, Interval]], *, style: Mapping[str, Look]
) -> None:
    """Names at the right, in the order of the lines' ends, each with a leader and its mark."""
    bottom, top = axes.get_ylim()
    names = {m: textwrap.wrap(style[m].name, 21)[:2] for m in lines}
    ends = {m: (p[max(p)].value - bottom) / (top - bottom) for m, p in lines.items()}
    methods = sorted(lines, key=lambda m: ends[m])
    rows = [k for m in methods for k in [m] * len(names[m])]
    places = spread([ends[m] for m in rows], 0.052, 0.0, 1.0)
    for method in methods:
        own = [y for m, y in zip(rows, places, strict=True) if m == method]
        middle, look = sum(own) / len(own), style[method]
        faint = {"transform": axes.transAxes, "clip_on": False, "color": look.colour}
        end = (max(lines[method]) - axes.get_xlim()[0]) / np.ptp(axes.get_xlim())
        axes.plot([end + 0.035, 1.055], [ends[method], middle], linewidth=0.5, alpha=0.7, **faint)
        mark = {k: v for k, v in look.line.items() if k not in ("color", "linestyle", "linewidth")}
        axes.plot([1.085], [middle], linestyle="none", **mark, **faint)
        for text, y in zip(names[method], sorted(own, reverse=True), strict=True):
            weight = "bold" if look.focus else "normal"
            axes.text(
                1.12,
                y,
                text,
                transform=axes.transAxes,
                fontsize=7.6,
                color=INK if look.focus else GREY,
                fontweight=weight,
                va="center",
            )


def _alt(
    metric: str,
    mechanism: str,
    lines: Mapping[str, Mapping[float, Interval]],
    *,
    style: Mapping[str, Look],
) -> str:
    told = [
        f"{style[m].name} {p[min(p)].value:.3f} at {min(p):g}, {p[max(p)].value:.3f} at {max(p):g}"
        for m, p in lines.items()
    ]
    where = "" if mechanism == NONE else f", modalities {mechanism_name(mechanism)}"
    return f"{METRICS[metric].title} against the rate of loss{where}: {'; '.join(told)}."
