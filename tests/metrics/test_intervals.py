"""Bootstrap intervals against brute-force resampling, closed forms and edge sizes."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import metrics as sk

from amodal.errors import DataError, SettingError
from amodal.metrics import intervals
from amodal.metrics.calibration import ece, log_loss
from amodal.metrics.discrimination import accuracy, auroc
from amodal.metrics.intervals import (
    Bootstrap,
    Difference,
    Interval,
    bootstrap,
    paired_bootstrap,
)
from amodal.metrics.regression import mae

GROUPS = np.random.default_rng(9).integers(0, 40, size=300)


def all_weights(resamples: Bootstrap) -> np.ndarray:
    return np.concatenate(list(resamples.weights()))


def mannwhitneyu_share(y: np.ndarray, p: np.ndarray) -> float:
    """AUROC from the sum of the ranks of the positive rows."""
    count = y.sum()
    return (rankdata(p)[y == 1].sum() - count * (count + 1) / 2) / (count * (len(y) - count))


def test_replicates_equal_metrics_of_repeated_rows(binary):
    """Each row of weights, turned into repeated rows and scored by scikit-learn."""
    y, p, _ = binary
    resamples = Bootstrap(300, group=GROUPS, replicates=40, seed=5)
    values = []
    for weight in all_weights(resamples):
        rows = np.repeat(np.arange(300), weight.astype(int))
        values.append(sk.roc_auc_score(y[rows], p[rows]))
    found = bootstrap(auroc, y, p, group=GROUPS, replicates=40, seed=5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert found.value == pytest.approx(sk.roc_auc_score(y, p))
    assert (found.replicates, found.undefined, found.level) == (40, 0, 0.95)


def test_interval_agrees_with_an_independent_group_bootstrap(binary):
    y, p, _ = binary
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(g == GROUPS) for g in np.unique(GROUPS)]
    values = []
    for _ in range(1500):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        values.append(mannwhitneyu_share(y[rows], p[rows]))
    found = bootstrap(auroc, y, p, group=GROUPS, replicates=3000)
    spread = np.std(values)
    assert found.low == pytest.approx(np.quantile(values, 0.025), abs=0.2 * spread)
    assert found.high == pytest.approx(np.quantile(values, 0.975), abs=0.2 * spread)


def test_groups_are_drawn_whole_and_as_many_as_there_are():
    group = np.array(["b", "a", "b", "c"])
    weights = all_weights(Bootstrap(4, group=group, replicates=200))
    assert weights.shape == (200, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    assert weights[:, [0, 1, 3]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.2)


def test_standard_error_of_a_mean_is_the_closed_form():
    """Percentile interval of a mean: -/+ 1.96 times the population sd over the root of n."""
    rng = np.random.default_rng(1)
    y = np.abs(rng.normal(size=400))
    found = bootstrap(mae, y, np.zeros(400), replicates=4000)
    half = 1.96 * y.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (y.mean() - half, y.mean() + half), abs=half / 10
    )
    # ten copies of each row add nothing when the copies are one group
    copies = bootstrap(
        mae, np.repeat(y, 10), np.zeros(4000), group=np.repeat(np.arange(400), 10), replicates=2000
    )
    assert copies.high - copies.low == pytest.approx(2 * half, rel=0.1)


def test_the_same_seed_gives_the_same_whatever_the_block(binary, monkeypatch):
    y, p, _ = binary
    resamples = Bootstrap(300, group=GROUPS, replicates=101, seed=3)
    whole, found = all_weights(resamples), bootstrap(auroc, y, p, replicates=101)
    monkeypatch.setattr(intervals, "BLOCK", 2000)
    assert len(list(resamples.weights())) > 10
    np.testing.assert_array_equal(all_weights(resamples), whole)
    assert bootstrap(auroc, y, p, replicates=101) == found
    assert bootstrap(auroc, y, p, replicates=101, seed=1) != found


def test_weights_of_the_data_multiply(binary):
    y, p, w = binary
    found = bootstrap(log_loss, y, p, weight=w, replicates=50, seed=2)
    plain = all_weights(Bootstrap(300, replicates=50, seed=2))
    values = log_loss(y, p, weight=plain * w)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert found.value == log_loss(y, p, weight=w)


def test_undefined_replicates_are_left_out_and_counted():
    y, p = [0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4]
    found = bootstrap(auroc, y, p, replicates=2000)
    assert found.replicates + found.undefined == 2000
    # without the positive row (3/4)^4, with nothing else (1/4)^4
    assert found.undefined / 2000 == pytest.approx((3 / 4) ** 4 + (1 / 4) ** 4, abs=0.04)
    assert (found.low, found.high) == (1.0, 1.0)


def test_an_undefined_value_is_nan():
    found = bootstrap(auroc, [1, 1], [0.1, 0.2], replicates=10)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert (found.replicates, found.undefined) == (0, 10)
    assert found.to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "level": 0.95,
        "replicates": 0,
        "undefined": 10,
    }


def test_edge_sizes():
    empty = bootstrap(accuracy, [], [], replicates=10)
    assert math.isnan(empty.value)
    assert (empty.replicates, empty.undefined) == (0, 10)
    one = bootstrap(accuracy, [1], [0.9], replicates=10)
    assert (one.value, one.low, one.high, one.replicates) == (1.0, 1.0, 1.0, 10)
    single_group = bootstrap(accuracy, [1, 0], [0.9, 0.9], group=["a", "a"], replicates=10)
    assert (single_group.low, single_group.high) == (0.5, 0.5)
    none = bootstrap(accuracy, [1, 0], [0.9, 0.9], replicates=0)
    assert (none.value, none.replicates, none.undefined) == (0.5, 0, 0)
    assert math.isnan(none.low)


def test_level():
    y = np.random.default_rng(0).normal(size=200)
    wide = bootstrap(mae, y, np.zeros(200), level=0.99)
    narrow = bootstrap(mae, y, np.zeros(200), level=0.5)
    assert wide.low < narrow.low < wide.value < narrow.high < wide.high


def test_json_round_trip():
    found = Interval(0.5, 0.25, math.nan, 0.9, 7, 3)
    again = Interval.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.value == 0.5
    assert math.isnan(again.high)
    assert (again.level, again.replicates, again.undefined) == (0.9, 7, 3)
    difference = Difference(0.5, 0.25, 0.75, p_value=0.1, share_positive=0.95)
    assert Difference.from_json(difference.to_json()) == difference


def test_centred_intervals_keep_the_spread_and_contain_the_value():
    samples = np.random.default_rng(0).normal(5, 1, size=2000)
    plain = Interval.of_samples(3.0, samples)
    centred = Interval.of_samples(3.0, samples, kind="centred")
    assert plain.low > 3  # the bias that is taken away
    assert centred.low < 3 < centred.high
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
    with pytest.raises(SettingError, match="'percentile' or 'centred'; found 'bca'"):
        Interval.of_samples(3.0, samples, kind="bca")


def test_resampling_biases_the_ece_upwards():
    """Why the ECE has centred intervals: a resample is noisier than the sample."""
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = (rng.random(500) < p).astype(int)
    block = all_weights(Bootstrap(500, replicates=300))
    assert np.mean(ece(y, p, weight=block) > ece(y, p)) > 0.8


# paired


def test_paired_replicates_share_their_resamples(binary):
    y, p, _ = binary
    q = np.clip(p + np.random.default_rng(0).normal(0, 0.2, 300), 0, 1)
    found = paired_bootstrap(auroc, y, p, q, group=GROUPS, replicates=300, seed=4)
    block = all_weights(Bootstrap(300, group=GROUPS, replicates=300, seed=4))
    samples = auroc(y, p, weight=block) - auroc(y, q, weight=block)
    assert found.value == auroc(y, p) - auroc(y, q)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])))
    assert found.share_positive == pytest.approx((samples > 0).mean())
    tail = 1 + min((samples <= 0).sum(), (samples >= 0).sum())
    assert found.p_value == pytest.approx(min(1, 2 * tail / 301))


def test_swapping_the_methods_turns_the_sign(binary):
    y, p, _ = binary
    q = np.round(p * 4) / 4
    one = paired_bootstrap(log_loss, y, np.clip(p, 0.1, 0.9), q, replicates=200)
    two = paired_bootstrap(log_loss, y, q, np.clip(p, 0.1, 0.9), replicates=200)
    assert (two.value, two.low, two.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert two.p_value == one.p_value
    assert two.share_positive == pytest.approx(1 - one.share_positive)


def test_p_values_are_uniform_under_no_difference():
    """Two equally noisy copies of the truth, many data sets: about 10% below .1."""
    rng = np.random.default_rng(0)
    below = 0
    for seed in range(200):
        y, a, b = rng.normal(size=(3, 60))
        found = paired_bootstrap(mae, y, y + a, y + b, replicates=200, seed=seed)
        below += found.p_value < 0.1
    assert 0.04 < below / 200 < 0.18


def test_a_clear_difference_has_the_smallest_p_value():
    y = np.zeros(50)
    found = paired_bootstrap(mae, y, y + 2, y + 1, replicates=99)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.p_value == pytest.approx(2 / 100)
    assert found.share_positive == 1


def test_undefined_differences():
    found = paired_bootstrap(auroc, [1, 1], [0.1, 0.2], [0.2, 0.3], replicates=5)
    assert math.isnan(found.value)
    assert math.isnan(found.p_value)
    assert found.undefined == 5


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([1, 2, 3], r"one id per row, 2 in all; found shape \[3\]"),
        ([1.0, np.nan], "none is missing"),
        (np.array(["a", None], dtype=object), "none is missing"),
        (np.array([1, "a"], dtype=object), "all numbers or all text"),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), "none is missing"),
        (np.array([1.0, np.nan], dtype=object), "none is missing"),
    ],
)
def test_bad_groups(group, message):
    with pytest.raises(DataError, match=message):
        Bootstrap(2, group=group)


def test_bad_settings():
    with pytest.raises(SettingError, match="replicates is at least 0; found -1"):
        Bootstrap(2, replicates=-1)
    with pytest.raises(SettingError, match="level lies between 0 and 1; found 95"):
        Bootstrap(2, level=95)
    with pytest.raises(DataError, match=r"the weight of the data has shape \[n\]"):
        Bootstrap(2, weight=[[1, 1]])
    with pytest.raises(DataError, match=r"one entry per row, 2 in all; found shape \[3\]"):
        Bootstrap(2).intervals({"mae": mae}, [1, 2, 3], [1, 2, 3])


def test_a_thousand_replicates_of_4000_rows_are_quick():
    """About .1 s on an idle core; the limit leaves room for a busy machine."""
    rng = np.random.default_rng(0)
    p = rng.random(4000)
    y = (rng.random(4000) < p).astype(int)
    start = time.process_time()
    found = bootstrap(auroc, y, p)
    assert time.process_time() - start < 2
    assert found.low < found.value < found.high
