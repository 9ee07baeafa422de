"""Long event tables -> packed `Values`, without a Python object for each event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.clinical.engine import Engine
from amodal.clinical.events import code_order
from amodal.types import Modality
from amodal.values import Values

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

__all__ = [
    "carry_forward",
    "numbered",
    "pack_codes",
    "pack_series",
    "pack_table",
    "pack_text",
    "standardise",
]


def _column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].combine_chunks().to_numpy(zero_copy_only=False)


def _ragged(row: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(offsets of the rows that have steps, index of all n rows)"""
    counts = np.bincount(row, minlength=n)
    has = counts > 0
    offsets = np.concatenate([[0], np.cumsum(counts[has])]).astype(np.int64)
    return offsets, np.where(has, np.cumsum(has) - 1, -1).astype(np.int64)


def numbered(engine: Engine, t: ibis.Table, column: str) -> tuple[list[Any], ibis.Table]:
    """(the distinct values of a column, ascending; a table of `column` and its `place` there)

    Texts are in the order of their bytes, on every engine.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> with DuckEngine(threads=1) as engine:
    ...     t = engine.arrow(pa.table({"code": ["b", "a", "b", "B"]}))
    ...     names, places = numbered(engine, t, "code")
    >>> names
    ['B', 'a', 'b']
    """
    import ibis

    place = ibis.row_number().over(order_by=column).cast("int64")
    places = engine.keep(t.select(column).distinct().mutate(place=place), "places")
    return engine.fetch(places.order_by("place"))[column].to_pylist(), places


def pack_codes(
    engine: Engine, name: str, events: ibis.Table, n: int, *, types: Sequence[str], unit: str
) -> tuple[Modality, Values]:
    """A `codes` modality of n rows; its vocabulary is the distinct codes, sorted.

    Args:
        engine: what runs.
        name: of the modality.
        events: row, time, kind (position in `types`), seq, code.
        n: number of rows.
        types: names of the kinds.
        unit: of the times.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> t = {"row": [1, 1], "time": [9.0, 2.0], "kind": [0, 0], "seq": [0, 0], "code": ["a", "b"]}
    >>> with DuckEngine(threads=1) as engine:
    ...     events = engine.arrow(pa.table(t))
    ...     modality, values = pack_codes(engine, "codes", events, 2, types=("drug",), unit="hours")
    >>> modality.vocabulary, values.data["code"].tolist(), values.data["time"].tolist()  # by time
    (('a', 'b'), [1, 0], [2.0, 9.0])
    >>> values.index.tolist(), values.offsets.tolist()  # row 0 has none: it is absent
    ([-1, 0], [0, 2])
    """
    events = engine.keep(events, "codes")
    vocabulary, names = numbered(engine, events, "code")
    known = events.inner_join(names, "code")
    t = engine.fetch(
        known.order_by("row", *code_order()).select(
            number="place",
            row=known.row.cast("int32"),
            time=known.time.cast("float64"),
            kind=known.kind.cast("int16"),
        )
    )
    for made in (events, names):
        engine.drop(made)
    offsets, index = _ragged(_column(t, "row"), n)
    data = {
        "code": _column(t, "number").astype(np.int64),
        "type": _column(t, "kind").astype(np.int64),
        "time": _column(t, "time"),
    }
    modality = Modality(
        name, "codes", vocabulary=tuple(vocabulary), types=tuple(types), time_unit=unit
    )
    return modality, Values(data, offsets, index)


