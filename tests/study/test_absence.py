"""Studies: where modalities are absent, how unequally, with which noise; and every cell replayed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal import load
from amodal.analysis.summaries import rate_rows
from amodal.data.dataset import Dataset
from amodal.errors import DataError, StorageError
from amodal.shifts import LossPattern
from amodal.shifts.labels import hidden_rows
from amodal.study import Plan, read_results, replay, run_study
from amodal.study.cells import points
from amodal.study.results import At

pytestmark = pytest.mark.xdist_group("absence")  # what is prepared for all is prepared once

LOGISTIC = "logistic:search=false:augment=false"  # quick
MIX = "mcar+noise:severity=2:modalities=a:rate=0.5"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small prepared data set with groups of two rows."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 120, 2))
    y = (a[:, 0] + b[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
    a[rng.random(120) < 0.1] = np.nan
    rows = {
        "row_id": [f"r{k:03d}" for k in range(120)],
        "group": [f"g{k // 2}" for k in range(120)],
    }
    found = Dataset.from_arrays({"a": a, "b": b}, y, rows=rows)
    return found.save(tmp_path_factory.mktemp("data") / "data")


def _plan(data, **changes) -> Plan:
    start = {"rates": (0, 0.5), "metrics": ("auroc", "brier"), "replicates": 20}
    return Plan(str(data), (LOGISTIC, "pattern"), **{**start, **changes})


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    """A study with noise, noise and loss, and rates of single modalities."""
    out = tmp_path_factory.mktemp("study") / "study"
    rates = (0, 0.5, {"a": 0.8, "b": 0.1})
    outcome = run_study(_plan(data, mechanisms=("mcar", MIX, "noise"), rates=rates, folds=2), out)
    assert outcome.failed == ()
    return out


def test_points_of_a_plan(data):
    plan = _plan(data, mechanisms=("mcar", MIX, "noise"), rates=(0, 0.5, {"a": 0.8}))
    assert plan.unequal == ("a=0.8",)
    assert Plan.from_json(plan.to_json()) == plan
    assert points(plan, ("a", "b")) == [
        ("mcar", 0.5),
        (MIX, 0.5),
        ("noise", 0.5),
        ("mcar:rates=a=0.8/b=0", 0.4),
        ("mcar:rates=a=0.8/b=0+noise:severity=2:modalities=a:rate=0.5", 0.4),
    ]


def test_every_cell_is_replayed_to_the_same_predictions(data, study):
    dataset, results = Dataset.load(data), read_results(study)
    assert len(results.cells) == 2 * 2 * 6
    for cell in results.cells:
        rows = replay(study, cell.record["id"], dataset)
        np.testing.assert_array_equal(rows.absence, cell.predicted.absence)
        found = load(study / "fits" / cell.record["fit"]).predict(rows)
        np.testing.assert_array_equal(
            found.outputs()["probability"], cell.predicted.outputs["probability"]
        )


def test_all_methods_see_the_same_rows_losses_and_noise(data, study):
    results, dataset = read_results(study), Dataset.load(data)
    for at in results.points():
        for unit in results.units(LOGISTIC, at):
            one, two = (
                next(c for c in results.group(m, at) if c.unit == unit)
                for m in (LOGISTIC, "pattern")
            )
            assert one.record["pattern"] == two.record["pattern"]
            for name in dataset.names:
                x, y = (replay(study, c.record["id"], dataset).values[name] for c in (one, two))
                np.testing.assert_array_equal(x.data["numeric"], y.data["numeric"])
            np.testing.assert_array_equal(one.predicted.absence, two.predicted.absence)


def test_the_record_tells_seed_severity_and_what_came_out(study):
    results = read_results(study)
    for cell in results.group(LOGISTIC, At(MIX, 0.5)):
        record = cell.record
        noise, loss = record["shift"]["parts"]
        assert (noise["severity"], noise["seed"], loss["seed"]) == (2.0, 0, 0)
        assert (loss["rate"], noise["rate"]) == (0.5, 0.5)
        kept = LossPattern.load(study / "shifts" / f"{record['pattern']}.parquet")
        place = {r: k for k, r in enumerate(kept.row_id.tolist())}
        rows = [place[r] for r in cell.predicted.row_id.tolist()]
        assert record["absence"]["achieved"] == kept.lost[rows].mean()
        assert 0.1 < record["absence"]["worse"] < 0.4  # half of one modality of two
    only = results.group(LOGISTIC, At("noise", 0.5))[0].record["absence"]
    assert only["achieved"] == 0
    assert only["worse"] == pytest.approx(0.5, abs=0.15)
    rows = {(r["mechanism"], r["rate"]): r for r in rate_rows(results)}
    assert rows[MIX, 0.5]["worse"] > 0
    assert rows["mcar", 0.5]["worse"] == 0


def test_rates_of_single_modalities_come_out(study):
    results = read_results(study)
    cells = results.group(LOGISTIC, At("mcar:rates=a=0.8/b=0.1", 0.45))
    lost = np.concatenate([c.predicted.absence == 2 for c in cells])
    np.testing.assert_allclose(lost.mean(axis=0), [0.8, 0.1], atol=0.1)
    each = cells[0].record["absence"]["per_modality"]
    assert set(each) == {"a", "b"}
    assert results.rates("mcar:rates=a=0.8/b=0.1") == (0.0, 0.45)


def test_noise_changes_predictions_and_only_where_it_struck(data, study):
    results, dataset = read_results(study), Dataset.load(data)
    for unit in ((0, 0), (0, 1)):
        plain, noisy = (
            next(c for c in results.group(LOGISTIC, at) if c.unit == unit)
            for at in (At("none", 0.0), At("noise", 0.5))
        )
        kept = LossPattern.load(study / "shifts" / f"{noisy.record['pattern']}.parquet")
        place = {r: k for k, r in enumerate(kept.row_id.tolist())}
        struck = kept.worse[[place[r] for r in plain.predicted.row_id.tolist()]].any(axis=1)
        same = plain.predicted.outputs["probability"] == noisy.predicted.outputs["probability"]
        np.testing.assert_array_equal(same, ~struck)
    with pytest.raises(DataError, match="these differ in their content"):
        replay(study, results.cells[0].record["id"], dataset[:10])
    with pytest.raises(StorageError, match="is not there"):
        replay(study, "none", dataset)


def test_loss_in_training_only(data, tmp_path):
    out = tmp_path / "study"
    outcome = run_study(_plan(data, absent_at="training", mechanisms=("mcar", "noise")), out)
    assert (outcome.cells, outcome.failed) == (6, ())
    results = read_results(out)
    assert results.points() == [At("none", 0.0), At("mcar", 0.5), At("noise", 0.5)]
    assert results.unfinished == 0
    tested = [results.group(LOGISTIC, at)[0] for at in results.points()]
    for cell in tested:
        assert not (cell.predicted.absence == 2).any()
        assert cell.record["absence"]["achieved"] == 0
    assert tested[1].record["trained_absence"]["achieved"] == pytest.approx(0.5, abs=0.1)
    assert tested[2].record["trained_absence"]["worse"] == pytest.approx(0.5, abs=0.1)
    kept = tested[1].record["trained_under"]["pattern"]
    assert (out / "shifts" / f"{kept}.parquet").exists()
    p = [c.predicted.outputs["probability"] for c in tested]
    assert (p[0] != p[1]).any()
    assert (p[0] != p[2]).any()
    rows = {(r["mechanism"], r["rate"]): r for r in rate_rows(results)}
    assert rows["mcar", 0.5]["achieved"] == pytest.approx(0.5, abs=0.1)
    both = _plan(data, absent_at="both", mechanisms=("mcar", "noise"))
    run_study(both, out)  # the fits are the same ones
    assert len(list((out / "fits").iterdir())) == 6
    assert all(
        (c.predicted.absence == 2).any() for c in read_results(out).group(LOGISTIC, At("mcar", 0.5))
    )


def test_hidden_labels_are_the_same_for_all_methods(data, tmp_path):
    out, dataset = tmp_path / "study", Dataset.load(data)
    run_study(_plan(data, rates=(0,), hidden_labels=0.5), out)
    facts = [json.loads(p.read_text()) for p in sorted((out / "fits").glob("*/fit.json"))]
    assert len(facts) == 2
    assert len({(f["rows"], f["labelled"]) for f in facts}) == 1
    tested = read_results(out).cells[0].predicted.row_id
    development = dataset[~np.isin(dataset.row_id, tested)]
    assert facts[0]["rows"] == len(development)
    assert facts[0]["labelled"] == (~hidden_rows(development, 0.5)).sum()
    assert facts[0]["hidden"] == 0.5
    assert len(tested) + len(development) == 120  # test rows keep their labels
    run_study(_plan(data, rates=(0,)), out)
    assert len(list((out / "fits").iterdir())) == 4
    assert read_results(out).left_out == 2
