"""Cells of columns: what is missing, what is a number, what is a name.

Missing is None, NaN, and the missing values of pandas. A name is text; a number used as a name is
written as short as it goes: 1.0 and 1 are "1".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from amodal.errors import DataError

__all__ = [
    "Coded",
    "cell_name",
    "factorise",
    "is_categorical",
    "is_missing",
    "names",
    "numbers",
    "sorted_names",
]

_NUMERIC, _TEXT = "iuf", "OUT"
_WHOLE = 2.0**53  # above it not every whole number is a float


class Coded(NamedTuple):
    """A column of names, each written once.

    Args:
        positions: ``Int64[n]`` which name a row has, -1 for none.
        names: the distinct names.
    """

    positions: np.ndarray
    names: list[str]

    def pick(self, rows: np.ndarray) -> Coded:
        """The same of `rows` alone, without the names that none of them has.

        >>> Coded(np.array([0, 1, 1]), ["a", "b"]).pick(np.array([False, True, True])).names
        ['b']
        """
        positions = self.positions[rows]
        used = np.bincount(positions[positions >= 0], minlength=len(self.names)) > 0
        new = np.append(np.where(used, np.cumsum(used) - 1, -1), -1)
        return Coded(new[positions], [x for x, u in zip(self.names, used, strict=True) if u])


def is_missing(cell: Any) -> bool:
    """True for None, NaN and the missing values of pandas.

    >>> is_missing(None), is_missing(float("nan")), is_missing("")
    (True, True, False)
    """
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, (float, np.floating)) and bool(cell != cell)


def is_number(cell: Any) -> bool:
    """True for a real number that is no truth value.

    >>> is_number(2), is_number(True), is_number("2")
    (True, False, False)
    """
    real = isinstance(cell, (int, float, np.integer, np.floating))
    return (real and not isinstance(cell, bool)) or type(cell).__name__ == "Decimal"


def _check_kind(what: str, cells: np.ndarray) -> None:
    if cells.ndim != 1 or cells.dtype.kind not in _NUMERIC + _TEXT + "b":
        raise DataError(
            f"{what} must hold numbers, texts or truth values; got {cells.dtype} of shape "
            f"{cells.shape}; convert it"
        )


def is_categorical(what: str, cells: np.ndarray) -> bool:
    """True where a column holds names: text or truth values; False for numbers.

    Raises:
        DataError: neither numbers nor names (dates, nested arrays).

    >>> is_categorical("x", np.array(["a"])), is_categorical("x", np.array([1, None], dtype=object))
    (True, False)
    """
    _check_kind(what, cells)
    if cells.dtype.kind in _NUMERIC:
        return False
    if cells.dtype.kind != "O":
        return True
    known = [c for c in cells if not is_missing(c)]
    if all(is_number(c) for c in known):
        return False
    if all(isinstance(c, (str, bool, np.bool_)) or is_number(c) for c in known):
        return True
    odd = next(c for c in known if not isinstance(c, (str, bool, np.bool_)) and not is_number(c))
    raise DataError(
        f"{what} must hold numbers, texts or truth values; got {type(odd).__name__}; convert it"
    )


def numbers(what: str, cells: Any) -> np.ndarray:
    """A column as floats, NaN where missing; float32 stays, everything else becomes float64.

    Raises:
        DataError: a cell is no number.

    >>> numbers("x", np.array([1, None], dtype=object)).tolist()
    [1.0, nan]
    """
    cells = np.asarray(cells)
    if cells.dtype == np.float32 and cells.ndim == 1:
        return cells
    _check_kind(what, cells)
    if cells.dtype.kind in _NUMERIC + "b":
        return cells.astype(np.float64)
    try:
        if cells.dtype.kind != "O" or any(isinstance(c, str) for c in cells):
            raise ValueError("text")
        return np.array([np.nan if is_missing(c) else float(c) for c in cells], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{what} must hold numbers, or NaN where one is missing; found something else; "
            "convert it, or make it categorical"
        ) from None


def cell_name(cell: Any) -> str:
    """A cell as a name.

    >>> cell_name(1.0), cell_name(np.int64(2)), cell_name(0.5), cell_name("a"), cell_name(True)
    ('1', '2', '0.5', 'a', 'True')
    """
    if isinstance(cell, (float, np.floating)):
        whole = float(cell).is_integer() and abs(cell) < _WHOLE
        return str(int(cell)) if whole else repr(float(cell))
    return str(cell)


def names(what: str, cells: Any) -> list[str | None]:
    """A column as names, None where missing.

    >>> names("x", np.array([1.0, np.nan]))
    ['1', None]
    """
    cells = np.asarray(cells)
    _check_kind(what, cells)
    return [None if is_missing(c) else cell_name(c) for c in cells]


def sorted_names(found: set[str]) -> tuple[str, ...]:
    """Names sorted as numbers where all of them are numbers, else as texts.

    >>> sorted_names({"10", "9"}), sorted_names({"b", "a", "10"})
    (('9', '10'), ('10', 'a', 'b'))
    """
    try:
        value = {name: float(name) for name in found}
    except ValueError:
        return tuple(sorted(found))
    if not all(math.isfinite(x) for x in value.values()):  # NaN has no order
        return tuple(sorted(found))
    return tuple(sorted(found, key=lambda name: (value[name], name)))


def _distinct_names(what: str, cells: np.ndarray) -> tuple[list[str | None], np.ndarray]:
    """(names, ``Int[n]`` which of them a row has)."""
    plain = cells.tolist() if cells.ndim == 1 and cells.dtype.kind in "OU" else []
    try:
        distinct = {cell: i for i, cell in enumerate(dict.fromkeys(plain))}
    except TypeError:  # unhashable
        distinct = {}
    if distinct and all(type(c) is str or c is None for c in distinct):  # True == 1 needs care
        return list(distinct), np.array([distinct[c] for c in plain], dtype=np.int64)
    return names(what, cells), np.arange(len(cells))


def factorise(
    what: str, cells: Any, levels: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A column of names as positions in its levels.

    Args:
        what: for error texts.
        cells: one name (text, number or truth value) a row, or a missing one; or `Coded`.
        levels: names that come first; the other distinct ones follow, sorted.

    Returns:
        (``Int64[n]`` positions, -1 where missing; the levels)

    >>> codes, levels = factorise("x", np.array(["b", None, "a"], dtype=object))
    >>> codes.tolist(), levels
    ([1, -1, 0], ('a', 'b'))
    """
    boolean = False
    if isinstance(cells, Coded):
        found, inverse = [*cells.names, None], cells.positions
    elif (cells := np.asarray(cells)).dtype.kind in _NUMERIC and cells.ndim == 1:
        distinct, inverse = np.unique(cells, return_inverse=True)
        found, inverse = names(what, distinct), inverse.reshape(-1)
    else:
        found, inverse = _distinct_names(what, cells)
        boolean = cells.dtype.kind == "b"
    first = tuple(levels) or (("False", "True") if boolean else ())
    levels = first + sorted_names({name for name in found if name is not None} - set(first))
    place = {name: i for i, name in enumerate(levels)}
    positions = np.array([-1 if name is None else place[name] for name in found], dtype=np.int64)
    return positions[inverse], levels
