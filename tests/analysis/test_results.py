"""Reading a folder: what belongs together, and numbers that agree with another implementation."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from amodal.analysis.pooling import Pool
from amodal.analysis.summaries import calibration, diagnostic_rows, rate_rows, reliability_rows
from amodal.analysis.tables import write_tables
from amodal.errors import StorageError, UnknownNameError
from amodal.study.results import At, read_results


@pytest.fixture
def copy(binary, tmp_path):
    """A copy of the study's folder that a test may change."""
    shutil.copytree(binary.folder, tmp_path / "study")
    return tmp_path / "study"


def _edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_a_folder_holds(binary):
    assert binary.methods == ("aum", "boosting", "forest")
    assert binary.focus == ("aum",)
    assert binary.baselines == ("boosting", "forest")
    assert binary.reference == "aum"
    assert binary.mechanisms == ("mcar", "mnar")
    assert binary.rates("mcar") == (0.0, 0.5)
    assert binary.points() == [At("none", 0.0), At("mcar", 0.5), At("mnar", 0.5)]
    assert (binary.expected, binary.unfinished, binary.left_out) == (36, 3, 0)
    assert [f["error"] for f in binary.failed] == ["RuntimeError: the loss is not finite"]
    assert binary.primary == "auroc"


def test_rate_zero_serves_every_mechanism(binary):
    assert binary.group("aum", At("mnar", 0.0)) == binary.group("aum", At("mcar", 0.0))
    assert len(binary.group("aum", At("mcar", 0.0))) == 4


def test_every_row_is_tested_once_per_seed_and_alike_for_all_methods(binary):
    for seed in (0, 1):
        for method in ("aum", "boosting"):
            cells = [c for c in binary.group(method, At("mcar", 0.5)) if c.unit[0] == seed]
            rows = np.concatenate([c.predicted.row_id for c in cells])
            assert len(np.unique(rows)) == len(rows) == binary.data["rows"]
    for a, b in zip(
        binary.group("aum", At("mnar", 0.5)), binary.group("boosting", At("mnar", 0.5)), strict=True
    ):
        np.testing.assert_array_equal(a.predicted.absence, b.predicted.absence)


def test_tidy_numbers_agree_with_scikit_learn(binary):
    rows = binary.tidy()
    assert len(rows) == 33 * 5
    for cell in binary.cells[::7]:
        p = cell.predicted
        own = {r["metric"]: r for r in rows if _same(r, cell)}
        auroc = roc_auc_score(p.target, p.outputs["probability"])
        assert own["auroc"]["value"] == pytest.approx(auroc)
        loss = log_loss(p.target, p.outputs["probability"])
        assert own["log_loss"]["value"] == pytest.approx(loss)
        assert own["auroc"]["low"] < own["auroc"]["value"] < own["auroc"]["high"]
        assert own["auroc"]["n"] == len(p)


def _same(row, cell):
    head = (row["method"], row["mechanism"], row["rate"], (row["seed"], row["fold"]))
    return head == (cell.label, cell.mechanism, cell.rate, cell.unit)


def test_a_metric_that_was_not_evaluated_comes_from_the_predictions(binary):
    cell = binary.cells[0]
    found = cell.score(["brier", "auroc"], 50)
    p = cell.predicted
    assert found["brier"].value == pytest.approx(
        np.mean((p.outputs["probability"] - p.target) ** 2)
    )
    assert found["auroc"] == cell.metrics["auroc"]


def test_cells_of_other_data_version_or_protocol_are_left_out(copy):
    paths = sorted((copy / "evaluations").glob("aum-mcar*.json"))
    _edit(paths[0], data="other")
    _edit(paths[1], package="0.0.1")
    _edit(paths[2], folds=5)
    _edit(paths[3], keep_one=True)
    found = read_results(copy)
    assert found.left_out == 4
    assert found.unfinished == 3 + 4
    assert found.group("aum", At("mcar", 0.5)) == []


def test_training_under_loss_is_another_protocol(copy):
    head = json.loads((copy / "study.json").read_text())
    _edit(copy / "study.json", plan={**head["plan"], "absent_at": "both"})
    found = read_results(copy)
    assert {c.mechanism for c in found.cells} == {"none"}


def test_one_spec_with_two_settings_is_two_methods(copy):
    for path in (copy / "evaluations").glob("boosting-*-s1-*.json"):
        record = json.loads(path.read_text())
        _edit(path, method={**record["method"], "settings": {"depth": 3}})
    found = read_results(copy)
    assert found.methods == ("aum", "boosting (defaults)", "boosting (depth=3)", "forest")


def test_a_record_of_a_failure_outside_the_plan_is_not_shown(copy):
    (copy / "fits" / "old.failed.json").write_text(json.dumps({"cell": "old", "error": "x"}))
    assert len(read_results(copy).failed) == 1


