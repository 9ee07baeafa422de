"""Test rows of `builtin:digits` as a method saw them: public images of which quadrants are absent.

Of no other data does a report show rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from amodal.report.style import GREY, INK, looks, rc
from amodal.report.svg import Drawing, draw, drawn_once
from amodal.study.predictions import Predicted
from amodal.study.results import At, Cell, Results

if TYPE_CHECKING:
    from amodal.data.dataset import Dataset

__all__ = ["SHOWN", "Image", "image_panels", "shown_rows"]

SHOWN = 6
"""Rows that a panel shows."""
_CORNERS: Mapping[str, tuple[int, int]] = {
    "top_left": (0, 0),
    "top_right": (4, 0),
    "bottom_left": (0, 4),
    "bottom_right": (4, 4),
}
_BLUE = "#0072B2"


@dataclass(frozen=True)
class Image:
    """A row.

    Args:
        pixels: 8 x 8 numbers from 0 to 16, row by row.
        shares: quadrant -> reliability, or reliance, in [0, 1]; None: absent.
        said: what the method says, and how sure it is.
        truth: what is right.
    """

    pixels: tuple[tuple[float, ...], ...]
    shares: Mapping[str, float | None]
    said: str
    truth: str


def image_panels(results: Results) -> list[Drawing]:
    """One panel per method in focus that states reliability or reliance; none for other data.

    Nor where nothing is absent from any row.
    """
    data = _public(results)
    if data is None:
        return []
    mechanism = results.mechanisms[0]
    rates = [r for r in results.rates(mechanism) if 0 < r <= 0.5] or results.rates(mechanism)
    style, drawn = looks(results.methods, results.focus), []
    with mpl.rc_context(rc()):
        for k, method in enumerate(results.focus):
            cells = results.group(method, At(mechanism, rates[-1]))
            found = _quantity(cells[0]) if cells else None
            if found:
                told = f"{found}, rate {rates[-1]:g}"
                rows = _images(data, cells[0].predicted, found)
                title = style[method].name
                drawn += [_panel(rows, name=f"images-{k}", title=title, told=told)] if rows else []
    return drawn


def _public(results: Results) -> Dataset | None:
    """The digits, if the study is of them as they are published."""
    from amodal.data.builtin import digits

    if results.data.get("name") != "digits":
        return None
    data = digits()
    return data if data.fingerprint() == results.data["fingerprint"] else None


def _quantity(cell: Cell) -> str:
    known = ("reliability", "reliance")
    return next((q for q in known if getattr(cell.predicted, q) is not None), "")


def shown_rows(absence: np.ndarray) -> np.ndarray:
    """Positions of the rows that are shown: the first with something absent and something present.

    >>> shown_rows(np.array([[0, 0], [2, 0], [2, 2], [0, 1]])).tolist()
    [1, 3]
    """
    absent = absence != 0
    mixed = absent.any(axis=1) & ~absent.all(axis=1)
    return np.flatnonzero(mixed)[:SHOWN]


def _images(data: Dataset, predicted: Predicted, quantity: str) -> list[Image]:
    place = {r: k for k, r in enumerate(data.row_id.tolist())}
    found = []
    for k in shown_rows(predicted.absence):
        row = place[predicted.row_id[k]]
        pixels = np.zeros((8, 8))
        for name, (x, y) in _CORNERS.items():
            values = data.values[name]
            pixels[y : y + 4, x : x + 4] = values.data["numeric"][values.index[row]].reshape(4, 4)
        told = getattr(predicted, quantity)[k]
        shares = {
            name: float(told[m]) if predicted.present[k, m] else None
            for m, name in enumerate(predicted.names)
        }
        p = predicted.outputs["probability"][k]
        said = f"{data.task.classes[int(p.argmax())]} ({p.max():.2f})"
        truth = data.task.classes[int(predicted.target[k])]
        found.append(Image(tuple(map(tuple, pixels.tolist())), shares, said, truth))
    return found


@drawn_once
def _panel(rows: Sequence[Image], *, name: str, title: str, told: str) -> Drawing:
    figure = Figure(figsize=(1.25 * SHOWN, 2.1))
    for k, image in enumerate(rows):
        axes = figure.add_axes(((k + 0.06) / SHOWN, 0.14, 0.88 / SHOWN, 0.58))
        axes.imshow(image.pixels, cmap="gray_r", vmin=0, vmax=16, extent=(0, 8, 8, 0))
        axes.set(xticks=(), yticks=(), xlim=(0, 8), ylim=(8, 0))
        for quadrant, share in image.shares.items():
            _quadrant(axes, _CORNERS[quadrant], share)
        right = image.said.split()[0] == image.truth
        text = f"says {image.said}" if right else f"says {image.said}, is {image.truth}"
        axes.set_xlabel(text, fontsize=7.5, color=INK, fontweight="normal" if right else "bold")
    figure.text(0.012, 0.93, title, fontsize=9.5, fontweight="bold", va="center")
    figure.text(0.012, 0.82, told, fontsize=8, color=GREY, va="center")
    return draw(figure, name, alt=_alt(rows, title, told))


def _quadrant(axes: Any, corner: tuple[int, int], share: float | None) -> None:
    """Hatched where absent, else blue by its share, which stands in its corner."""
    plain = {"linewidth": 0.6, "edgecolor": GREY}
    if share is None:
        axes.add_patch(Rectangle(corner, 4, 4, facecolor="white", hatch="////", **plain))
        return
    axes.add_patch(Rectangle(corner, 4, 4, facecolor=_BLUE, alpha=0.65 * share, linewidth=0))
    axes.add_patch(Rectangle(corner, 4, 4, facecolor="none", **plain))
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    x, y = corner[0] + 0.2, corner[1] + 0.25
    axes.text(x, y, f"{share:.2f}", fontsize=6, color=INK, va="top", bbox=box)


def _alt(rows: Sequence[Image], title: str, told: str) -> str:
    each = [
        f"{image.truth}, said {image.said}: "
        + ", ".join(
            f"{name.replace('_', ' ')} {'absent' if share is None else format(share, '.2f')}"
            for name, share in image.shares.items()
        )
        for image in rows
    ]
    return f"{title}, {told}. {'; '.join(each)}."
