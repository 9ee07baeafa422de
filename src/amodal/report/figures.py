"""Metric against rate: one panel per metric and mechanism, every method labelled at its line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from amodal.analysis.pooling import Pool
from amodal.metrics import METRICS, Interval
from amodal.report.style import GREY, INK, Look, file_name, looks, mechanism_name, rc
from amodal.report.svg import Drawing, draw, drawn_once
from amodal.study.plan import NONE
from amodal.study.results import At

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "axis_limits", "curve_panels", "end_labels", "perfect_ece", "spread", "title"]

SIZE = (4.7, 3.35)
_LABELS = 0.30  # share of the width that the labels at the right take
_LINE = 76  # characters that fit into a line above a figure
_TWO = {"max_lines": 2, "placeholder": "\N{HORIZONTAL ELLIPSIS}"}


def spread(
    wanted: Sequence[float], gap: float, *, low: float = 0.0, high: float = 1.0
) -> list[float]:
    """Positions as near to `wanted` as can be that lie `gap` apart, in the same order.

    Least squares: neighbours that are too close are joined and centred on the mean of what they
    want. Where there is no room for all, the gap shrinks.

    >>> spread([0.5, 0.5, 0.9], 0.1)
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
    drawn = {mechanism: _values(pool, metric, mechanism) for mechanism in results.mechanisms}
    found = [i for lines in drawn.values() for points in lines.values() for i in points.values()]
    if not found:
        return []
    limits = axis_limits(found, floor=0.0 if metric == "ece" else None)
    style = looks(results.methods, results.focus)
    chance = metric == "ece" and "ece_of_perfect" in results.metrics
    with mpl.rc_context(rc()):
        return [
            _panel(
                metric,
                mechanism,
                lines,
                style=style,
                limits=limits,
                ideal=_chance(pool, mechanism) if chance else None,
            )
            for mechanism, lines in drawn.items()
        ]


def axis_limits(found: Sequence[Interval], *, floor: float | None = None) -> tuple[float, float]:
    """The range of an axis: all values with their intervals, unless a few lie far out.

    What is further from the middle 80% of the values than three times their span does not stretch
    the axis: a model whose slope is not identified would flatten all others.

    >>> axis_limits([Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8)])
    (0.376, 0.824)
    """
    low, high = np.quantile([i.value for i in found], (0.1, 0.9))
    ends = [x for i in found for x in (i.value, i.low, i.high) if np.isfinite(x)]
    span = float(high - low)
    if span > 0:
        ends = [x for x in ends if low - 3 * span <= x <= high + 3 * span]
    ends += [] if floor is None else [floor]
    margin = 0.06 * (max(ends) - min(ends)) or 0.05
    return round(min(ends) - margin, 9), round(max(ends) + margin, 9)


def perfect_ece(pool: Pool, at: At) -> float:
    """The ECE that chance alone gives at a point: the mean over methods."""
    found = [
        pool.scores(m, at)["ece_of_perfect"].value
        for m in pool.results.methods
        if pool.results.units(m, at)
    ]
    return float(np.mean(found))


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


@drawn_once
def _panel(
    metric: str,
    mechanism: str,
    lines: Mapping[str, Mapping[float, Interval]],
    *,
    style: Mapping[str, Look],
    limits: tuple[float, float],
    ideal: Mapping[float, float] | None = None,
) -> Drawing:
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((0.105, 0.13, 1 - 0.105 - _LABELS, 0.70))
    rates = sorted({r for points in lines.values() for r in points})
    width = (rates[-1] - rates[0]) or 1.0
    axes.set_ylim(*limits)
    axes.set_xlim(rates[0] - 0.05 * width, rates[-1] + 0.05 * width)
    _ideal(axes, metric, ideal)
    shifts = np.linspace(-0.028, 0.028, len(lines)) * width if len(lines) > 1 else [0.0]
    for (method, points), shift in zip(lines.items(), shifts, strict=True):
        _line(axes, points, look=style[method], shift=float(shift))
    lasts = {m: points[max(points)].value for m, points in lines.items()}
    end_labels(axes, lasts, end=1 / 1.1 if len(rates) == 1 else 1.05 / 1.1, style=style)
    axes.set_xticks(rates, [f"{r:g}" for r in rates])
    axes.set_xlabel("rate of loss", labelpad=2)
    axes.grid(visible=False, axis="x")
    better = {True: "higher is better", False: "lower is better"}
    direction = better.get(METRICS[metric].higher_is_better)
    told = [mechanism_name(mechanism), direction or f"{METRICS[metric].ideal:g} is ideal"]
    title(figure, METRICS[metric].title, " · ".join(told))
    name = f"{metric}-{file_name(mechanism)}"
    return draw(figure, name, alt=_alt(metric, mechanism, lines, style=style))


