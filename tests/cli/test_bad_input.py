"""What users hand in by mistake ends in one sentence, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from amodal.data.dataset import Dataset

GOOD = "id,age,bmi,ill\n" + "".join(f"p{k},{20 + k},{20 + k % 7},{k % 2}\n" for k in range(30))
SPEC = """[rows]
file = "rows.csv"
row_id = "id"
target = "ill"
[modality.history]
kind = "table"
columns = ["age", "bmi"]
"""


def left(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture
def prepared(refused, tmp_path):
    """prepared(rows, spec) -> the sentence that refuses a user's own files."""

    def function(rows: str | bytes = GOOD, spec: str = SPEC) -> str:
        raw = rows if isinstance(rows, bytes) else rows.encode()
        (tmp_path / "rows.csv").write_bytes(raw)
        (tmp_path / "spec.toml").write_text(spec)
        sentence = refused("prepare", "files", tmp_path / "spec.toml", tmp_path / "out")
        assert left(tmp_path) == ["rows.csv", "spec.toml"]
        return sentence

    return function


# -- prepare --------------------------------------------------------------------------------------


def test_duplicate_row_ids(prepared):
    sentence = prepared(GOOD + "p3,50,22,1\n")
    assert "unique" in sentence
    assert "p3" not in sentence  # no row of a patient in an error


def test_infinities(prepared):
    assert "finite" in prepared(GOOD.replace("p4,24,", "p4,inf,"))


def test_texts_where_numbers_belong(prepared):
    sentence = prepared(GOOD.replace("p4,24,", "p4,secret,"))
    assert "number" in sentence
    assert "secret" not in sentence


def test_a_column_that_is_not_there(prepared):
    assert "age" in prepared(spec=SPEC.replace('"age"', '"agee"'))


def test_an_unknown_key_and_kind(prepared):
    assert "did you mean 'columns'" in prepared(spec=SPEC.replace("columns", "colums"))
    assert "did you mean 'table'" in prepared(spec=SPEC.replace('"table"', '"tabel"'))


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00\x01", b"id,age\np1", b'id,age\n"p1,2\n'])
def test_unreadable_csv(prepared, raw):
    assert prepared(raw)


def test_a_spec_that_is_no_toml(prepared):
    assert "TOML" in prepared(spec="[rows\nfile=")


def test_missing_files(refused, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    out = tmp_path / "out"
    assert "rows.csv" in refused("prepare", "files", tmp_path / "spec.toml", out)
    assert "no.toml" in refused("prepare", "files", tmp_path / "no.toml", out)
    assert refused("prepare", "files", tmp_path, out)
    assert refused("prepare", "physionet2012", tmp_path / "raw", out)
    assert refused("prepare", "physionet2012", tmp_path, out)
    assert left(tmp_path) == ["spec.toml"]


def test_truncated_archive(refused, tmp_path):
    (tmp_path / "set-a.tar.gz").write_bytes(b"\x1f\x8b\x08\x00truncated")
    assert refused("prepare", "physionet2012", tmp_path / "set-a.tar.gz", tmp_path / "out")
    assert left(tmp_path) == ["set-a.tar.gz"]


# -- DATA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "study"])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("scan.parquet", lambda raw: raw[: len(raw) // 2]),
        ("rows.parquet", lambda raw: b"PAR1" + raw[4:-8] + b"\0" * 8),
        ("manifest.json", lambda raw: raw[:40]),
        ("manifest.json", lambda raw: raw.replace(b"amodal-dataset", b"other-dataset")),
        ("manifest.json", lambda raw: raw.replace(b'"version": 1', b'"version": 99')),
        ("labs.parquet", None),
    ],
)
def test_damaged_data(refused, data, copy, logistic, tmp_path, command, name, damage):
    folder = copy(data)
    path = folder / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    words = {
        "train": [folder, "--out", tmp_path / "r"],
        "predict": [logistic, folder, "--out", tmp_path / "p.csv"],
        "evaluate": [logistic, folder],
        "study": [folder, "--methods", "mean", "--out", tmp_path / "s"],
    }[command]
    assert refused(command, *words)
    assert os.listdir(tmp_path) == [folder.name]


def test_data_that_is_none(refused, tmp_path):
    (tmp_path / "file").write_text("x")
    out = ["--out", tmp_path / "r"]
    assert "does not exist" in refused("train", tmp_path / "no", *out)
    assert "a file" in refused("train", tmp_path / "file", *out)
    assert "without manifest.json" in refused("train", tmp_path, *out)
    assert refused("train", "builtin:", *out)
    assert refused("train", "a" * 5000, *out)
    assert refused("train", "a\0b", *out)
    assert left(tmp_path) == ["file"]


