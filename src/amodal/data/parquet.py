"""Rows and values of a data set as Arrow tables, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from amodal.data.dataset import Dataset
from amodal.errors import StorageError
from amodal.types import Modality, Task
from amodal.values import Values

__all__ = ["file_names", "read_rows", "read_values", "rows_table", "values_table"]

_BAD = (
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    IndexError,
    pa.ArrowException,
)


def file_names(modalities: Iterable[str]) -> dict[str, str]:
    """Modality name -> name of its file, different also where case does not count.

    >>> file_names(["labs", "Labs", "rows"])
    {'labs': 'labs.parquet', 'Labs': 'Labs_.parquet', 'rows': 'rows_.parquet'}
    """
    used, found = {"rows", "manifest"}, {}
    for name in modalities:
        file = name
        while file.casefold() in used:
            file += "_"
        used.add(file.casefold())
        found[name] = f"{file}.parquet"
    return found


def _table(columns: Iterable[tuple[str, pa.Array]]) -> pa.Table:
    """A table of columns by position; a name that occurs before gets "_" behind it."""
    found: dict[str, pa.Array] = {}
    for name, array in columns:
        while name in found:
            name += "_"
        found[name] = array
    return pa.table(found)


def _texts(array: np.ndarray) -> pa.Array:
    return pa.array(array.tolist(), type=pa.string())


def _coded(positions: np.ndarray, names: Sequence[str]) -> pa.Array:
    """Positions as the names that they stand for; null where -1."""
    indices = pa.array(positions.astype(np.int32), mask=positions < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), type=pa.string()))


# -- writing --------------------------------------------------------------------------------------


def rows_table(data: Dataset) -> pa.Table:
    """One line a row.

    >>> rows_table(Dataset.from_arrays({"a": [[1.0], None]}, [0, 1])).column_names
    ['row_id', 'target', 'absence:a', 'value:a']
    """
    columns: list[tuple[str, pa.Array]] = [("row_id", _texts(data.row_id))]
    if data.target is not None:
        wide = data.target if data.target.ndim == 2 else data.target[:, None]
        labels = data.task.classes if data.target.ndim == 2 else ("",)
        columns += [
            (f"target:{label}" if label else "target", pa.array(np.ascontiguousarray(column)))
            for label, column in zip(labels, wide.T, strict=True)
        ]
    if data.references is not None:
        texts = [list(x) for x in data.references]
        columns.append(("references", pa.array(texts, type=pa.list_(pa.string()))))
    for name in ("group", "split"):
        if (column := getattr(data, name)) is not None:
            columns.append((name, _texts(column)))
    if data.weight is not None:
        columns.append(("weight", pa.array(data.weight)))
    columns += [(f"fact:{name}", _texts(column)) for name, column in data.facts.items()]
    for k, name in enumerate(data.names):
        columns.append((f"absence:{name}", pa.array(np.ascontiguousarray(data.absence[:, k]))))
        columns.append((f"value:{name}", pa.array(data.values[name].index)))
    return _table(columns)


def values_table(modality: Modality, values: Values) -> pa.Table:
    """One line a value, or one line a step of ``series`` and ``codes``.

    >>> v = Values({"time": np.array([0.0, 1.0]), "value": np.array([[7.4], [7.3]])},
    ...            np.array([0, 2]), np.array([0]))
    >>> values_table(Modality("gases", "series", features=("ph",)), v).column_names
    ['value', 'time', 'ph']
    """
    columns: list[tuple[str, pa.Array]] = []
    if values.offsets is not None:
        number = np.repeat(np.arange(len(values)), values.lengths)
        columns = [("value", pa.array(number)), ("time", pa.array(values.data["time"]))]
    return _table(columns + _WRITERS[modality.kind](modality, values.data))


def _numeric_columns(modality: Modality, numeric: np.ndarray) -> list[tuple[str, pa.Array]]:
    names = modality.features or [f"x{j}" for j in range(numeric.shape[1])]
    arrays = [pa.array(np.ascontiguousarray(x)) for x in numeric.T]
    return list(zip(names, arrays, strict=True))


def _table_columns(modality: Modality, data: Mapping[str, Any]) -> list[tuple[str, pa.Array]]:
    coded = zip(modality.levels.items(), data["categorical"].T, strict=True)
    categorical = [(name, _coded(x, levels)) for (name, levels), x in coded]
    return _numeric_columns(modality, data["numeric"]) + categorical


def _codes_columns(modality: Modality, data: Mapping[str, Any]) -> list[tuple[str, pa.Array]]:
    code, kind = _coded(data["code"], modality.vocabulary), _coded(data["type"], modality.types)
    return [("code", code), ("type", kind)]


def _embedding_columns(modality: Modality, data: Mapping[str, Any]) -> list[tuple[str, pa.Array]]:
    width = data["value"].shape[1]
    flat = pa.array(np.ascontiguousarray(data["value"]).ravel())
    return [("value", pa.FixedSizeListArray.from_arrays(flat, width))] if width else []


def _source_columns(modality: Modality, data: Mapping[str, Any]) -> list[tuple[str, pa.Array]]:
    return [("source", _texts(data["source"]))]


_WRITERS = {
    "table": _table_columns,
    "series": lambda modality, data: _numeric_columns(modality, data["value"]),
    "codes": _codes_columns,
    "embedding": _embedding_columns,
    "text": _source_columns,
    "image": _source_columns,
    "audio": _source_columns,
}


# -- reading --------------------------------------------------------------------------------------


def read_rows(
    table: pa.Table, columns: Sequence[str], modalities: Sequence[Modality], task: Task | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(the columns of the rows as fields of a `Dataset`, modality name -> its index).

    Raises:
        StorageError: columns are lacking or of another type.

    >>> d = Dataset.from_arrays({"a": [[1.5], None]}, [1, 0])
    >>> rows, index = read_rows(rows_table(d), ["target"], d.modalities, d.task)
    >>> rows["target"].tolist(), rows["absence"].tolist(), index["a"].tolist()
    ([1.0, 0.0], [[0], [1]], [0, -1])
    """
    try:
        place = iter(range(table.num_columns))
        rows = {"row_id": _read_texts(table.column(next(place)))}
        if "target" in columns:
            wide = task is not None and task.kind == "multilabel"
            labels = [_floats(table.column(next(place))) for _ in (task.classes if wide else [0])]
            rows["target"] = np.column_stack(labels) if wide else labels[0]
        if "references" in columns:
            rows["references"] = _read_references(table.column(next(place)))
        for name in ("group", "split"):
            if name in columns:
                rows[name] = _read_texts(table.column(next(place)))
        if "weight" in columns:
            rows["weight"] = _floats(table.column(next(place)))
        facts = [c.removeprefix("fact:") for c in columns if c.startswith("fact:")]
        rows["facts"] = {name: _read_texts(table.column(next(place))) for name in facts}
        absence, index = [], {}
        for m in modalities:
            absence.append(_integers(table.column(next(place))))
            index[m.name] = _integers(table.column(next(place)))
        rows["absence"] = np.column_stack([np.empty((len(table), 0), np.int64), *absence])
        return rows, index
    except (*_BAD, StopIteration) as error:
        raise _mismatch("rows.parquet") from error


