"""Calibration curves, and the distributions of reliability and reliance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from amodal.analysis.pooling import Pool
from amodal.analysis.summaries import Calibration, calibration
from amodal.report.style import GREY, INK, Look, looks, mechanism_name, rc
from amodal.report.svg import Drawing, draw, drawn_once
from amodal.study.results import At, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axis_top", "calibration_panels", "rate_legend", "reliability_panels"]

_NONE, _LOST = "#0072B2", "#D55E00"
_SHADES = ("#08519c", "#3182bd", "#6baed6", "#9ecae1", "#c6dbef")
_RATE_MARKS = ("o", "s", "^", "D", "v", "P")


def calibration_panels(pool: Pool) -> list[Drawing]:
    """One panel per method: the smooth curve at rate 0 and at the highest rate."""
    results = pool.results
    mechanism = results.mechanisms[0]
    rates = results.rates(mechanism)
    points = [At(mechanism, r) for r in dict.fromkeys((rates[0], rates[-1]))]
    found: dict[str, dict[At, Calibration]] = {}
    for method in results.methods:
        each = {at: calibration(results, method, at) for at in points}
        found[method] = {at: c for at, c in each.items() if c is not None}
    drawn = [c.curve for each in found.values() for c in each.values()]
    top = axis_top(max(float(max(c.x.max(), c.y.max())) for c in drawn)) if drawn else 1.0
    style, axis = looks(results.methods, results.focus), _axis(results.task.kind, top)
    with mpl.rc_context(rc()):
        return [
            _calibration(each, points, look=style[method], number=k, axis=axis)
            for k, (method, each) in enumerate(found.items())
            if each
        ]


def axis_top(largest: float) -> float:
    """The end of both axes: 1, or less where all risks are low, so that they can be seen.

    >>> axis_top(0.34), axis_top(0.75), axis_top(0.06)
    (0.4, 1.0, 0.2)
    """
    return 1.0 if largest > 0.6 else max(0.2, math.ceil(largest * 10 + 1e-9) / 10)


def _axis(kind: str, top: float) -> dict[str, Any]:
    """Limits, ticks and labels of both axes."""
    regression = kind == "regression"
    return {
        "xlim": (0, top),
        "ylim": (0, top),
        "xticks": (0, top / 2, top),
        "yticks": (0, top),
        "xticklabels": [f"{t:g}" for t in (0, top / 2, top)],
        "yticklabels": ["0", f"{top:g}"],
        "xlabel": "nominal coverage" if regression else "predicted",
        "ylabel": "share inside" if regression else "observed",
    }


@drawn_once
def _calibration(
    found: Mapping[At, Calibration],
    points: Sequence[At],
    *,
    look: Look,
    number: int,
    axis: Mapping[str, Any],
) -> Drawing:
    figure = Figure(figsize=(2.75, 2.95))
    axes = figure.add_axes((0.165, 0.14, 0.80, 0.75))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    last = points[-1]
    for at, one in found.items():
        colour, dash = (_LOST, (0, (5, 2))) if at == last and len(points) > 1 else (_NONE, "-")
        curve = one.curve
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(curve.x, curve.y, color=colour, linestyle=dash, linewidth=1.6)
        lift = 0.0 if at == last else 0.09 * axis["ylim"][1]
        _strip(axes, one, colour=colour, lift=lift, height=0.08 * axis["ylim"][1])
    axes.set(**axis)
    axes.set_yticks((axis["ylim"][1] / 2,), minor=True)
    axes.tick_params(axis="y", which="minor", length=3, width=0.7, color=GREY)
    weight = "bold" if look.focus else "normal"
    figure.text(0.03, 0.945, look.name, fontsize=8.5, fontweight=weight, color=INK, va="center")
    return draw(figure, f"calibration-{number}", alt=_calibration_alt(look.name, found))


def _strip(axes: Axes, one: Calibration, *, colour: str, lift: float, height: float) -> None:
    """Where the predictions lie: a small histogram at the foot."""
    if not len(one.share) or one.share.max() == 0:
        return
    tops = lift + height * one.share / one.share.max()
    axes.stairs(tops, one.edges, baseline=lift, color=colour, fill=True, alpha=0.45, linewidth=0)


def _calibration_alt(name: str, found: Mapping[At, Calibration]) -> str:
    told = []
    for at, one in found.items():
        off = one.curve.y - one.curve.x
        k = int(np.abs(off).argmax())
        told.append(
            f"at rate {at.rate:g} the curve is furthest from the diagonal at {one.curve.x[k]:.2f} "
            f"predicted, with {one.curve.y[k]:.2f} observed"
        )
    return f"Calibration of {name}: {'; '.join(told)}."


def reliability_panels(results: Results, rows: Sequence[dict[str, Any]]) -> list[Drawing]:
    """One figure per method and quantity: each modality's quantiles, rate by rate.

    Args:
        results: names the methods and modalities.
        rows: as `reliability_rows` gives them.
    """
    mechanism = results.mechanisms[0]
    names = [m["name"] for m in results.data["modalities"]]
    style = looks(results.methods, results.focus)
    drawn = []
    with mpl.rc_context(rc()):
        for k, method in enumerate(results.methods):
            for quantity in ("reliability", "reliance"):
                own = [r for r in rows if r["method"] == method and r["quantity"] == quantity]
                own = [r for r in own if r["rate"] == 0 or r["mechanism"] == mechanism]
                if own:
                    number = f"{quantity}-{k}"
                    drawn.append(_boxes(own, names, name=number, title=style[method].name))
    return drawn


@drawn_once
def _boxes(
    rows: Sequence[dict[str, Any]], names: Sequence[str], *, name: str, title: str
) -> Drawing:
    quantity = rows[0]["quantity"]
    rates = sorted({r["rate"] for r in rows})
    step = 0.78 / max(len(rates), 1)
    height = 0.95 + len(names) * (0.16 + 0.105 * len(rates))
    figure = Figure(figsize=(4.4, height))
    left = min(0.36, 0.06 + 0.0165 * max(len(n) for n in names))
    axes = figure.add_axes((left, 0.42 / height, 0.97 - left, 1 - 0.92 / height))
    for row in rows:
        k = rates.index(row["rate"])
        _box(axes, row, names.index(row["modality"]) + (k - (len(rates) - 1) / 2) * step, k)
    axes.set_yticks(range(len(names)), list(names))
    axes.set(xlim=(-0.01, 1.01), ylim=(len(names) - 0.45, -0.55))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    for k in range(1, len(names)):
        axes.axhline(k - 0.5, color="#e6e6e6", linewidth=0.6)
    axes.set_xlabel(quantity, labelpad=2)
    figure.text(0.012, 1 - 0.15 / height, title, fontsize=9.5, fontweight="bold", va="center")
    second = f"{quantity} of each modality where it is present, by rate of loss"
    figure.text(0.012, 1 - 0.33 / height, second, fontsize=8, color=GREY, va="center")
    return draw(figure, name, alt=_boxes_alt(rows, rates, title))


def _box(axes: Axes, row: dict[str, Any], y: float, k: int) -> None:
    """5 to 95%, the middle half and the median; k is the place of the rate."""
    colour = _SHADES[min(k, len(_SHADES) - 2)]
    axes.hlines(y, row["q05"], row["q95"], color=colour, linewidth=0.9)
    axes.hlines(y, row["q25"], row["q75"], color=colour, linewidth=3.2)
    mark = {"marker": _RATE_MARKS[k % len(_RATE_MARKS)], "markersize": 4.6, "color": "white"}
    axes.plot(row["q50"], y, **mark, markeredgecolor=colour, markeredgewidth=1.2, zorder=3)


def _boxes_alt(rows: Sequence[dict[str, Any]], rates: Sequence[float], title: str) -> str:
    quantity = rows[0]["quantity"]
    told = [f"{r['modality']} {r['q50']:.2f}" for r in rows if r["rate"] == rates[0]]
    where = mechanism_name(rows[-1]["mechanism"])
    return (
        f"{quantity.capitalize()} of each modality for {title}, rates "
        f"{', '.join(f'{r:g}' for r in rates)} ({where}); medians at rate {rates[0]:g}: "
        f"{', '.join(told)}."
    )


def rate_legend(rates: Sequence[float]) -> list[tuple[str, str]]:
    """(rate, colour) as the reliability figures draw them."""
    return [(f"{r:g}", _SHADES[min(k, len(_SHADES) - 2)]) for k, r in enumerate(rates)]
