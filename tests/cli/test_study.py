"""`amodal study` and `amodal report`: the plan that the options make, and the files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from amodal.cli.study import settings_by_method
from amodal.data.dataset import Dataset
from amodal.errors import SettingError
from amodal.study import read_results

FAST = ["--set", "epochs=2", "--set", "width=8", "--replicates", "20"]


def test_settings_by_method():
    pairs = ["epochs=3", "mean.lr=0.01", "classic.n_jobs=2", "calibrate=none", "aum.vib=true"]
    assert settings_by_method(pairs) == {
        "neural": {"epochs": 3},
        "mean": {"lr": 0.01},
        "classic": {"n_jobs": 2},
        "*": {"calibrate": None},
        "aum": {"vib": True},
    }
    with pytest.raises(SettingError, match="written key=value"):
        settings_by_method(["epochs"])
    with pytest.raises(SettingError, match=r"written \[METHOD.\]KEY=VALUE"):
        settings_by_method([".epochs=3"])


@pytest.fixture(scope="module")
def study(call, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "s"
    words = [
        "--methods",
        "mean,pattern",
        "--absent",
        "0,0.5",
        "--mechanism",
        "mcar",
        "--seeds",
        "1",
    ]
    result = call("study", data, *words, "--out", folder, *FAST)
    assert (result.code, result.bug) == (0, None), result.err
    return folder, [data, *words, "--out", folder, *FAST], result


def test_cells_are_run_once(call, study, data):
    folder, words, first = study
    assert first.out.splitlines() == [
        "4 cells: 4 run now, 0 finished before, 0 failed.",
        f"Next: amodal report {folder}",
    ]
    assert [x[:5] for x in first.err.splitlines()] == [f"[{k}/4]" for k in range(5)]
    plan = json.loads((folder / "study.json").read_text())["plan"]
    assert (plan["methods"], plan["rates"], plan["seeds"]) == (["mean", "pattern"], [0, 0.5], [0])
    assert plan["settings"] == {"neural": {"epochs": 2, "width": 8}}
    again = call("study", *words)
    assert again.out.startswith("4 cells: 0 run now, 4 finished before, 0 failed.")
    found = read_results(folder)
    assert {(c.label, c.rate) for c in found.cells} == {
        (m, r) for m in ("mean", "pattern") for r in (0.0, 0.5)
    }


def test_report_is_one_page(call, study):
    folder, _, _ = study
    result = call("report", folder)
    assert (result.code, result.bug) == (0, None), result.err
    path = result.out.removeprefix("Report: ").strip()
    text = Path(path).read_text(encoding="utf-8")
    assert "<html" in text
    assert 'src="http' not in text


def test_failed_cells_are_told(call, data, tmp_path, monkeypatch):
    def fail(self, *args, **options):
        raise ValueError("no luck")

    monkeypatch.setattr("amodal.model.Model.fit", fail)
    words = ["--methods", "mean", "--absent", "0", "--out", tmp_path / "s", *FAST]
    result = call("study", data, *words)
    assert (result.code, result.bug) == (1, None)
    assert "1 cell: 0 run now, 0 finished before, 1 failed." in result.out
    assert "no luck" in result.err
    assert "Traceback" not in result.err
    report = call("report", tmp_path / "s")
    assert report.code == 2
    assert report.err.startswith("amodal: a report needs finished cells")


def test_refused(refused, data, tmp_path):
    out = ["--out", tmp_path / "s"]
    assert "did you mean 'boosting'" in refused("study", data, "--methods", "bosting", *out)
    assert "at least one of methods" in refused("study", data, "--methods", ",", *out)
    mean = ["--methods", "mean", *out]
    assert "between 0 and 1" in refused("study", data, *mean, "--absent", "0,2")
    assert "numbers between commas" in refused("study", data, *mean, "--absent", "few")
    assert "whole numbers" in refused("study", data, *mean, "--seeds", "1.5")
    assert "did you mean 'mcar'" in refused("study", data, *mean, "--mechanism", "mcra")
    assert "did you mean 'both'" in refused("study", data, *mean, "--absent-at", "bot")
    assert "did you mean 'epochs'" in refused("study", data, *mean, "--set", "epoch=1")
    assert "unknown metric" in refused("study", data, *mean, "--metrics", "x")
    assert "does not exist" in refused("study", tmp_path / "no", *mean)
    assert not (tmp_path / "s").exists()
    (tmp_path / "mine.txt").write_text("precious")
    assert "holds other files" in refused(
        "study", data, "--methods", "mean", "--out", tmp_path, "--absent", "0"
    )
    Dataset.load(data).replace(task=None, target=None).save(tmp_path / "unknown")
    assert "data with a target" in refused("study", tmp_path / "unknown", *mean)
    assert sorted(os.listdir(tmp_path)) == ["mine.txt", "unknown"]


def test_a_report_of_no_study(refused, tmp_path):
    assert "stud" in refused("report", tmp_path / "no")
    assert "stud" in refused("report", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_study_file_and_options_that_win_over_it(call, refused, data, tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        f"""data = "{data}"\nmethods = ["pattern", "logistic"]\nrates = [0]\nmargin = 0.02\n"""
    )
    words = [file, "--out", tmp_path / "s", "--methods", "pattern", "--replicates", "20"]
    result = call("study", *words)
    assert (result.code, result.bug) == (0, None), result.err
    plan = json.loads((tmp_path / "s" / "study.json").read_text())["plan"]
    told = [plan[k] for k in ("data", "methods", "rates", "margin", "replicates", "seeds")]
    assert told == [str(data), ["pattern"], [0.0], 0.02, 20, [0]]
    again = call("study", *words, "--rerun", "all")
    assert "1 cell: 1 run now, 0 finished before" in again.out
    out = ["--out", tmp_path / "t"]
    assert "did you mean 'missing'" in refused("study", file, *out, "--rerun", "missin")
    assert "between 0 and 1" in refused("study", file, *out, "--margin", "-1")
    assert "names 'methods'" in refused("study", data, *out)
    file.write_text("datta = 3")
    assert "did you mean 'data'" in refused("study", file, *out)
