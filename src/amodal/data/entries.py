"""Lists with one entry per row, of every kind of modality, turned into columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from amodal.data.cells import is_missing, is_number, numbers
from amodal.data.packing import pack_codes, pack_embedding, pack_series, pack_source, pack_table
from amodal.errors import DataError
from amodal.media.source import absolute
from amodal.types import Modality
from amodal.values import MEDIA, Values

__all__ = ["as_entries", "infer_kind", "pack_entries"]

_BAD = (TypeError, ValueError, OverflowError, RuntimeError, IndexError, KeyError)
_NUMERIC = "biuf"

Entries = np.ndarray | list


def as_entries(name: str, array: Any) -> Entries:
    """One entry per row: a 1-D or 2-D array, or a list.

    Raises:
        DataError: neither an array of at most two dimensions nor a list.

    >>> as_entries("a", [[1, 2], [3, 4]]).shape, as_entries("a", [None, [1, 2]])
    ((2, 2), [None, [1, 2]])
    """
    if isinstance(array, np.ma.MaskedArray):
        array = np.where(np.ma.getmaskarray(array), np.nan, array.data)
    if isinstance(array, (str, bytes, Mapping)) or not isinstance(array, (Iterable, Sequence)):
        raise DataError(
            f"modality {name!r} must be an array or a list with one entry per row; "
            f"got {type(array).__name__}; hand in a list"
        )
    listed = not hasattr(array, "__array__")
    try:
        array = list(array) if listed else array
        found = np.asarray(array)
    except _BAD:
        if not listed:
            raise DataError(f"modality {name!r} cannot be read as an array; convert it") from None
        return array  # entries of different lengths
    if listed and (found.ndim != 2 or found.dtype.kind not in _NUMERIC):
        return array
    if found.ndim not in (1, 2):
        raise DataError(
            f"modality {name!r} must have one row of columns per row, an array of two dimensions; "
            f"got shape {found.shape}; reshape it, or hand in a list of (times, values)"
        )
    return list(found) if found.ndim == 1 and found.dtype == object else found


def is_absent(entry: Any) -> bool:
    """True for an entry that holds nothing: None, NaN, or an empty sequence."""
    if is_missing(entry):
        return True
    try:
        return len(entry) == 0
    except _BAD:
        return False


def infer_kind(name: str, entries: Entries) -> str:
    """The kind that the entries speak of.

    Raises:
        DataError: texts, or nothing in any row: the kind must be said.

    >>> infer_kind("a", [None, ([0.0], [[1.0]])]), infer_kind("a", [["I10"]])
    ('series', 'codes')
    """
    if isinstance(entries, np.ndarray) and (entries.ndim == 2 or entries.dtype.kind in _NUMERIC):
        return "table"
    first = next((e for e in entries if not is_absent(e)), None)
    if first is None or isinstance(first, str):
        raise DataError(
            f"the kind of modality {name!r} cannot be told from "
            f"{'entries that are all absent' if first is None else 'texts'}; "
            "say it in `modalities`, as a name -> kind or a Modality"
        )
    if isinstance(first, tuple) and len(first) == 2 and not isinstance(first[0], (str, tuple)):
        return "series" if hasattr(first[0], "__len__") else "table"
    head = first[0] if isinstance(first, (Sequence, np.ndarray)) else None
    return "codes" if isinstance(head, (str, tuple)) else "table"


def pack_entries(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    """The modality, with its features, levels and vocabulary, and its packed values.

    Raises:
        DataError: entries that the kind does not know, lengths that differ, infinities.

    >>> m, v = pack_entries(Modality("s", "series"), [([1.0, 0.0], [5.0, 6.0]), None])
    >>> m.features, v.data["time"].tolist(), v.index.tolist()
    (('x0',), [0.0, 1.0], [0, -1])
    """
    return _PACK[modality.kind](modality, entries)


def _feature_names(modality: Modality, width: int, unit: str = "columns") -> tuple[str, ...]:
    known = modality.features + tuple(modality.levels)
    if known and len(known) != width:
        raise DataError(
            f"modality {modality.name!r} names {len(known)} {unit}; its entries have {width}; "
            "name each one"
        )
    return known or tuple(f"x{j}" for j in range(width))


def _width(modality: Modality, found: Iterable[int], unit: str) -> int:
    """The number of columns that all entries have."""
    widths = set(found)
    if not widths and modality.features + tuple(modality.levels):
        return len(modality.features) + len(modality.levels)
    if len(widths) != 1 or not min(widths):
        raise DataError(
            f"all entries of modality {modality.name!r} must have the same number of {unit}, at "
            f"least one; got {', '.join(map(str, sorted(widths)[:5])) or 'none'}; "
            f"{'make them alike' if widths else 'name its features in a Modality'}"
        )
    return widths.pop()


def _matrix(modality: Modality, entries: Entries, unit: str) -> np.ndarray:
    """``[n, d]`` of numbers, or of objects where there are texts; absent rows are missing."""
    if isinstance(entries, np.ndarray):
        return entries if entries.ndim == 2 else entries[:, None]
    vectors = [None if is_absent(e) else _vector(modality.name, e) for e in entries]
    width = _width(modality, (len(x) for x in vectors if x is not None), unit)
    plain = all(x is None or x.dtype.kind in _NUMERIC for x in vectors)
    small = [x.dtype for x in vectors if x is not None]
    single = plain and small and all(t == np.float32 for t in small)
    blank, dtype = (np.nan, np.float32 if single else np.float64) if plain else (None, object)
    matrix = np.full((len(vectors), width), blank, dtype=dtype)
    for i, x in enumerate(vectors):
        if x is not None:
            matrix[i] = x
    return matrix


def _vector(name: str, entry: Any) -> np.ndarray:
    try:
        x = np.asarray(entry)
        if x.dtype.kind not in _NUMERIC:
            x = np.asarray(entry, dtype=object)
    except _BAD:
        x = np.empty((0, 0, 0))
    if x.ndim > 1:
        raise DataError(
            f"an entry of modality {name!r} must be one vector, or None; got nested lists; "
            "flatten it, or hand in (times, values) of a series"
        )
    return np.atleast_1d(x)


def _pack_table(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    matrix = _matrix(modality, entries, "columns")
    if not matrix.shape[1]:
        raise DataError(
            f"modality {modality.name!r} needs at least one column; got none; leave it out"
        )
    columns = dict(zip(_feature_names(modality, matrix.shape[1]), matrix.T, strict=True))
    if len(columns) < matrix.shape[1]:
        raise DataError(f"feature names of modality {modality.name!r} must be unique; rename one")
    if modality.features:  # what is declared to be a number stays one
        columns |= {f: numbers(f"column {f!r}", columns[f]) for f in modality.features}
    found, values = pack_table(modality.name, columns, levels=modality.levels)
    return replace(found, time_unit=modality.time_unit), values


def _pack_embedding(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    matrix = _matrix(modality, entries, "dimensions")
    if matrix.dtype.kind not in _NUMERIC:
        matrix = np.column_stack([numbers(f"embedding {modality.name!r}", x) for x in matrix.T])
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64)
    features = _feature_names(modality, matrix.shape[1], "dimensions")
    return replace(modality, features=features), pack_embedding(modality.name, matrix)


def _distinct(entries: Entries) -> tuple[list[Any], np.ndarray]:
    """(the entries that are there, each object once; ``Int[n]`` which one a row has, or -1)."""
    place: dict[int, int] = {}
    found: list[Any] = []
    index = np.full(len(entries), -1, dtype=np.int64)
    entries = list(entries)  # keeps the objects alive, so that an id means one object
    for i, entry in enumerate(entries):
        if not is_absent(entry):
            if id(entry) not in place:
                place[id(entry)] = len(found)
                found.append(entry)
            index[i] = place[id(entry)]
    return found, index


def _reindex(values: Values, index: np.ndarray) -> Values:
    """The values of distinct entries as the values of rows."""
    return Values(values.data, values.offsets, np.append(values.index, -1)[index])


def _pack_series(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    found, index = _distinct(entries)
    steps = [_steps(modality.name, e) for e in found]
    steps = [s if len(s[0]) else None for s in steps]
    width = _width(modality, (s[1].shape[1] for s in steps if s is not None), "variables")
    row = np.repeat(np.arange(len(steps)), [0 if s is None else len(s[0]) for s in steps])
    time = np.concatenate([np.zeros(0)] + [s[0] for s in steps if s is not None])
    blocks = [s[1] for s in steps if s is not None]
    value = np.concatenate([np.zeros((0, width)), *blocks])
    packed = pack_series(modality.name, row.astype(np.int64), time, value, len(found))
    features = _feature_names(modality, width, "variables")
    return replace(modality, features=features), _reindex(packed, index)


def _steps(name: str, entry: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        time, value = entry
        time = numbers(f"the times of modality {name!r}", time).astype(np.float64)
        value = np.asarray(value)
        if value.dtype.kind not in _NUMERIC:
            value = _objects(name, value)
        value = value[:, None] if value.ndim == 1 else value
    except DataError:
        raise
    except _BAD:
        raise DataError(
            f"an entry of series {name!r} is a pair (times, values) of t times and t rows of "
            "values, or None; got something else; hand in such pairs"
        ) from None
    if not len(time):
        return time, np.zeros((0, 1))
    if value.ndim != 2 or len(value) != len(time):
        raise DataError(
            f"an entry of series {name!r} has as many rows of values as times; got {len(time)} "
            f"times and values of shape {value.shape}; make them alike"
        )
    return time, value.astype(np.float64)


def _objects(name: str, value: np.ndarray) -> np.ndarray:
    """Numbers among which some are None."""
    flat = numbers(f"the values of series {name!r}", value.astype(object).ravel())
    return flat.reshape(value.shape)


def _pack_codes(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    found, index = _distinct(entries)
    events = [_events(modality.name, e) for e in found]
    row = np.repeat(np.arange(len(events)), [len(e) for e in events]).astype(np.int64)
    columns = {}
    for k, key in enumerate(("code", "type", "time")):
        columns[key] = np.empty(len(row), dtype=object)
        columns[key][:] = [event[k] for one in events for event in one]
    modality, packed = pack_codes(modality, row, columns, len(found))
    return modality, _reindex(packed, index)


def _events(name: str, entry: Any) -> list[tuple[Any, Any, Any]]:
    """The events of one row as (code, type or None, time or None)."""
    whole = isinstance(entry, (str, bytes, Mapping)) or not isinstance(entry, Iterable)
    events = [] if whole else [e if isinstance(e, tuple) else (e,) for e in entry]
    if whole or not all(
        1 <= len(e) <= 3 and all(is_missing(x) or isinstance(x, str) or is_number(x) for x in e)
        for e in events
    ):
        raise DataError(
            f"an entry of codes {name!r} is a list of codes, or of (code, type, time), or None; "
            "got something else; hand in such lists"
        )
    return [(*e, None, None)[:3] for e in events]


def _pack_source(modality: Modality, entries: Entries) -> tuple[Modality, Values]:
    if isinstance(entries, np.ndarray) and entries.ndim != 1:
        raise DataError(f"modality {modality.name!r} needs one text or path per row; reshape it")
    values = pack_source(modality.name, entries)
    if modality.kind in MEDIA:
        paths = np.array([absolute(x) for x in values.data["source"]], dtype=object)
        values = Values({"source": paths}, None, values.index)
    return modality, values


_PACK = {
    "table": _pack_table,
    "series": _pack_series,
    "codes": _pack_codes,
    "embedding": _pack_embedding,
    "text": _pack_source,
    "image": _pack_source,
    "audio": _pack_source,
}
