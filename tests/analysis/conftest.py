"""Made-up studies, written once per test run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from amodal.study.plan import Plan
from amodal.study.results import Results, read_results


def _made_up():
    """The helper beside this file: tests are no package, so it is loaded by its path."""
    name = "amodal_tests_made_up"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "made_up.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def made_up():
    """The module that makes studies up."""
    return _made_up()


@pytest.fixture(scope="session")
def binary(made_up, tmp_path_factory) -> Results:
    """Two seeds, two folds, grouped rows; `forest` failed once."""
    plan = Plan(
        "made/up",
        ("aum", "boosting", "forest"),
        rates=(0, 0.5),
        mechanisms=("mcar", "mnar"),
        seeds=2,
        folds=2,
        metrics=("auroc", "log_loss", "ece", "ece_of_perfect", "calibration_slope"),
        replicates=60,
    )
    skill = {"aum": (0.95, 1.0), "boosting": (0.7, 1.5), "forest": (0.6, 0.7)}
    world = made_up.World(rows=160, skill=skill, per_group=2)
    folder = tmp_path_factory.mktemp("binary") / "study"
    return read_results(made_up.make_study(folder, plan, world, failing=("forest",)))
