"""A data set from arrays and lists in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.checks import check_length
from amodal.data.cells import names, numbers
from amodal.data.dataset import Dataset
from amodal.data.entries import as_entries, infer_kind, pack_entries
from amodal.data.targets import encode_references, encode_target
from amodal.errors import DataError, unknown_name
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values

__all__ = ["assemble", "dataset_from_arrays"]

_ROW_COLUMNS = ("row_id", "group", "split", "weight", "absence", "facts")
_BAD = (TypeError, ValueError, OverflowError, RuntimeError, IndexError, KeyError)


def dataset_from_arrays(
    arrays: Mapping[str, Any],
    target: Any = None,
    *,
    modalities: Sequence[Modality] | Mapping[str, str] = (),
    task: Task | None = None,
    rows: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Dataset:
    """A data set from a dict with one array or list per modality, one entry per row.

    | kind | entries |
    |---|---|
    | ``table`` | a 2-D array ``[n, d]``, columns of text are categorical; or a list of vectors |
    | ``series`` | a list of ``(times[t], values[t, d])`` |
    | ``codes`` | a list of lists of codes, or of ``(code, type, time)`` |
    | ``embedding`` | a 2-D array ``[n, d]`` or a list of vectors |
    | ``text``, ``image``, ``audio`` | a list of texts or paths |

    An all-NaN row, None or an empty sequence is absent (`NOT_MEASURED`); NaN inside is a missing
    cell. Rows of a list that hold the same object share one value. Input is copied.

    Args:
        arrays: modality name -> entries. Without a word in `modalities` a 2-D array is a table, a
            list of (times, values) a series, a list of lists of texts codes.
        target: one value a row, None or NaN where it is unknown; see `encode_target`. For a task
            that is a sequence a text a row, or a list of texts, each of them right.
        modalities: what is known of the modalities: `Modality` objects, or name -> kind.
        task: inferred from the target where it is not given.
        rows: ``row_id``, ``group``, ``split``, ``weight``, ``facts`` (name -> one text per row, None
            where unknown), and ``absence`` (``Int8[n, m]``, to say which absent pairs are `LOST`; a
            value at a `LOST` pair is dropped).
        provenance: where the data came from (JSON).

    Raises:
        DataError: wrong shapes or lengths, infinities, repeated row ids.
        UnknownNameError: a modality, kind or row column that is not known.

    >>> d = dataset_from_arrays({"a": [[1.0, 2.0], None], "c": [[], ["I10", "E11"]]}, ["no", "yes"])
    >>> d.present.tolist(), d.target.tolist(), d.task.classes
    ([[True, False], [False, True]], [0.0, 1.0], ('no', 'yes'))
    """
    if not isinstance(arrays, Mapping) or not arrays:
        raise DataError("arrays must map at least one modality's name to its entries; got none")
    for name in arrays:
        if not isinstance(name, str):
            raise DataError(f"a modality's name is a text; got {type(name).__name__}; rename it")
    known = _declared(modalities, list(arrays))
    entries = {name: as_entries(name, x) for name, x in arrays.items()}
    first = next(iter(entries))
    packed = {}
    for name, x in entries.items():
        check_length(f"modality {name!r}", len(x), len(entries[first]))
        packed[name] = pack_entries(known.get(name) or Modality(name, infer_kind(name, x)), x)
    return assemble(packed, target, task=task, rows=rows, provenance=provenance)


def _declared(modalities: Any, names_given: Sequence[str]) -> dict[str, Modality]:
    """What the caller says of the modalities, by name."""
    if isinstance(modalities, Mapping):
        said = [
            kind if isinstance(kind, Modality) else Modality(str(name), str(kind))
            for name, kind in modalities.items()
        ]
    else:
        said = list(modalities)
    for m in said:
        if not isinstance(m, Modality):
            raise DataError(
                "modalities are `Modality` objects or a dict name -> kind; "
                f"got {type(m).__name__}; hand in one of these"
            )
        if m.name not in names_given:
            raise unknown_name("modality", m.name, names_given)
    return {m.name: m for m in said}


def assemble(
    packed: Mapping[str, tuple[Modality, Values]],
    target: Any = None,
    *,
    task: Task | None = None,
    rows: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Dataset:
    """A data set from modalities that are packed already; see `dataset_from_arrays`.

    Args:
        packed: name -> (modality, its values), all of n rows.
        target: as `dataset_from_arrays`.
        task: the same.
        rows: the same.
        provenance: where from, as JSON.

    Raises:
        UnknownNameError: an unknown row column.
        DataError: a target of another length, or what `dataset_from_arrays` refuses.

    >>> values = Values({"source": np.array(["stable"], dtype=object)}, None, np.array([-1, 0]))
    >>> assemble({"note": (Modality("note", "text"), values)}, [1, 0]).present.ravel().tolist()
    [False, True]
    """
    rows = dict(rows or {})
    for key in rows:
        if key not in _ROW_COLUMNS:
            raise unknown_name("row column", key, _ROW_COLUMNS)
    n = len(next(iter(packed.values()))[1].index)
    references = None
    if target is not None and task is not None and task.kind == "sequence":
        target, references = encode_references(target)
    else:
        task, target = encode_target(target, task)
    if target is not None:
        check_length("the target", len(target), n)
    rows = {"row_id": np.arange(n), **{k: x for k, x in rows.items() if x is not None}}
    said = rows.pop("absence", None)
    facts = {str(k): row_column("facts", x, n) for k, x in rows.pop("facts", {}).items()}
    columns = {key: row_column(key, x, n) for key, x in rows.items()}
    present = np.column_stack([v.index >= 0 for _, v in packed.values()])
    absence, lost = _absence(said, present)
    values = {
        name: v.without(lost[:, k]) if lost[:, k].any() else v
        for k, (name, (_, v)) in enumerate(packed.items())
    }
    modalities = tuple(m for m, _ in packed.values())
    return Dataset(
        modalities,
        values,
        absence,
        task=task,
        target=target,
        references=references,
        provenance=dict(provenance or {}),
        facts=facts,
        **columns,
    )


def row_column(key: str, column: Any, n: int) -> np.ndarray:
    """A checked column of the rows: texts, or the weights as floats."""
    try:
        array = np.asarray(column)
        if array.dtype.kind == "U" and not isinstance(column, np.ndarray):
            array = np.asarray(column, dtype=object)
    except _BAD:
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise DataError(f"{key} must have one entry per row ({n}); got shape {array.shape}")
    check_length(key, len(array), n)
    if key == "weight":
        return numbers("weight", array).astype(np.float64)
    found = names(key, array)
    if key in ("split", "facts"):
        found = ["" if name is None else name for name in found]
    unknown = sum(name is None for name in found)
    if unknown:
        raise DataError(f"{key} must be known for every row; {unknown} rows have none; fill it in")
    return np.array(found, dtype=str) if found else np.zeros(0, dtype="U1")


def _absence(said: Any, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(absence, pairs whose value is dropped because they are said to be lost)."""
    found = np.where(present, PRESENT, NOT_MEASURED).astype(np.int8)
    if said is None:
        return found, np.zeros_like(present)
    try:
        said = np.asarray(said, dtype=np.float64)
    except _BAD:
        said = np.empty(0)
    if said.shape != present.shape:
        raise DataError(
            f"absence must have one entry per row and modality, {present.shape}; "
            f"got {said.shape}; hand in arrays of equal length"
        )
    lost = said == LOST
    wrong = int(((said != found) & ~lost).sum())
    if wrong:
        raise DataError(
            "absence must say 0 (present) where a modality has values, else 1 (not measured), or "
            f"2 (lost); {wrong} entries say otherwise; correct them"
        )
    return np.where(lost, np.int8(LOST), found).astype(np.int8), lost & present
