"""Risk-coverage against a plain loop over thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError
from amodal.metrics.selective import aurc, risk_coverage


def curve_by_loop(confidence, loss, weight) -> tuple[list, list, list]:
    levels = np.unique(confidence[weight > 0])[::-1]
    kept = [confidence >= level for level in levels]
    coverage = [weight[k].sum() / weight.sum() for k in kept]
    risk = [np.average(loss[k], weights=weight[k]) for k in kept]
    return coverage, risk, levels.tolist()


def cases(binary, multiclass):
    y, p, w = binary
    yield y, {"probability": p}, np.maximum(p, 1 - p), ((p > 0.5) != y).astype(float), w
    y, p, w = multiclass
    yield y, {"probability": p}, p.max(axis=1), (p.argmax(axis=1) != y).astype(float), w
    rng = np.random.default_rng(0)
    y, mean, std = rng.normal(size=50), rng.normal(size=50), rng.integers(1, 9, size=50) / 4
    yield y, {"mean": mean, "std": std}, -std, (y - mean) ** 2, rng.integers(0, 3, size=50)


def test_curve_and_area_equal_a_loop_over_thresholds(binary, multiclass):
    for y, outputs, confidence, loss, w in cases(binary, multiclass):
        for weight in (np.ones(len(y)), w):
            coverage, risk, levels = curve_by_loop(confidence, loss, weight)
            curve = risk_coverage(y, outputs, weight=weight)
            np.testing.assert_allclose(curve.coverage, coverage, rtol=1e-12)
            np.testing.assert_allclose(curve.risk, risk, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(curve.confidence, levels)
            area = np.diff(coverage, prepend=0) @ np.array(risk)
            assert aurc(y, outputs, weight=weight) == pytest.approx(area)


def test_many_weights_at_once_equal_one_by_one(binary, multiclass):
    for y, outputs, *_ in cases(binary, multiclass):
        weights = np.random.default_rng(1).integers(0, 3, size=(6, len(y)))
        weights[4] = 0
        together = aurc(y, outputs, weight=weights)
        assert np.isnan(together[4])
        one_by_one = [aurc(y, outputs, weight=w) for w in weights]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


def test_distinct_confidences_give_the_mean_of_the_running_error():
    """Losses 0, 1, 0, 1 from most to least sure: running means 0, 1/2, 1/3, 1/2."""
    outputs = {"probability": np.array([0.95, 0.9, 0.8, 0.7])}
    assert aurc([1, 0, 1, 0], outputs) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_a_confidence_that_says_nothing_gives_the_mean_loss():
    outputs = {"mean": np.zeros(4), "std": np.ones(4)}
    assert aurc([1, 2, 3, 4], outputs) == pytest.approx((1 + 4 + 9 + 16) / 4)
    assert risk_coverage([1, 2, 3, 4], outputs).coverage.tolist() == [1.0]


def test_edge_sizes():
    assert np.isnan(aurc([], {"probability": []}))
    assert aurc([0], {"probability": [0.9]}) == 1
    curve = risk_coverage([], {"probability": []})
    assert curve.coverage.tolist() == curve.risk.tolist() == curve.confidence.tolist() == []
    curve = risk_coverage([1, 0], {"probability": [0.9, 0.8]}, weight=[0, 0])
    assert curve.coverage.tolist() == []


def test_outputs_and_weights_are_checked():
    with pytest.raises(DataError, match="'probability', or 'mean' and 'std'; found \\['mean'\\]"):
        aurc([1.0], {"mean": [1.0]})
    with pytest.raises(DataError, match=r"weight has shape \[n\] here; found \[1, 1\]"):
        risk_coverage([1], {"probability": [0.4]}, weight=[[1]])
