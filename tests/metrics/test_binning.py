"""ECE against a plain loop, netcal and closed forms; the perfect model; the calibration curve."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest
from scipy.stats import binomtest

from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.metrics.binning import calibration_curve, ece, ece_of_perfect, perfect_ece_draws


def ece_by_loop(y, p, index, weight) -> float:
    off = sum(abs((weight * (y - p))[index == b].sum()) for b in np.unique(index))
    return off / weight.sum()


def mass_index(p, weight, bins) -> np.ndarray:
    """The bin in which the middle of the weight of all rows with this prediction falls."""
    middle = [weight[p < v].sum() + weight[p == v].sum() / 2 for v in p]
    return np.minimum(np.floor(bins * np.array(middle) / weight.sum()), bins - 1)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_ece_equals_a_plain_loop(binary, bins):
    y, p, w = binary
    for weight in (np.ones(len(y)), w):
        by_width = np.minimum(np.floor(np.round(p * bins, 9)), bins - 1)
        assert ece(y, p, bins=bins, binning="width", weight=weight) == pytest.approx(
            ece_by_loop(y, p, by_width, weight), abs=1e-12
        )
        assert ece(y, p, bins=bins, weight=weight) == pytest.approx(
            ece_by_loop(y, p, mass_index(p, weight, bins), weight), abs=1e-12
        )


def test_mass_bins_hold_equal_counts_without_ties():
    rng = np.random.default_rng(0)
    p, y = rng.random(60), rng.integers(0, 2, 60)
    order = np.argsort(p)
    chunks = np.split(order, 15)
    expected = sum(abs((y[c] - p[c]).sum()) for c in chunks) / 60
    assert ece(y, p) == pytest.approx(expected, abs=1e-12)


def test_multiclass_ece_is_that_of_the_top_label(multiclass):
    y, p, w = multiclass
    right, confidence = (p.argmax(axis=1) == y).astype(int), p.max(axis=1)
    for binning in ("mass", "width"):
        assert ece(y, p, binning=binning, weight=w) == pytest.approx(
            ece(right, confidence, binning=binning, weight=w), abs=1e-14
        )


@pytest.mark.slow  # its import takes seconds
@pytest.mark.skipif(importlib.util.find_spec("netcal") is None, reason="netcal is not installed")
def test_equal_width_ece_equals_netcal(binary, multiclass):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import of another project
        from netcal.metrics import ECE
    y, p, _ = binary
    p = np.clip(p + 0.01, 0, 1)  # off the edges, where two conventions are right
    assert ece(y, p, bins=10, binning="width") == pytest.approx(ECE(10).measure(p, y), abs=1e-9)
    y, p, _ = multiclass
    p = 0.97 * p + 0.03 / 4
    assert ece(y, p, bins=10, binning="width") == pytest.approx(ECE(10).measure(p, y), abs=1e-9)


def test_many_weights_at_once_equal_one_by_one(binary):
    y, p, _ = binary
    weights = np.random.default_rng(3).integers(0, 3, size=(7, len(y)))
    weights[2] = 0
    for binning in ("mass", "width"):
        together = ece(y, p, binning=binning, weight=weights)
        assert np.isnan(together[2])
        one_by_one = [ece(y, p, binning=binning, weight=w) for w in weights]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


def test_one_tie_group_is_one_bin():
    y = np.array([1, 0, 0, 0])
    assert ece(y, np.full(4, 0.5)) == 0.25  # |1/4 - 1/2|
    assert ece(y, np.full(4, 0.25)) == 0
    assert ece(y, [1.0, 0, 0, 0]) == 0


def test_perfect_ece_in_closed_form():
    """One bin, constant p: E|K/n - p| for K ~ Binomial(n, p)."""
    n, p = 10, 0.3
    k = np.arange(n + 1)
    probability = np.array([_choose(n, i) * p**i * (1 - p) ** (n - i) for i in k])
    expected = float(probability @ np.abs(k / n - p))
    draws = perfect_ece_draws(np.full(n, p), bins=1, draws=4000, seed=1)
    assert draws.mean() == pytest.approx(expected, abs=4 * draws.std() / np.sqrt(4000))
    assert set(np.round(draws, 12)) <= set(np.round(np.abs(k / n - p), 12))


def _choose(n: int, k: int) -> int:
    from math import comb

    return comb(n, k)


def test_perfect_ece_is_what_perfect_targets_give():
    """Mean ECE of targets drawn from the predictions, computed with `ece` itself."""
    rng = np.random.default_rng(4)
    p = rng.beta(1, 4, size=500)
    values = np.array([ece(rng.random(500) < p, p) for _ in range(300)])
    assert ece_of_perfect(p) == pytest.approx(values.mean(), abs=5 * values.std() / np.sqrt(200))
    for binning in ("mass", "width"):
        larger = np.tile(p, 16)  # sixteen times the rows: a quarter of the noise
        ratio = ece_of_perfect(larger, binning=binning) / ece_of_perfect(p, binning=binning)
        assert ratio == pytest.approx(1 / 4, rel=0.1)


def test_perfect_ece_weights_seeds_and_classes(multiclass):
    _, p, _ = multiclass
    assert ece_of_perfect(p, seed=3) == ece_of_perfect(p, seed=3) != ece_of_perfect(p, seed=4)
    assert ece_of_perfect(p) == ece_of_perfect(p.max(axis=1))
    assert ece_of_perfect([0.5, 0.1], weight=[1, 0]) == 0.5
    assert np.isnan(ece_of_perfect([0.5], weight=[0]))
    assert np.isnan(ece_of_perfect([]))
    with pytest.raises(DataError, match=r"weight has shape \[n\] here"):
        ece_of_perfect([0.5], weight=[[1]])
    with pytest.raises(SettingError, match="draws is at least 1; found 0"):
        ece_of_perfect([0.5], draws=0)


def test_curve_equals_a_plain_loop_with_wilson_intervals(binary):
    y, p, _ = binary
    curve = calibration_curve(y, p, bins=8)
    index = mass_index(p, np.ones(len(y)), 8)
    for i, b in enumerate(np.unique(index)):
        inside = index == b
        wilson = binomtest(int(y[inside].sum()), int(inside.sum())).proportion_ci(method="wilson")
        assert curve.count[i] == inside.sum()
        assert curve.predicted[i] == pytest.approx(p[inside].mean())
        assert curve.observed[i] == pytest.approx(y[inside].mean())
        assert (curve.low[i], curve.high[i]) == pytest.approx((wilson.low, wilson.high))
    assert len(curve.count) == len(np.unique(index))
    assert curve.count.sum() == len(y)


def test_curve_with_weights_and_empty_bins():
    y, p = [1, 0, 1, 1], [0.1, 0.1, 0.9, 0.9]
    curve = calibration_curve(y, p, bins=5, binning="width", weight=[1, 3, 2, 0])
    assert curve.predicted.tolist() == pytest.approx([0.1, 0.9])
    assert curve.observed.tolist() == [0.25, 1.0]
    assert curve.count.tolist() == [2, 1]
    # Kish: (1 + 3)^2 / (1 + 9) = 1.6 rows; scaling all weights changes nothing
    same = calibration_curve(y, p, bins=5, binning="width", weight=[10, 30, 20, 0])
    np.testing.assert_allclose(same.low, curve.low)
    z = 1.959963984540054
    center = (0.25 + z**2 / 3.2) / (1 + z**2 / 1.6)
    assert (curve.low[0] + curve.high[0]) / 2 == pytest.approx(center)
    assert curve.high[1] == 1.0


def test_curve_of_nothing_is_empty():
    curve = calibration_curve([], [])
    assert curve.count.tolist() == curve.low.tolist() == []
    assert calibration_curve([1], [0.4]).count.tolist() == [1]


def test_bins_and_binning_are_checked():
    with pytest.raises(SettingError, match="bins is at least 1; found 0"):
        ece([1], [0.5], bins=0)
    with pytest.raises(UnknownNameError, match="did you mean 'width'"):
        ece([1], [0.5], binning="widht")
    with pytest.raises(SettingError, match="level lies between 0 and 1; found 95"):
        calibration_curve([1], [0.5], level=95)
