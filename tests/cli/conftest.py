"""A way to call the command line, and small data sets and runs that tests of it share."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from amodal.cli.app import app
from amodal.data.dataset import Dataset

FAST = ["--set", "epochs=3", "--set", "width=8"]


def make_rows(n: int = 150, *, seed: int = 0, labels: bool = True) -> Dataset:
    """Two tables and a series, each absent in some rows; 45% ill; patients are the groups."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    history = np.column_stack([signal + rng.normal(size=n), rng.normal(size=n)])
    scan = np.column_stack([signal, rng.normal(size=n), rng.normal(size=n)])
    scan[rng.random(n) < 0.3] = np.nan
    labs = [
        None if rng.random() < 0.2 else (np.arange(3.0), (x + rng.normal(size=3))[:, None])
        for x in signal
    ]
    ill = np.where(signal + 0.3 * rng.normal(size=n) > 0.1, "ill", "well")
    ill[np.argsort(signal)[-2:]] = "ill"
    rows = {"row_id": [f"s{seed}-{k}" for k in range(n)], "group": [f"g{k // 2}" for k in range(n)]}
    return Dataset.from_arrays(
        {"history": history, "scan": scan, "labs": labs},
        ill if labels else None,
        modalities={"labs": "series"},
        rows=rows,
    )


@pytest.fixture(scope="session")
def call():
    """call(*words) -> exit_code, stdout, stderr, and the exception where a bug showed."""

    def function(*words: object) -> SimpleNamespace:
        result = CliRunner().invoke(app, [str(w) for w in words], prog_name="amodal")
        bug = result.exception if not isinstance(result.exception, SystemExit) else None
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr, bug=bug)

    return function


@pytest.fixture(scope="session")
def refused(call):
    """refused(*words) -> the one sentence on stderr with which a call ends, exit code 2."""

    def function(*words: object) -> str:
        result = call(*words)
        assert result.bug is None, repr(result.bug)
        assert result.code == 2, (result.code, result.err)
        lines = [x for x in result.err.splitlines() if x.startswith("amodal: ")]
        assert result.err.splitlines() == lines
        assert len(lines) == 1, result.err
        assert result.out == ""
        return lines[0].removeprefix("amodal: ")

    return function


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """Where what all tests share is prepared and trained."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def made_up():
    """made_up(n, seed=, labels=) -> a data set of that many rows."""
    return make_rows


@pytest.fixture(scope="session")
def data(home) -> Path:
    """A prepared set of 150 rows."""
    return make_rows().save(home / "data")


@pytest.fixture(scope="session")
def aum(call, home, data) -> Path:
    """A run of AUM on `data`, three epochs."""
    result = call("train", data, "--method", "aum", "--out", home / "aum", *FAST)
    assert result.code == 0, (result.err, result.bug)
    return home / "aum"


@pytest.fixture(scope="session")
def logistic(call, home, data) -> Path:
    """A run of the logistic regression on `data`."""
    result = call("train", data, "--method", "logistic", "--out", home / "logistic")
    assert result.code == 0, (result.err, result.bug)
    return home / "logistic"


@pytest.fixture
def copy(tmp_path):
    """copy(folder) -> a copy that the test may damage."""

    def function(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / f"copy-of-{folder.name}"))

    return function
