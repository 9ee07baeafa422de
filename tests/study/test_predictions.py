"""Prediction files give back what was written."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import StorageError
from amodal.study.predictions import Predicted, read_predictions, write_predictions
from amodal.types import Task

TASKS = {
    "binary": Task("binary"),
    "multiclass": Task("multiclass", ("low", "high", "odd name/1")),
    "multilabel": Task("multilabel", ("a", "b")),
    "regression": Task("regression"),
}


def _predicted(kind: str, rows: int = 5, **extra) -> Predicted:
    rng = np.random.default_rng(0)
    task = TASKS[kind]
    target = {
        "binary": rng.integers(0, 2, rows).astype(float),
        "multiclass": rng.integers(0, 3, rows).astype(float),
        "multilabel": rng.integers(0, 2, (rows, 2)).astype(float),
        "regression": rng.normal(size=rows),
    }[kind]
    outputs = {
        k: rng.random(rows) if len(v) == 1 else rng.random((rows, len(v)))
        for k, v in task.output_columns.items()
    }
    row_id = np.array([f"r{k}" for k in range(rows)])
    absence = rng.integers(0, 3, (rows, 2)).astype(np.int8)
    return Predicted(task, ("x", "y"), row_id, target, outputs, absence, **extra)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("rows", [1, 5])
def test_files_give_back_what_was_written(tmp_path, kind, rows):
    rng = np.random.default_rng(1)
    extra = {
        "group": np.array([f"p{k // 2}" for k in range(rows)]),
        "weight": rng.random(rows) + 1,
        "reliability": rng.random((rows, 2)),
        "reliance": rng.random((rows, 2)),
        "conflict": np.where(rng.random(rows) < 0.5, np.nan, 0.5),
    }
    for given in ({}, extra):
        wrote = _predicted(kind, rows, **given)
        path = write_predictions(tmp_path / f"{len(given)}.parquet", wrote)
        read = read_predictions(path, wrote.task, wrote.names)
        for name in ("row_id", "target", "absence", "group", "weight", "reliability", "conflict"):
            a, b = getattr(wrote, name), getattr(read, name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)
                assert a.shape == b.shape
        for name, found in wrote.outputs.items():
            np.testing.assert_array_equal(found, read.outputs[name])


def test_what_is_resampled_is_the_group_or_the_row():
    assert _predicted("binary").unit.tolist() == ["r0", "r1", "r2", "r3", "r4"]
    assert _predicted("binary", group=np.array(list("aabbc"))).unit.tolist() == list("aabbc")


def test_a_truncated_or_foreign_file_is_named(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", _predicted("binary"))
    with pytest.raises(StorageError, match=r"per evaluation; p\.parquet"):
        read_predictions(path, TASKS["regression"], ("x", "y"))
    with pytest.raises(StorageError, match=r"p\.parquet is missing"):
        read_predictions(path, TASKS["binary"], ("x", "z"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="delete its evaluation and run the study again"):
        read_predictions(path, TASKS["binary"], ("x", "y"))
    with pytest.raises(StorageError):
        read_predictions(tmp_path / "none.parquet", TASKS["binary"], ("x", "y"))
