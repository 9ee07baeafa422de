"""The walk-throughs of CONTRIBUTING.md: each file and line put in its place, and what follows run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEADS = ("A method", "A shift", "A metric")
PLACE = r"\*\*src/(amodal/[\w/]+\.py)\*\*(?:, in `(\w+)`)?[^\n]*\n\n((?:```\w*\n.*?^```\n\n?)+)"
REGISTERS = ("METHODS", "SHIFTS", "CLASS_METRICS")


def section(head: str) -> str:
    """The text under a heading of the third rank."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    return re.split(r"^#{2,3} ", page.split(f"\n### {head}\n")[1], flags=re.MULTILINE)[0]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def places(head: str) -> list[tuple[str, str, list[str]]]:
    """(file, register or nothing, what goes there), in the order of the page."""
    found = re.findall(PLACE, section(head), re.MULTILINE | re.DOTALL)
    return [(path, register, blocks(text)) for path, register, text in found]


def example(head: str) -> str:
    """What is run once everything is in its place: the last Python block."""
    return re.findall(r"^```python\n(.*?)^```$", section(head), re.MULTILINE | re.DOTALL)[-1]


def put(package: Path, head: str) -> None:
    """Follows a walk-through in a copy of the sources."""
    (new, none, (code,)), (old, register, parts) = places(head)
    assert none == ""
    path = package / new
    assert not path.exists()
    path.write_text(code)
    path = package / old
    text = path.read_text()
    *imports, entry = parts
    for line in imports:
        first = re.search(r"^from amodal\.", text, re.MULTILINE)
        text = text[: first.start()] + line + text[first.start() :]
    opened = re.search(rf"^{register}\b.*?= [{{(]\n", text, re.MULTILINE)
    path.write_text(text[: opened.end()] + entry + text[opened.end() :])


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package with all three walk-throughs followed."""
    folder = tmp_path_factory.mktemp("contributed")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "amodal", folder / "amodal", ignore=ignored)
    for head in HEADS:
        put(folder, head)
    return folder


def run(folder: Path, *words: str) -> str:
    """What Python prints with the copy in front of everything else."""
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "error::UserWarning:amodal"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("head", HEADS)
def test_one_file_and_one_entry(head: str) -> None:
    (_, _, new), (_, register, parts) = places(head)
    assert len(new) == 1
    assert register in REGISTERS
    assert all(len(part.splitlines()) == 1 for part in parts)
    assert len(parts) <= 2  # the entry, and its import where the register holds no names


@pytest.mark.slow
@pytest.mark.processes
def test_the_walk_throughs_run(copy: Path) -> None:
    code = "import amodal\nprint(amodal.__file__)\n" + "\n".join(map(example, HEADS))
    where, shape, shift, metric = run(copy, "-c", code).splitlines()
    assert Path(where).is_relative_to(copy)
    assert shape == "torch.Size([80])"
    assert shift.startswith("True 0.")
    assert 0.3 < float(shift.split()[1]) < 0.7
    assert float(metric) == pytest.approx((0.5**0.5 + 1) / 2)


@pytest.mark.slow
@pytest.mark.processes
def test_the_commands_know_what_was_added(copy: Path) -> None:
    amodal = ("-m", "amodal")
    assert "units" in run(copy, *amodal, "list", "methods", "largest")
    assert "outage" in run(copy, *amodal, "list", "shifts")
    (copy / "study.toml").write_text(
        'data = "builtin:wdbc"\nmethods = ["largest:epochs=2:refit=false", "pattern"]\nrates = [0]\n'
        'metrics = ["auroc", "spherical"]\n'
    )
    run(copy, *amodal, "study", "study.toml", "--out", "study")
    run(copy, *amodal, "report", "study")
    page = (copy / "study" / "report" / "tables" / "cells.csv").read_text()
    assert "spherical" in page
    assert "largest" in page


@pytest.mark.slow
@pytest.mark.processes
def test_what_was_added_keeps_the_style(copy: Path) -> None:
    """The files are formatted and clean, but for the length of the line of the metric."""
    ruff = Path(sys.executable).with_name("ruff")
    new = [str(copy / path) for head in HEADS for path, register, _ in places(head) if not register]
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [str(ruff), *command, *config, *new], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
