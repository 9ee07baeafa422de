"""What a study tells beyond its metrics: values, small counts, sites, tipping points."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from amodal.analysis.appraisal import appraise, write_appraisal
from amodal.analysis.pooling import Pool, concatenate
from amodal.data.dataset import Dataset
from amodal.data.splits import folds
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.metrics import METRICS, random_effects
from amodal.metrics.decision import at_thresholds, net_benefit
from amodal.study.characteristics import (
    characteristics,
    shown_characteristics,
    smd_of_levels,
    smd_of_numbers,
)
from amodal.study.cohort import column_of, read_cohort, write_cohort
from amodal.study.plan import Plan
from amodal.study.results import At, read_results
from amodal.types import Modality

pytestmark = pytest.mark.xdist_group("appraisal")  # what is prepared for all is prepared once


@pytest.fixture(scope="module")
def pool(made_up, tmp_path_factory):
    """Six hospitals as groups, three folds, two seeds; a sex that four rows have alone."""
    plan = Plan(
        "made/up",
        ("aum", "boosting"),
        rates=(0, 0.5),
        mechanisms=("mcar",),
        seeds=2,
        folds=3,
        metrics=("auroc", "log_loss"),
        replicates=60,
        subgroups=("sex",),
        site="site",
        thresholds=(0.2, 0.6),
        margin=0.02,
    )
    skill = {"aum": (0.95, 1.0), "boosting": (0.6, 1.5)}
    world = made_up.World(rows=540, skill=skill, sites=6)
    folder = tmp_path_factory.mktemp("appraisal") / "study"
    return Pool(read_results(made_up.make_study(folder, plan, world)))


@pytest.fixture(scope="module")
def appraisal(pool):
    return appraise(pool)


def seeds_of(pool, method, at):
    """Predictions of each seed."""
    cells = pool.results.group(method, at)
    return [concatenate([c for c in cells if c.unit[0] == s]) for s in (0, 1)]


def only(table, /, **wanted):
    found = [r for r in table if all(r[k] == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


# -- values ---------------------------------------------------------------------------------------


def test_calibration_of_all_rows_is_that_of_the_metrics(pool, appraisal):
    at = At("mcar", 0.5)
    for name in ("ece", "calibration_slope", "aurc"):
        row = only(appraisal.calibration, method="aum", rate=0.5, rows="all rows", measure=name)
        each = [METRICS[name](p.target, p.outputs) for p in seeds_of(pool, "aum", at)]
        assert row["value"] == pytest.approx(np.mean(each))
        assert row["low"] <= row["value"] <= row["high"]
    keys = {"method": "aum", "rate": 0.5, "rows": "all rows"}
    parts = [
        only(appraisal.calibration, **keys, measure=f"brier_{x}")["value"]
        for x in ("miscalibration", "discrimination", "uncertainty")
    ]
    brier = only(appraisal.calibration, **keys, measure="brier")["value"]
    assert parts[0] - parts[1] + parts[2] == pytest.approx(brier)


def test_parts_of_the_rows(pool, appraisal):
    names = {r["rows"] for r in appraisal.calibration}
    assert {"all rows", "something lost", "everything present"} <= names
    assert any(n.startswith("only ") for n in names)
    row = next(
        r for r in appraisal.calibration if r["rows"] == "everything present" and r["rate"] == 0
    )
    parts = seeds_of(pool, row["method"], At("none", 0.0))
    assert row["n"] == sum(int(p.present.all(axis=1).sum()) for p in parts)


def test_net_benefit_and_alerts(pool, appraisal):
    parts = seeds_of(pool, "aum", At("none", 0.0))
    row = only(appraisal.decision_curves, method="aum", rate=0.0, threshold=0.3)
    each = [net_benefit(p.target, p.outputs["probability"], threshold=0.3) for p in parts]
    assert row["net_benefit"] == pytest.approx(np.mean(each))
    assert row["treat_none"] == 0.0
    row = only(appraisal.alerts, method="aum", rate=0.0, threshold=0.2, measure="sensitivity")
    each = [
        at_thresholds(p.target, p.outputs["probability"], thresholds=[0.2]).sensitivity[0]
        for p in parts
    ]
    assert row["value"] == pytest.approx(np.mean(each))


def test_risk_ends_at_the_plain_error(pool, appraisal):
    last = only(appraisal.risk_coverage, method="aum", rate=0.0, coverage=1.0)
    parts = seeds_of(pool, "aum", At("none", 0.0))
    wrong = [np.mean((p.outputs["probability"] > 0.5) != p.target) for p in parts]
    assert last["risk"] == pytest.approx(np.mean(wrong))
    first = only(appraisal.risk_coverage, method="aum", rate=0.0, coverage=0.05)
    surest = []
    for p in parts:
        chance = p.outputs["probability"]
        order = np.argsort(-np.maximum(chance, 1 - chance))[: round(0.05 * len(p))]
        surest.append(np.mean(((chance > 0.5) != p.target)[order]))
    assert first["risk"] == pytest.approx(np.mean(surest))


def test_sample_size(pool, appraisal):
    assert [r["parameters"] for r in appraisal.sample_size] == [4, 4]
    assert {r["rows_for_development"] for r in appraisal.sample_size} == {360}
    measured = appraisal.sample_size[1]
    assert measured["r2_from"].startswith("measured")
    assert 0 < measured["r2"] < 0.75


def test_tipping_points(appraisal):
    assert {r["modality"] for r in appraisal.tipping} >= {"vitals"}
    for row in appraisal.tipping:
        assert row["method"] == "aum"
        for side, sign in (("below", -1), ("above", 1)):
            if row[side] is not None:
                assert 0 < sign * row[side] <= 3
                assert row[f"verdict_{side}"] != row["verdict"]


# -- sites and subgroups --------------------------------------------------------------------------


def test_sites_are_pooled(pool, appraisal):
    keys = {"method": "aum", "rate": 0.0, "metric": "calibration_slope"}
    rows = [r for r in appraisal.sites if all(r[k] == v for k, v in keys.items())]
    assert [r["site"] for r in rows] == [
        *(f"h{k}" for k in range(6)),
        "all sites",
        "another such site",
    ]
    assert all(r["held_out"] for r in rows)
    mean, other = rows[-2:]
    assert mean["sites"] == 6
    assert other["low"] < mean["low"] < mean["value"] < mean["high"] < other["high"]
    # about the same as pooling with standard errors read off the intervals
    values = [r["value"] for r in rows[:6]]
    errors = [(r["high"] - r["low"]) / 3.92 for r in rows[:6]]
    assert random_effects(values, errors).value == pytest.approx(mean["value"], abs=0.1)


def test_sites_on_both_sides_are_told(made_up, tmp_path):
    from amodal.analysis.sites import held_out

    plan = Plan("made/up", ("aum",), rates=(0,), folds=3, replicates=10, subgroups=("g",), site="g")
    world = made_up.World(rows=90, per_group=1)
    folder = made_up.make_study(
        tmp_path / "s", Plan.from_json({**plan.to_json(), "subgroups": []}), world
    )
    results = read_results(folder)
    ids = [r for c in results.cells for r in c.predicted.row_id.tolist()]
    assert not held_out(results, {r: str(k % 2) for k, r in enumerate(ids)})
    assert held_out(
        results, {r: str(c.unit[1]) for c in results.cells for r in c.predicted.row_id.tolist()}
    )


def test_small_subgroups_are_hidden_with_another(appraisal):
    rows = [r for r in appraisal.subgroups if r["method"] == "aum" and r["metric"] == "auroc"]
    at_zero = {r["level"]: r for r in rows if r["rate"] == 0}
    assert set(at_zero) == {"f", "m", "x"}
    assert [at_zero["x"][k] for k in ("n", "events", "value", "low")] == [None] * 4
    assert (at_zero["m"]["n"], at_zero["m"]["events"]) == (None, None)  # else the other follows
    assert at_zero["m"]["value"] is not None
    assert at_zero["f"]["n"] > 200


def test_no_small_count_follows_from_alerts(pool, appraisal):
    total = {}
    for p in seeds_of(pool, "aum", At("none", 0.0))[:1]:
        alert = p.outputs["probability"] >= 0.6
        total = {
            (a, e): int(((alert == a) & (p.target == e)).sum()) for a in (0, 1) for e in (0, 1)
        }
    row = only(appraisal.alerts, method="aum", rate=0.0, threshold=0.6, measure="ppv")
    small = any(0 < n < 10 for n in total.values())
    assert not small or row["value"] is None
    for row in appraisal.decision_curves:
        if row["method"] != "aum" or row["rate"] != 0 or row["net_benefit"] is None:
            continue
        for p in seeds_of(pool, "aum", At("none", 0.0)):
            alert = p.outputs["probability"] >= row["threshold"]
            for cell in (
                alert & (p.target == 1),
                ~alert & (p.target == 1),
                alert & (p.target == 0),
            ):
                assert not 0 < cell.sum() < 10


# -- kept and written -----------------------------------------------------------------------------


def test_tables_are_kept_and_written(pool, appraisal, tmp_path):
    again = Pool(read_results(pool.results.folder))
    again.scores = None  # kept tables need no scores
    assert appraise(again) == appraisal
    names = {p.stem for p in write_appraisal(appraisal, tmp_path)}
    assert names == set(vars(appraisal))
    with (tmp_path / "sites.csv").open() as file:
        assert next(csv.reader(file))[:6] == [
            "method", "mechanism", "rate", "held_out", "metric", "site",
        ]  # fmt: skip
    # a damaged kept table is computed anew
    path = next(pool.results.folder.glob("summary/sample_size-*.json"))
    path.write_text("{")
    assert appraise(Pool(read_results(pool.results.folder))).sample_size == appraisal.sample_size


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_of_task(made_up, tmp_path, kind):
    plan = Plan("made/up", ("aum", "boosting"), rates=(0, 0.5), folds=2, replicates=20)
    folder = made_up.make_study(tmp_path / "s", plan, made_up.World(rows=200, kind=kind))
    found = appraise(Pool(read_results(folder)))
    assert not found.decision_curves
    assert not found.alerts
    assert not found.sample_size
    assert found.risk_coverage
    measures = {r["measure"] for r in found.calibration}
    assert ("classwise_ece" in measures) == (kind == "multiclass")
    assert bool(found.tipping) == (kind == "regression")


# -- columns and characteristics ------------------------------------------------------------------


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    n = 200
    y = (np.arange(n) % 4 == 0).astype(int)
    age = 50 + 10 * y + rng.normal(0, 10, n)
    age[:15] = np.nan
    history = Modality("history", "table", features=("age",))
    facts = {"sex": ["f", "m"] * (n // 2), "ward": ["rare"] * 4 + ["a", "b"] * (n // 2 - 2)}
    rows = {"facts": facts, "group": [f"p{k // 2}" for k in range(n)]}
    return Dataset.from_arrays({"history": age[:, None]}, y, modalities=[history], rows=rows)


def test_columns(cohort):
    assert set(column_of(cohort, "sex")) == {"f", "m"}
    assert column_of(cohort, "group")[:3].tolist() == ["p0", "p0", "p1"]
    bands = column_of(cohort, "history.age:40:60")
    assert set(bands) == {"<40", "40 to <60", "60 and over", "not known"}
    assert (bands == "not known").sum() == 15
    facts = cohort.replace(facts={"years": np.where(np.arange(200) < 5, "", "61")})
    assert set(column_of(facts, "years:60")) == {"60 and over", "not known"}
    with pytest.raises(UnknownNameError, match="did you mean 'sex'"):
        column_of(cohort, "sx")
    with pytest.raises(SettingError, match="no cuts"):
        column_of(cohort, "history.age")
    for bad in ("history.age:60:40", "history.age:x", "history.age:nan"):
        with pytest.raises(SettingError, match="rising numbers"):
            column_of(cohort, bad)
    with pytest.raises(DataError, match="only numbers are cut"):
        column_of(cohort, "sex:3")


def test_written_and_read(cohort, tmp_path):
    plan = Plan("x", ("mean",), folds=2, subgroups=("sex", "history.age:60"), site="ward")
    write_cohort(tmp_path, plan, cohort, parts=None)
    columns, site, told = read_cohort(tmp_path, plan, cohort.fingerprint())
    assert columns["sex"] == dict(zip(cohort.row_id, cohort.facts["sex"], strict=True))
    assert set(site.values()) == {"rare", "a", "b"}
    assert told == json.loads(json.dumps(told))
    assert read_cohort(tmp_path, Plan("x", ("mean",)), cohort.fingerprint()) is None
    next(tmp_path.glob("cohort/*.parquet")).write_bytes(b"x")
    with pytest.raises(Exception, match="delete the folder cohort"):
        read_cohort(tmp_path, plan, cohort.fingerprint())


def test_characteristics(cohort):
    train, test = folds(cohort, 4, seed=0)[0]
    found = characteristics(cohort, {}, parts={"development": train, "test": test})
    assert [g["n"] for g in found["groups"]] == [200, 150, 50, len(train), len(test)]
    age = next(v for v in found["variables"] if v["name"] == "history.age")
    x = cohort.values["history"].data["numeric"][:, 0]
    known = cohort.values["history"].index >= 0
    y = cohort.target[known]
    assert age["cells"][2]["mean"] == pytest.approx(x[y == 1].mean())
    assert age["smd"]["outcome"] == pytest.approx(smd_of_numbers(x[y == 0], x[y == 1]))
    pooled = np.sqrt((x[y == 0].var(ddof=1) + x[y == 1].var(ddof=1)) / 2)
    assert age["smd"]["outcome"] == pytest.approx((x[y == 1].mean() - x[y == 0].mean()) / pooled)
    sex = next(v for v in found["variables"] if v["name"] == "sex")
    assert sum(level["counts"][0] for level in sex["levels"]) == 200


def test_differences_of_levels():
    a, b = np.array(list("xxxy")), np.array(list("xyyy"))
    assert smd_of_levels(a, b) == pytest.approx(0.5 / np.sqrt(0.1875))
    three = smd_of_levels(np.array(list("xyz")), np.array(list("xyz")))
    assert three == pytest.approx(0)
    assert np.isnan(smd_of_levels(a[:0], b))
    assert np.isnan(smd_of_levels(np.array(["x"]), np.array(["x"])))
    assert np.isnan(smd_of_numbers(np.array([1.0]), np.array([1.0, 2.0])))


def test_shown_characteristics_hide_small_counts_and_what_tells_them(cohort):
    shown = shown_characteristics(characteristics(cohort, {}))
    rows = {r["characteristic"]: r for r in shown}
    assert rows["rows"]["all rows"] == "200"
    assert rows["ward: rare"]["all rows"] == "not shown"
    hidden = [
        name for name, r in rows.items() if name.startswith("ward") and r["all rows"] == "not shown"
    ]
    assert len(hidden) == 2
    assert rows["ward: a"]["SMD by outcome"] == "not shown"
    assert rows["sex: f"]["all rows"] == "100 (50.0%)"
    # 15 unknown ages, of which 4 died: no count of the known is told
    assert rows["history.age: known"]["all rows"] == "not shown"
    assert shown_characteristics({}) == []
    few = cohort.take(
        np.r_[np.flatnonzero(cohort.target == 0)[:50], np.flatnonzero(cohort.target == 1)[:5]]
    )
    heads = shown_characteristics(characteristics(few, {}))[0]
    assert set(heads) == {"characteristic", "all rows"}
