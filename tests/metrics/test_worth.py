"""What statements about modalities are worth, against counting by hand and other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from amodal.errors import DataError
from amodal.metrics.worth import agreement, detection_auroc, entropy, log_likelihood, mean_change

RNG = np.random.default_rng(0)
N, M = 60, 4
PRESENT = RNG.random((N, M)) < 0.7
SCORE = RNG.normal(size=(N, M)).round(1)  # with ties
BAD = RNG.random((N, M)) < 0.3
DROP = RNG.normal(size=(N, M)).round(1)


def test_detection_is_the_auroc_over_present_pairs() -> None:
    expected = roc_auc_score(BAD[PRESENT], SCORE[PRESENT])
    assert detection_auroc(SCORE, BAD, PRESENT) == pytest.approx(expected)
    gone = np.where(PRESENT, SCORE, np.nan)
    assert detection_auroc(gone, BAD, PRESENT) == pytest.approx(expected)
    assert detection_auroc(-SCORE, BAD, PRESENT) == pytest.approx(1 - expected)


def test_weights_are_repeated_rows() -> None:
    times = RNG.integers(0, 3, size=(5, N))
    for metric, other in ((detection_auroc, BAD), (agreement, DROP)):
        found = metric(SCORE, other, PRESENT, weight=times)
        for k, w in enumerate(times):
            rows = np.repeat(np.arange(N), w)
            assert found[k] == pytest.approx(metric(SCORE[rows], other[rows], PRESENT[rows]))
    found = mean_change(DROP, PRESENT, weight=times[0])
    rows = np.repeat(np.arange(N), times[0])
    assert found == pytest.approx(DROP[rows][PRESENT[rows]].mean())


def test_agreement_by_counting() -> None:
    each = []
    for a, b, there in zip(SCORE, DROP, PRESENT, strict=True):
        at = np.flatnonzero(there)
        pairs = [(i, j) for n, i in enumerate(at) for j in at[n + 1 :] if b[i] != b[j]]
        if pairs:
            right = [
                0.5 if a[i] == a[j] else float((a[i] > a[j]) == (b[i] > b[j])) for i, j in pairs
            ]
            each.append(np.mean(right))
    assert agreement(SCORE, DROP, PRESENT) == pytest.approx(np.mean(each))


def test_agreement_is_half_of_one_plus_kendall_without_ties() -> None:
    a, b = RNG.normal(size=(2, 1, 9))
    tau = stats.kendalltau(a[0], b[0]).statistic
    assert agreement(a, b, np.ones((1, 9), dtype=bool)) == pytest.approx((1 + tau) / 2)


def test_nothing_to_compare() -> None:
    one = np.ones((3, 1), dtype=bool)
    assert np.isnan(agreement(np.zeros((3, 1)), np.zeros((3, 1)), one))
    assert np.isnan(detection_auroc(np.zeros((3, 1)), one, one))
    none = np.zeros((0, 2), dtype=bool)
    assert np.isnan(agreement(np.zeros((0, 2)), np.zeros((0, 2)), none))
    assert np.isnan(mean_change(np.zeros((0, 2)), none))


def test_likelihood_and_entropy() -> None:
    y, p = RNG.integers(0, 3, 50), RNG.dirichlet([1, 1, 1], 50)
    assert -log_likelihood(y, {"probability": p}).mean() == pytest.approx(log_loss(y, p))
    np.testing.assert_allclose(entropy({"probability": p}), stats.entropy(p, axis=1))
    q, z = RNG.random(50), RNG.integers(0, 2, 50)
    assert -log_likelihood(z, {"probability": q}).mean() == pytest.approx(log_loss(z, q))
    both = np.column_stack([1 - q, q])
    np.testing.assert_allclose(entropy({"probability": q}), stats.entropy(both, axis=1))
    wide = {"probability": np.column_stack([q, q])}
    np.testing.assert_allclose(
        entropy(wide, labels=True), 2 * stats.entropy(both, axis=1), rtol=1e-12
    )
    labels = np.column_stack([z, z])
    np.testing.assert_allclose(
        log_likelihood(labels, wide), 2 * log_likelihood(z, {"probability": q})
    )
    mean, std = RNG.normal(size=50), RNG.random(50) + 0.1
    out = {"mean": mean, "std": std}
    np.testing.assert_allclose(log_likelihood(z, out), stats.norm(mean, std).logpdf(z))
    np.testing.assert_allclose(entropy(out), stats.norm(mean, std).entropy())
    assert np.isfinite(log_likelihood([1], {"probability": [0.0]})).all()


def test_bad_input() -> None:
    with pytest.raises(DataError, match="score is finite where present"):
        detection_auroc(np.full((2, 1), np.nan), np.ones((2, 1)), np.ones((2, 1), dtype=bool))
    with pytest.raises(DataError, match="outputs hold probability"):
        entropy({})
