"""WUPS: answers that are words, scored by how near they stand to the right ones in WordNet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from amodal.errors import DataError, SettingError

__all__ = ["Similarity", "answer_words", "wordnet_similarity", "wups", "wups_scores"]

Similarity = Callable[[str, str], float]
"""How near two words are, in [0, 1]."""

_PENALTY = 0.1


def answer_words(text: str) -> tuple[str, ...]:
    """The words of an answer that lists them with commas, each once, sorted.

    >>> answer_words("Book, scissor,book")
    ('book', 'scissor')
    """
    return tuple(sorted({x.strip().lower() for x in text.split(",") if x.strip()}))


def wordnet_similarity() -> Similarity:
    """The largest Wu-Palmer similarity of two words over their senses as nouns in WordNet.

    ``2 depth(least common ancestor) / (depth(a) + depth(b))``; equal words have 1, and a word that
    WordNet does not know has 0 with every other one.

    Raises:
        SettingError: nltk is not installed, or it does not find WordNet (see ``NLTK_DATA``).

    Reference: Wu and Palmer, ACL 1994.
    """
    try:
        from nltk.corpus import wordnet
    except ImportError:
        raise SettingError(
            "WUPS reads WordNet through nltk; it is not installed; pip install 'amodal[wordnet]'"
        ) from None
    try:
        wordnet.ensure_loaded()
    except LookupError:
        raise SettingError(
            "WUPS needs the files of WordNet; nltk finds none; fetch them once (python -m "
            "nltk.downloader wordnet), or name the folder that holds corpora/wordnet in NLTK_DATA"
        ) from None
    return _similarity(wordnet)


def _similarity(wordnet: Any) -> Similarity:
    """Similarity by an object with ``synsets(word, pos="n")``."""

    @cache
    def similar(a: str, b: str) -> float:
        if a == b:
            return 1.0
        senses = [(x, y) for x in wordnet.synsets(a, pos="n") for y in wordnet.synsets(b, pos="n")]
        return max((x.wup_similarity(y) or 0.0 for x, y in senses), default=0.0)

    return similar


def wups_scores(
    texts: Sequence[str],
    answers: Sequence[str],
    *,
    threshold: float = 0.9,
    similarity: Similarity | None = None,
) -> np.ndarray:
    r"""``Float64[n]``: how near each answer, a set of words, is to the right one.

    With A the words of the answer and T the right ones,

    .. math:: \min\Big(\prod_{a \in A} \max_{t \in T} \mu(a, t),
              \prod_{t \in T} \max_{a \in A} \mu(a, t)\Big),

    mu the similarity, a tenth of it below the threshold.

    Args:
        texts: n answers, words separated by commas.
        answers: the right ones, likewise.
        threshold: 0.9 and 0.0 are usual.
        similarity: None for `wordnet_similarity`.

    Raises:
        DataError: another number of right answers, or one without words.
        SettingError: no WordNet.

    Reference: Malinowski and Fritz, NeurIPS 2014.

    >>> near = {("chair", "table"): 0.8}
    >>> found = wups_scores(["table", "chair, table"], ["chair", "chair"], threshold=0.9,
    ...                     similarity=lambda a, b: float(a == b) or near[tuple(sorted((a, b)))])
    >>> found.round(2).tolist()
    [0.08, 0.08]
    """
    if isinstance(texts, str) or len(texts) != len(answers):
        raise DataError(
            f"each answer has a right one; got {len(texts)} and {len(answers)}; pass sequences of "
            "equal length"
        )
    right = [answer_words(x) for x in answers]
    if not all(right):
        raise DataError(
            f"right answers have words; {sum(not x for x in right)} have none; leave these rows out"
        )
    near = similarity or wordnet_similarity()

    def mu(a: str, b: str) -> float:
        value = 1.0 if a == b else min(near(a, b), 1.0)
        return value if value >= threshold or a == b else _PENALTY * value

    pairs = zip(map(answer_words, texts), right, strict=True)
    return np.array([_set_score(a, t, mu) for a, t in pairs], dtype=np.float64)


def wups(
    texts: Sequence[str],
    answers: Sequence[str],
    *,
    threshold: float = 0.9,
    similarity: Similarity | None = None,
) -> float:
    """The mean of `wups_scores`, in [0, 1]; NaN without any.

    Args, errors: see there.
    """
    scores = wups_scores(texts, answers, threshold=threshold, similarity=similarity)
    return float(scores.mean()) if len(scores) else float("nan")


def _set_score(a: Sequence[str], t: Sequence[str], mu: Similarity) -> float:
    if not a:
        return 0.0
    there = math.prod(max(mu(x, y) for y in t) for x in a)
    back = math.prod(max(mu(x, y) for x in a) for y in t)
    return min(there, back)
