"""The target of a spec: class names, amounts, or 0 and 1 by a threshold or a positive value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amodal.data.cells import cell_name, is_missing, numbers, sorted_names
from amodal.data.cells import names as cell_names
from amodal.data.file_rows import Rows
from amodal.data.spec import RowsSpec
from amodal.data.targets import infer_task
from amodal.errors import DataError, SettingError
from amodal.types import Task

__all__ = ["read_target"]


def read_target(spec: RowsSpec, rows: Rows) -> tuple[Task | None, np.ndarray | list | None]:
    """The task and the target as the spec words them: class names, numbers, or 0 and 1.

    Raises:
        DataError: a target that does not fit the task.

    Returns:
        Both None where the spec has no target; else the task, and ``[n]`` (``[n, labels]``).

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from amodal.data.spec import parse_spec
    >>> raw = {"rows": {"file": "a.csv", "target": "days", "threshold": 3}, "modality": {"x": {}}}
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("days\\n3\\n3.1\\n")
    ...     spec = parse_spec(raw, Path(folder))
    ...     task, target = read_target(spec.rows, Rows(spec.rows))
    >>> task.classes, target.tolist()
    (('<= 3', '> 3'), ['<= 3', '> 3'])
    """
    if spec.target is None:
        return None, None
    if spec.task == "sequence":
        return _references(spec, rows)
    if isinstance(spec.target, tuple):
        return _labels(spec, rows)
    name = spec.target if isinstance(spec.target, str) else "target"
    if spec.task == "multilabel":
        array = rows.stack(rows.source, spec.target, "array" if _is_npz(rows) else "target")
        labels = spec.classes or [str(k) for k in range(array.shape[1] if array.ndim > 1 else 1)]
        return Task("multilabel", tuple(labels), name), array
    target = rows.stack(rows.source, spec.target, "target")
    if spec.threshold is not None:
        return _by_threshold(spec, target, name)
    if spec.positive is not None:
        return _by_value(spec, target, name)
    if spec.classes:
        kind = spec.task or ("binary" if len(spec.classes) == 2 else "multiclass")
        return Task(kind, spec.classes, name), target
    return _task(spec, target, name), target


def _is_npz(rows: Rows) -> bool:
    return hasattr(rows.source, "array")


def _references(spec: RowsSpec, rows: Rows) -> tuple[Task, list[list[str]]]:
    """One text per row and column; a missing cell is no text."""
    if spec.classes or spec.positive is not None or spec.threshold is not None:
        raise SettingError(
            "classes, positive and threshold are for targets of classes; the task is sequence; "
            "leave them out"
        )
    columns = spec.target if isinstance(spec.target, tuple) else [spec.target]
    texts = [rows.stack(rows.source, column, "texts") for column in columns]
    name = spec.target if isinstance(spec.target, str) else "target"
    kept = [[x for x in row if not is_missing(x)] for row in zip(*texts, strict=True)]
    return Task("sequence", name=name), kept


def _labels(spec: RowsSpec, rows: Rows) -> tuple[Task, np.ndarray]:
    if spec.task not in (None, "multilabel"):
        raise SettingError(
            f"several target columns make a multilabel task; got {spec.task!r}; keep one column"
        )
    array = np.column_stack([rows.stack(rows.source, t, "floats") for t in spec.target])
    return Task("multilabel", spec.classes or spec.target), array


def _by_threshold(spec: RowsSpec, target: np.ndarray, name: str) -> tuple[Task, np.ndarray]:
    amount = numbers("the target, which has a threshold,", target).astype(np.float64)
    classes = spec.classes or (f"<= {spec.threshold:g}", f"> {spec.threshold:g}")
    above = np.where(np.isnan(amount), np.nan, amount > spec.threshold)
    return Task("binary", classes, name), _positions(above, classes)


def _by_value(spec: RowsSpec, target: np.ndarray, name: str) -> tuple[Task, np.ndarray]:
    positive = cell_name(spec.positive)
    found = cell_names("the target", target)
    if positive not in found:
        raise DataError(
            f"`positive` must be a value of the target; no row has {positive!r}; correct the spec"
        )
    classes = spec.classes or (f"not {positive}", positive)
    hit = np.array([np.nan if x is None else float(x == positive) for x in found])
    return Task("binary", classes, name), _positions(hit, classes)


def _positions(hit: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """0 and 1 as class names, so that classes called "1" and "0" are not taken for positions."""
    return np.array([None if is_missing(x) else classes[int(x)] for x in hit], dtype=object)


def _task(spec: RowsSpec, target: np.ndarray, name: str) -> Task | None:
    """The task without word of its classes."""
    if spec.task == "regression":
        return Task("regression", name=name)
    if spec.task is None:
        found = infer_task(target)
        return found and found.with_name(name)
    distinct = [x for x in cell_names("the target", target) if x is not None]
    classes = sorted_names(set(distinct))
    if spec.task == "binary" and set(classes) <= {"0", "1"}:
        return Task("binary", name=name)
    if spec.task == "binary" and len(classes) > 2:
        raise DataError(
            f"the target of a binary task has two values; got {len(classes)}; say which is the "
            "positive one by `positive` or `threshold`"
        )
    if len(classes) < 2:
        raise DataError(
            f"a {spec.task} task needs classes; the target has {len(classes)} distinct values; "
            "name them under `classes`"
        )
    return Task(spec.task, classes, name)
