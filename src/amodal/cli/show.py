"""How results look: rich tables on a terminal, aligned text when piped."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import typer

__all__ = [
    "aligned",
    "as_json",
    "heading",
    "is_terminal",
    "next_step",
    "prose",
    "shown",
    "table",
]


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads along."""
    stream = stream or sys.stdout
    return bool(getattr(stream, "isatty", lambda: False)())


def heading(text: str) -> None:
    """A line that the next lines belong to."""
    typer.secho(text, bold=is_terminal())


def prose(text: str) -> None:
    """Sentences, broken between words where a terminal ends; left alone when piped."""
    if is_terminal():
        width, indent = shutil.get_terminal_size().columns, " " * (len(text) - len(text.lstrip()))
        text = textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)
    typer.echo(text)


def next_step(*words: object) -> None:
    """What to do next, ready to be copied into a shell: words with spaces are quoted."""
    typer.echo(f"Next: {shlex.join(str(word) for word in words)}")


def shown(value: float | None, digits: int = 3) -> str:
    """A number for a table: `digits` decimals below 100, whole from there; "-" where undefined.

    >>> shown(0.12345), shown(1234.5), shown(float("nan")), shown(None)
    ('0.123', '1,234', '-', '-')
    """
    if value is None or value != value:
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.0f}"


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Prints a table; columns named in `right` are aligned to the right.

    A column of which every cell is empty is left out.
    """
    kept = [k for k in range(len(columns)) if any(row[k] for row in rows)] or [0]
    names = [columns[k] for k in kept]
    cells = [[row[k] for k in kept] for row in rows]
    if not is_terminal():
        typer.echo(aligned(names, cells, right=right))
        return
    _print_rich(names, cells, right)


def _print_rich(names: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for k, name in enumerate(names):
        side: Any = "right" if name in right else "left"
        # Only the last column wraps; names and numbers stay whole where they can.
        drawn.add_column(name, justify=side, no_wrap=k < len(names) - 1)
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def aligned(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> str:
    """A table as text, two spaces between columns, nothing wrapped or cut.

    >>> print(aligned(["name", "n"], [["a", "1"], ["long", "23"]], right=["n"]))
    name   n
    a      1
    long  23
    """
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    texts = []
    for line in lines:
        pairs = zip(columns, line, widths, strict=True)
        cells = [x.rjust(w) if name in right else x.ljust(w) for name, x, w in pairs]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def as_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Prints one JSON value and nothing else."""
    import json

    typer.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))
