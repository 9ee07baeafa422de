"""WUPS on a small taxonomy made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError, SettingError
from amodal.metrics import wups as module
from amodal.metrics.wups import answer_words, wups, wups_scores

PARENT = {
    "animal": "thing",
    "artefact": "thing",
    "dog": "animal",
    "cat": "animal",
    "seat": "artefact",
    "chair": "seat",
    "sofa": "seat",
    "table": "artefact",
}


class Sense:
    """A noun of the taxonomy; its root has depth 1."""

    def __init__(self, name):
        self.above = [name]
        while self.above[-1] in PARENT:
            self.above.append(PARENT[self.above[-1]])

    def wup_similarity(self, other):
        common = [x for x in self.above if x in other.above]
        return 2 * len(Sense(common[0]).above) / (len(self.above) + len(other.above))


SENSES = {"couch": ("sofa",), "seat": ("seat", "chair")}


class Taxonomy:
    def synsets(self, word, pos):
        assert pos == "n"
        known = SENSES.get(word, (word,) if word in PARENT or word == "thing" else ())
        return [Sense(x) for x in known]


SIMILAR = module._similarity(Taxonomy())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("dog", "cat", 2 * 2 / 6),
        ("chair", "sofa", 2 * 3 / 8),
        ("dog", "chair", 2 * 1 / 7),
        ("couch", "sofa", 1.0),  # one sense
        ("seat", "chair", 1.0),  # the best of two senses
        ("7", "7", 1.0),  # unknown, but equal
        ("7", "dog", 0.0),
    ],
)
def test_similarity_is_the_best_of_all_senses(a, b, expected):
    assert SIMILAR(a, b) == pytest.approx(expected)
    assert SIMILAR(b, a) == pytest.approx(expected)


def test_below_the_threshold_a_tenth_counts():
    texts, answers = ["dog", "sofa", "cat"], ["cat", "chair", "cat"]
    soft = wups_scores(texts, answers, threshold=0.0, similarity=SIMILAR)
    np.testing.assert_allclose(soft, [2 / 3, 0.75, 1])
    hard = wups_scores(texts, answers, threshold=0.9, similarity=SIMILAR)
    np.testing.assert_allclose(hard, [0.2 / 3, 0.075, 1])
    between = wups_scores(texts, answers, threshold=0.7, similarity=SIMILAR)
    np.testing.assert_allclose(between, [0.2 / 3, 0.75, 1])
    assert wups(texts, answers, threshold=0.0, similarity=SIMILAR) == pytest.approx(soft.mean())


def test_sets_of_words_are_compared_both_ways():
    found = wups_scores(
        ["dog", "dog, cat", "cat,dog,dog", "chair, dog", ""],
        ["dog, cat", "dog", "dog, cat", "sofa, cat", "dog"],
        threshold=0.0,
        similarity=SIMILAR,
    )
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 1, 0.75 * 2 / 3, 0])


def test_words_of_an_answer():
    assert answer_words(" Chair , table,chair") == ("chair", "table")
    assert answer_words(" , ") == ()


def test_what_is_no_pair_is_refused():
    with pytest.raises(DataError, match="2 and 1"):
        wups(["dog", "cat"], ["dog"], similarity=SIMILAR)
    with pytest.raises(DataError, match="1 have none"):
        wups(["dog"], [" "], similarity=SIMILAR)
    assert np.isnan(wups([], [], similarity=SIMILAR))


def test_a_wordnet_that_is_not_there_is_told(monkeypatch):
    nltk = pytest.importorskip("nltk")
    if "_LazyCorpusLoader__args" not in vars(nltk.corpus.wordnet):
        pytest.skip("WordNet has been read already")
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(SettingError, match="nltk finds none; fetch them once"):
        wups(["dog"], ["cat"])
