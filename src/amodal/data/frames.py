"""A data set from a DataFrame: pandas, polars, or a pyarrow table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.data.arrays import assemble
from amodal.data.cells import cell_name, is_missing, numbers
from amodal.data.dataset import Dataset
from amodal.data.packing import pack_table
from amodal.data.targets import infer_task
from amodal.errors import DataError, unknown_name
from amodal.types import Modality, Task
from amodal.values import Values

__all__ = ["Frame", "dataset_from_frame"]


class Frame:
    """A read-only look at a pandas, polars or pyarrow table, column by column.

    Args:
        frame: a pandas or polars DataFrame, or a pyarrow Table.

    Raises:
        DataError: something else, or two columns of the same name.

    >>> import pandas as pd
    >>> Frame(pd.DataFrame({"x": [1, 2]})).names
    ('x',)
    """

    def __init__(self, frame: Any) -> None:
        library = type(frame).__module__.partition(".")[0]
        kind = type(frame).__name__
        if (library, kind) not in _READERS:
            hint = (
                "call collect() first" if kind == "LazyFrame" else "convert it, or use from_arrays"
            )
            raise DataError(
                f"a frame is a pandas or polars DataFrame or a pyarrow Table; got {kind}; {hint}"
            )
        self._frame, self._read = frame, _READERS[library, kind]
        found = frame.column_names if library == "pyarrow" else frame.columns
        self.names = tuple(str(c) for c in found)
        self._keys = dict(zip(self.names, found, strict=True))
        if len(self._keys) < len(self.names):
            raise DataError("columns of a frame must have unique names; some repeat; rename them")

    def __len__(self) -> int:
        return len(self._frame)

    @property
    def index(self) -> np.ndarray | None:
        """The names of a pandas index that is unique; None elsewhere."""
        index = getattr(self._frame, "index", None)
        if index is None or not getattr(index, "is_unique", False) or index.nlevels > 1:
            return None
        return np.array([cell_name(x) for x in index], dtype=object)

    def column(self, name: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
        """(the cells as numbers or objects, the levels where the column type names them).

        Raises:
            UnknownNameError: there is no such column.
        """
        if str(name) not in self._keys:
            raise unknown_name("column", str(name), self.names)
        return self._read(self._frame, self._keys[str(name)])


def dataset_from_frame(
    frame: Any,
    modalities: Mapping[str, Sequence[str] | Modality],
    *,
    target: str | Sequence[str] | None = None,
    task: Task | None = None,
    row_id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    weight: str | None = None,
    facts: Sequence[str] = (),
) -> Dataset:
    """A data set from a DataFrame whose columns the caller groups into modalities.

    Numeric columns of a modality are its numbers; text, categorical and truth columns are
    categorical. A row with all cells of a modality missing lacks the modality.

    Args:
        frame: a pandas or polars DataFrame, or a pyarrow Table; one line a row.
        modalities: modality name -> its columns (kind ``table``), or a `Modality` that says which
            are numbers (``features``) and which are categorical (``levels``).
        target: column to be predicted, missing = unlabelled; several columns of 0 and 1: several
            labels.
        task: inferred from the target where it is not given; see `encode_target`.
        row_id: column of unique names; left out: the index of pandas where it is unique, else
            positions.
        group: column that says which rows belong together (a patient).
        split: column of a published split; missing = free.
        weight: column of sample weights.
        facts: columns that no method reads and studies report by (sex, hospital).

    Raises:
        UnknownNameError: a column that the frame does not have.
        DataError: an input that is also the target, infinities, repeated row ids.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [50, None], "sex": ["f", None], "ph": [7.4, 7.2], "y": [0, 1]})
    >>> d = dataset_from_frame(frame, {"history": ["age", "sex"], "gases": ["ph"]}, target="y")
    >>> d.present.tolist(), d.modality("history").levels
    ([[True, True], [False, True]], {'sex': ('f',)})
    """
    source = Frame(frame)
    if not isinstance(modalities, Mapping) or not modalities:
        raise DataError("modalities must map at least one name to its columns; got none; name one")
    targets = [] if target is None else [target] if isinstance(target, str) else list(target)
    packed = {}
    for name, columns in modalities.items():
        packed[name] = _pack_columns(source, name, columns, hidden=(*targets, row_id))
    rows = {"row_id": row_id, "group": group, "split": split, "weight": weight}
    rows = {key: source.column(c)[0] for key, c in rows.items() if c is not None}
    if facts:
        rows["facts"] = {str(c): source.column(c)[0] for c in facts}
    if row_id is None and source.index is not None:
        rows["row_id"] = source.index
    task, y = _target(source, targets, task)
    return assemble(packed, y, task=task, rows=rows)


def _pack_columns(
    source: Frame, name: str, columns: Any, *, hidden: Sequence[str | None]
) -> tuple[Modality, Values]:
    """(the table modality `name` made of `columns`, its values)."""
    known = columns if isinstance(columns, Modality) else Modality(str(name), "table")
    if known is columns:
        columns = (*known.features, *known.levels)
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise DataError(f"modality {name!r} needs a list of columns; got {columns!r}; list them")
    cells, levels = {}, dict(known.levels)
    for column in map(str, columns):
        if column in hidden:
            raise DataError(
                f"inputs must not hold the answer or the name of the row; modality {name!r} "
                f"has column {column!r}; leave it out"
            )
        cells[column], named = source.column(column)
        if column in known.features:
            cells[column] = numbers(f"column {column!r}", cells[column])
        elif named is not None:
            levels.setdefault(column, named)
    return pack_table(str(name), cells, levels=levels)


def _target(
    source: Frame, targets: Sequence[str], task: Task | None
) -> tuple[Task | None, np.ndarray | None]:
    """(the task, where it can be told, the target)."""
    if not targets:
        return task, None
    if task is not None and task.kind == "sequence":
        texts = [source.column(t)[0].tolist() for t in targets]
        return task, [[x for x in row if not is_missing(x)] for row in zip(*texts, strict=True)]
    if len(targets) > 1:
        y = np.column_stack([np.asarray(source.column(t)[0], dtype=object) for t in targets])
        return task or Task("multilabel", tuple(targets)), y
    y, levels = source.column(targets[0])
    if task is None and levels is not None and len(levels) > 1:
        task = Task("binary" if len(levels) == 2 else "multiclass", levels)
    task = task or infer_task(y)
    return task and (task if task.name != "target" else task.with_name(targets[0])), y


# -- one library each -----------------------------------------------------------------------------

Column = tuple[np.ndarray, tuple[str, ...] | None]


def _objects(cells: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(cells), dtype=object)
    array[:] = [None if is_missing(c) else c for c in cells]
    return array


def _read_pandas(frame: Any, key: Any) -> Column:
    series = frame[key]
    levels = None
    if type(series.dtype).__name__ == "CategoricalDtype":
        levels = tuple(cell_name(c) for c in series.cat.categories)
    plain = getattr(series.dtype, "kind", "O") in "iuf" and isinstance(series.dtype, np.dtype)
    if plain or getattr(series.dtype, "kind", "O") in "mM":
        return series.to_numpy(), levels
    return _objects(series.astype(object).tolist()), levels


def _read_polars(frame: Any, key: str) -> Column:
    series = frame.get_column(key)
    kind = type(series.dtype).__name__
    levels = tuple(series.dtype.categories.to_list()) if kind == "Enum" else None
    if kind.startswith("Float") or (series.dtype.is_integer() and not series.null_count()):
        return series.to_numpy(), levels
    return _objects(series.to_list()), levels


def _read_arrow(table: Any, key: str) -> Column:
    import pyarrow as pa

    column = table.column(key)
    kind, levels = column.type, None
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_floating(kind) or (pa.types.is_integer(kind) and not column.null_count):
        return column.to_numpy(), levels
    return _objects(column.to_pylist()), levels


_READERS = {
    ("pandas", "DataFrame"): _read_pandas,
    ("polars", "DataFrame"): _read_polars,
    ("pyarrow", "Table"): _read_arrow,
}
