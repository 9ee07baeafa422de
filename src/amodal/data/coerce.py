"""What users hand to `fit` and `predict`, as a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.checks import check_length
from amodal.data.arrays import dataset_from_arrays
from amodal.data.dataset import Dataset
from amodal.data.targets import encode_references, encode_target
from amodal.errors import DataError, unknown_name
from amodal.types import Modality, Task

__all__ = ["to_dataset"]


def to_dataset(
    data: Any,
    *,
    modalities: Sequence[Modality] | None = None,
    task: Task | None = None,
    target: Any = None,
) -> Dataset:
    """A `Dataset` from a data set, a DataFrame, a dict of arrays, or one row.

    | `data` | read as |
    |---|---|
    | `Dataset` | itself |
    | DataFrame | columns are shared out by the features of the known tables |
    | dict, modality -> array or list with one entry per row | rows |
    | dict, modality -> one entry (a vector, (times, values), a list of codes) or None | one row |
    | dict, column -> number or text | one row of the known tables |

    Args:
        data: see above.
        modalities: those a model knows; needed for DataFrames and single rows.
        task: what the target is of.
        target: replaces the target of `data`.

    Raises:
        DataError: none of these forms, or a target of another length.
        UnknownNameError: a name that is no modality and no column.

    >>> table = (Modality("a", "table", features=("x", "y")),)
    >>> to_dataset({"a": [1.0, 2.0]}, modalities=table).shape
    (1, 1)
    >>> to_dataset({"x": 1.0}, modalities=table).values["a"].data["numeric"].tolist()
    [[1.0, nan]]
    """
    if isinstance(data, Dataset):
        found = data
    elif hasattr(data, "columns"):
        found = _from_frame(data, modalities)
    elif isinstance(data, Mapping):
        found = _from_mapping(data, modalities)
    else:
        raise DataError(
            "rows are a Dataset, a DataFrame or a dict of modalities; "
            f"got {type(data).__name__}; make a Dataset with Dataset.from_arrays"
        )
    return found if target is None else _with_target(found, target, task)


def _with_target(data: Dataset, target: Any, task: Task | None) -> Dataset:
    known = data.task or task
    if known is not None and known.kind == "sequence":
        counts, references = encode_references(target)
        check_length("the target", len(counts), len(data))
        return data.replace(task=known, target=counts, references=references)
    found, encoded = encode_target(target, known)
    if encoded is not None:
        check_length("the target", len(encoded), len(data))
    return data.replace(task=found, target=encoded)


def _tables(modalities: Sequence[Modality] | None) -> dict[str, tuple[str, ...]]:
    """Table name -> its columns."""
    return {m.name: (*m.features, *m.levels) for m in modalities or () if m.kind == "table"}


def _from_frame(frame: Any, modalities: Sequence[Modality] | None) -> Dataset:
    from amodal.data.frames import dataset_from_frame

    if modalities is None:
        raise DataError(
            "a DataFrame does not say which columns form a modality; got one without that; "
            "use Dataset.from_frame(frame, {modality: columns})"
        )
    columns = {str(c) for c in getattr(frame, "column_names", frame.columns)}
    known = {m.name: m for m in modalities}
    groups = {
        name: known[name] for name, wanted in _tables(modalities).items() if columns & set(wanted)
    }
    if not groups:
        raise DataError(
            "a DataFrame must have columns of the model's tables; none of its columns is one; "
            "rename them, or use Dataset.from_frame"
        )
    wanted = [c for m in groups.values() for c in (*m.features, *m.levels)]
    return dataset_from_frame(_with_columns(frame, [c for c in wanted if c not in columns]), groups)


def _with_columns(frame: Any, lacking: list[str]) -> Any:
    """`frame` with empty columns added: cells that it lacks are missing cells."""
    if not lacking:
        return frame
    if hasattr(frame, "assign"):
        return frame.assign(**dict.fromkeys(lacking, np.nan))
    if hasattr(frame, "with_columns"):
        import polars

        return frame.with_columns(polars.lit(None).alias(c) for c in lacking)
    for column in lacking:
        frame = frame.append_column(column, [[None] * len(frame)])
    return frame


def _from_mapping(data: Mapping[str, Any], modalities: Sequence[Modality] | None) -> Dataset:
    known = {m.name: m for m in modalities or ()}
    if not known:
        return dataset_from_arrays(data)
    columns = {c for wanted in _tables(modalities).values() for c in wanted}
    if data and not set(data) & set(known) and set(data) & columns:
        return _from_columns(data, modalities, columns)
    for name in data:
        if name not in known:
            raise unknown_name("modality", name, known)
    declared = [known[n] for n in data]
    single = [_is_single(known[n].kind, x) for n, x in data.items() if x is not None]
    one = all(single) if single else True
    rows = {n: [x] if one else x for n, x in data.items()}
    return dataset_from_arrays(rows, modalities=declared)


def _from_columns(
    row: Mapping[str, Any], modalities: Sequence[Modality], columns: set[str]
) -> Dataset:
    import pandas as pd

    for name in row:
        if name not in columns:
            raise unknown_name("column", name, sorted(columns))
    return _from_frame(pd.DataFrame([dict(row)]), modalities)


def _is_single(kind: str, entry: Any) -> bool:
    """Whether `entry` is one row's entry, not a list of them."""
    if kind in ("table", "embedding"):
        return np.ndim(entry) == 1 and not any(x is None for x in entry)
    if kind == "series":
        return isinstance(entry, tuple)
    if kind == "codes":
        return not entry or isinstance(entry[0], (str, tuple))
    return isinstance(entry, str)
