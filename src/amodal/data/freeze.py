"""Arrays of a data set: their types, made read-only, and their hash."""

from __future__ import annotations

from typing import Any

import numpy as np

from amodal.errors import DataError
from amodal.values import ARRAYS, RAGGED, Values

__all__ = ["freeze_column", "freeze_values", "hash_array"]

_DTYPES = {"absence": np.int8, "target": np.float64, "weight": np.float64}
_HASHED = 1 << 16
"""Rows that are hashed together."""
_INTEGER = ("categorical", "code", "type")


def freeze_column(name: str, column: Any) -> np.ndarray | None:
    """A column of the rows as a read-only array of its type; copied where it could be written to.

    Raises:
        DataError: it cannot be converted.

    >>> freeze_column("weight", [1, 2]).dtype.name, freeze_column("row_id", [7, 8]).tolist()
    ('float64', ['7', '8'])
    """
    if column is None:
        return None
    if name == "references":
        return _freeze_references(column)
    array = np.asarray(column)
    fits = array.dtype == _DTYPES[name] if name in _DTYPES else array.dtype.kind == "U"
    if fits:
        return array if not array.flags.writeable else _read_only(array.copy())
    try:
        if name == "absence" and not np.isin(array, (0, 1, 2)).all():
            raise ValueError("casting would hide it")
        return _read_only(array.astype(_DTYPES.get(name, np.str_)))
    except (TypeError, ValueError, OverflowError):
        wanted = {"absence": "0 (present), 1 (not measured) or 2 (lost)"}.get(name, "numbers")
        raise DataError(f"{name} must hold {wanted}; got something else; recode it") from None


def _freeze_references(column: Any) -> np.ndarray:
    """A tuple of texts per row."""
    if isinstance(column, np.ndarray) and column.dtype == object and not column.flags.writeable:
        return column
    found = np.empty(len(column), dtype=object)
    for i, texts in enumerate(column):
        if isinstance(texts, str) or not all(isinstance(x, str) for x in texts):
            raise DataError(
                "references must hold a tuple of texts per row; got others; convert them"
            )
        found[i] = tuple(str(x) for x in texts)
    return _read_only(found)


def freeze_values(kind: str | None, values: Values) -> Values:
    """The values with read-only arrays in the order of `ARRAYS`; what may be left out is filled in.

    A table without ``categorical`` has no categorical columns; codes without ``type`` or ``time``
    have unknown ones.

    Raises:
        DataError: an array is lacking, or is one that the kind does not have.

    >>> v = Values({"numeric": np.ones((1, 2))}, None, np.array([0]))
    >>> freeze_values("table", v).data["categorical"].shape
    (1, 0)
    """
    expected = ARRAYS.get(kind or "", tuple(values.data))
    data = dict(values.data)
    if kind == "table" and data:
        v = len(next(iter(data.values())))
        data.setdefault("numeric", np.zeros((v, 0)))
        data.setdefault("categorical", np.zeros((v, 0), dtype=np.int64))
    elif kind == "codes" and "code" in data:
        data.setdefault("type", np.full(len(data["code"]), -1, dtype=np.int64))
        data.setdefault("time", np.full(len(data["code"]), np.nan))
    if set(data) != set(expected):
        raise DataError(
            f"values of kind {kind!r} have the arrays {', '.join(expected)}; "
            f"got {', '.join(sorted(data)) or 'none'}; hand in these"
        )
    frozen = {key: _freeze(key, data[key]) for key in expected}
    offsets = None if values.offsets is None else _freeze("offsets", values.offsets)
    if kind in RAGGED and offsets is None:
        raise DataError(f"values of kind {kind!r} need offsets, one more than values; got none")
    return Values(frozen, offsets, _freeze("index", values.index))


def _freeze(key: str, array: Any) -> np.ndarray:
    array = np.asarray(array)
    if key in (*_INTEGER, "offsets", "index"):
        wanted, kinds = np.int64, "iu"
    elif key == "source":
        wanted, kinds = object, "OU"
    else:
        wanted = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
        kinds = "fiub"
    if array.dtype.kind not in kinds and array.size:
        raise DataError(f"{key!r} of values has the wrong type, {array.dtype}; convert it")
    return _read_only(array if array.dtype == wanted else array.astype(wanted))


def _read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to; the caller's own array keeps its flags."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def hash_array(digest: Any, name: str, array: np.ndarray | None) -> None:
    """Adds an array to a hash: its name, shape and contents, not the width of its type.

    >>> from hashlib import sha256
    >>> a, b = sha256(), sha256()
    >>> hash_array(a, "x", np.array([1], np.int8)), hash_array(b, "x", np.array([1], np.int64))
    (None, None)
    >>> a.digest() == b.digest()
    True
    """
    if array is None:
        digest.update(f"{name}: none;".encode())
        return
    digest.update(f"{name}: {array.dtype.kind} {array.shape};".encode())
    if array.dtype.kind in "OU":
        texts = [str(x).encode("utf-8", "surrogatepass") for x in array.ravel()]
        digest.update(np.array([len(t) for t in texts], dtype="<i8").tobytes())
        digest.update(b"".join(texts))
        return
    wanted = "<f8" if array.dtype.kind == "f" else "<i8"
    for begin in range(0, len(array), _HASHED):  # a part at a time: a large array is not copied
        digest.update(np.ascontiguousarray(array[begin : begin + _HASHED], dtype=wanted))
