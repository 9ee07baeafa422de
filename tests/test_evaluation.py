"""Evaluation as a library: outcomes in the model's classes, rows, rates, and the table's files."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import DataError, NotFittedError, SettingError, StorageError, UnknownNameError
from amodal.evaluation import align_target, digest_ids, evaluate
from amodal.metrics import score
from amodal.model import Model
from amodal.prediction_table import check_table_path, prediction_table, write_table
from amodal.shifts import make_shift
from amodal.types import Task

NAN = float("nan")


def rows_of(n: int = 80, *, seed: int = 0, **columns) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    x[rng.random(n) < 0.2] = NAN
    z = rng.normal(size=(n, 1))
    target = np.nan_to_num(x[:, 0]) + z[:, 0] + 0.5 * rng.normal(size=n) > 0
    ids = [f"r{k}" for k in range(n)]
    target = columns.pop("target", np.where(target, "yes", "no"))
    return Dataset.from_arrays({"a": x, "b": z}, target, rows={"row_id": ids, **columns})


@pytest.fixture(scope="module")
def data() -> Dataset:
    return rows_of()


@pytest.fixture(scope="module")
def model(data) -> Model:
    """Fitted on the first sixty rows; the last twenty are its test rows, as a run has them."""
    fitted = Model("pattern").fit(data[:60])
    fitted.rows_["test"] = data.row_id[60:]
    return fitted


def known(data: Dataset) -> dict:
    return {"fingerprint": data.fingerprint(), "row_ids": digest_ids(data.row_id)}


# -- outcomes -------------------------------------------------------------------------------------


def targets(values, task: Task) -> Dataset:
    values = np.asarray(values, dtype=float)
    data = Dataset.from_arrays({"a": np.ones((len(values), 1))})
    return data.replace(task=task, target=values)


def test_classes_are_matched_by_name():
    data = targets([0, 1, NAN, 1], Task("binary", ("no", "yes")))
    same = align_target(data, Task("binary", ("no", "yes"), "another name"))
    np.testing.assert_array_equal(same, [0, 1, NAN, 1])
    turned = align_target(data, Task("binary", ("yes", "no")))
    np.testing.assert_array_equal(turned, [1, 0, NAN, 0])
    wider = align_target(data, Task("multiclass", ("maybe", "yes", "no")))
    np.testing.assert_array_equal(wider, [2, 1, NAN, 1])
    three = targets([0, 2, 2], Task("multiclass", ("no", "maybe", "yes")))
    np.testing.assert_array_equal(align_target(three, Task("binary", ("no", "yes"))), [0, 1, 1])


def test_a_class_that_the_model_does_not_know():
    three = targets([0, 1, 2], Task("multiclass", ("no", "maybe", "yes")))
    with pytest.raises(DataError, match="'maybe' is not among the classes"):
        align_target(three, Task("binary", ("no", "yes")))


def test_labels_are_matched_by_name():
    data = targets([[1, 0, NAN]], Task("multilabel", ("a", "b", "c")))
    found = align_target(data, Task("multilabel", ("c", "a")))
    np.testing.assert_array_equal(found, [[NAN, 1]])
    with pytest.raises(DataError, match="'d' is not among the labels"):
        align_target(data, Task("multilabel", ("a", "d")))


def test_outcomes_of_another_kind():
    data = targets([0.5, 1.5], Task("regression"))
    assert align_target(data, Task("regression")).tolist() == [0.5, 1.5]
    for kind in ("binary", "multilabel"):
        with pytest.raises(DataError, match="must be of the model's task"):
            align_target(data, Task(kind, ("a", "b")))
    with pytest.raises(DataError, match="these data have none"):
        align_target(data.replace(task=None, target=None), Task("regression"))


# -- rows and numbers -----------------------------------------------------------------------------


def test_numbers_are_those_of_the_metrics(model, data):
    found = evaluate(model, data, trained_on=known(data), replicates=30)
    test = data[60:]
    assert (found.rows, found.n, found.fitted, found.same) == ("test", 20, 0, "content")
    expected = score("binary", test.target, model.predict(test).outputs(), replicates=30)
    assert found.metrics == expected


def test_weights_and_groups_enter(model, data):
    weight = np.linspace(0.5, 2, len(data))
    group = [f"g{k // 4}" for k in range(len(data))]
    changed = data.replace(weight=weight, group=np.array(group))
    found = evaluate(model, changed, rows="all", metrics=["brier"], replicates=0)
    p = model.predict(data).outputs()["probability"]
    brier = np.average((p - data.target) ** 2, weights=weight)
    assert found.metrics["brier"].value == pytest.approx(brier, abs=1e-12)
    assert found.groups == 20
    assert np.isnan(found.metrics["brier"].low)
    assert found.to_json()["metrics"]["brier"]["low"] is None


def test_unlabelled_rows_are_left_out(model, data):
    target = data.target.copy()
    target[::2] = NAN
    half = data.replace(target=target)
    found = evaluate(model, half, rows="all", metrics=["log_loss"], replicates=0)
    labelled = half[1::2]
    expected = evaluate(model, labelled, rows="all", metrics=["log_loss"], replicates=0)
    assert (found.n, found.metrics) == (40, expected.metrics)
    with pytest.raises(DataError, match="none of the test rows has one"):
        evaluate(model, data.replace(target=np.full(80, NAN)))


def test_which_rows(model, data):
    # Known by the row ids: all of them, or those that the model itself remembers.
    assert evaluate(model, data[::-1], replicates=0).same == "row ids"
    assert evaluate(model, data[::-1], replicates=0).rows == "test"
    # Any others are evaluated whole, and counted where the model was fitted on them.
    part = evaluate(model, data[40:], replicates=0)
    assert (part.rows, part.n, part.fitted, part.same) == ("all", 40, 20, "")
    whole = evaluate(model, data, rows="all", trained_on=known(data), replicates=0)
    assert (whole.n, whole.fitted) == (80, 60)
    with pytest.raises(SettingError, match="use --rows all"):
        evaluate(model, data[40:], rows="test")
    with pytest.raises(UnknownNameError, match="did you mean 'test'"):
        evaluate(model, data, rows="tests")


def test_a_model_without_test_rows_evaluates_all(data):
    fitted = Model("pattern").fit(data)
    found = evaluate(fitted, data, replicates=0)
    assert (found.rows, found.n, found.fitted) == ("all", 80, 80)


def test_the_shift_is_drawn_by_row_id_and_learns_from_training_rows(model, data):
    shift = make_shift("mnar-severity", 0.5, seed=4)
    found = evaluate(model, data, shift=shift, trained_on=known(data), replicates=0)
    train = data[np.isin(data.row_id, model.rows_["train"])]
    drawn = shift.draw(data[60:], train)
    assert found.rates == drawn.rates
    assert found.shift == drawn.spec
    expected = model.predict(drawn.apply(data[60:])).outputs()["probability"]
    brier = np.mean((expected - data.target[60:]) ** 2)
    assert found.metrics["brier"].value == pytest.approx(brier, abs=1e-12)
    other = data.replace(row_id=np.array([f"x{k}" for k in range(80)]))
    found = evaluate(model, other, shift=shift, replicates=0)
    assert found.rates == shift.draw(other).rates


def test_the_record_is_json(model, data):
    shift = make_shift("mcar", 0.5, modalities="b")
    found = evaluate(model, data, shift=shift, rows="all", replicates=0).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["shift"]["modalities"] == ["b"]
    assert set(found["shift"]["rates"]["per_modality"]) == {"b"}
    assert (found["n"], found["groups"], found["modalities"]) == (80, None, 2)


def test_names_are_checked(model, data):
    with pytest.raises(UnknownNameError, match="did you mean 'auroc'"):
        evaluate(model, data, metrics=["aurok"])
    with pytest.raises(UnknownNameError, match="modality 'c'"):
        evaluate(model, rows_of().replace(**_renamed(data, "c")), rows="all")


def _renamed(data: Dataset, name: str) -> dict:
    from dataclasses import replace

    first = replace(data.modalities[0], name=name)
    values = {name: data.values["a"], "b": data.values["b"]}
    return {"modalities": (first, data.modalities[1]), "values": values}


# -- the table ------------------------------------------------------------------------------------


def test_a_table_of_no_rows_and_of_one(model, data):
    for n in (0, 1):
        table = prediction_table(model, data[:n])
        assert table.num_rows == n
        assert table.column_names == [
            "row_id",
            "probability",
            *(f"{k}_{m}" for k in ("reliability", "reliance", "absence") for m in "ab"),
            "conflict",
        ]
        types = {f.name: f.type for f in table.schema}
        assert types["row_id"] == pa.string()
        assert types["absence_a"] == pa.int8()
        assert {types[c] for c in ("probability", "reliance_b", "conflict")} == {pa.float64()}


def test_an_unfitted_model_has_no_table(data):
    with pytest.raises(NotFittedError):
        prediction_table(Model("pattern"), data)


def test_paths(tmp_path):
    assert check_table_path(tmp_path / "a.PARQUET").suffix == ".PARQUET"
    with pytest.raises(SettingError, match=r"ends in \.parquet or \.csv"):
        check_table_path(tmp_path / "a.json")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        check_table_path(tmp_path / "d.csv")


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
def test_a_table_is_written_whole_or_not_at_all(tmp_path, monkeypatch, where):
    table = pa.table({"x": [1, 2]})
    path = write_table(table, tmp_path / "t.parquet")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where, full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_table(pa.table({"x": [3]}), path)
    assert os.listdir(tmp_path) == ["t.parquet"]
    assert pq.read_table(path).equals(table)
