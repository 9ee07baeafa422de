"""Predictions of one evaluation as a Parquet file: one row per test row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.errors import StorageError
from amodal.study.files import put_file
from amodal.types import PRESENT, Task

if TYPE_CHECKING:
    from amodal.data.dataset import Dataset

__all__ = ["TEXTS", "Predicted", "read_predictions", "write_predictions"]

TEXTS = ("text", "log_probability", "token_entropy", "reference_log_prob", "reference_tokens")
"""What metrics read of texts that were written; columns of these names."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Test rows with their targets and what a method said of them; all arrays are numpy's.

    Args:
        task: what is predicted.
        names: the m modalities.
        row_id: ``str[n]``.
        target: ``Float64[n]`` (``multilabel``: ``[n, L]``), without NaN; ``sequence``: ``object[n]``,
            the references of each row.
        outputs: what metrics read: ``probability``, or ``mean`` and ``std``, or what `TEXTS` lists.
        absence: ``Int8[n, m]``.
        group: ``str[n]`` or None.
        weight: ``Float64[n]`` or None.
        reliability: ``Float64[n, m]``, 0 where absent; None where the method has none.
        reliance: as `reliability`.
        conflict: ``Float64[n]`` or None.

    >>> arrays = np.array(["p", "q"]), np.ones(2), {"probability": np.array([0.2, 0.7])}
    >>> p = Predicted(Task("binary"), ("a", "b"), *arrays, np.array([[0, 1], [2, 0]]))
    >>> p.present.tolist(), p.unit.tolist()
    ([[True, False], [False, True]], ['p', 'q'])
    """

    task: Task
    names: tuple[str, ...]
    row_id: np.ndarray
    target: np.ndarray
    outputs: Mapping[str, np.ndarray]
    absence: np.ndarray
    group: np.ndarray | None = None
    weight: np.ndarray | None = None
    reliability: np.ndarray | None = None
    reliance: np.ndarray | None = None
    conflict: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row_id)

    @property
    def present(self) -> np.ndarray:
        """``Bool[n, m]`` where a modality was there."""
        return self.absence == PRESENT

    @property
    def unit(self) -> np.ndarray:
        """``str[n]`` what is resampled together: the group, or the row."""
        return self.row_id if self.group is None else self.group

    @classmethod
    def of(cls, data: Dataset, prediction: Any) -> Predicted:
        """From a `Prediction` (tensors) for the rows of `data`, all of which are labelled."""
        found = {
            k: None if (x := getattr(prediction, k)) is None else _numpy(x)
            for k in ("reliability", "reliance", "conflict")
        }
        target, outputs = data.target, prediction.outputs()
        if data.task.kind == "sequence":
            target = data.references
            outputs = prediction.outputs(prediction.text_head.tokens(target))
        return cls(
            data.task,
            data.names,
            data.row_id,
            target,
            {k: v if k == "text" else np.asarray(v, np.float64) for k, v in outputs.items()},
            data.absence,
            data.group,
            data.weight,
            **found,
        )


def _target_columns(task: Task) -> tuple[str, ...]:
    if task.kind == "multilabel":
        return tuple(f"target_{c}" for c in task.classes)
    return ("target",)


def _output_columns(task: Task) -> Mapping[str, tuple[str, ...]]:
    return {k: (k,) for k in TEXTS} if task.kind == "sequence" else task.output_columns


def write_predictions(path: Path, predicted: Predicted) -> Path:
    """Writes the file, whole or not at all.

    Raises:
        StorageError: it cannot be written.

    >>> import pyarrow.parquet as pq
    >>> from tempfile import TemporaryDirectory
    >>> arrays = np.array(["p"]), np.ones(1), {"probability": np.array([0.2])}
    >>> p = Predicted(Task("binary"), ("labs",), *arrays, np.array([[2]]), conflict=np.array([0.1]))
    >>> with TemporaryDirectory() as folder:
    ...     pq.read_table(write_predictions(Path(folder, "p.parquet"), p)).to_pylist()
    [{'row_id': 'p', 'target': 1.0, 'probability': 0.2, 'absence_labs': 2, 'conflict': 0.1}]
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    task, columns = predicted.task, {"row_id": predicted.row_id.astype(str)}
    if predicted.group is not None:
        columns["group"] = predicted.group.astype(str)
    if predicted.weight is not None:
        columns["weight"] = predicted.weight
    columns |= _split(_target_columns(task), predicted.target)
    for output, names in _output_columns(task).items():
        columns |= _split(names, predicted.outputs[output])
    columns |= _split([f"absence_{n}" for n in predicted.names], predicted.absence)
    for kind in ("reliability", "reliance"):
        if (x := getattr(predicted, kind)) is not None:
            columns |= _split([f"{kind}_{n}" for n in predicted.names], x)
    if predicted.conflict is not None:
        columns["conflict"] = predicted.conflict
    table = pa.table(
        {k: pa.array(v.tolist() if v.dtype.kind in "UO" else v) for k, v in columns.items()}
    )
    return put_file(path, lambda part: pq.write_table(table, part, compression="zstd"))


def read_predictions(path: Path, task: Task, names: Sequence[str]) -> Predicted:
    """What `write_predictions` wrote.

    Raises:
        StorageError: the file is missing, truncated, or of another task or data set.

    >>> from tempfile import TemporaryDirectory
    >>> arrays = np.array(["p"]), np.ones(1), {"probability": np.array([0.2])}
    >>> p = Predicted(Task("binary"), ("labs",), *arrays, np.array([[2]]))
    >>> with TemporaryDirectory() as folder:
    ...     found = read_predictions(write_predictions(Path(folder, "p"), p), p.task, p.names)
    >>> found.outputs["probability"].tolist(), found.present.tolist(), found.reliability
    ([0.2], [[False]], None)
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # read_table would import pandas, where it is installed
            table = file.read()
        columns = {n: table[n].to_numpy(zero_copy_only=False) for n in table.column_names}
        outputs = {k: _join(columns, v, task) for k, v in _output_columns(task).items()}
        target = _join(columns, _target_columns(task), task)
        absence = np.column_stack([columns[f"absence_{n}"] for n in names]).astype(np.int8)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StorageError(
            f"predictions of a study are one Parquet file per evaluation; {path.name} is missing "
            "or cannot be read; delete its evaluation and run the study again"
        ) from error
    rest = {k: columns.get(k) for k in ("weight", "conflict")}
    rest |= {
        kind: np.column_stack([columns[f"{kind}_{n}"] for n in names])
        if f"{kind}_{names[0]}" in columns
        else None
        for kind in ("reliability", "reliance")
    }
    group = columns["group"].astype(str) if "group" in columns else None
    row_id = columns["row_id"].astype(str)
    return Predicted(task, tuple(names), row_id, target, outputs, absence, group, **rest)


def _numpy(x: Any) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def _split(names: Sequence[str], array: np.ndarray) -> dict[str, np.ndarray]:
    wide = array if array.ndim == 2 else array[:, None]
    return {n: np.ascontiguousarray(wide[:, k]) for k, n in enumerate(names)}


def _join(columns: Mapping[str, np.ndarray], names: Sequence[str], task: Task) -> np.ndarray:
    if columns[names[0]].dtype == object:  # texts, or lists of them
        found = np.empty(len(columns[names[0]]), dtype=object)
        found[:] = [x if isinstance(x, str) else tuple(x) for x in columns[names[0]]]
        return found
    wide = task.kind == "multilabel" or len(names) > 1
    found = np.column_stack([columns[n] for n in names]).astype(np.float64)
    return found if wide else found[:, 0]
