"""Two processes on one folder, and the engines that do a study's jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import SettingError, StorageError, UnknownNameError
from amodal.study import Plan, engines, read_results, run_study
from amodal.study.lock import locked

HOLDER = """
import sys
from pathlib import Path
from amodal.study.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def plan(tmp_path):
    """Two quick methods, two seeds."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    x = rng.normal(y, 1)[:, None]
    Dataset.from_arrays({"a": x, "b": rng.normal(size=(60, 1))}, y).save(tmp_path / "data")
    return Plan(
        str(tmp_path / "data"),
        ("pattern",),
        rates=(0, 0.5),
        seeds=2,
        metrics=("auroc",),
        replicates=10,
        jobs=2,
    )


def test_the_holder_is_named_and_nothing_is_lost(plan, tmp_path):
    out = tmp_path / "study"
    with locked(out):
        with pytest.raises(StorageError, match=rf"process {os.getpid()} on .*, since .*, works on"):
            run_study(plan, out)
        assert not (out / "study.json").exists()
    assert not (out / ".lock.json").exists()
    assert run_study(Plan(**{**plan.to_json(), "jobs": 1}), out).ran == 4
    assert not (out / ".lock.json").exists()


@pytest.mark.processes
def test_a_killed_holder_holds_nothing(tmp_path):
    out = tmp_path / "study"
    command = [sys.executable, "-c", HOLDER, str(out)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert json.loads((out / ".lock.json").read_text())["pid"] == other.pid
        with pytest.raises(StorageError, match=f"process {other.pid} on"), locked(out):
            pass
        other.kill()
        other.wait()
    with locked(out):
        assert json.loads((out / ".lock.json").read_text())["pid"] == os.getpid()


def test_engines_that_are_not_there(plan, tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean 'ray'"):
        run_study(plan, tmp_path / "study", engine="rya")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'amodal\[ray\]'"):
        run_study(plan, tmp_path / "study", engine="ray")
    assert not (tmp_path / "study").exists()


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_results(plan, tmp_path):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    one, two = tmp_path / "one", tmp_path / "two"
    run_study(Plan(**{**plan.to_json(), "jobs": 1}), one)
    outcome = run_study(plan, two, engine="ray")
    assert (outcome.cells, outcome.ran, outcome.failed) == (4, 4, ())
    for a, b in zip(read_results(one).cells, read_results(two).cells, strict=True):
        assert a.record["id"] == b.record["id"]
        np.testing.assert_array_equal(*(c.predicted.outputs["probability"] for c in (a, b)))
