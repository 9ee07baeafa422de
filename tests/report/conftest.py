"""Made-up studies for reports."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from amodal.study.plan import Plan

NAME = "amodal_tests_made_up"


@pytest.fixture(scope="session")
def made_up():
    """The module that makes studies up: tests are no package, so it is loaded by its path."""
    if NAME not in sys.modules:
        path = Path(__file__).parents[1] / "analysis" / "made_up.py"
        spec = importlib.util.spec_from_file_location(NAME, path)
        module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[NAME]


@pytest.fixture(scope="session")
def study(made_up, tmp_path_factory):
    """The folder of a study with two mechanisms, an awkward method name and a failed cell."""
    plan = Plan(
        "/home/somebody/secret/ward",
        ("aum", "aum:aggregation=posterior:ensemble=4", "boosting", "logistic"),
        rates=(0, 0.5),
        mechanisms=("mcar", "mnar:odds_ratio=5"),
        metrics=("auroc", "ece", "ece_of_perfect", "calibration_slope"),
        replicates=40,
        subgroups=("sex",),
        site="site",
    )
    skill = {
        "aum": (0.9, 1.0),
        "aum:aggregation=posterior:ensemble=4": (0.98, 1.0),
        "boosting": (0.8, 1.3),
        "logistic": (0.6, 1.8),
    }
    world = made_up.World(rows=480, skill=skill, sites=4)
    folder = tmp_path_factory.mktemp("report") / "study"
    return made_up.make_study(folder, plan, world, failing=("logistic",))


@pytest.fixture(scope="session")
def page(study):
    """The path of its report."""
    from amodal.report import build_report

    return build_report(study)
