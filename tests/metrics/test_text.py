"""Metrics of texts against closed forms, brute force, and the published scorer run as it is."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pytest

from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.metrics import caption_words
from amodal.metrics import text as metrics

pytest.importorskip("pycocoevalcap")
java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no java")

TEXTS = ["A dog runs on the grass.", "two men ride a bike", "the red car is parked here now"]
REFERENCES = [
    ["A brown dog runs on grass.", "The dog is running on the grass", "a dog outside"],
    ["Two men are riding bikes", "two people ride a bike down a road"],
    ["A red car is parked.", "the car was parked here", "red car", "a car parked in a street"],
]


def runs(words, n):
    words = words.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def cut(texts, references):
    cut = metrics.tokenize
    return [cut(t) for t in texts], [[cut(r) for r in several] for several in references]


def direct_bleu(texts, references, n):
    precisions, here, there = [], 0, 0
    for k in range(1, n + 1):
        right = total = 0
        for text, several in zip(texts, references, strict=True):
            most = Counter()
            for reference in several:
                most |= runs(reference, k)
            right += sum((runs(text, k) & most).values())
            total += sum(runs(text, k).values())
        precisions.append(right / total)
    for text, several in zip(texts, references, strict=True):
        size = len(text.split())
        here += size
        there += min((abs(len(r.split()) - size), len(r.split())) for r in several)[1]
    short = min(1.0, math.exp(1 - there / here))
    return short * math.prod(precisions) ** (1 / n)


def direct_rouge(texts, references):
    def common(a, b):
        if not a or not b:
            return 0
        if a[-1] == b[-1]:
            return 1 + common(a[:-1], b[:-1])
        return max(common(a[:-1], b), common(a, b[:-1]))

    found = []
    for text, several in zip(texts, references, strict=True):
        a = text.split()
        shared = [(common(a, r.split()), len(r.split())) for r in several]
        p, r = max(c / len(a) for c, _ in shared), max(c / size for c, size in shared)
        found.append((1 + 1.44) * p * r / (r + 1.44 * p) if p and r else 0.0)
    return np.mean(found)


def direct_cider(texts, references):
    rows = len(texts)
    scores = []
    for text, several in zip(texts, references, strict=True):
        own = []
        for n in range(1, 5):
            have = Counter()
            for each in references:
                have.update(set().union(*(runs(r, n) for r in each)))

            def vector(words, n=n, have=have):
                return {g: c * math.log(rows / max(have[g], 1)) for g, c in runs(words, n).items()}

            a = vector(text)
            for reference in several:
                b = vector(reference)
                top = sum(min(x, b.get(g, 0.0)) * b.get(g, 0.0) for g, x in a.items())
                size = math.hypot(*a.values()) * math.hypot(*b.values())
                delta = sum(runs(text, 2).values()) - sum(runs(reference, 2).values())
                own.append((top / size if size else 0.0) * math.exp(-(delta**2) / 72))
        scores.append(10 * sum(own) / len(own))
    return np.mean(scores)


def test_bleu_is_the_geometric_mean_of_clipped_precisions():
    found = metrics.bleu(TEXTS, REFERENCES)
    words = cut(TEXTS, REFERENCES)
    np.testing.assert_allclose(found, [direct_bleu(*words, n) for n in (1, 2, 3, 4)], rtol=1e-6)


def test_a_word_counts_as_often_as_a_reference_has_it():
    first, *_ = metrics.bleu(["the the the the"], [["the cat", "the bird, the dog"]])
    assert first == pytest.approx(2 / 4)


def test_short_texts_are_punished():
    first, *_ = metrics.bleu(["a dog"], [["a dog runs away"]])
    assert first == pytest.approx(math.exp(1 - 4 / 2))


def test_rouge_l_is_the_f_score_of_common_subsequences():
    words = cut(TEXTS, REFERENCES)
    assert metrics.rouge_l(TEXTS, REFERENCES) == pytest.approx(direct_rouge(*words))
    assert metrics.rouge_l(["x y"], [["a b"]]) == 0


def test_cider_is_the_mean_cosine_of_weighted_runs():
    words = cut(TEXTS, REFERENCES)
    assert metrics.cider(TEXTS, REFERENCES) == pytest.approx(direct_cider(*words))


def test_cider_of_texts_equal_to_their_references_is_10_and_of_one_row_0():
    texts = ["a red bus stands still", "two dogs run over grass"]
    assert metrics.cider(texts, [[t] for t in texts]) == pytest.approx(10)
    assert metrics.cider(texts[:1], [texts[:1]]) == 0


def test_all_at_once_is_each_by_itself():
    found = metrics.caption_scores(TEXTS, REFERENCES)
    assert [found[f"bleu_{n}"] for n in (1, 2, 3, 4)] == list(metrics.bleu(TEXTS, REFERENCES))
    assert found["rouge_l"] == metrics.rouge_l(TEXTS, REFERENCES)
    assert found["cider"] == metrics.cider(TEXTS, REFERENCES)


def test_an_empty_text_scores_nothing():
    found = metrics.caption_scores(["", "a dog"], [["a cat"], ["a dog"]])
    assert found["bleu_1"] == pytest.approx(math.exp(1 - 4 / 2), rel=1e-6)
    assert found["rouge_l"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("texts", "references"),
    [([], []), (["a"], []), ("a", [["a"]]), (["a"], [[]]), (["a"], [["b", " . "]])],
    ids=["nothing", "lengths", "one text", "no reference", "reference without words"],
)
def test_what_is_no_pair_of_texts_and_references_is_refused(texts, references):
    with pytest.raises(DataError, match="reference"):
        metrics.bleu(texts, references)


def test_another_tokenizer_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'java'"):
        metrics.cider(TEXTS, REFERENCES, tokenizer="jav")


def test_java_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SettingError, match="there is no java"):
        metrics.meteor(TEXTS, REFERENCES)


def test_a_scorer_that_is_not_installed_is_told():
    code = (
        "import sys; sys.modules['pycocoevalcap'] = None\n"
        "from amodal.metrics.text import bleu\n"
        "try: bleu(['a'], [['a']])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("SettingError")
    assert "amodal[captions]" in run.stdout


@java
def test_java_and_plain_cut_alike(capfd):
    texts = [
        "I'll go (now), won't you? It's John's; they've 3,000 dogs.",
        'Mr. Smith said "hi" - cannot -- gonna... 50% of $5 & AT&T\'s t-shirt/jeans in the U.S.',
        "the kids' toys don't work, rock 'n' roll in the 1990s!",
    ]
    assert caption_words._java(texts) == [metrics.tokenize(t) for t in texts]
    capfd.readouterr()


@java
@pytest.mark.slow
def test_flickr_captions_score_as_the_published_evaluation_has_it(capfd, real_data):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    with zipfile.ZipFile(real_data / "flickr8k_captions_160px.zip") as file:
        lines = list(csv.DictReader(io.StringIO(file.read("captions.csv").decode())))
    captions = {}
    for line in lines:
        captions.setdefault(line["image"], []).append(line["caption"])
    images = sorted(captions)
    texts = [captions[i][0] for i in images]
    references = [captions[i][1:] for i in images]
    told = PTBTokenizer()
    gts = told.tokenize({i: [{"caption": c} for c in captions[i][1:]] for i in images})
    res = told.tokenize({i: [{"caption": captions[i][0]}] for i in images})
    found = metrics.caption_scores(texts, references)
    expected, _ = Bleu(4).compute_score(gts, res, verbose=0)
    np.testing.assert_allclose([found[f"bleu_{n}"] for n in (1, 2, 3, 4)], expected, rtol=1e-12)
    assert found["rouge_l"] == pytest.approx(Rouge().compute_score(gts, res)[0], abs=1e-12)
    assert found["cider"] == pytest.approx(Cider().compute_score(gts, res)[0], abs=1e-12)
    capfd.readouterr()