def title(figure: Figure, first: str, second: str) -> None:
    """Two lines at the top left: what, and under which loss."""
    figure.text(0.012, 0.955, first, fontsize=10, fontweight="bold", color=INK, va="center")
    told = {"color": GREY, "va": "center"}
    if len(second) <= _LINE:
        figure.text(0.012, 0.885, second, fontsize=8, **told)
        return
    lines = textwrap.wrap(second, _LINE, **_TWO)
    for y, line in zip((0.9, 0.857), lines, strict=False):
        figure.text(0.012, y, line, fontsize=7.2, **told)


def _chance(pool: Pool, mechanism: str) -> dict[float, float]:
    """Rate -> `perfect_ece`."""
    return {r: perfect_ece(pool, At(mechanism, r)) for r in pool.results.rates(mechanism)}


def _ideal(axes: Axes, metric: str, chance: Mapping[float, float] | None) -> None:
    """A dotted line at the best possible value, where it lies inside the range of the axis."""
    known, (low, high) = METRICS[metric], axes.get_ylim()
    dotted = {"color": INK, "linewidth": 0.9, "linestyle": (0, (1.5, 1.8)), "zorder": 1}
    if chance:
        axes.plot(list(chance), list(chance.values()), **dotted)
        text, y = "a perfect model", next(iter(chance.values()))
    elif known.higher_is_better is None and low < known.ideal < high:
        axes.axhline(known.ideal, **dotted)
        text, y = "ideal", known.ideal
    else:
        return
    x = axes.get_xlim()[1]
    axes.annotate(
        text,
        (x, y),
        (-2, -3),
        textcoords="offset points",
        fontsize=6.8,
        ha="right",
        va="top",
        color=GREY,
    )


def _line(axes: Axes, points: Mapping[float, Interval], *, look: Look, shift: float) -> None:
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


def end_labels(
    axes: Axes, lasts: Mapping[str, float], *, end: float, style: Mapping[str, Look]
) -> None:
    """Names at the right, in the order of the lines' ends, each with a leader and its mark.

    Args:
        axes: with its limits set.
        lasts: method -> value at its end.
        end: where the lines end, as a share of the width.
        style: of the methods.
    """
    bottom, top = axes.get_ylim()
    ends = {m: min(max((y - bottom) / (top - bottom), 0.0), 1.0) for m, y in lasts.items()}
    names = {m: textwrap.wrap(style[m].name, 19, **_TWO) for m in lasts}
    methods = sorted(lasts, key=lambda m: ends[m])
    rows = [k for m in methods for k in [m] * len(names[m])]
    places = spread([ends[m] for m in rows], 0.052)
    for method in methods:
        own = [y for m, y in zip(rows, places, strict=True) if m == method]
        middle, look = sum(own) / len(own), style[method]
        outside = {"transform": axes.transAxes, "clip_on": False, "color": look.colour}
        axes.plot([end + 0.035, 1.055], [ends[method], middle], linewidth=0.5, alpha=0.7, **outside)
        mark = {k: v for k, v in look.line.items() if k.startswith("marker")}
        axes.plot([1.085], [middle], linestyle="none", **mark, **outside)
        told = {"fontweight": "bold", "color": INK} if look.focus else {"color": GREY}
        for text, y in zip(names[method], sorted(own, reverse=True), strict=True):
            at = {"transform": axes.transAxes, "va": "center", "fontsize": 7.6}
            axes.text(1.12, y, text, **at, **told)


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
