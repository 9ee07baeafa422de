"""Tables of robustness, of spread, and ranks over data sets with their critical-difference plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from amodal.metrics import METRICS
from amodal.report.content import Entry, Grid
from amodal.report.style import GREY, INK, mechanism_name, method_name, point_name, rc
from amodal.report.svg import Drawing, draw
from amodal.report.words import number, signed
from amodal.study.results import At

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from amodal.analysis.pooling import Pool
    from amodal.analysis.ranks import Ranking

__all__ = ["area_grid", "pair_grid", "rank_grid", "rank_panel", "robustness_grid", "spread_grid"]


def area_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Area under the metric against the rate, and the difference from the first method."""
    body = [
        [
            method_name(r["method"]),
            mechanism_name(r["mechanism"]),
            Entry(number(r["area"]), _ends(r["low"], r["high"])),
            Entry(signed(r["difference"]), _ends(r["d_low"], r["d_high"])),
        ]
        for r in rows
    ]
    first = method_name(rows[0]["other"]) if rows else ""
    return Grid(["Method", "Loss", "Area", f"Difference from {first}"], body, texts=2)


def robustness_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Effective and relative robustness; "n/a" where no line can be drawn."""
    body = [
        [
            method_name(r["method"]),
            point_name(At(r["mechanism"], r["rate"])),
            _known(r["effective"], r["low"], r["high"]),
            _known(r["relative"], r["r_low"], r["r_high"]),
        ]
        for r in rows
    ]
    return Grid(["Method", "Loss", "Effective", "Relative"], body, texts=2)


def spread_grid(pool: Pool, metric: str) -> Grid | None:
    """What seeds change beside what the choice of test rows changes; None for one seed."""
    results, body = pool.results, []
    for method in results.methods:
        for at in results.points():
            if not results.units(method, at):
                continue
            scores = pool.scores(method, at)[metric]
            if len(scores.seeds) > 1:
                sampling = float(np.nanstd(scores.samples, ddof=1))
                told = [number(scores.spread, 4), number(sampling, 4), f"{len(scores.seeds)}"]
                body.append([method_name(method), point_name(at), *told])
    head = ["Method", "Loss", "Between seeds", "Of sampling", "Seeds"]
    return Grid(head, body, texts=2) if body else None


def rank_grid(ranking: Ranking) -> Grid:
    """Mean ranks, and the value on each data set."""
    body = [
        [method_name(m), number(ranking.mean_ranks[k], 2), *map(number, ranking.values[:, k])]
        for k, m in enumerate(ranking.methods)
    ]
    return Grid(["Method", "Mean rank", *ranking.data_sets], body)


def pair_grid(ranking: Ranking) -> Grid:
    """Every pair: the difference of mean ranks, and p of Wilcoxon's test (Holm)."""
    mean, body = ranking.mean_ranks, []
    for i, j in combinations(range(len(ranking.methods)), 2):
        a, b = ranking.methods[i], ranking.methods[j]
        apart = mean[j] - mean[i]
        beyond = "yes" if apart > ranking.critical else "no"
        p = (ranking.pairs or {}).get((a, b), float("nan"))
        body.append([method_name(a), method_name(b), number(apart, 2), beyond, number(p)])
    head = [
        "Method",
        "Other",
        "Ranks apart",
        "Beyond the critical difference",
        "p (Wilcoxon, Holm)",
    ]
    return Grid(head, body, texts=2)


def rank_panel(ranking: Ranking) -> Drawing:
    """The critical-difference plot: mean ranks on a line, bars under methods that lie too near."""
    mean, k = ranking.mean_ranks, len(ranking.methods)
    half = (k + 1) // 2
    bars = ranking.alike
    lines = 1.3 + 0.16 * len(bars) + 0.24 * half
    with mpl.rc_context(rc()):
        figure = Figure(figsize=(6.4, 0.42 * lines + 0.7))
        axes = figure.add_axes((0.27, 0.02, 0.46, 0.80))
        axes.set(xlim=(1 - 0.05 * (k - 1), k + 0.05 * (k - 1)), ylim=(-lines, 0.9))
        axes.axis("off")
        axes.plot([1, k], [0, 0], color=INK, linewidth=1.0)
        for rank in range(1, k + 1):
            axes.plot([rank, rank], [0, 0.14], color=INK, linewidth=0.8)
            axes.text(rank, 0.22, f"{rank}", ha="center", va="bottom", fontsize=7.5, color=GREY)
        for n, (first, last) in enumerate(bars):
            y = -0.22 - 0.16 * n
            reach = 0.012 * (k - 1)
            ends = [mean[first] - reach, mean[last] + reach]
            axes.plot(ends, [y, y], color=INK, linewidth=3.2, solid_capstyle="butt")
        _names(axes, ranking, top=0.55 + 0.16 * len(bars), half=half)
        text = (
            f"mean rank of {METRICS[ranking.metric].title} over {len(ranking.data_sets)} data sets"
        )
        figure.text(0.012, 0.93, f"1 is best · {text}", fontsize=8.5, color=INK, va="center")
        told = f"critical difference {ranking.critical:.2f} (Nemenyi, 5%)"
        figure.text(0.988, 0.93, told, fontsize=8, color=GREY, va="center", ha="right")
        each = [f"{method_name(m)} {mean[i]:.2f}" for i, m in enumerate(ranking.methods)]
        alt = f"Mean ranks over {len(ranking.data_sets)} data sets: {', '.join(each)}; {told}."
        return draw(figure, "critical-difference", alt=alt)


def _names(axes: Axes, ranking: Ranking, *, top: float, half: int) -> None:
    """Names at the left for the better half, at the right for the other, each with its line."""
    low, high = axes.get_xlim()
    for i, (method, rank) in enumerate(zip(ranking.methods, ranking.mean_ranks, strict=True)):
        left = i < half
        y = -(top + 0.24 * (i if left else len(ranking.methods) - 1 - i))
        x = low if left else high
        axes.plot([rank, rank, x], [0, y, y], color=GREY, linewidth=0.8)
        axes.plot([rank], [0], marker="o", markersize=3.5, color=INK)
        name = (
            f"{method_name(method)}  {rank:.2f}" if left else f"{rank:.2f}  {method_name(method)}"
        )
        side = {"ha": "right" if left else "left", "va": "center", "fontsize": 7.8}
        axes.annotate(name, (x, y), (-4 if left else 4, 0), textcoords="offset points", **side)


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}" if low == low else ""


def _known(value: float, low: float, high: float) -> Entry:
    if value != value:
        return Entry("n/a", look="faint")
    return Entry(signed(value), _ends(low, high))
