"""What reliability is worth, of models that know the truth, nothing, or the wrong thing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal.analysis.pooling import Pool
from amodal.analysis.tables import write_tables
from amodal.analysis.worth import read_probes, worth_tables
from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.data.simulate import simulate, true_variance
from amodal.metrics.worth import agreement, entropy, log_likelihood
from amodal.study import Plan, read_results, run_study
from amodal.study.probe import MEASURES, probe
from amodal.study.reliance import measurements, reliance_rows

DATA = simulate(300, modalities=3, latents=1, features=4, seed=1)
TRAIN, TEST = DATA[:150], DATA[150:]


def numbers(data: Dataset) -> np.ndarray:
    """``Float[n, m, f]`` the values, NaN where absent."""
    wide = []
    for name in data.names:
        values = data.values[name]
        x = np.vstack([values.data["numeric"], np.full((1, 4), np.nan)])
        wide.append(x[values.index])
    return np.stack(wide, axis=1)


class Knowing:
    """Predicts from the sum of what is present; claims by the size of the values."""

    def __init__(self, *, reliability: bool = True, flat: bool = False) -> None:
        self.reliability, self.flat = reliability, flat
        self.seen: list[Dataset] = []

    def predict(self, data: Dataset) -> Prediction:
        self.seen.append(data)
        x, there = numbers(data), data.present
        size = np.where(there, np.abs(np.nan_to_num(x)).mean(axis=2), 0.0)
        claim = np.where(there, 0.5 if self.flat else 1 / (1 + size), 0.0)
        total = claim.sum(axis=1, keepdims=True)
        share = np.divide(claim, total, out=np.zeros_like(claim), where=total > 0)
        logit = torch.as_tensor(np.nan_to_num(x).sum(axis=(1, 2)) * 0.1)[:, None]
        mine = np.nan_to_num(x).mean(axis=2)
        seen = np.where(there, mine, np.nan)
        gap = np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1) if len(x) else np.zeros(0)
        fields = {"reliance": torch.as_tensor(share)}
        if self.reliability:
            fields["reliability"] = torch.as_tensor(claim)
            fields["conflict"] = torch.as_tensor(1 / (1 + gap))
        return Prediction(data.task, logit, torch.as_tensor(there), **fields)

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        return {}


@pytest.fixture(scope="module")
def found():
    """What is found of a model whose claims see the noise."""
    return probe(Knowing(), TEST, TRAIN, seed=3, replicates=50)


def test_claims_that_see_noise_are_found_out(found):
    value = {k: v["value"] for k, v in found["measures"].items()}
    assert set(value) <= set(MEASURES)
    assert found["claims"] == ["reliability", "reliance", "conflict"]
    assert value["noise_correlation"] > 0.5
    assert value["detection_auroc"] > 0.7
    assert value["detection_in_row"] > 0.7
    steps = [row["struck"] for row in found["noise"]]
    assert steps == sorted(steps, reverse=True)
    assert len({round(row["others"], 12) for row in found["noise"]}) == 1  # the rest stays
    assert all(v["low"] <= v["value"] <= v["high"] for v in found["measures"].values())


def test_flat_claims_find_nothing():
    found = probe(Knowing(flat=True), TEST, TRAIN, seed=3, replicates=5)
    value = {k: v["value"] for k, v in found["measures"].items()}
    assert "noise_correlation" not in value  # undefined: the claim is constant
    assert value["detection_auroc"] == value["detection_in_row"] == value["swap_auroc"] == 0.5
    assert value["faithfulness"] == 0.5
    assert value["spread"] == pytest.approx(0)
    assert value["evenness"] == pytest.approx(1)
    rows = worth_tables({"m": [found]})["worth"]
    assert {r["measure"] for r in rows if r["alarm"]} >= {"spread", "evenness"}


def test_what_removal_costs_is_the_change_of_the_predictions(found):
    model, there = Knowing(), TEST.present
    before = model.predict(TEST).outputs()
    drop, wider = np.zeros(there.shape), np.zeros(there.shape)
    for k, row in enumerate(found["removal"]):
        lost = np.zeros(there.shape, dtype=bool)
        lost[:, k] = there[:, k]
        after = model.predict(TEST.lose(lost)).outputs()
        drop[:, k] = log_likelihood(TEST.target, before) - log_likelihood(TEST.target, after)
        wider[:, k] = entropy(after) - entropy(before)
        assert row["log_loss_change"] == pytest.approx(drop[there[:, k], k].mean())
        assert row["entropy_change"] == pytest.approx(wider[there[:, k], k].mean())
    value = {k: v["value"] for k, v in found["measures"].items()}
    assert value["log_loss_change"] == pytest.approx(drop[there].mean())
    assert value["entropy_change"] == pytest.approx(wider[there].mean())
    claim = model.predict(TEST).reliance.numpy()
    assert value["faithfulness"] == pytest.approx(agreement(claim, drop, there))


def test_truth_is_compared_where_it_is_known(found):
    from scipy.stats import spearmanr

    claim = Knowing().predict(TEST).reliability.numpy()
    expected = spearmanr(-claim.ravel(), true_variance(TEST).ravel()).statistic
    assert found["measures"]["truth_correlation"]["value"] == pytest.approx(expected)
    plain = probe(Knowing(), TEST.replace(provenance={}), TRAIN, seed=3, replicates=5)
    assert "truth_correlation" not in plain["measures"]


def test_a_method_without_claims_is_still_asked_what_removal_costs():
    class Plain(Knowing):
        def predict(self, data: Dataset) -> Prediction:
            p = super().predict(data)
            return Prediction(p.task, p.params, p.present)

    found = probe(Plain(), TEST, TRAIN, replicates=5)
    assert found["claims"] == []
    assert set(found["measures"]) == {"log_loss_change", "entropy_change"}
    assert found["noise"] == []
    assert found["reliance"] == []


def test_the_same_rows_are_damaged_for_all_and_test_rows_alone():
    one, two = Knowing(), Knowing(reliability=False)
    for model in (one, two):
        probe(model, TEST, TRAIN, seed=3, replicates=5)
    assert len(one.seen) == len(two.seen)
    for a, b in zip(one.seen, two.seen, strict=True):
        assert a.fingerprint() == b.fingerprint()
        assert not set(a.row_id) & set(TRAIN.row_id)


def test_measurements_are_counted():
    data = Dataset.from_arrays(
        {
            "t": [[1.0, np.nan], [1.0, 2.0], [np.nan, np.nan]],
            "s": [([0, 1], [[1.0], [np.nan]]), None, ([0], [[1.0]])],
            "c": [["x", "y"], [], ["x"]],
            "w": ["two words", None, "one"],
        },
        modalities={"w": "text"},
    )
    np.testing.assert_array_equal(measurements(data, "t"), [1, 2, np.nan])
    np.testing.assert_array_equal(measurements(data, "s"), [1, np.nan, 1])
    np.testing.assert_array_equal(measurements(data, "c"), [2, np.nan, 1])
    np.testing.assert_array_equal(measurements(data, "w"), [2, np.nan, 1])


def test_reliance_by_groups_of_rows():
    model = Knowing()
    from amodal.study.predictions import Predicted

    predicted = Predicted.of(TEST, model.predict(TEST))
    rows = {
        (r["by"], r["group"], r["modality"], r["quantity"]): r
        for r in reliance_rows(TEST, predicted)
    }
    use = TEST.target == 1
    row = rows["outcome", TEST.task.classes[1] if TEST.task.classes else "1", "m1", "reliance"]
    assert row["mean"] == pytest.approx(predicted.reliance[use, 1].mean())
    assert row["n"] == use.sum()
    assert ("modalities present", "3", "m0", "reliability") in rows
    few = Predicted.of(TEST[:15], model.predict(TEST[:15]))
    assert reliance_rows(TEST[:15], few) == []


def test_probes_of_a_study_are_cells(tmp_path):
    DATA.save(tmp_path / "data")
    out = tmp_path / "study"
    start = {"rates": (0,), "metrics": ("auroc",), "replicates": 10, "probe": True}
    plan = Plan(str(tmp_path / "data"), ("pattern", "attention:epochs=2:width=8"), **start)
    first = run_study(plan, out)
    assert (first.cells, first.ran, first.failed) == (4, 4, ())
    assert len(list((out / "probes").iterdir())) == 2
    again = run_study(plan, out)
    assert (again.ran, again.skipped) == (0, 4)
    results = read_results(out)
    probes = read_probes(results)
    assert set(probes) == {"pattern", "attention:epochs=2:width=8"}
    rows = worth_tables(probes)["worth"]
    assert {r["measure"] for r in rows if r["method"] == "pattern"} == {
        "log_loss_change",
        "entropy_change",
    }
    names = {p.name for p in write_tables(Pool(results), tmp_path / "tables")}
    assert {"worth.csv", "worth_noise.csv", "worth_removal.csv", "reliance.csv"} <= names