def read_values(modality: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    """The `count` values of a modality.

    Raises:
        StorageError: columns are lacking or of another type.

    >>> d = Dataset.from_arrays({"a": [[1.5], None]})
    >>> table = values_table(d.modalities[0], d.values["a"])
    >>> read_values(d.modalities[0], table, 1, np.array([0, -1])).data["numeric"].tolist()
    [[1.5]]
    """
    try:
        return _READERS[modality.kind](modality, table, count, index)
    except _BAD as error:
        raise _mismatch(f"the file of modality {modality.name!r}") from error


def _mismatch(what: str) -> StorageError:
    return StorageError(
        f"{what} does not hold the columns that the manifest describes; it is damaged; "
        "prepare the data set again"
    )


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    if column.null_count or not pa.types.is_floating(column.type):
        raise TypeError("floats expected")
    return column.to_numpy()


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    if column.null_count or not pa.types.is_integer(column.type):
        raise TypeError("integers expected")
    return column.to_numpy().astype(np.int64)


def _read_texts(column: pa.ChunkedArray) -> np.ndarray:
    if column.null_count or not pa.types.is_string(column.type):
        raise TypeError("texts expected")
    return np.array(column.to_pylist(), dtype=str)


def _read_references(column: pa.ChunkedArray) -> np.ndarray:
    if column.null_count or not pa.types.is_list(column.type):
        raise TypeError("lists of texts expected")
    found = np.empty(len(column), dtype=object)
    found[:] = [tuple(x) for x in column.to_pylist()]
    return found


def _matrix(columns: Sequence[pa.ChunkedArray], count: int) -> np.ndarray:
    found = [_floats(c) for c in columns]
    if any(len(x) != count for x in found):
        raise ValueError("lengths differ")
    return np.column_stack(found) if found else np.zeros((count, 0))


def _positions(column: pa.ChunkedArray, names: Sequence[str]) -> np.ndarray:
    """Names as positions in `names`; -1 where null."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()  # each row group has its own
    place = {name: k for k, name in enumerate(names)}
    known = np.array([place[x] for x in array.dictionary.to_pylist()] + [-1], dtype=np.int64)
    return known[array.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _offsets(table: pa.Table, count: int) -> np.ndarray:
    number = _integers(table.column(0))
    jumps = np.diff(number, prepend=-1)
    if not np.isin(jumps, (0, 1)).all() or number[:1].any() or count != jumps.sum():
        raise ValueError("steps out of order")
    lengths = np.bincount(number) if len(number) else number
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _read_table(m: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    width = table.num_columns - len(m.levels)
    if width < 0 or (m.features and width != m.n_features):
        raise ValueError("columns are lacking")
    codes = [_positions(table.column(width + k), x) for k, x in enumerate(m.levels.values())]
    categorical = np.column_stack(codes) if codes else np.zeros((count, 0), dtype=np.int64)
    numeric = _matrix([table.column(j) for j in range(width)], count)
    return Values({"numeric": numeric, "categorical": categorical}, None, index)


def _read_series(m: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    value = _matrix([table.column(j) for j in range(2, table.num_columns)], len(table))
    return Values({"time": _floats(table.column(1)), "value": value}, _offsets(table, count), index)


def _read_codes(m: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    data: Mapping[str, Any] = {
        "code": _positions(table.column(2), m.vocabulary),
        "type": _positions(table.column(3), m.types),
        "time": _floats(table.column(1)),
    }
    return Values(data, _offsets(table, count), index)


def _read_embedding(m: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    if not table.num_columns:
        return Values({"value": np.zeros((count, 0))}, None, index)
    column = table.column(0).combine_chunks()
    flat = column.flatten()
    if column.null_count or flat.null_count or len(column) != count:
        raise ValueError("vectors are lacking")
    return Values({"value": flat.to_numpy().reshape(count, column.type.list_size)}, None, index)


def _read_source(m: Modality, table: pa.Table, count: int, index: np.ndarray) -> Values:
    source = np.empty(count, dtype=object)
    source[:] = table.column(0).to_pylist()
    return Values({"source": source}, None, index)


_READERS = {
    "table": _read_table,
    "series": _read_series,
    "codes": _read_codes,
    "embedding": _read_embedding,
    "text": _read_source,
    "image": _read_source,
    "audio": _read_source,
}
