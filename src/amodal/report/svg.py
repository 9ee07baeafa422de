"""Figures as SVG: one form for a file of its own, one to be put into a page."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import matplotlib as mpl

from amodal.study.files import put_file, put_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "draw", "drawn_once", "figures_kept_in"]

_LONG = re.compile(r"\d+\.\d{3,}")  # coordinates: a hundredth of a point is enough
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Args:
        name: unique in the report: name of the file, and prefix of all ids in the page.
        svg: the text of a stand-alone file.
        alt: what it shows, in words.
        caption: what stands under it; empty for none.
    """

    name: str
    svg: str
    alt: str
    caption: str = ""

    @property
    def inline(self) -> str:
        """The SVG element for a page: without prolog, metadata and namespaces, ids made unique."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
        text = text.replace("xlink:href", "href")
        text = re.sub(r'\bid="([^"]+)"', rf'id="{self.name}-\1"', text)
        text = re.sub(r'href="#([^"]+)"', rf'href="#{self.name}-\1"', text)
        text = re.sub(r"url\(#([^)]+)\)", rf"url(#{self.name}-\1)", text)
        return re.sub(r"<!--.*?-->\n?", "", text, flags=re.S).strip()

    def save(self, folder: Path) -> Path:
        """Writes ``<name>.svg``.

        Raises:
            StorageError: it cannot be written.
        """
        path = folder / f"{self.name}.svg"
        return put_file(path, lambda part: part.write_text(self.svg, encoding="utf-8"))


def draw(figure: Figure, name: str, *, alt: str, caption: str = "") -> Drawing:
    """A matplotlib figure as a `Drawing`, titled for screen readers.

    The text stays text, in the reader's system font; the file does not depend on date or machine.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().replace("'DejaVu Sans'", _FONTS)
    text = re.sub(r'="[^"]*"', lambda found: _LONG.sub(_shorter, found.group(0)), text)
    head = re.search(r"<svg[^>]*>", text)
    assert head is not None
    tag = re.sub(r'\s(width|height)="[^"]*"', "", head.group(0))
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', tag)
    assert size is not None
    sized = f' width="{float(size.group(1)):g}pt" height="{float(size.group(2)):g}pt"'
    tag = tag.replace("<svg", f'<svg role="img" aria-labelledby="title"{sized}', 1)
    title = f'<title id="title">{_escape(alt)}</title>'
    text = text.replace(head.group(0), tag + "\n " + title, 1)
    text = text.replace('aria-labelledby="title"', f'aria-label="{_escape(alt)}"', 1)
    return Drawing(name, text, alt, caption)


_FOLDER: ContextVar[Path | None] = ContextVar("folder of finished figures", default=None)


@contextmanager
def figures_kept_in(folder: Path) -> Iterator[None]:
    """While it lasts, functions that are `drawn_once` keep their figures in `folder`.

    >>> from tempfile import TemporaryDirectory
    >>> @drawn_once
    ... def panel(height):
    ...     print("drawing")
    ...     return Drawing("panel", f"<svg height='{height}'/>", "a panel")
    >>> with TemporaryDirectory() as folder, figures_kept_in(Path(folder)):
    ...     first, second, other = panel(1), panel(1), panel(2)
    drawing
    drawing
    >>> first == second, other.svg
    (True, "<svg height='2'/>")
    """
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def drawn_once(function: Callable[..., Drawing]) -> Callable[..., Drawing]:
    """A function of plain values whose figure is read from `figures_kept_in`, if it is there.

    A figure is known by the values it shows, this package's code, and matplotlib's version: another
    cell, or another version, draws anew what it changes and nothing else.
    """

    @wraps(function)
    def panel(*args: Any, **settings: Any) -> Drawing:
        folder = _FOLDER.get()
        if folder is None:
            return function(*args, **settings)
        shown = (function.__module__, function.__qualname__, _version(), args, settings)
        path = folder / f"{joblib.hash(shown)}.json"
        try:
            return Drawing(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # none yet, or damaged: drawn anew
            drawing = function(*args, **settings)
        put_json(path, asdict(drawing))
        return drawing

    return panel


@cache
def _version() -> str:
    """A hash of what draws: this package's files, and matplotlib's version."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    code = b"".join(f.read_bytes() for f in files)
    return hashlib.sha256(code + mpl.__version__.encode()).hexdigest()


def _shorter(found: re.Match[str]) -> str:
    return f"{float(found.group(0)):.2f}".rstrip("0").rstrip(".")


def _escape(text: str) -> str:
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(plain, entity)
    return text
