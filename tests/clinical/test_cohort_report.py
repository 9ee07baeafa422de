"""The cohort report: counts by hand, and small ones hidden with those they follow from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal.clinical.assemble import assemble, usual_places
from amodal.clinical.choices import Choices
from amodal.clinical.cohort_report import cohort_report, report_files
from amodal.data.dataset import Dataset
from amodal.data.store import load_dataset, save_dataset
from amodal.errors import SettingError, StorageError
from amodal.types import Modality, Task
from amodal.values import Values


def report(data: Dataset, outcome: np.ndarray, **asked) -> dict:
    told = {"title": "T", "choices": {"task": "mortality"}, "candidates": "stays"}
    told |= {"removed": {}, "flags": {}, **asked}
    return cohort_report(data, outcome=outcome, **told)


@pytest.fixture
def data() -> Dataset:
    """100 rows: 30 died, 20 unlabelled; b is there in 60 rows."""
    target = np.array([1.0] * 30 + [0.0] * 50 + [np.nan] * 20)
    b = [[1.0] if k % 5 < 3 else None for k in range(100)]
    return Dataset.from_arrays({"a": np.ones((100, 1)), "b": b}, target, task=Task("binary"))


def test_counts(data):
    outcome = np.array(["died"] * 30 + ["survived"] * 50 + ["unknown"] * 20)
    found = report(data, outcome, removed={"young": 40, "old": 0})
    assert found["candidates"] == {"what": "stays", "count": "140"}
    assert found["removed"] == {"young": "40", "old": "0"}
    assert found["labels"] == {"positive": "30", "negative": "50", "unlabelled": "20"}
    assert found["outcomes"] == {"died": "30", "survived": "50", "unknown": "20"}
    assert found["presence"] == {"a": "100", "b": "60"}
    assert found["combinations"] == [
        {"part": "a + b", "rows": "60", "labelled": "48", "positive": "37.5%"},
        {"part": "a", "rows": "40", "labelled": "32", "positive": "37.5%"},
    ]


def test_a_competing_event_does_not_follow_from_the_labels(data):
    outcome = np.array(["readmitted"] * 30 + ["died"] * 4 + ["home"] * 46 + ["unknown"] * 20)
    found = report(data, outcome)
    assert found["outcomes"] == {
        "readmitted": "30",
        "died": "<10",
        "home": "not shown",
        "unknown": "20",
    }


def test_small_cells_hide_what_they_follow_from():
    present = np.array([True] * 96 + [False] * 4)
    data = Dataset.from_arrays(
        {"a": np.ones((100, 1)), "b": [[1.0] if p else None for p in present]},
        np.arange(100) % 2,
        task=Task("binary"),
    )
    found = report(data, np.array(["x"] * 100), removed={"rare": 3, "common": 50})
    assert found["removed"] == {"rare": "<10", "common": "not shown"}
    assert [c["rows"] for c in found["combinations"]] == ["not shown", "<10"]
    assert found["presence"]["b"] == "about 100"
    assert "96" not in json.dumps(found)


def test_a_rule_that_removed_few_does_not_follow_from_the_rows_that_are_left(data):
    found = report(data, np.array(["x"] * 100), removed={"young": 9, "old": 0})
    assert found["removed"] == {"young": "<10", "old": "0"}
    assert found["rows"] == "100"  # as many as the modality a is present in
    assert found["presence"]["a"] == "100"
    assert found["candidates"]["count"] == "not shown"
    assert "109" not in json.dumps(found)


def test_published_counts():
    data = Dataset.from_arrays({"a": np.ones((20, 1))}, np.arange(20) % 2, task=Task("binary"))
    expected = [("rows", 20, 20), ("patients", 7, 8), ("share", 0.58, 0.5802)]
    found = report(data, np.array(["x"] * 20), expected=expected)
    assert [line["agrees"] for line in found["expected"]] == [True, False, True]
    files = report_files(found)
    assert json.loads(files["cohort.json"]) == found
    assert "| patients | 7 | 8 | NO |" in files["cohort.md"].decode()


def test_a_patient_is_where_most_rows_are():
    patient = np.array(["a", "b", "b", "c", "d", "e", "e", "e"])
    hospital = np.array(["1", "2", "1", "3", "2", "3", "2", "3"])
    assert usual_places(patient, hospital).tolist() == ["1", "1", "1", "3", "2", "3", "3", "3"]
    assert usual_places(patient[:0], hospital[:0]).tolist() == []


def test_a_group_is_never_split_by_its_unlabelled_rows():
    import pyarrow as pa

    n = 300
    rng = np.random.default_rng(0)
    target = np.where(rng.random(n) < 0.5, np.nan, rng.integers(0, 2, n).astype(float))
    rows = pa.table(
        {
            "row_id": np.arange(n).astype(str),
            "patient": (np.arange(n) // 3).astype(str),
            "target": pa.array(target, mask=np.isnan(target)),
        }
    )
    values = Values(
        {"numeric": np.ones((n, 1)), "categorical": np.zeros((n, 0), int)}, None, np.arange(n)
    )
    choices = Choices("mortality", "clean", 90, "", "discharge", ("x",), "patient")
    made = assemble(
        rows,
        {"x": (Modality("x", "table", ("v",)), values)},
        Task("binary"),
        choices,
        provenance={},
    )
    assert set(made.split) == {"train", "valid", "test"}
    for g in np.unique(made.group):
        assert len(set(made.split[made.group == g])) == 1
    shares = [(made.split[made.labelled] == s).mean() for s in ("train", "valid", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.04)


def test_files_beside_a_data_set_go_with_it(tmp_path):
    data = Dataset.from_arrays({"a": [[1.0], [2.0]]}, [0, 1])
    save_dataset(data, tmp_path / "d", beside={"cohort.md": b"one"})
    assert (tmp_path / "d" / "cohort.md").read_bytes() == b"one"
    assert load_dataset(tmp_path / "d").fingerprint() == data.fingerprint()
    save_dataset(data, tmp_path / "d")
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        "a.parquet",
        "manifest.json",
        "rows.parquet",
    ]
    (tmp_path / "d" / "mine.txt").write_text("x")
    with pytest.raises(StorageError, match="holds something else"):
        save_dataset(data, tmp_path / "d")
    for name in ("../x", "rows.parquet", "manifest.json", ""):
        with pytest.raises(SettingError, match="plain name"):
            save_dataset(data, tmp_path / "e", beside={name: b""})
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_published_counts_are_compared_with_a_full_copy_alone():
    import pyarrow as pa

    from amodal.clinical.mimic4 import mimic4_choices
    from amodal.clinical.mimic4.layout import EDITIONS
    from amodal.clinical.mimic4.prepare import _expected

    data = Dataset.from_arrays({"a": np.ones((4, 1))}, [0, 1, np.nan, np.nan], task=Task("binary"))
    rows = pa.table({"subject_id": [1, 1, 2, 3]})
    muse = mimic4_choices(task="mortality", protocol="muse")
    known = {e.name: e for e in EDITIONS}
    for edition in (known["2.0"], None):
        assert _expected(data, rows, muse, edition) == [
            ("hospital admissions", 389_761, 4),
            ("patients", 172_113, 3),
            ("share without mortality label", 0.58, 0.5),
        ]
    assert _expected(data, rows, muse, known["2.2"]) == []
    assert _expected(data, rows, mimic4_choices(task="mortality"), known["2.0"]) == []
