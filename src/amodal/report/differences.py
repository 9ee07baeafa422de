"""Paired differences from the best baseline, as a figure: the zero line is the best baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from amodal.analysis.compare import Comparison
from amodal.metrics import METRICS
from amodal.report.figures import SIZE, end_labels, title
from amodal.report.style import (
    GREY,
    INK,
    Look,
    file_name,
    looks,
    mechanism_name,
    rc,
    short_mechanism,
)
from amodal.report.svg import Drawing, draw, drawn_once
from amodal.report.words import number, signed
from amodal.study.plan import NONE
from amodal.study.results import At, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["difference_panels"]


def difference_panels(results: Results, comparisons: Sequence[Comparison]) -> list[Drawing]:
    """One panel per mechanism: each method in focus minus the best baseline at that rate."""
    if not comparisons:
        return []
    style = looks(results.methods, results.focus)
    ends = [x for c in comparisons for x in (c.interval.low, c.interval.high, 0.0)]
    ends = [x for x in ends if np.isfinite(x)]
    margin = 0.08 * (max(ends) - min(ends)) or 0.01
    limits = (min(ends) - margin, max(ends) + margin)
    with mpl.rc_context(rc()):
        return [
            _panel(
                [c for c in comparisons if c.at.mechanism in (mechanism, NONE)],
                mechanism,
                style=style,
                limits=limits,
            )
            for mechanism in results.mechanisms
        ]


@drawn_once
def _panel(
    comparisons: Sequence[Comparison],
    mechanism: str,
    *,
    style: Mapping[str, Look],
    limits: tuple[float, float],
) -> Drawing:
    points = list(dict.fromkeys(c.at for c in comparisons))
    methods = list(dict.fromkeys(c.method for c in comparisons))
    place = {at: k + (0.35 if at.rate is None else 0.0) for k, at in enumerate(points)}
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((0.125, 0.19, 0.575, 0.64))
    axes.set(ylim=limits, xlim=(-0.5, max(place.values()) + 0.5))
    axes.axhline(0, color=INK, linewidth=1.0, zorder=1)
    if comparisons[0].margin:
        better = METRICS[comparisons[0].metric].higher_is_better
        least = -comparisons[0].margin if better else comparisons[0].margin
        axes.axhline(least, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    if points[-1].rate is None:
        axes.axvline(place[points[-1]] - 0.66, color="#d9d9d9", linewidth=0.8)
    shifts = dict(zip(methods, _offsets(len(methods)), strict=True))
    for c in comparisons:
        _mark(axes, place[c.at] + shifts[c.method], c, look=style[c.method])
    _ticks(axes, place, {c.at: c.other.split(":")[0] for c in comparisons})
    lasts = {m: [c for c in comparisons if c.method == m][-1].interval.value for m in methods}
    end_labels(axes, lasts, end=0.93, style=style)
    metric = METRICS[comparisons[0].metric]
    title(figure, f"{metric.title}: difference from the best baseline", mechanism_name(mechanism))
    name = f"difference-{metric.name}-{file_name(mechanism)}"
    return draw(figure, name, alt=_alt(comparisons, mechanism, style=style))


def _mark(axes: Axes, x: float, c: Comparison, *, look: Look) -> None:
    """The interval, and its middle: open where it holds 0."""
    drawn = look.line | {"linestyle": "none"}
    if c.interval.low <= 0 <= c.interval.high:
        drawn["markerfacecolor"] = "white"
    axes.vlines(x, c.interval.low, c.interval.high, colors=look.colour, linewidth=1.6, zorder=3)
    axes.plot([x], [c.interval.value], **drawn)


def _ticks(axes: Axes, place: Mapping[At, float], others: Mapping[At, str]) -> None:
    """The rates, and under each the best baseline there."""
    ticks = ["all rates" if at.rate is None else f"{at.rate:g}" for at in place]
    axes.set_xticks(list(place.values()), ticks)
    for at, x in place.items():
        name = others[at] if len(others[at]) < 12 else f"{others[at][:10]}\N{HORIZONTAL ELLIPSIS}"
        where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        small = {"fontsize": 6.8, "color": GREY, "ha": "center"}
        axes.annotate(name, (x, 0), xytext=(0, -25), **where, **small)
    axes.set_xlabel("rate of loss, and the best baseline there", labelpad=13)
    axes.grid(visible=False, axis="x")


def _offsets(count: int) -> list[float]:
    return [0.0] if count == 1 else np.linspace(-0.22, 0.22, count).tolist()


def _alt(comparisons: Sequence[Comparison], mechanism: str, *, style: Mapping[str, Look]) -> str:
    told = [
        f"{style[c.method].name} at {'all rates' if c.at.rate is None else f'{c.at.rate:g}'} "
        f"{signed(c.interval.value)} ({number(c.interval.low)} to {number(c.interval.high)}, "
        f"{c.verdict})"
        for c in comparisons
    ]
    title = METRICS[comparisons[0].metric].title
    where = short_mechanism(mechanism)
    return f"Differences of {title} from the best baseline, {where}: {'; '.join(told)}."
