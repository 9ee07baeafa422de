"""Texts as a target: in memory, in frames, in a user's files and on disk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.model_selection import KFold

from amodal import Dataset, Task
from amodal.data.coerce import to_dataset
from amodal.data.files import read_files
from amodal.data.scaling import Scaler
from amodal.data.splits import assign_splits
from amodal.data.tensors import to_batch
from amodal.errors import DataError, SettingError
from amodal.shifts import make_shift

X = {"a": [[1.0], [2.0], [3.0], [4.0]]}
TEXTS = [["a dog", "one dog"], "a cat", None, ["a bird"]]
TASK = Task("sequence", name="caption")


def known() -> Dataset:
    return Dataset.from_arrays(X, TEXTS, task=TASK)


def test_rows_carry_their_texts() -> None:
    data = known()
    np.testing.assert_array_equal(data.target, [2, 1, np.nan, 1])
    assert data.references.tolist() == [("a dog", "one dog"), ("a cat",), (), ("a bird",)]
    assert data.labelled.tolist() == [True, True, False, True]
    assert data[[3, 0]].references.tolist() == [("a bird",), ("a dog", "one dog")]
    assert data.resample([1, 1]).references.tolist() == [("a cat",)] * 2
    with pytest.raises(ValueError, match="read-only"):
        data.references[0] = ()
    for _, test in KFold(2).split(data):
        assert len(data[test].references) == 2


def test_files_keep_them(tmp_path) -> None:
    data = known()
    again = Dataset.load(data.save(tmp_path / "d"))
    assert again.references.tolist() == data.references.tolist()
    assert again.task == TASK
    assert again.fingerprint() == data.fingerprint()
    other = Dataset.from_arrays(X, ["a dog", "a cat", None, "a bird"], task=TASK)
    assert other.fingerprint() != data.fingerprint()


def test_several_answers_beside_a_target_of_another_task(tmp_path) -> None:
    answers = np.empty(4, dtype=object)
    answers[:] = [("yes", "yes", "no"), ("no",), (), ("no", "no")]
    data = Dataset.from_arrays(X, [1, 0, 1, 0]).replace(references=answers)
    again = Dataset.load(data.save(tmp_path / "d"))
    assert again.references.tolist() == answers.tolist()
    assert again.target.tolist() == [1, 0, 1, 0]


def test_vocabulary_is_that_of_the_training_rows() -> None:
    data = known()
    scaler = Scaler.fit(data[[0, 1, 2]])
    assert scaler.task.vocabulary.tokens[4:] == ("a", "cat", "dog", "one")
    batch = to_batch(scaler.apply(data))
    assert batch.target[3].tolist() == [[4, 3, 2], [0, 0, 0]]  # "bird" is unknown
    assert batch.labelled.tolist() == [True, True, False, True]
    assert to_batch(scaler.apply(data[[2]])).target.isnan().all()
    assert to_batch(scaler.apply(data[:0])).target.shape[0] == 0


@pytest.mark.parametrize("library", [pd, pl])
def test_frames(library) -> None:
    frame = library.DataFrame({"x": [1.0, 2.0], "c1": ["a dog", "a cat"], "c2": ["one dog", None]})
    one = Dataset.from_frame(frame, {"a": ["x"]}, target="c1", task=TASK)
    assert one.references.tolist() == [("a dog",), ("a cat",)]
    both = Dataset.from_frame(frame, {"a": ["x"]}, target=["c1", "c2"], task=TASK)
    assert both.references.tolist() == [("a dog", "one dog"), ("a cat",)]


def test_a_target_can_be_handed_in_later() -> None:
    data = to_dataset(Dataset.from_arrays(X), task=TASK, target=TEXTS)
    assert data.references.tolist() == known().references.tolist()
    with pytest.raises(DataError, match="one entry per row"):
        to_dataset(Dataset.from_arrays(X), task=TASK, target=["a"])


SPEC = """
[rows]
file = "rows.csv"
row_id = "id"
target = {target}
task = "sequence"

[modality.a]
kind = "table"
columns = ["x"]
"""


def test_own_files(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("id,x,c1,c2\nr,1,a dog,one dog\ns,2,a cat,\nt,3,,\n")
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.format(target='["c1", "c2"]'))
    data = read_files(spec)
    assert data.references.tolist() == [("a dog", "one dog"), ("a cat",), ()]
    assert data.labelled.tolist() == [True, True, False]
    spec.write_text(SPEC.format(target='"c1"'))
    assert read_files(spec).task == Task("sequence", name="c1")
    spec.write_text(SPEC.format(target='"c1"\nclasses = ["a", "b"]'))
    with pytest.raises(SettingError, match="classes, positive and threshold are for targets"):
        read_files(spec)


def test_splits_and_shifts_take_them() -> None:
    n = 60
    data = Dataset.from_arrays(
        {"a": np.arange(float(n))[:, None]},
        [[f"number {k}"] * (1 + k % 2) for k in range(n)],
        task=TASK,
    )
    parts = assign_splits(data, seed=0)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    assert make_shift("mcar", 0.5, seed=0)(data).references.tolist() == data.references.tolist()
    with pytest.raises(DataError, match="an outcome that is a class or a number; the task is a"):
        make_shift("mnar-target", 0.5, seed=0)(data, data)


def test_references_that_are_no_texts_are_refused() -> None:
    for wrong in (["ab"], [[1.0]]):
        with pytest.raises(DataError, match="references must hold a tuple of texts per row"):
            Dataset.from_arrays({"a": [[1.0]]}).replace(references=wrong)
    with pytest.raises(DataError, match="references must have one entry per row"):
        known().replace(task=None, target=None, references=np.array([("a",)], dtype=object))
