"""Random effects: published results of the BCG trials, brute force, and the ends."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.metrics import random_effects

# Colditz et al., JAMA 271, 1994: tuberculosis yes and no, vaccinated and not, in 13 trials
BCG = np.array(
    [
        (4, 119, 11, 128),
        (6, 300, 29, 274),
        (3, 228, 11, 209),
        (62, 13536, 248, 12619),
        (33, 5036, 47, 5761),
        (180, 1361, 372, 1079),
        (8, 2537, 10, 619),
        (505, 87886, 499, 87892),
        (29, 7470, 45, 7232),
        (17, 1699, 65, 1600),
        (186, 50448, 141, 27197),
        (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ],
    dtype=float,
)


@pytest.fixture
def log_risk_ratios():
    a, b, c, d = BCG.T
    return np.log(a / (a + b)) - np.log(c / (c + d)), np.sqrt(
        1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    )


def test_the_published_results(log_risk_ratios):
    """Viechtbauer, J Stat Softw 36(3), 2010, section 3: the same trials in metafor."""
    found = random_effects(*log_risk_ratios)
    assert found.value == pytest.approx(-0.7145, abs=5e-5)
    assert found.tau**2 == pytest.approx(0.3132, abs=5e-5)
    assert found.q == pytest.approx(152.233, abs=5e-4)
    assert found.i2 == pytest.approx(0.9222, abs=5e-5)
    laird = random_effects(*log_risk_ratios, variance="dl")
    assert (laird.value, laird.tau**2) == pytest.approx((-0.7141, 0.3088), abs=5e-5)


def test_the_odds_ratios_of_van_houwelingen():
    """van Houwelingen et al., Stat Med 21, 2002 (REML): -.745 and .338."""
    a, b, c, d = BCG.T
    y, s = np.log(a * d / (b * c)), np.sqrt((1 / BCG).sum(axis=1))
    found = random_effects(y, s)
    assert (found.value, found.tau**2) == pytest.approx((-0.745, 0.338), abs=5e-4)


def test_reml_is_at_the_top_of_the_restricted_likelihood():
    rng = np.random.default_rng(0)
    for k in (2, 3, 5, 12):
        for spread in (0.0, 0.3, 2.0):
            s = rng.uniform(0.1, 1.0, k)
            y = rng.normal(0, spread, k) + rng.normal(0, s)
            tau2 = random_effects(y, s).tau ** 2

            def restricted(t, y=y, s=s):
                w = 1 / (s**2 + t[:, None])
                mean = (w * y).sum(1, keepdims=True) / w.sum(1, keepdims=True)
                apart = (w * (y - mean) ** 2).sum(1)
                return (np.log(w).sum(1) - np.log(w.sum(1)) - apart) / 2

            grid = restricted(np.linspace(0, 20, 20001))
            assert restricted(np.array([tau2]))[0] >= grid.max() - 1e-9


def test_intervals_by_hand(log_risk_ratios):
    from scipy.stats import t

    y, s = log_risk_ratios
    found = random_effects(y, s, level=0.9)
    w = 1 / (s**2 + found.tau**2)
    error = np.sqrt((w * (y - found.value) ** 2).sum() / 12 / w.sum())
    assert found.high - found.value == pytest.approx(t.ppf(0.95, 12) * error)
    wide = t.ppf(0.95, 11) * np.hypot(found.tau, error)
    assert found.prediction_high - found.value == pytest.approx(wide)
    assert found.value - found.prediction_low == pytest.approx(wide)


def test_agreeing_sites_keep_the_plain_error():
    found = random_effects([1.0, 1.0], [0.2, 0.2])
    assert (found.tau, found.q, found.i2) == (0.0, 0.0, 0.0)
    assert found.high - 1 == pytest.approx(12.706 * 0.2 / np.sqrt(2), abs=1e-3)
    assert np.isnan([found.prediction_low, found.prediction_high]).all()


def test_one_site_and_bad_input():
    one = random_effects([3.0], [1.0])
    assert (one.value, one.sites, one.tau) == (3.0, 1, 0.0)
    assert np.isnan([one.low, one.high, one.prediction_low]).all()
    for y, s in (([], []), ([1.0], [0.0]), ([np.nan], [1.0]), ([1, 2], [1]), ([1.0], [np.inf])):
        with pytest.raises(DataError, match="estimates"):
            random_effects(y, s)
    with pytest.raises(SettingError, match="between 0 and 1"):
        random_effects([1.0], [1.0], level=1.0)
    with pytest.raises(UnknownNameError, match="did you mean 'reml'"):
        random_effects([1.0], [1.0], variance="rmel")