def pack_series(
    engine: Engine, name: str, events: ibis.Table, n: int, *, features: Sequence[str], unit: str
) -> tuple[Modality, Values]:
    """A `series` modality of n rows, values as float32.

    Measurements of one row at one time are one step; of a concept measured more often at that time
    each further value, in ascending order, stands in a step of its own.

    Args:
        engine: what runs.
        name: of the modality.
        events: row, time, concept (position in `features`), value.
        n: number of rows.
        features: names of the concepts.
        unit: of the times.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> t = {"row": [0, 0, 0], "time": [1.0, 1.0, 1.0], "concept": [0, 1, 1], "value": [7.0, 5.0, 4.0]}
    >>> with DuckEngine(threads=1) as engine:
    ...     events = engine.arrow(pa.table(t))
    ...     _, values = pack_series(engine, "labs", events, 1, features=("ph", "k"), unit="hours")
    >>> values.data["time"].tolist(), values.data["value"].tolist()  # k was measured twice at once
    ([1.0, 1.0], [[7.0, 4.0], [nan, 5.0]])
    """
    import ibis

    repeat = ibis.row_number().over(group_by=["row", "time", "concept"], order_by="value")
    t = engine.keep(
        events.mutate(repeat=repeat).select(
            "time",
            row=lambda t: t.row.cast("int32"),
            repeat=lambda t: t.repeat.cast("int32"),
            concept=lambda t: t.concept.cast("int32"),
            value=lambda t: t.value.cast("float32"),
        ),
        name,
    )
    steps = engine.count(t.select("row", "time", "repeat").distinct())
    value = np.full((len(features), steps), np.nan, dtype=np.float32)  # columns stay in one piece
    row, time = np.zeros(steps, dtype=np.int64), np.zeros(steps)
    at, last = -1, (-1, 0.0, 0)
    for batch in engine.stream(t.order_by("row", "time", "repeat", "concept")):
        at, last = _fill(batch, (row, time, value), at, last)
    engine.drop(t)
    offsets, index = _ragged(row, n)
    modality = Modality(name, "series", features=tuple(features), time_unit=unit)
    return modality, Values({"time": time, "value": value.T}, offsets, index)


def _fill(
    batch: pa.RecordBatch,
    into: tuple[np.ndarray, np.ndarray, np.ndarray],
    at: int,
    last: tuple[int, float, int],
) -> tuple[int, tuple[int, float, int]]:
    """Writes ordered lines into the steps behind number `at`, whose row, time, repeat are `last`.

    Returns:
        The number of the last step that was written, and its row, time and repeat.
    """
    if not len(batch):
        return at, last
    keys = [batch[c].to_numpy(zero_copy_only=False) for c in ("row", "time", "repeat")]
    fresh = np.zeros(len(batch), dtype=bool)
    for x, before in zip(keys, last, strict=True):
        fresh |= x != np.concatenate([[before], x[:-1]])
    step = at + np.cumsum(fresh)
    row, time, value = into
    row[step], time[step] = keys[0], keys[1]
    value[batch["concept"].to_numpy(), step] = batch["value"].to_numpy()
    return int(step[-1]), tuple(x[-1] for x in keys)


def pack_table(
    engine: Engine,
    name: str,
    cells: ibis.Table,
    n: int,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str] = (),
) -> tuple[Modality, Values]:
    """A `table` modality of n rows; a row without a line in `cells` is absent, and so is one whose
    cells are all missing.

    Args:
        engine: what runs.
        name: of the modality.
        cells: row and the columns named.
        n: number of rows.
        numeric: columns of numbers.
        categorical: columns of texts; their levels are the distinct ones, sorted.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> t = {"row": [0, 2], "age": [40, None], "sex": ["male", None]}
    >>> with DuckEngine(threads=1) as engine:
    ...     cells = engine.arrow(pa.table(t))
    ...     m, values = pack_table(engine, "facts", cells, 3, numeric=("age",), categorical=("sex",))
    >>> dict(m.levels), values.data["numeric"].tolist(), values.data["categorical"].tolist()
    ({'sex': ('male',)}, [[40.0]], [[0]])
    >>> values.index.tolist()  # row 1 has no line, all cells of row 2 are missing
    [0, -1, -1]
    """
    t = engine.fetch(cells.select("row", *numeric, *categorical).order_by("row"))
    row = _column(t, "row").astype(np.int64)
    numbers = [_column(t.cast(_floats(t, numeric)), c).astype(np.float64) for c in numeric]
    coded: list[np.ndarray] = []
    levels: dict[str, tuple[str, ...]] = {}
    for column in categorical:
        codes, levels[column] = _levels(t[column])
        coded.append(codes)
    x = np.column_stack(numbers) if numbers else np.zeros((len(row), 0))
    c = np.column_stack(coded) if coded else np.zeros((len(row), 0), dtype=np.int64)
    there = (~np.isnan(x)).any(axis=1) | (c >= 0).any(axis=1)
    index = np.full(n, -1, dtype=np.int64)
    index[row[there]] = np.arange(int(there.sum()))
    modality = Modality(name, "table", features=tuple(numeric), levels=levels)
    return modality, Values({"numeric": x[there], "categorical": c[there]}, None, index)