def test_targets_that_nothing_is_learned_from(refused, tmp_path, made_up):
    out = ["--out", tmp_path / "r"]
    rows = made_up(40)
    rows.replace(target=np.zeros(40)).save(tmp_path / "one")
    assert "at least two classes" in refused("train", tmp_path / "one", *out)
    rows.replace(target=np.full(40, np.nan)).save(tmp_path / "none")
    assert "need labels" in refused("train", tmp_path / "none", *out)
    rows.lose(np.ones(rows.shape, dtype=bool)).save(tmp_path / "empty")
    assert "every modality is absent" in refused("train", tmp_path / "empty", *out)
    rows.take(np.array([0, 1, 2, 39])).save(tmp_path / "few")
    refused("train", tmp_path / "few", *out)
    assert not (tmp_path / "r").exists()


# -- RUN ------------------------------------------------------------------------------------------


def test_unknown_modality_names(refused, logistic, tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 2))
    Dataset.from_arrays({"histori": x}, [0, 1] * 10).save(tmp_path / "d")
    for words in (["predict", logistic, tmp_path / "d", "--out", tmp_path / "p.csv"],):
        assert refused(*words) == "unknown modality 'histori': did you mean 'history'?"


def half(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


JSON = [
    ("model.json", lambda raw: raw[:50]),
    ("model.json", lambda raw: raw.replace(b'"amodal-model"', b'"torch-model"')),
    ("model.json", lambda raw: raw.replace(b'"version": 1', b'"version": 99')),
    ("model.json", lambda raw: b"[]"),
    ("rows.json", lambda raw: raw[:50]),
    ("member-0/member.json", half),
    ("member-0/member.json", lambda raw: raw.replace(b'"version": 1', b'"version": 99')),
    ("member-0/scaler.safetensors", lambda raw: raw[:-30]),
    ("member-0/scaler.safetensors", None),
]
NEURAL = [
    ("member-0/weights.safetensors", half),
    ("member-0/weights.safetensors", lambda raw: b""),
    ("member-0/weights.safetensors", None),
]
CLASSIC = [
    ("member-0/*.skops", half),
    ("member-0/*.skops", lambda raw: b""),
    ("member-0/*.skops", lambda raw: b"PK\x05\x06" + b"\0" * 18),
    ("member-0/*.skops", None),
]


@pytest.mark.parametrize(
    ("which", "pattern", "damage"),
    [("aum", *case) for case in JSON + NEURAL] + [("logistic", *case) for case in JSON + CLASSIC],
)
def test_damaged_run(request, refused, copy, data, tmp_path, which, pattern, damage):
    run = copy(request.getfixturevalue(which))
    paths = list(run.glob(pattern))
    assert paths
    for path in paths:
        path.unlink() if damage is None else path.write_bytes(damage(path.read_bytes()))
    assert refused("predict", run, data, "--out", tmp_path / "p.parquet")
    assert refused("evaluate", run, data)
    assert os.listdir(tmp_path) == [run.name]


def test_foreign_run_heads(refused, copy, logistic, data):
    run = copy(logistic)
    (run / "run.json").write_text(json.dumps({"format": "other"}))
    assert "foreign" in refused("evaluate", run, data)
    (run / "run.json").write_text("{")
    assert "damaged" in refused("evaluate", run, data)


def test_no_run(refused, data, tmp_path):
    for run in (tmp_path, tmp_path / "no", data):
        assert "a stored model is a folder with model.json" in refused("evaluate", run, data)


# -- where nothing can be written -----------------------------------------------------------------


def test_a_place_below_a_file(refused, data, logistic, tmp_path):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "x"
    refused("train", data, "--method", "logistic", "--out", out)
    refused("predict", logistic, data, "--out", out.with_suffix(".csv"))
    refused("prepare", "builtin", "wdbc", out)
    refused("study", data, "--methods", "mean", "--out", out)
    assert left(tmp_path) == ["file"]


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 1)() == 0,
    reason="root may write everywhere, so that no folder is closed to it",
)
def test_a_folder_that_is_closed(refused, data, logistic, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    try:
        refused("train", data, "--method", "logistic", "--out", closed / "r")
        refused("predict", logistic, data, "--out", closed / "p.csv")
        refused("prepare", "builtin", "wdbc", closed / "d")
        refused("study", data, "--methods", "mean", "--out", closed / "s")
        assert left(closed) == []
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
def test_a_full_disk(refused, data, logistic, tmp_path, monkeypatch, where):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(where, full)
    message = refused("predict", logistic, data, "--out", tmp_path / "p.parquet")
    assert "No space left on device" in message
    message = refused("train", data, "--method", "logistic", "--out", tmp_path / "r")
    assert "No space left on device" in message
    assert left(tmp_path) == []
