"""Metrics of texts by hand, with weights, and as a bootstrap sees them."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError, SettingError
from amodal.metrics import compare, default_metrics, score
from amodal.metrics.intervals import Bootstrap
from amodal.metrics.sequence import exact_match, of_texts, perplexity, token_log_loss

Y = [("a dog", "one dog"), ("two cats",), ("a bird .",)]
OUTPUTS = {
    "text": ["One dog", "two cats .", "A bird."],
    "reference_log_prob": [-4.0, -1.0, -3.0],
    "reference_tokens": [6, 3, 4],
}


def test_by_hand() -> None:
    assert exact_match(Y, OUTPUTS) == pytest.approx(2 / 3)
    assert exact_match(Y, OUTPUTS, weight=[1, 2, 1]) == 0.5
    assert token_log_loss(Y, OUTPUTS) == 8 / 13
    assert token_log_loss(Y, OUTPUTS, weight=[0, 1, 1]) == 4 / 7
    assert perplexity(Y, OUTPUTS) == pytest.approx(np.exp(8 / 13))


def test_replicates_are_the_metric_of_repeated_rows() -> None:
    counts = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 0, 0]])
    for metric in (exact_match, token_log_loss, perplexity):
        found = metric(Y, OUTPUTS, weight=counts)
        for value, rows in zip(found[:3], counts[:3], strict=True):
            again = {k: np.repeat(np.array(v, dtype=object), rows) for k, v in OUTPUTS.items()}
            y = [r for r, k in zip(Y, rows, strict=True) for _ in range(k)]
            assert value == pytest.approx(metric(y, again))
        assert np.isnan(found[3])


def test_a_metric_of_a_corpus_is_made_of_sums() -> None:
    """Precision of words over a corpus: a ratio of sums, not a mean of ratios."""

    def words(texts, references):
        pairs = [
            (t.split(), {w for r in rs for w in r.split()})
            for t, rs in zip(texts, references, strict=True)
        ]
        return np.array([[sum(w in known for w in ws), len(ws)] for ws, known in pairs])

    precision = of_texts(words, lambda sums, weight: sums[:, 0] / sums[:, 1])
    outputs = {"text": ["a dog", "two cats and a dog", "bird"]}
    assert precision(Y, outputs) == pytest.approx(5 / 8)
    assert precision(Y, outputs, weight=[[2, 0, 1]])[0] == pytest.approx(5 / 5)


def test_score_and_compare() -> None:
    found = score("sequence", Y, OUTPUTS, replicates=40)
    assert tuple(found) == default_metrics("sequence")
    assert found["token_log_loss"].low < 8 / 13 < found["token_log_loss"].high
    worse = {**OUTPUTS, "text": ["", "", ""]}
    gap = compare("sequence", Y, OUTPUTS, worse, resamples=Bootstrap(3, replicates=20))
    assert gap["exact_match"].value == pytest.approx(2 / 3)
    assert score("sequence", Y, {"text": OUTPUTS["text"]}, metrics="exact_match", replicates=0)


def test_what_lacks_is_named() -> None:
    with pytest.raises(DataError, match="this metric reads 'reference_log_prob'"):
        score("sequence", Y, {"text": OUTPUTS["text"]})
    with pytest.raises(DataError, match="found 1 texts and 3 rows"):
        exact_match(Y, {"text": ["a"]})
    with pytest.raises(SettingError, match="'auroc' is for"):
        score("sequence", Y, OUTPUTS, metrics="auroc")
