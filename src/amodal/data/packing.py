"""From columns to packed `Values`: what `from_arrays`, `from_frame` and file readers share.

Whole columns in, `Values` out; a row without anything in it becomes absent (index -1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.checks import check_finite
from amodal.data.cells import factorise, is_categorical, numbers
from amodal.errors import DataError
from amodal.types import Modality
from amodal.values import Values

__all__ = ["pack_codes", "pack_embedding", "pack_series", "pack_source", "pack_table", "pivot"]


def _pack_rows(present: np.ndarray, **arrays: np.ndarray) -> Values:
    index = np.where(present, np.cumsum(present) - 1, -1).astype(np.int64)
    return Values({k: x[present] for k, x in arrays.items()}, None, index)


def _order(*keys: np.ndarray) -> np.ndarray | slice:
    """What sorts by the first key, then the next; all of it where it is sorted already."""
    sorted_so_far = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in reversed(keys):
        sorted_so_far = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & sorted_so_far)
    return slice(None) if sorted_so_far.all() else np.lexsort(keys[::-1])


def _pack_steps(row: np.ndarray, n: int, time: np.ndarray, **arrays: np.ndarray) -> Values:
    """Steps sorted by row, then time (unknown times last), else in the order given."""
    order = _order(row, time)
    counts = np.bincount(row, minlength=n)
    present = counts > 0
    offsets = np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64)
    index = np.where(present, np.cumsum(present) - 1, -1).astype(np.int64)
    data = {k: x[order] for k, x in {**arrays, "time": time}.items()}
    return Values(data, offsets, index)


def pack_table(
    name: str,
    columns: Mapping[str, np.ndarray],
    *,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Modality, Values]:
    """A `table` from columns of n cells each; a row with all cells missing is absent.

    A column of text or truth values, or one that `levels` names, is categorical; its levels are
    those given, then the other distinct names, sorted. NaN and None are missing cells.

    Raises:
        DataError: no columns, infinities, cells of a type that is neither number nor text.

    >>> m, v = pack_table("a", {"x": np.array([1.0, np.nan]), "c": np.array(["u", None])})
    >>> m.features, m.levels, v.data["numeric"].tolist(), v.index.tolist()
    (('x',), {'c': ('u',)}, [[1.0]], [0, -1])
    """
    if not columns:
        raise DataError(f"modality {name!r} needs at least one column; got none; name one")
    known, numeric, categorical = dict(levels or {}), {}, {}
    found_levels: dict[str, tuple[str, ...]] = {}
    for column, cells in columns.items():
        what = f"column {column!r} of modality {name!r}"
        if column in known or is_categorical(what, cells):
            positions, names = factorise(what, cells, known.get(column, ()))
            categorical[column], found_levels[column] = positions, names
        else:
            numeric[column] = numbers(what, cells)
    n = len(next(iter(columns.values())))
    modality = Modality(name, "table", features=tuple(numeric), levels=found_levels)
    x = np.column_stack(list(numeric.values())) if numeric else np.zeros((n, 0))
    check_finite(f"modality {name!r}", x)
    c = np.column_stack(list(categorical.values())) if categorical else np.zeros((n, 0), np.int64)
    present = (~np.isnan(x)).any(axis=1) | (c >= 0).any(axis=1)
    return modality, _pack_rows(present, numeric=x, categorical=c)


def pack_embedding(name: str, value: np.ndarray) -> Values:
    """An `embedding` from ``Float[n, d]``; an all-NaN row is absent.

    Raises:
        DataError: a vector of which only a part is missing, infinities, no dimensions.

    >>> pack_embedding("e", np.array([[1.0, 2.0], [np.nan, np.nan]])).index.tolist()
    [0, -1]
    """
    if value.ndim != 2 or not value.shape[1]:
        raise DataError(
            f"embedding {name!r} needs at least one dimension; got shape {value.shape}; "
            "hand in one vector per row"
        )
    check_finite(f"modality {name!r}", value)
    missing = np.isnan(value)
    partly = int((missing.any(axis=1) & ~missing.all(axis=1)).sum())
    if partly:
        raise DataError(
            f"a vector of embedding {name!r} is there or not as a whole; {partly} of them have NaN "
            "in a part; fill them, or make it a table"
        )
    return _pack_rows(~missing.all(axis=1), value=value)


def pack_series(name: str, row: np.ndarray, time: np.ndarray, value: np.ndarray, n: int) -> Values:
    """A `series` from s steps of n rows, in any order.

    Args:
        name: of the modality, for error texts.
        row: ``Int[s]`` position of the row that the step belongs to.
        time: ``Float[s]`` when.
        value: ``Float[s, d]``, NaN = not observed then. A step without anything observed is left
            out; a row without steps is absent.
        n: number of rows.

    Raises:
        DataError: a step without time, infinities.

    >>> row, time = np.array([0, 0, 1]), np.array([2.0, 1.0, 0.0])
    >>> v = pack_series("s", row, time, np.array([[5.0], [6.0], [np.nan]]), 2)
    >>> v.data["time"].tolist(), v.data["value"].tolist(), v.offsets.tolist(), v.index.tolist()
    ([1.0, 2.0], [[6.0], [5.0]], [0, 2], [0, -1])
    """
    check_finite(f"modality {name!r}", value)
    check_finite(f"the times of modality {name!r}", time)
    seen = (~np.isnan(value)).any(axis=1)
    row, time, value = row[seen], time[seen], value[seen]
    unknown = int(np.isnan(time).sum())
    if unknown:
        raise DataError(
            f"each step of series {name!r} needs a time; {unknown} of them have none; "
            "leave them out"
        )
    packed = _pack_steps(row, n, time, value=value)
    data = {"time": packed.data["time"], "value": packed.data["value"]}
    return Values(data, packed.offsets, packed.index)


def pack_codes(modality: Modality, row: np.ndarray, columns: Mapping[str, Any], n: int) -> tuple:
    """A `codes` modality from s events of n rows, in any order.

    Args:
        modality: its name; a vocabulary or types that it names come first, then the other distinct
            ones, sorted.
        row: ``Int[s]`` position of the row that the event belongs to.
        columns: ``code`` (names) and, where known, ``type`` (names) and ``time`` (numbers), s each.
            An event without code is left out; a row without events is absent; events of unknown
            time come last, in the order given.
        n: number of rows.

    Returns:
        (modality, values)

    Raises:
        DataError: infinite times.

    >>> columns = {"code": np.array(["b", "a"], dtype=object), "time": np.array([2.0, 1.0])}
    >>> m, v = pack_codes(Modality("c", "codes"), np.array([1, 1]), columns, 2)
    >>> m.vocabulary, v.data["code"].tolist(), v.data["type"].tolist(), v.index.tolist()
    (('a', 'b'), [0, 1], [-1, -1], [-1, 0])
    """
    name, steps = modality.name, len(row)
    what = f"the codes of modality {name!r}"
    code, vocabulary = factorise(what, columns["code"], modality.vocabulary)
    kinds, types = np.full(steps, -1, dtype=np.int64), modality.types
    if columns.get("type") is not None:
        what = f"the types of modality {name!r}"
        kinds, types = factorise(what, columns["type"], modality.types)
    time = np.full(steps, np.nan)
    if columns.get("time") is not None:
        time = numbers(f"the times of modality {name!r}", columns["time"])
        check_finite(f"the times of modality {name!r}", time)
    seen = code >= 0
    packed = _pack_steps(row[seen], n, time[seen], code=code[seen], type=kinds[seen])
    known = Modality(
        name, "codes", vocabulary=vocabulary, types=types, time_unit=modality.time_unit
    )
    return known, packed


def pack_source(name: str, entries: Sequence[Any]) -> Values:
    """A `text`, `image` or `audio` modality from one text or path per row; rows share equal ones.

    None and the empty text are absent.

    >>> v = pack_source("t", ["no acute distress", None, "no acute distress"])
    >>> len(v), v.index.tolist()
    (1, [0, -1, 0])
    """
    place: dict[str, int] = {}
    index = np.full(len(entries), -1, dtype=np.int64)
    for i, entry in enumerate(entries):
        if entry is None or (isinstance(entry, float) and entry != entry):
            continue
        if not isinstance(entry, str) and not hasattr(entry, "__fspath__"):
            raise DataError(
                f"modality {name!r} holds texts or paths, or None; got {type(entry).__name__}; "
                "hand in strings"
            )
        if str(entry):
            index[i] = place.setdefault(str(entry), len(place))
    source = np.empty(len(place), dtype=object)
    source[:] = list(place)
    return Values({"source": source}, None, index)


def pivot(
    row: np.ndarray, time: np.ndarray, variable: np.ndarray, value: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines of one measurement each as steps of several.

    Measurements of one row at one time are one step; of one variable measured twice at a time the
    second stands in a step of its own.

    Args:
        row: ``Int[s]``.
        time: ``Float[s]``.
        variable: ``Int[s]`` in 0 to ``width - 1``.
        value: ``Float[s]``.
        width: number of variables.

    Returns:
        (``Int[t]`` rows, ``Float[t]`` times, ``Float[t, width]`` values, NaN = not measured)

    >>> row, time, variable = np.zeros(3, int), np.array([1.0, 1.0, 1.0]), np.array([0, 1, 0])
    >>> pivot(row, time, variable, np.array([5.0, 6.0, 7.0]), 2)[2].tolist()
    [[5.0, 6.0], [7.0, nan]]
    """
    order = _order(row, time, variable)
    row, time, variable, value = row[order], time[order], variable[order], value[order]
    at = np.arange(len(row))
    fresh = _changes(row, time, variable)
    repeat = at - np.maximum.accumulate(np.where(fresh, at, 0))
    order = _order(row, time, repeat)
    row, time, variable, value = row[order], time[order], variable[order], value[order]
    first = _changes(row, time, repeat[order])
    step = np.cumsum(first) - 1
    matrix = np.full((int(first.sum()), width), np.nan)
    matrix[step, variable] = value
    return row[first], time[first], matrix


def _changes(*columns: np.ndarray) -> np.ndarray:
    """``Bool[s]`` true where a line differs from the one before it."""
    changed = np.ones(len(columns[0]), dtype=bool)
    if len(changed):
        changed[1:] = np.any([x[1:] != x[:-1] for x in columns], axis=0)
    return changed
