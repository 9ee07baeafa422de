"""Pooled scores and paired differences against brute force and against `paired_bootstrap`."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from amodal.analysis.compare import (
    against_best,
    against_reference,
    best_method,
    compare,
    holm,
    p_value,
    verdict,
)
from amodal.analysis.pooling import Pool, concatenate
from amodal.errors import DataError
from amodal.metrics import METRICS, Bootstrap, Interval, paired_bootstrap
from amodal.study.plan import Plan
from amodal.study.results import At, read_results

START, MCAR = At("none", 0.0), At("mcar", 0.5)


@pytest.fixture(scope="module")
def pool(binary):
    return Pool(binary, keep=False)


@pytest.fixture(scope="module")
def single(made_up, tmp_path_factory):
    """One seed, one split, rows in groups."""
    plan = Plan("made/up", ("aum", "mean"), rates=(0, 0.5), metrics=("auroc",), replicates=80)
    skill = {"aum": (0.95, 1.0), "mean": (0.6, 1.0)}
    world = made_up.World(rows=210, skill=skill, per_group=3)
    folder = tmp_path_factory.mktemp("single") / "study"
    return read_results(made_up.make_study(folder, plan, world))


def _seeds(results, method, at):
    cells = results.group(method, at)
    return [concatenate([c for c in cells if c.unit[0] == s]) for s in (0, 1)]


def test_folds_are_put_together_and_seeds_averaged(binary, pool):
    parts = _seeds(binary, "aum", MCAR)
    each = [roc_auc_score(p.target, p.outputs["probability"]) for p in parts]
    found = pool.scores("aum", MCAR)["auroc"]
    np.testing.assert_allclose(found.seeds, each)
    assert found.value == pytest.approx(np.mean(each))
    assert found.spread == pytest.approx(np.std(each, ddof=1))
    assert found.rows == 2 * 160


def test_replicates_draw_groups_once_for_all_seeds(binary, pool):
    """Each replicate, done the slow way: rows repeated as often as their group was drawn."""
    members = pool.members
    assert len(members) == 80
    draws = np.concatenate(list(Bootstrap(80, replicates=60).weights()))
    parts = _seeds(binary, "boosting", MCAR)
    found = pool.scores("boosting", MCAR)["log_loss"].samples
    for b in (0, 7, 59):
        values = []
        for p in parts:
            times = draws[b][np.searchsorted(members, p.group)].astype(int)
            y, q = np.repeat(p.target, times), np.repeat(p.outputs["probability"], times)
            values.append(log_loss(y, q))
        assert found[b] == pytest.approx(np.mean(values))


def test_one_split_agrees_with_the_paired_bootstrap(single):
    pool = Pool(single, keep=False)
    a, b = (concatenate(single.group(m, MCAR)) for m in ("aum", "mean"))
    theirs = paired_bootstrap(
        METRICS["auroc"], a.target, a.outputs, b.outputs, group=a.group, replicates=80
    )
    ours = compare(pool, "auroc", at=MCAR, method="aum", other="mean")
    assert ours.interval.value == pytest.approx(theirs.value)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.units == 1
    assert ours.complete


def test_missing_cells_leave_the_others_paired(binary, pool):
    found = compare(pool, "auroc", at=MCAR, method="forest", other="aum")
    assert (found.units, found.complete) == (3, False)
    kept = binary.units("forest", MCAR)
    values = {}
    for method in ("forest", "aum"):
        cells = [c for c in binary.group(method, MCAR) if c.unit in kept]
        parts = [concatenate([c for c in cells if c.unit[0] == s]) for s in (0, 1)]
        each = [roc_auc_score(p.target, p.outputs["probability"]) for p in parts]
        values[method] = np.mean(each)
    assert found.interval.value == pytest.approx(values["forest"] - values["aum"])


def test_the_mean_over_rates_is_the_mean_of_the_replicates(pool):
    mean = compare(pool, "auroc", at=At("mcar", None), method="aum", other="boosting")
    each = [compare(pool, "auroc", at=at, method="aum", other="boosting") for at in (START, MCAR)]
    assert mean.interval.value == pytest.approx(np.mean([c.interval.value for c in each]))
    samples = np.mean(
        [
            pool.scores("aum", at)["auroc"].samples - pool.scores("boosting", at)["auroc"].samples
            for at in (START, MCAR)
        ],
        axis=0,
    )
    assert mean.interval.low == pytest.approx(np.quantile(samples, 0.025))


def test_simulated_metrics_average_their_own_draws(pool):
    found = pool.scores("aum", START)["ece_of_perfect"]
    assert found.samples.shape == (200,)
    assert found.interval.low < found.value < found.interval.high
    assert 0 < found.value < 0.2


def test_scores_are_kept_and_read_again(binary, monkeypatch):
    first = Pool(binary).scores("aum", MCAR)
    monkeypatch.setattr(Pool, "_compute", lambda *_: pytest.fail("computed again"))
    again = Pool(binary).scores("aum", MCAR)
    for name in first:
        np.testing.assert_array_equal(first[name].samples, again[name].samples)
        assert first[name].interval == again[name].interval


@pytest.mark.processes
def test_filling_in_several_processes_changes_nothing(single, tmp_path):
    told = []
    for jobs in (1, 2):
        shutil.copytree(single.folder, tmp_path / str(jobs))
        shutil.rmtree(tmp_path / str(jobs) / "summary", ignore_errors=True)
        pool = Pool(read_results(tmp_path / str(jobs)))
        pool.fill(jobs=jobs, progress=lambda *x: told.append(x))
    one, two = (sorted((tmp_path / str(j) / "summary").iterdir()) for j in (1, 2))
    assert [p.name for p in one] == [p.name for p in two]
    for a, b in zip(one, two, strict=True):
        with np.load(a) as first, np.load(b) as second:
            np.testing.assert_array_equal(first["all:auroc"], second["all:auroc"])
    assert told[0] == (0, 4, "scores")
    assert told[-1] == (4, 4, "mean, mcar 0.5")


def test_damaged_kept_scores_are_computed_anew(binary):
    expected = Pool(binary).scores("aum", START)["auroc"].value
    for path in (binary.folder / "summary").glob("*.npz"):
        path.write_bytes(b"broken")
    assert Pool(binary).scores("aum", START)["auroc"].value == expected


def test_a_point_without_cells_is_named(pool):
    with pytest.raises(DataError, match=r"aum has none under mcar at 0\.9"):
        pool.scores("aum", At("mcar", 0.9))


def test_the_best_baseline_and_the_direction_of_metrics(pool):
    assert best_method(pool, "auroc", at=MCAR, methods=("boosting", "forest")) == "boosting"
    for metric, sign in (("auroc", 1), ("log_loss", -1)):
        rows = against_best(pool, metric)
        assert {c.method for c in rows} == {"aum"}
        assert len(rows) == 3 + 2  # three points and a mean per mechanism
        for c in rows:
            if c.verdict == "better":
                assert sign * c.interval.value > 0
    assert "better" in {c.verdict for c in against_best(pool, "log_loss")}


def test_a_method_with_fewer_cells_is_never_the_best(pool):
    assert best_method(pool, "auroc", at=MCAR, methods=("forest", "boosting", "aum")) == "aum"
    assert best_method(pool, "auroc", at=MCAR, methods=("forest",)) == "forest"
    assert best_method(pool, "auroc", at=MCAR, methods=()) is None


def test_every_other_method_is_compared_with_the_reference(pool):
    rows = against_reference(pool, "auroc")
    assert {c.method for c in rows} == {"boosting", "forest"}
    assert {c.other for c in rows} == {"aum"}
    assert [c.p_holm for c in rows] == holm([c.p for c in rows])


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_smallest_level_at_which_the_step_down_rejects(p):
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.2, 0.9):
        rejected, order = set(), sorted(range(len(p)), key=lambda k: p[k])
        for place, k in enumerate(order):
            if p[k] > level / (len(p) - place):
                break
            rejected.add(k)
        found = {k for k, q in enumerate(adjusted) if q <= level}
        close = any(abs(q - level) < 1e-9 for q in adjusted)
        assert close or found == rejected


def test_holm_leaves_undefined_values_out():
    assert holm([0.02, float("nan"), 0.04])[::2] == [0.04, 0.04]
    assert np.isnan(holm([0.02, float("nan")])[1])


def test_p_values():
    rng = np.random.default_rng(0)
    samples = rng.normal(0.5, 1, 4000)
    below = (samples <= 0).sum()
    assert p_value(0.5, samples) == pytest.approx(2 * (below + 1) / 4001)
    assert p_value(5.0, rng.normal(5, 1, 500)) < 1e-5  # beyond what 500 replicates could show
    assert p_value(0.0, np.zeros(100)) == 1.0
    assert p_value(1.0, np.ones(99)) == pytest.approx(2 / 100)
    assert np.isnan(p_value(float("nan"), np.array([np.nan])))


@pytest.mark.parametrize(
    ("low", "high", "higher", "word"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, -0.1, False, "better"),
        (-0.1, 0.2, True, "undecided"),
        (0.0, 0.2, True, "undecided"),
        (float("nan"), float("nan"), True, "undecided"),
        (0.1, 0.2, None, "undecided"),
    ],
)
def test_verdicts(low, high, higher, word):
    assert verdict(Interval((low + high) / 2, low, high), higher) == word


@pytest.mark.parametrize(
    ("low", "high", "higher", "word"),
    [
        (0.001, 0.02, True, "better"),
        (-0.009, 0.02, True, "non-inferior"),
        (-0.009, -0.001, True, "non-inferior"),  # worse, but by less than matters
        (-0.01, 0.02, True, "undecided"),  # the margin itself is not within the margin
        (-0.03, -0.001, True, "worse"),
        (-0.02, -0.001, False, "better"),
        (-0.02, 0.009, False, "non-inferior"),
        (-0.02, 0.011, False, "undecided"),
        (0.001, 0.02, False, "worse"),
        (-0.001, 0.001, None, "undecided"),
        (float("nan"), float("nan"), True, "undecided"),
    ],
)
def test_verdicts_with_a_margin(low, high, higher, word):
    assert verdict(Interval((low + high) / 2, low, high), higher, margin=0.01) == word


def test_the_margin_is_of_the_primary_metric_alone(pool, monkeypatch):
    monkeypatch.setitem(vars(pool.results.plan), "margin", 0.9)
    primary = pool.results.primary
    assert {c.verdict for c in against_best(pool, primary)} <= {"better", "non-inferior"}
    assert {c.margin for c in against_best(pool, "log_loss")} == {0.0}
