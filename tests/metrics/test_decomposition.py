"""Parts of the Brier score: they add up, and equal brute force; ECE class by class."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError
from amodal.metrics import METRICS
from amodal.metrics.calibration import brier, ece
from amodal.metrics.decomposition import brier_decomposition, classwise_ece


def _isotonic(y, p, w):
    """Min-max formula of isotonic regression on tie groups, by brute force."""
    levels = np.unique(p)
    size = np.array([w[p == v].sum() for v in levels])
    mean = np.array([np.average(y[p == v], weights=w[p == v]) for v in levels])
    fitted = [
        max(
            min(np.average(mean[a : b + 1], weights=size[a : b + 1]) for b in range(k, len(levels)))
            for a in range(k + 1)
        )
        for k in range(len(levels))
    ]
    return np.array(fitted)[np.searchsorted(levels, p)]


def test_parts_add_up_and_equal_brute_force(binary):
    y, p, weight = binary
    kept = weight > 0
    y, p, weight = y[kept], p[kept], weight[kept]
    found = brier_decomposition(y, p, weight=weight)
    total = brier(y, p, weight=weight)
    assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(total)
    hindsight = _isotonic(y, p, weight)
    best = brier(y, hindsight, weight=weight)
    rate = np.average(y, weights=weight)
    assert found.uncertainty == pytest.approx(rate * (1 - rate))
    assert found.miscalibration == pytest.approx(total - best)
    assert found.discrimination == pytest.approx(rate * (1 - rate) - best)


def test_several_classes_and_replicates(multiclass):
    y, p, weight = multiclass
    both = np.stack([weight, np.ones(len(y))])
    found = brier_decomposition(y, p, weight=both)
    total = found.miscalibration - found.discrimination + found.uncertainty
    assert total == pytest.approx(brier(y, p, weight=both))
    plain = brier_decomposition(y, p)
    assert found.miscalibration[1] == pytest.approx(plain.miscalibration)


def test_calibrated_predictions_have_no_miscalibration():
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    p = np.array([0.25] * 4 + [0.75] * 4)
    found = brier_decomposition(y, p)
    assert found.miscalibration == pytest.approx(0)
    assert found.discrimination == pytest.approx(0.25 - 3 / 16)
    upside_down = brier_decomposition(y, 1 - p)
    assert upside_down.discrimination == pytest.approx(0)
    assert upside_down.miscalibration == pytest.approx(brier(y, 1 - p) - 0.25)


def test_class_by_class(multiclass):
    y, p, weight = multiclass
    each = [ece(y == c, p[:, c], weight=weight) for c in range(p.shape[1])]
    assert classwise_ece(y, p, weight=weight) == pytest.approx(np.mean(each))
    registered = METRICS["classwise_ece"](y, {"probability": p}, weight=weight)
    assert registered == pytest.approx(np.mean(each))
    assert classwise_ece(y == 0, p[:, 0]) == pytest.approx(ece(y == 0, p[:, 0]))


def test_edges():
    one = brier_decomposition([1], [0.5])
    assert (one.miscalibration, one.discrimination, one.uncertainty) == (0.25, 0.0, 0.0)
    assert np.isnan(brier_decomposition([], []).miscalibration)
    with pytest.raises(DataError):
        brier_decomposition([1, 2], [0.5, 0.5])
