"""AUROC, average precision, accuracy and macro F1 against scikit-learn, by hand, and edge sizes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from amodal.metrics.discrimination import accuracy, auprc, auroc, macro_f1

ALL = (auroc, auprc, accuracy, macro_f1)


def binarised(y: np.ndarray, classes: int) -> np.ndarray:
    return (y[:, None] == np.arange(classes)).astype(int)


def test_binary_ranking_equals_scikit_learn_with_ties_and_weights(binary):
    y, p, w = binary
    assert len(np.unique(p)) < 25  # the ties are real
    for weight in (None, w):
        assert auroc(y, p, weight=weight) == pytest.approx(
            sk.roc_auc_score(y, p, sample_weight=weight), abs=1e-12
        )
        assert auprc(y, p, weight=weight) == pytest.approx(
            sk.average_precision_score(y, p, sample_weight=weight), abs=1e-12
        )


def test_binary_ranking_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    p, y, w = rng.random(97), rng.integers(0, 2, 97), rng.random(97)
    assert auroc(y, p, weight=w) == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w))
    assert auprc(y, p, weight=w) == pytest.approx(sk.average_precision_score(y, p, sample_weight=w))


def test_binary_decisions_equal_scikit_learn(binary):
    y, p, w = binary
    for weight in (None, w):
        assert accuracy(y, p, weight=weight) == pytest.approx(
            sk.accuracy_score(y, p > 0.5, sample_weight=weight), abs=1e-12
        )
        assert macro_f1(y, p, weight=weight) == pytest.approx(
            sk.f1_score(y, p > 0.5, average="macro", sample_weight=weight), abs=1e-12
        )


def test_multiclass_equals_scikit_learn(multiclass):
    y, p, w = multiclass
    decided, indicator = p.argmax(axis=1), binarised(y, 4)
    for weight in (None, w):
        assert auroc(y, p, weight=weight) == pytest.approx(
            sk.roc_auc_score(indicator, p, average="macro", sample_weight=weight), abs=1e-12
        )
        assert auprc(y, p, weight=weight) == pytest.approx(
            sk.average_precision_score(indicator, p, average="macro", sample_weight=weight),
            abs=1e-12,
        )
        assert accuracy(y, p, weight=weight) == pytest.approx(
            sk.accuracy_score(y, decided, sample_weight=weight), abs=1e-12
        )
        assert macro_f1(y, p, weight=weight) == pytest.approx(
            sk.f1_score(y, decided, average="macro", sample_weight=weight), abs=1e-12
        )


def test_auroc_is_the_share_of_ordered_pairs(binary):
    y, p, _ = binary
    difference = p[y == 1][:, None] - p[y == 0][None]
    brute = (difference > 0).mean() + (difference == 0).mean() / 2
    assert auroc(y, p) == pytest.approx(brute, abs=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_many_weights_at_once_equal_one_by_one(metric, binary, multiclass):
    for y, p, _ in (binary, multiclass):
        weights = np.random.default_rng(3).integers(0, 3, size=(7, len(y)))
        weights[2] = 0
        together = metric(y, p, weight=weights)
        assert together.shape == (7,)
        assert np.isnan(together[2])
        one_by_one = [metric(y, p, weight=w) for w in weights]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


def test_a_class_without_weight_is_left_out_of_the_macro_mean(multiclass):
    y, p, _ = multiclass
    weight = (y != 3).astype(float)
    kept = y != 3
    expected = [sk.roc_auc_score(y[kept] == c, p[kept, c]) for c in range(3)]
    assert auroc(y, p, weight=weight) == pytest.approx(np.mean(expected))
    expected = [sk.average_precision_score(y[kept] == c, p[kept, c]) for c in range(3)]
    assert auprc(y, p, weight=weight) == pytest.approx(np.mean(expected))


def test_a_threshold_tie_goes_to_class_0_in_one_column_and_in_two():
    p = np.array([0.5, 0.5])
    assert accuracy([0, 1], p) == accuracy([0, 1], np.stack([1 - p, p], axis=1)) == 0.5
    assert macro_f1([0, 0], p) == 1.0  # class 1 is neither true nor predicted: left out


def test_one_class_only():
    assert np.isnan(auroc([1, 1], [0.2, 0.9]))
    assert np.isnan(auroc([0, 0], [0.2, 0.9]))
    assert np.isnan(auprc([0, 0], [0.2, 0.9]))
    assert auprc([1, 1], [0.2, 0.9]) == 1.0  # every call is right
    assert accuracy([1, 1], [0.2, 0.9]) == 0.5


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_rows_is_undefined(metric, shape):
    assert np.isnan(metric([], np.zeros(shape)))
    assert np.isnan(metric([], np.zeros(shape), weight=np.zeros((4, 0)))).tolist() == [True] * 4


@pytest.mark.parametrize(
    ("metric", "value"), [(auroc, None), (auprc, 1.0), (accuracy, 1.0), (macro_f1, 1.0)]
)
def test_one_row(metric, value):
    found = metric([1], [0.9])
    assert np.isnan(found) if value is None else found == value


def test_the_input_is_not_changed(binary):
    y, p, w = binary
    before = y.copy(), p.copy(), w.copy()
    for metric in ALL:
        metric(y, p, weight=w)
    for array, copy in zip((y, p, w), before, strict=True):
        np.testing.assert_array_equal(array, copy)
