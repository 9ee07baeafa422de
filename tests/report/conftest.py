"""Made-up studies for reports."""

from __future__ import annotations

import pytest

from amodal.study.plan import Plan


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
