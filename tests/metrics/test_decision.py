"""Decision curves and alerts: against counting by hand, and the ends that theory gives."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError, SettingError
from amodal.metrics.decision import at_thresholds, decision_curve, net_benefit

GRID = np.array([0.05, 0.2, 0.5, 0.8])


def test_net_benefit_is_counted(binary):
    y, p, weight = binary
    found = decision_curve(y, p, thresholds=GRID, weight=weight)
    for k, t in enumerate(GRID):
        alert = p >= t
        true = weight[alert & (y == 1)].sum() / weight.sum()
        false = weight[alert & (y == 0)].sum() / weight.sum()
        assert found.model[k] == pytest.approx(true - false * t / (1 - t))
        rate = (weight * y).sum() / weight.sum()
        assert found.treat_all[k] == pytest.approx(rate - (1 - rate) * t / (1 - t))
    assert net_benefit(y, p, threshold=0.2, weight=weight) == pytest.approx(found.model[1])


def test_the_ends(binary):
    y, _, _ = binary
    perfect = decision_curve(y, y.astype(float), thresholds=GRID)
    assert perfect.model == pytest.approx(np.full(4, y.mean()))
    assert decision_curve(y, np.zeros(len(y)), thresholds=GRID).model.tolist() == [0.0] * 4
    every = decision_curve(y, np.ones(len(y)), thresholds=GRID)
    assert every.model == pytest.approx(every.treat_all)
    # at a threshold equal to the prevalence, to act on all is worth nothing
    assert decision_curve(y, y, thresholds=[y.mean()]).treat_all[0] == pytest.approx(0)


def test_alerts_are_counted(binary):
    y, p, weight = binary
    found = at_thresholds(y, p, thresholds=GRID, weight=weight)
    for k, t in enumerate(GRID):
        alert = p >= t
        with np.errstate(invalid="ignore"):
            expected = [
                100 * np.average(alert, weights=weight),
                np.sum(weight * alert * y) / np.sum(weight * alert),
                np.sum(weight * alert * y) / np.sum(weight * y),
                np.sum(weight * ~alert * (1 - y)) / np.sum(weight * (1 - y)),
                np.sum(weight * ~alert * (1 - y)) / np.sum(weight * ~alert),
            ]
        names = ("alerts_per_100", "ppv", "sensitivity", "specificity", "npv")
        assert [getattr(found, n)[k] for n in names] == pytest.approx(expected, nan_ok=True)


def test_replicates_are_those_of_single_weights(binary):
    y, p, weight = binary
    both = np.stack([weight, np.ones(len(y))])
    found = decision_curve(y, p, thresholds=GRID, weight=both)
    assert found.model.shape == (2, 4)
    assert found.model[1] == pytest.approx(decision_curve(y, p, thresholds=GRID).model)
    alerts = at_thresholds(y, p, thresholds=GRID, weight=both)
    assert alerts.ppv[0] == pytest.approx(
        at_thresholds(y, p, thresholds=GRID, weight=weight).ppv, nan_ok=True
    )
    assert net_benefit(y, p, threshold=0.2, weight=both).shape == (2,)


def test_edges():
    assert np.isnan(decision_curve([], [], thresholds=[0.5]).model).all()
    one = at_thresholds([1], [0.2], thresholds=[0.5])
    assert (one.alerts_per_100[0], one.sensitivity[0], one.npv[0]) == (0, 0, 0)
    assert np.isnan([one.ppv[0], one.specificity[0]]).all()
    for bad in ([0.0], [1.0], [[0.1]], [np.nan]):
        with pytest.raises(SettingError, match="between 0 and 1"):
            decision_curve([1], [0.5], thresholds=bad)
    with pytest.raises(DataError):
        at_thresholds([1, 2], [0.5, 0.5], thresholds=[0.5])
