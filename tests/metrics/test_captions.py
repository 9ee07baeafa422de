"""Metrics of captions with weights and intervals, against the published scorer on the same rows."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from amodal.errors import DataError, SettingError
from amodal.metrics import METRICS, Bootstrap, compare, default_metrics, left_out, score
from amodal.metrics import text as scorer

pytest.importorskip("pycocoevalcap")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

NAMES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
WORDS = [
    "a",
    "dog",
    "runs",
    "on",
    "the",
    "green",
    "grass",
    "while",
    "two",
    "men",
    "in",
    "red",
    "shirts",
    "ride",
    "bikes",
]


def captions(n: int, seed: int = 0) -> tuple[list[str], list[tuple[str, ...]]]:
    """Texts that share runs of words with one to five references each."""
    rng = np.random.default_rng(seed)

    def one() -> str:
        start, size = rng.integers(0, 8), rng.integers(4, 10)
        words = list(WORDS[start : start + size])
        words[rng.integers(len(words))] = WORDS[rng.integers(len(WORDS))]
        return " ".join(words)

    return [one() for _ in range(n)], [
        tuple(one() for _ in range(rng.integers(1, 6))) for _ in range(n)
    ]


def published(texts, references) -> dict[str, float]:
    """The scorer as it comes, on captions whose words are separated by blanks."""
    known = {i: list(several) for i, several in enumerate(references)}
    told = {i: [text] for i, text in enumerate(texts)}
    bleu, _ = Bleu(4).compute_score(known, told, verbose=0)
    found = {f"bleu_{n}": x for n, x in enumerate(bleu, start=1)}
    found["rouge_l"] = Rouge().compute_score(known, told)[0]
    return found | {"cider": Cider().compute_score(known, told)[0]}


@pytest.mark.parametrize("n", [1, 2, 30, 80])
def test_values_are_those_of_the_published_scorer(n):
    texts, references = captions(n, seed=n)
    expected = published(texts, references)
    found = score("sequence", references, {"text": texts}, metrics=NAMES, replicates=0)
    for name, value in expected.items():
        # where no run of four words is right the published scorer has the root of 1e-15, not 0
        assert found[name].value == pytest.approx(value, rel=1e-9, abs=3e-4 if n < 30 else 1e-12)


def test_a_replicate_is_the_published_score_of_the_rows_that_were_drawn():
    texts, references = captions(25)
    weights = np.concatenate(list(Bootstrap(25, replicates=4, seed=1).weights()))
    names = [n for n in NAMES if n != "cider"]
    found = {n: METRICS[n](references, {"text": texts}, weight=weights) for n in names}
    for k, weight in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(25), weight)
        again = published([texts[i] for i in rows], [references[i] for i in rows])
        for name in names:
            assert found[name][k] == pytest.approx(again[name], rel=1e-9)


def test_a_replicate_of_cider_keeps_the_document_frequencies_of_all_rows():
    texts, references = captions(40)
    known = {i: list(several) for i, several in enumerate(references)}
    rows = Cider().compute_score(known, {i: [text] for i, text in enumerate(texts)})[1]
    weights = np.random.default_rng(0).integers(0, 4, (5, 40)).astype(float)
    found = METRICS["cider"](references, {"text": texts}, weight=weights)
    np.testing.assert_allclose(found, weights @ rows / weights.sum(1), rtol=1e-12)
    # left out of the score, a row still tells how rare words are
    part = METRICS["cider"](references, {"text": texts}, weight=np.arange(40) < 20)
    assert part == pytest.approx(rows[:20].mean())
    assert part != pytest.approx(published(texts[:20], references[:20])["cider"], rel=1e-3)


def test_texts_are_read_once_for_all_metrics_and_replicates(monkeypatch):
    texts, references = captions(60, seed=7)
    cut = []
    tokenize = scorer.tokenize
    monkeypatch.setattr(
        "amodal.metrics.caption_words.tokenize", lambda x: cut.append(x) or tokenize(x)
    )
    score("sequence", references, {"text": texts}, metrics=NAMES, replicates=100)
    assert len(cut) == 60 + sum(map(len, references))


def test_runs_that_no_text_is_long_enough_for_count_as_the_published_scorer_has_it():
    texts, references = ["red bus", "blue car"], [("red bus",), ("blue car", "car")]
    expected = published(texts, references)
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4"):
        found = METRICS[name](references, {"text": texts})
        assert found == pytest.approx(expected[name], rel=1e-6)
    assert METRICS["bleu_2"](references, {"text": texts}) == 1


def test_texts_without_words_and_none_at_all():
    references = [("a dog runs fast",), ("two cats sit here",)]
    empty = score("sequence", references, {"text": ["", ""]}, metrics=NAMES, replicates=5)
    assert all(interval.value == 0 for interval in empty.values())
    half = {"text": ["", "two cats sit here"]}
    assert METRICS["bleu_1"](references, half) == pytest.approx(np.exp(1 - 8 / 4))
    assert METRICS["rouge_l"](references, half) == pytest.approx(0.5)
    none = score("sequence", [], {"text": []}, metrics=NAMES)
    assert all(np.isnan(interval.value) for interval in none.values())
    nobody = METRICS["bleu_1"](references, half, weight=np.zeros((2, 2)))
    assert np.isnan(nobody).all()


def test_intervals_hold_the_value_and_differences_pair_rows():
    texts, references = captions(80)
    others, _ = captions(80, seed=3)
    found = score("sequence", references, {"text": texts}, metrics=NAMES, replicates=100)
    assert all(x.low < x.value < x.high for x in found.values())
    pair = {"text": texts}, {"text": others}
    resamples = Bootstrap(80, replicates=50)
    gaps = compare("sequence", references, *pair, resamples=resamples, metrics=NAMES)
    for name, gap in gaps.items():
        a, b = (METRICS[name](references, {"text": x}) for x in (texts, others))
        assert gap.value == pytest.approx(a - b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("texts", "references", "message"),
    [
        (["a"], [()], "1 of 1 lack one"),
        (["a", "b"], [("a", " . "), ("b",)], "1 of 2 lack one or have an empty one"),
        (["a"], [("a",), ("b",)], "found 1 texts and 2 rows"),
        ([None, "b"], [("a",), ("b",)], "strings; 1 are not"),
        (["a", "b"], [("a", 3.0), ("b",)], "strings; 1 are not"),
    ],
    ids=["no reference", "reference without words", "another number", "no text", "no string"],
)
def test_bad_rows_are_refused(name, texts, references, message):
    with pytest.raises(DataError, match=message):
        METRICS[name](references, {"text": texts})


def test_without_the_scorer_the_rest_is_scored(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "amodal.metrics.metric.find_spec", lambda x: None if x == "pycocoevalcap" else found(x)
    )
    assert left_out("sequence") == {"captions": NAMES}
    assert left_out("binary") == {}
    rest = default_metrics("sequence")
    assert rest == ("token_log_loss", "perplexity", "exact_match")
    outputs = {"text": ["a dog"], "reference_log_prob": [-1.0], "reference_tokens": [2]}
    assert tuple(score("sequence", [("a dog",)], outputs)) == rest
    with pytest.raises(
        SettingError, match=r"'cider' comes from the published .*amodal\[captions\]"
    ):
        score("sequence", [("a dog",)], outputs, metrics=["cider"])
