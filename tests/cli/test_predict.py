"""`amodal predict`: the columns of the table, by task; data without outcomes or modalities."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from amodal.data.dataset import Dataset
from amodal.model import load


def columns(table: pa.Table, prefix: str) -> np.ndarray:
    names = [n for n in table.column_names if n.startswith(prefix)]
    return np.column_stack([table[n].to_numpy() for n in names])


def test_binary(call, aum, data, tmp_path):
    result = call("predict", aum, data, "--out", tmp_path / "new" / "p.parquet")
    assert result.out == f"Wrote 150 predictions of aum to {tmp_path / 'new' / 'p.parquet'}.\n"
    table = pq.read_table(tmp_path / "new" / "p.parquet")
    names = ("history", "scan", "labs")
    assert table.column_names == [
        "row_id",
        "probability",
        *(f"{kind}_{n}" for kind in ("reliability", "reliance", "absence") for n in names),
        "conflict",
    ]
    found, model = Dataset.load(data), load(aum)
    assert table["row_id"].to_pylist() == found.row_id.tolist()
    expected = model.predict(found)
    probability = expected.outputs()["probability"]
    np.testing.assert_array_equal(table["probability"].to_numpy(), probability)
    np.testing.assert_array_equal(columns(table, "absence_"), found.absence)
    assert table.schema.field("absence_scan").type == pa.int8()
    for kind in ("reliability", "reliance"):
        values = columns(table, f"{kind}_")
        np.testing.assert_array_equal(values, getattr(expected, kind).double().numpy())
        assert (values[~found.present] == 0).all()
    lone = found.present.sum(axis=1) < 2
    assert [x is None for x in table["conflict"].to_pylist()] == lone.tolist()
    facts = json.loads(table.schema.metadata[b"amodal"])
    assert facts["data"] == found.fingerprint()
    assert facts["absence"] == {"0": "present", "1": "not measured", "2": "lost"}


def test_what_a_method_has_not_is_null(call, logistic, data, tmp_path):
    assert call("predict", logistic, data, "--out", tmp_path / "p.parquet").code == 0
    table = pq.read_table(tmp_path / "p.parquet")
    for name in ("reliability_scan", "reliance_scan", "conflict"):
        assert table[name].null_count == 150
        assert table.schema.field(name).type == pa.float64()
    assert table["probability"].null_count == 0


def test_csv(call, logistic, data, tmp_path):
    assert call("predict", logistic, data, "--out", tmp_path / "p.CSV").code == 0
    table = csv.read_csv(tmp_path / "p.CSV")
    found = load(logistic).predict(Dataset.load(data)).outputs()["probability"]
    np.testing.assert_allclose(table["probability"].to_numpy(), found, rtol=1e-12)
    assert table["conflict"].null_count == 150


def test_without_outcomes_without_a_modality_in_any_order(call, aum, data, tmp_path):
    found = Dataset.load(data)
    other = found[::-1].replace(task=None, target=None).select(["labs", "history"])
    other.save(tmp_path / "other")
    result = call("predict", aum, tmp_path / "other", "--out", tmp_path / "p.parquet")
    assert (result.code, result.bug) == (0, None)
    assert "The data lack scan, which counts as lost in every row." in result.out
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["row_id"].to_pylist() == found.row_id[::-1].tolist()
    assert set(table["absence_scan"].to_pylist()) == {2}
    assert table["absence_labs"].to_pylist() == found.absence[::-1, 2].tolist()
    gone = np.zeros(found.shape, dtype=bool)
    gone[:, 1] = True
    expected = load(aum).predict(found.lose(gone)).outputs()["probability"]
    np.testing.assert_allclose(table["probability"].to_numpy()[::-1], expected, atol=1e-6)


@pytest.mark.parametrize("which", ["aum", "logistic"])
def test_no_rows_and_one(request, call, data, tmp_path, which):
    found, run = Dataset.load(data), request.getfixturevalue(which)
    for n in (0, 1):
        found[:n].save(tmp_path / f"d{n}")
        result = call("predict", run, tmp_path / f"d{n}", "--out", tmp_path / f"p{n}.parquet")
        assert (result.code, result.bug) == (0, None), result.err
        assert pq.read_table(tmp_path / f"p{n}.parquet").num_rows == n


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_other_tasks(call, task, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2))
    target = {
        "multiclass": np.array(["low", "mid", "high"])[np.digitize(x[:, 0], [-0.4, 0.4])],
        "multilabel": (x > 0).astype(float),
        "regression": 50 + 10 * x[:, 0],
    }[task]
    data = Dataset.from_arrays({"a": x, "b": x[:, :1]}, target)
    assert data.task.kind == task
    data.save(tmp_path / "d")
    words = ["--method", "mean", "--set", "epochs=2", "--set", "width=8"]
    result = call("train", tmp_path / "d", "--out", tmp_path / "r", *words)
    assert (result.code, result.bug) == (0, None), result.err
    result = call("predict", tmp_path / "r", tmp_path / "d", "--out", tmp_path / "p.parquet")
    assert (result.code, result.bug) == (0, None), result.err
    table = pq.read_table(tmp_path / "p.parquet")
    outputs = load(tmp_path / "r").predict(data).outputs()
    if task == "regression":
        assert table.column_names[1:3] == ["mean", "std"]
        for name in ("mean", "std"):
            np.testing.assert_array_equal(table[name].to_numpy(), outputs[name])
        assert 20 < table["mean"].to_numpy().mean() < 80  # the target's own units
    else:
        names = [f"probability_{c}" for c in data.task.classes]
        assert table.column_names[1 : 1 + len(names)] == names
        np.testing.assert_array_equal(columns(table, "probability_"), outputs["probability"])
    evaluated = call("evaluate", tmp_path / "r", tmp_path / "d", "--json", "--replicates", "20")
    assert (evaluated.code, evaluated.bug) == (0, None), evaluated.err
    assert json.loads(evaluated.out)["rows"] == "test"


def test_refused(refused, logistic, data, tmp_path):
    assert "ends in .parquet or .csv" in refused("predict", logistic, data, "--out", tmp_path / "p")
    (tmp_path / "d.csv").mkdir()
    assert "is a folder" in refused("predict", logistic, data, "--out", tmp_path / "d.csv")
    out = ["--out", tmp_path / "p.csv"]
    assert "a stored model is a folder" in refused("predict", tmp_path, data, *out)
    assert "does not exist" in refused("predict", logistic, tmp_path / "no", *out)
    found = Dataset.load(data)
    names = {"scan": "skan", "history": "history", "labs": "labs"}
    renamed = found.replace(
        modalities=tuple(
            type(m)(names[m.name], m.kind, m.features, time_unit=m.time_unit)
            for m in found.modalities
        ),
        values={names[k]: v for k, v in found.values.items()},
    )
    renamed.save(tmp_path / "renamed")
    message = refused("predict", logistic, tmp_path / "renamed", *out)
    assert message == "unknown modality 'skan': did you mean 'scan'?"
    assert sorted(os.listdir(tmp_path)) == ["d.csv", "renamed"]
