"""`amodal evaluate`: which rows, which shift, and the one JSON object."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.metrics import default_metrics, score
from amodal.model import load
from amodal.shifts import make_shift

FEW = ["--replicates", "50"]


@pytest.fixture(scope="module")
def record(call):
    """record(*words) -> the JSON object that `amodal evaluate ... --json` prints."""

    def function(*words: object) -> dict:
        result = call("evaluate", *words, "--json", *FEW)
        assert (result.code, result.bug, result.err) == (0, None, ""), result.err
        return json.loads(result.out)

    return function


def test_test_rows_of_the_data_trained_on(record, aum, data):
    found = record(aum, data)
    model, rows = load(aum), Dataset.load(data)
    test = rows[np.isin(rows.row_id, model.rows_["test"])]
    assert (found["rows"], found["n"], found["same_data"]) == ("test", len(test), "content")
    assert found["groups"] == len(np.unique(test.group))
    expected = score(
        "binary", test.target, model.predict(test).outputs(), group=test.group, replicates=50
    )
    assert list(found["metrics"]) == list(default_metrics("binary"))
    for name, interval in expected.items():
        told = found["metrics"][name]
        assert {"value", "low", "high"} <= set(told)
        assert told["value"] == pytest.approx(interval.value, abs=1e-9)
        assert told["low"] == pytest.approx(interval.low, abs=1e-9)
    assert found["shift"] is None
    assert found["fingerprints"]["data"] == rows.fingerprint()
    assert found["fingerprints"]["trained_on"] == rows.fingerprint()
    assert len(found["fingerprints"]["model"]) == 16
    assert (found["method"], found["task"]["kind"]) == ("aum", "binary")


def test_all_rows_and_other_data(record, call, aum, data, tmp_path, made_up):
    assert record(aum, data, "--rows", "all")["n"] == 150
    made_up(60, seed=1).save(tmp_path / "other")
    found = record(aum, tmp_path / "other")
    assert (found["rows"], found["n"], found["same_data"]) == ("all", 60, None)
    assert found["fingerprints"]["data"] != found["fingerprints"]["trained_on"]
    text = call("evaluate", aum, data, "--rows", "all", *FEW).out
    assert text.startswith(f"aum on {data}: 150 rows of 75 groups\nToo good: the row ids of ")
    assert "Too good" not in call("evaluate", aum, data, *FEW).out


def test_data_prepared_again_is_known_by_its_row_ids(record, call, aum, data, tmp_path):
    rows = Dataset.load(data)
    changed = rows[::-1].replace(weight=np.full(len(rows), 2.0))
    changed.save(tmp_path / "again")
    found = record(aum, tmp_path / "again")
    assert (found["rows"], found["same_data"]) == ("test", "row ids")
    assert found["metrics"]["auroc"] == pytest.approx(record(aum, data)["metrics"]["auroc"])
    assert "their row ids are the same" in call("evaluate", aum, tmp_path / "again", *FEW).out


def test_loss_at_random(record, call, aum, data):
    words = ["--absent", "0.5", "--seed", "3"]
    found = record(aum, data, *words)
    model, rows = load(aum), Dataset.load(data)
    test = rows[np.isin(rows.row_id, model.rows_["test"])]
    shift = make_shift("mcar", 0.5, seed=3)
    drawn = shift.draw(test)
    assert found["shift"]["shift"] == "mcar"
    assert (found["shift"]["rate"], found["shift"]["seed"]) == (0.5, 3)
    rates = found["shift"]["rates"]
    assert rates["requested"] == 0.5
    assert rates["achieved"] == pytest.approx(drawn.lost.mean())
    assert rates["achieved_present"] == pytest.approx(drawn.lost[test.present].mean())
    expected = model.predict(shift(test)).outputs()
    brier = np.mean((expected["probability"] - test.target) ** 2)
    assert found["metrics"]["brier"]["value"] == pytest.approx(brier, abs=1e-6)
    text = call("evaluate", aum, data, *words, *FEW).out
    assert "with probability 0.5." in text
    assert "Asked to lose 50.0% of the pairs" in text
    assert record(aum, data, "--absent", "0.5", "--mechanism", "mcar") != found


def test_all_modalities_lost_gives_the_base_rate(record, aum, data):
    found = record(aum, data, "--absent", "1", "--metrics", "auroc,brier")
    assert list(found["metrics"]) == ["auroc", "brier"]
    assert found["metrics"]["auroc"]["value"] == 0.5


def test_not_at_random_learns_from_the_training_rows(record, aum, data, tmp_path, made_up):
    rows, model = Dataset.load(data), load(aum)
    pick = {k: rows[np.isin(rows.row_id, model.rows_[k])] for k in ("train", "test")}
    found = record(aum, data, "--absent", "0.4", "--mechanism", "mnar:odds_ratio=5")
    drawn = make_shift("mnar", 0.4, odds_ratio=5).draw(pick["test"], pick["train"])
    assert found["shift"]["odds_ratio"] == 5
    assert found["shift"]["learned"]["reference_rows"] == len(pick["train"])
    assert found["shift"]["rates"]["achieved"] == pytest.approx(drawn.lost.mean())
    made_up(60, seed=1).save(tmp_path / "other")
    other = record(aum, tmp_path / "other", "--absent", "0.4", "--mechanism", "mnar")
    assert other["shift"]["learned"]["reference_rows"] == 60


def test_noise_loses_nothing(record, aum, data):
    found = record(aum, data, "--mechanism", "noise:severity=3")
    assert (found["shift"]["shift"], found["shift"]["rates"]) == ("noise", None)
    assert found["metrics"] != record(aum, data)["metrics"]


def test_rates_from_which_a_small_count_follows_are_not_told(record, call, aum, data):
    # A row in a hundred or so is left with nothing: fewer than ten.
    found = record(aum, data, "--rows", "all", "--absent", "0.15")
    assert found["shift"]["rates"]["empty_rows"] is None
    assert found["shift"]["rates"]["achieved"] == pytest.approx(0.15, abs=0.05)
    text = call("evaluate", aum, data, "--rows", "all", "--absent", "0.15", *FEW).out
    assert "<6.7% of the rows are left with nothing" in text


def test_few_rows_are_not_counted(record, call, aum, tmp_path, made_up):
    made_up(6, seed=2).save(tmp_path / "few")
    assert record(aum, tmp_path / "few", "--metrics", "brier")["n"] is None
    words = [aum, tmp_path / "few", "--metrics", "brier", *FEW]
    assert ": <10 rows of <10 groups\n" in call("evaluate", *words).out


def test_refused(refused, aum, data, tmp_path, made_up):
    assert refused("evaluate", aum, data, "--rows", "tests") == (
        "unknown rows 'tests': did you mean 'test'?"
    )
    assert "between 0 and 1" in refused("evaluate", aum, data, "--absent", "1.5")
    assert "needs a rate" in refused("evaluate", aum, data, "--mechanism", "mcar")
    lost = [aum, data, "--absent", "0.5", "--mechanism"]
    assert "did you mean 'mcar'" in refused("evaluate", *lost, "mcr")
    assert "did you mean 'odds_ratio'" in refused("evaluate", *lost, "mnar:odd_ratio=2")
    assert "did you mean 'auroc'" in refused("evaluate", aum, data, "--metrics", "aurok")
    assert "is for regression targets" in refused("evaluate", aum, data, "--metrics", "rmse")
    made_up(30, seed=1).save(tmp_path / "other")
    message = refused("evaluate", aum, tmp_path / "other", "--rows", "test")
    assert "use --rows all" in message
    made_up(30, seed=1, labels=False).save(tmp_path / "unknown")
    assert "use `amodal predict`" in refused("evaluate", aum, tmp_path / "unknown")
    assert "must be of the model's task" in refused("evaluate", aum, "builtin:diabetes")
    assert "'benign' is not among" in refused("evaluate", aum, "builtin:wdbc")
