"""`amodal simulate`, and `amodal prepare mimic4` and `eicu` of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amodal.data.dataset import Dataset


@pytest.fixture(scope="module")
def raw(call, tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("clinical")
    for name in ("mimic4", "eicu"):
        result = call("simulate", name, home / name, "--rows", 150, "--labs-per-row", 10)
        assert (result.code, result.bug) == (0, None)
        assert "nobody in it exists" in result.out
        assert result.out.splitlines()[-1] == (
            f"Next: amodal prepare {name} {home / name} DATA --task mortality"
        )
    return home


def test_eicu_from_raw_to_a_trained_model(call, raw, tmp_path):
    out = tmp_path / "data"
    result = call(
        "prepare", "eicu", raw / "eicu", out, "--task", "readmission", "--protocol", "muse"
    )
    assert (result.code, result.bug) == (0, None)
    data = Dataset.load(out)
    assert data.names == ("codes", "labs", "apache", "demographics")
    assert f"Who became a row and who did not: {out / 'cohort.md'}" in result.out
    assert "mostly transfers between units" in result.out
    assert "reading lab.csv.gz" in result.err
    told = json.loads((out / "cohort.json").read_text())
    assert told["choices"]["protocol"] == "muse"
    fast = ["--set", "epochs=1", "--set", "width=8", "--set", "heads=2"]
    result = call("train", out, "--method", "aum", "--out", tmp_path / "run", *fast)
    assert (result.code, result.bug) == (0, None), result.err


def test_mimic4_with_choices(call, raw, tmp_path):
    out = tmp_path / "data"
    words = ["--task", "mortality", "--window", 30, "--modalities", "labs,demographics"]
    result = call("prepare", "mimic4", raw / "mimic4", out, *words, "--keep-tables")
    assert (result.code, result.bug) == (0, None)
    assert Dataset.load(out).names == ("labs", "demographics")
    assert "death within 30 days" in result.out
    assert (tmp_path / ".data.tables").is_dir()


def test_refused(refused, raw, tmp_path):
    out = tmp_path / "x"
    said = refused("prepare", "mimic4", raw / "mimic4", out, "--task", "mortality", "--window", 31)
    assert said.startswith("--window of --task mortality --protocol clean is one of 90, 30, 365")
    said = refused("prepare", "eicu", raw / "mimic4", out, "--task", "mortality")
    assert "it looks like MIMIC-IV" in said
    said = refused("prepare", "eicu", raw / "eicu", out, "--task", "sepsis")
    assert "mortality or readmission" in said
    said = refused("prepare", "eicu", raw / "eicu", out, "--task", "mortality", "--memory", "much")
    assert "800MB or 8GB" in said
    assert not out.exists()
