"""Rows, outcomes and modalities -> a `Dataset` with splits, and what lies beside it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.clinical.choices import Choices
from amodal.data.dataset import Dataset
from amodal.data.splits import assign_splits
from amodal.errors import DataError
from amodal.types import NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Prepared", "assemble", "masked", "parquet_bytes", "usual_places"]


_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Prepared:
    """A data set, and the files that are written beside it (name -> content)."""

    data: Dataset
    report: Mapping[str, Any]
    beside: Mapping[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def assemble(
    rows: pa.Table,
    modalities: Mapping[str, tuple[Modality, Values]],
    task: Task,
    choices: Choices,
    *,
    provenance: Mapping[str, Any],
) -> Dataset:
    """The data set of n rows, split 70/10/20 by groups; no split where there are too few of them.

    Args:
        rows: row_id, target (null = unlabelled), patient, and hospital or region where the split
            asks for it.
        modalities: name -> (modality, values).
        task: what is predicted.
        choices: how.
        provenance: where from.

    Raises:
        DataError: no rows, or no modality.

    >>> import pyarrow as pa
    >>> rows = pa.table({"row_id": [7, 8], "patient": [1, 1], "target": [1, None]})
    >>> values = Values({"source": np.array(["stable"], dtype=object)}, None, np.array([0, -1]))
    >>> note = {"note": (Modality("note", "text"), values)}
    >>> choices = Choices("mortality", "clean", 90, "", "discharge", ("note",), "patient")
    >>> data = assemble(rows, note, Task("binary"), choices, provenance={})
    >>> data.present.ravel().tolist(), data.target.tolist(), data.group.tolist(), data.split
    ([True, False], [1.0, nan], ['1', '1'], None)
    """
    if not len(rows):
        raise DataError(
            "a data set needs rows; the rules of the cohort leave none; check that RAW holds the "
            "database that was named"
        )
    row_id = _texts(rows, "row_id")
    target = rows["target"].cast("float64").to_numpy().copy()
    target[masked(row_id, target, share=choices.mask_labels, seed=choices.seed)] = np.nan
    absence = [np.where(v.index >= 0, PRESENT, NOT_MEASURED) for _, v in modalities.values()]
    data = Dataset(
        tuple(m for m, _ in modalities.values()),
        {name: v for name, (_, v) in modalities.items()},
        np.stack(absence, axis=1).astype(np.int8),
        row_id,
        task=task,
        target=target,
        group=_group(rows, choices.split),
        provenance=provenance,
    )
    return data.replace(split=_split(data, choices.seed))


def _texts(rows: pa.Table, name: str) -> np.ndarray:
    known = (_UNKNOWN if x in (None, "") else str(x) for x in rows[name].to_pylist())
    return np.array(list(known), dtype=str)


def _group(rows: pa.Table, split: str) -> np.ndarray | None:
    if split == "row":
        return None
    patient = _texts(rows, "patient")
    return patient if split == "patient" else usual_places(patient, _texts(rows, split))


def usual_places(patient: np.ndarray, place: np.ndarray) -> np.ndarray:
    """``str[n]``: where most of the patient's rows are; the first by name where several tie.

    A split by it keeps patients whole, and places but for the few rows of patients who are usually
    elsewhere. (Were places that share a patient one group, a thousand patients among a hundred
    thousand would make one group of all hospitals.)

    >>> patient, place = np.array(["a", "a", "a", "b"]), np.array(["7", "8", "8", "7"])
    >>> usual_places(patient, place).tolist()
    ['8', '8', '8', '7']
    """
    who, p = np.unique(patient, return_inverse=True)
    names, h = np.unique(place, return_inverse=True)
    pairs, counts = np.unique(p * len(names) + h, return_counts=True)
    of, there = np.divmod(pairs, max(len(names), 1))
    order = np.lexsort((there, -counts, of))  # by patient, the fullest place first
    first = order[np.searchsorted(of[order], np.arange(len(who)))]
    return names[there[first]][p]


def masked(row_id: np.ndarray, target: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Positions of the labelled rows that lose their label: the same whatever the row order.

    >>> ids, y = np.array(["a", "b", "c", "d"]), np.array([0.0, 1.0, np.nan, 1.0])
    >>> len(masked(ids, y, share=0.34, seed=0))
    1
    """
    known = np.flatnonzero(~np.isnan(target))
    keys = [hashlib.sha256(f"{seed}:{row_id[k]}".encode()).digest() for k in known]
    order = sorted(range(len(known)), key=keys.__getitem__)
    return known[np.array(order[: round(share * len(known))], dtype=np.int64)]


def _split(data: Dataset, seed: int) -> np.ndarray | None:
    """Train, valid and test of 70, 10 and 20%; None where there are too few groups.

    A group without label is trained on; one that has labelled rows stays with them whole.
    """
    try:
        parts = assign_splits(data, seed=seed, test=0.2, valid=0.1, calibration=0.0)
    except DataError:
        return None
    split = np.full(len(data), "train", dtype="<U5")
    for name in ("valid", "test"):
        split[parts[name]] = name
    if data.group is not None:
        held = {g: s for g, s in zip(data.group, split, strict=True) if s != "train"}
        split = np.array([held.get(g, "train") for g in data.group], dtype="<U5")
    return split


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file, the same for the same table.

    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> made = parquet_bytes(pa.table({"row": [0, 1]}))
    >>> made == parquet_bytes(pa.table({"row": [0, 1]})), pq.read_table(io.BytesIO(made)).num_rows
    (True, 2)
    """
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
