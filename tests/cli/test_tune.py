"""`amodal tune`, and a study that takes what it found."""

from __future__ import annotations

import json
import tomllib

import pytest

pytest.importorskip("optuna")


def test_found_settings_reach_a_study(call, data, tmp_path):
    words = ["--methods", "pattern", "--trials", "5", "--absent", "0", "--out", tmp_path / "t"]
    result = call("tune", data, *words)
    assert (result.code, result.bug) == (0, None), result.err
    lines = result.out.splitlines()
    assert lines[0] == "Mean log_loss on validation rows, turned so that lower is better."
    assert lines[1].split() == ["method", "trials", "defaults", "best", "settings"]
    assert lines[2].split()[:2] == ["pattern", "2"]  # there are two settings only
    assert lines[-1] == f"Next: amodal study ... --tuned {tmp_path / 't' / 'tuned.toml'}"
    assert result.err.splitlines()[1].startswith("[1/5] pattern, trial 1: 0.")
    found = tomllib.loads((tmp_path / "t" / "tuned.toml").read_text())
    words = ["--methods", "pattern", "--absent", "0", "--replicates", "20", "--out", tmp_path / "s"]
    result = call("study", data, *words, "--tuned", tmp_path / "t" / "tuned.toml")
    assert (result.code, result.bug) == (0, None), result.err
    plan = json.loads((tmp_path / "s" / "study.json").read_text())["plan"]
    assert plan["settings"] == {"pattern": found["settings"]["pattern"]}
    assert "5 trials for each method" in plan["tuned"]


def test_refused(refused, data, tmp_path):
    out = ["--out", tmp_path / "t"]
    assert "a budget is a number" in refused("tune", data, "--methods", "mean", *out)
    some = ["--trials", "1", *out]
    assert "did you mean 'boosting'" in refused("tune", data, "--methods", "bosting", *some)
    assert "names 'methods'" in refused("tune", data, *some)
    assert "unknown metric" in refused("tune", data, "--methods", "mean", "--metric", "x", *some)
    assert "between 0 and 1" in refused("tune", data, "--methods", "mean", "--absent", "2", *some)
    assert not (tmp_path / "t").exists()
    none = tmp_path / "none.toml"
    told = refused("study", data, "--methods", "mean", "--tuned", none, "--out", tmp_path / "s")
    assert "cannot be read" in told
    told = refused(
        "study", data, "--methods", "mean", "--subgroups", "sex", "--out", tmp_path / "s"
    )
    assert "unknown column of the rows 'sex'" in told
    told = refused("study", data, "--methods", "mean", "--thresholds", "0", "--out", tmp_path / "s")
    assert "without the ends" in told
    assert not (tmp_path / "s").exists()
