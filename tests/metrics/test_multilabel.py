"""Multilabel metrics against scikit-learn and the binary metrics, label by label."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from amodal.metrics import binning, calibration, multilabel

MACRO = (multilabel.auroc, multilabel.auprc, multilabel.macro_f1)
POOLED = ("log_loss", "brier", "observed_expected", "calibration_intercept", "calibration_slope")
ALL = (*MACRO, multilabel.accuracy, multilabel.ece, *(getattr(multilabel, n) for n in POOLED))


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.integers(1, 20, size=(120, 3)) / 20
    return (rng.random((120, 3)) < p).astype(int), p, rng.random(120)


def test_macro_metrics_equal_scikit_learn(labels):
    y, p, w = labels
    for weight in (None, w):
        given = {"average": "macro", "sample_weight": weight}
        assert multilabel.auroc(y, p, weight=weight) == pytest.approx(
            sk.roc_auc_score(y, p, **given)
        )
        assert multilabel.auprc(y, p, weight=weight) == pytest.approx(
            sk.average_precision_score(y, p, **given)
        )
        assert multilabel.macro_f1(y, p, weight=weight) == pytest.approx(
            sk.f1_score(y, (p > 0.5).astype(int), **given)
        )


def test_accuracy_is_one_minus_hamming_loss(labels):
    y, p, w = labels
    expected = 1 - sk.hamming_loss(y, (p > 0.5).astype(int), sample_weight=w)
    assert multilabel.accuracy(y, p, weight=w) == pytest.approx(expected)


@pytest.mark.parametrize("name", POOLED)
def test_pooled_metrics_equal_the_binary_one_of_all_pairs(labels, name):
    y, p, w = labels
    expected = getattr(calibration, name)(y.ravel(), p.ravel(), weight=np.repeat(w, 3))
    assert getattr(multilabel, name)(y, p, weight=w) == pytest.approx(expected)


def test_pooled_calibration_error(labels):
    y, p, w = labels
    pairs = np.repeat(w, 3)
    for binning_name in ("mass", "width"):
        assert multilabel.ece(y, p, binning=binning_name, weight=w) == pytest.approx(
            binning.ece(y.ravel(), p.ravel(), binning=binning_name, weight=pairs)
        )
    assert multilabel.ece_of_perfect(p, weight=w, seed=2) == binning.ece_of_perfect(
        p.ravel(), weight=pairs, seed=2
    )


def test_a_label_with_one_class_is_left_out_of_ranking_only(labels):
    y, p, _ = labels
    y = y.copy()
    y[:, 1] = 1
    two = [0, 2]
    assert multilabel.auroc(y, p) == pytest.approx(multilabel.auroc(y[:, two], p[:, two]))
    assert multilabel.auprc(y, p) == pytest.approx(multilabel.auprc(y[:, two], p[:, two]))
    assert multilabel.brier(y, p) == pytest.approx(((y - p) ** 2).mean())


@pytest.mark.parametrize("metric", ALL)
def test_many_weights_at_once_equal_one_by_one(metric, labels):
    y, p, _ = labels
    weights = np.random.default_rng(1).integers(0, 3, size=(6, 120))
    weights[4] = 0
    together = metric(y, p, weight=weights)
    assert np.isnan(together[4])
    one_by_one = [metric(y, p, weight=w) for w in weights]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-8)


def test_certain_mistakes_are_clipped_by_the_type_they_came_in():
    p = np.array([[1, 0.5]], dtype=np.float32)
    expected = (-np.log(np.finfo(np.float32).eps) + np.log(2)) / 2
    assert multilabel.log_loss([[0, 1]], p) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_rows_or_no_labels_is_undefined(metric, shape):
    assert np.isnan(metric(np.zeros(shape), np.zeros(shape)))
