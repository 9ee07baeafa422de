"""Tables as LaTeX, for papers: booktabs rules, three decimals, text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amodal.study.files import put_file

__all__ = ["latex_table", "write_latex"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex_table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Dicts with the same keys as a ``tabular`` of the booktabs package.

    NaN and None are dashes; columns of numbers stand to the right.

    >>> print(latex_table([{"method": "a_b", "value": 0.25, "n": 3}]))
    \begin{tabular}{lrr}
    \toprule
    method & value & n \\
    \midrule
    a\_b & 0.250 & 3 \\
    \bottomrule
    \end{tabular}
    """
    heads = list(rows[0])
    sides = "".join("l" if any(isinstance(r[h], str) for r in rows) else "r" for h in heads)
    lines = [_line([_escaped(h.replace("_", " ")) for h in heads]), r"\midrule"]
    lines += [_line([_cell(r[h]) for h in heads]) for r in rows]
    start = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule"]
    return "\n".join([*start, *lines, r"\bottomrule", r"\end{tabular}"])


def write_latex(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes `latex_table`, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    return put_file(path, lambda part: part.write_text(latex_table(rows) + "\n", encoding="utf-8"))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "--"
    if isinstance(value, float):
        return f"{value:.3f}" if value >= 0 else f"$-${-value:.3f}"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
