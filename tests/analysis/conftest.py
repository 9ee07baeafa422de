"""Made-up studies, written once per test run."""

from __future__ import annotations

import pytest

from amodal.study.plan import Plan
from amodal.study.results import Results, read_results


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