def test_focus_and_reference_follow_the_plan(binary):
    plan = replace(binary.plan, focus=("forest",), reference="boosting")
    found = replace(binary, plan=plan, _groups={})
    assert (found.focus, found.reference) == (("forest",), "boosting")
    assert found.methods == ("forest", "aum", "boosting")


def test_no_study_and_damaged_files_are_named(copy, tmp_path):
    with pytest.raises(StorageError, match=r"a study's folder holds study\.json; .* does not"):
        read_results(tmp_path)
    path = next((copy / "evaluations").glob("aum*.json"))
    path.write_text(path.read_text()[:50])
    with pytest.raises(StorageError, match="an evaluation is a JSON file"):
        read_results(copy)
    path.unlink()
    _edit(copy / "study.json", plan={"data": "d", "methods": ["aum"], "ratse": [0]})
    with pytest.raises(UnknownNameError, match="did you mean 'rates'"):
        read_results(copy)


def test_rates_that_came_out(binary):
    rows = {(r["mechanism"], r["rate"]): r for r in rate_rows(binary)}
    for mechanism in ("mcar", "mnar"):
        cells = binary.group("aum", At(mechanism, 0.5))
        absence = np.concatenate([c.predicted.absence for c in cells])
        found = rows[mechanism, 0.5]
        assert found["achieved"] == pytest.approx((absence == 2).mean())
        assert found["n"] == len(absence)
        nothing = int((absence > 0).all(axis=1).sum())
        assert found["with_nothing"] == (pytest.approx(nothing / len(absence)))
        before = np.concatenate([c.predicted.absence for c in binary.group("aum", At("none", 0))])
        lost_of_present = ((absence == 2) & (before == 0)).sum() / (before == 0).sum()
        assert found["achieved_present"] == pytest.approx(lost_of_present, abs=0.01)
        assert found["natural_absence"] == pytest.approx((before == 1).mean())
    assert rows["none", 0.0]["achieved"] == 0


def test_reliability_is_told_of_present_rows_only(binary):
    rows = reliability_rows(binary)
    assert {r["method"] for r in rows} == {"aum"}
    one = next(r for r in rows if (r["rate"], r["quantity"]) == (0.5, "reliability"))
    cells = binary.group("aum", At(one["mechanism"], 0.5))
    k = cells[0].predicted.names.index(one["modality"])
    seen = np.concatenate([c.predicted.reliability[c.predicted.present[:, k], k] for c in cells])
    assert one["q50"] == pytest.approx(np.median(seen))
    assert one["n"] == len(seen)
    assert seen.min() > 0


def test_diagnostics_are_means_over_seeds_and_folds(binary):
    rows = diagnostic_rows(binary)
    assert {(r["method"], r["diagnostic"]) for r in rows} == {("aum", "variance_collapse")}
    folds = np.array([c.unit[1] for c in binary.group("aum", At("none", 0))])
    told = {(r["mechanism"], r["rate"]): r["value"] for r in rows}
    assert told["none", 0.0] == pytest.approx(0.5 + 0.02 * folds.mean())
    assert len(told) == len(binary.points())


def test_calibration_strips_hide_small_bins(binary):
    found = calibration(binary, "aum", At("none", 0.0))
    p = np.concatenate(
        [c.predicted.outputs["probability"] for c in binary.group("aum", At("none", 0.0))]
    )
    counts, _ = np.histogram(p, bins=found.edges)
    shown = np.round(found.share * len(p)).astype(int)
    assert ((counts < 10) == (shown == 0)).all()
    assert (shown[counts >= 10] == counts[counts >= 10]).all()


def test_tables_are_written_and_hide_small_counts(binary, tmp_path):
    paths = write_tables(Pool(binary), tmp_path)
    names = [p.name.removesuffix(".csv") for p in paths]
    assert names[:7] == [
        "cells",
        "pooled",
        "against_best_baseline",
        "against_reference",
        "rates",
        "reliability",
        "diagnostics",
    ]
    texts = {p.stem for p in paths if p.suffix == ".tex"}
    assert texts == {p.stem for p in paths if p.suffix == ".csv"} - {"cells"}
    with (tmp_path / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["with_nothing"]:
            count = float(row["with_nothing"]) * int(row["n"])
            assert count < 0.5 or count > 9.5
    with (tmp_path / "pooled.csv").open() as file:
        pooled = list(csv.DictReader(file))
    assert {(r["seeds"], r["cells"]) for r in pooled if r["method"] == "aum"} == {("2", "4")}
    assert {(r["seeds"], r["cells"]) for r in pooled if r["method"] == "forest"} == {("2", "3")}


def test_results_need_no_torch(binary):
    code = (
        "import sys; from amodal.analysis import write_tables; from amodal.study import read_results;"
        f"read_results({str(binary.folder)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