def _floats(t: pa.Table, numeric: Sequence[str]) -> pa.Schema:
    """The schema with columns of numbers as floats: nulls become NaN."""
    import pyarrow as pa

    return pa.schema([f.with_type(pa.float64()) if f.name in numeric else f for f in t.schema])


def _levels(column: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    coded = column.combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=lambda k: names[k])
    place = np.full(len(names) + 1, -1, dtype=np.int64)  # -1, a missing one, picks the last
    place[order] = np.arange(len(names))
    ids = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return place[ids], tuple(names[k] for k in order)


def pack_text(engine: Engine, name: str, texts: ibis.Table, n: int) -> tuple[Modality, Values]:
    """A `text` modality of n rows from one line (row, text) for each row that has one.

    A text of blanks alone is none.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> with DuckEngine(threads=1) as engine:
    ...     t = engine.arrow(pa.table({"row": [0, 2], "text": [" ", "stable"]}))
    ...     _, values = pack_text(engine, "note", t, 3)
    >>> values.data["source"].tolist(), values.index.tolist()
    (['stable'], [-1, -1, 0])
    """
    t = engine.fetch(texts.select("row", "text").order_by("row"))
    index = np.full(n, -1, dtype=np.int64)
    source = np.empty(len(t), dtype=object)
    source[:] = t["text"].to_pylist()
    there = np.array([bool(s and s.strip()) for s in source], dtype=bool)
    index[_column(t, "row").astype(np.int64)[there]] = np.arange(int(there.sum()))
    return Modality(name, "text"), Values({"source": source[there]}, None, index)


# -- what the `muse` protocol does to series ------------------------------------------------------


def standardise(values: Values) -> tuple[Values, dict[str, list[float]]]:
    """Each feature with mean 0 and standard deviation 1 over all rows, as `muse` does.

    A feature without spread becomes 0.

    >>> steps = {"time": np.arange(2.0), "value": np.array([[1.0], [3.0]], np.float32)}
    >>> z, _ = standardise(Values(steps, np.array([0, 2]), np.array([0])))
    >>> z.data["value"].ravel().tolist()
    [-1.0, 1.0]
    """
    x = values.data["value"]
    mean, std = np.zeros(x.shape[1]), np.ones(x.shape[1])
    z = np.empty_like(x, order="K")
    for j in range(x.shape[1]):  # a column at a time: memory
        column = x[:, j].astype(np.float64)
        seen = column[~np.isnan(column)]
        if len(seen):
            mean[j] = seen.mean()
            std[j] = seen.std() or 1.0
        z[:, j] = (column - mean[j]) / std[j]
    data: Mapping[str, Any] = {**values.data, "value": z}
    stats = {"mean": mean.tolist(), "std": std.tolist()}
    return Values(data, values.offsets, values.index), stats


def carry_forward(values: Values) -> Values:
    """Each value carried on to the later steps of its row, until another one is observed.

    >>> steps = {"time": np.arange(3.0), "value": np.array([[1.0], [np.nan], [np.nan]])}
    >>> carried = carry_forward(Values(steps, np.array([0, 2, 3]), np.array([0, 1])))
    >>> carried.data["value"].ravel().tolist()
    [1.0, 1.0, nan]
    """
    x = values.data["value"]
    at = np.arange(len(x))
    begin = np.repeat(values.offsets[:-1], values.lengths)
    out = x.copy(order="K")
    for j in range(x.shape[1]):
        last = np.maximum.accumulate(np.where(np.isnan(x[:, j]), -1, at))
        out[:, j] = np.where(last >= begin, x[last, j], np.nan)
    return Values({**values.data, "value": out}, values.offsets, values.index)
