"""Texts as tokens, and back."""

from __future__ import annotations

import json
import random

import pytest

from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.types import Task
from amodal.vocabulary import END, SPECIALS, UNKNOWN, Vocabulary, words_of

TEXTS = ["A dog runs.", "a cat sits, a dog runs", "Two dogs' ball!", "a man runs"]


@pytest.mark.parametrize("kind", ["words", "pairs"])
def test_what_is_encoded_comes_back(kind: str) -> None:
    v = Vocabulary.fit(TEXTS, kind=kind, size=300)
    for text in TEXTS:
        ids = v.encode(text)
        assert ids[-1] == END
        assert UNKNOWN not in ids
        assert words_of(v.decode(ids)) == words_of(text)
    assert v.decode([*v.encode("a dog"), 5, 6, 0]) == "a dog"  # nothing behind the end
    assert Vocabulary.from_json(json.loads(json.dumps(v.to_json()))) == v
    assert hash(v) == hash(Vocabulary.from_json(v.to_json()))


@pytest.mark.parametrize("kind", ["words", "pairs"])
def test_order_of_texts_plays_no_part(kind: str) -> None:
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    assert Vocabulary.fit(shuffled, kind=kind, size=290) == Vocabulary.fit(
        TEXTS, kind=kind, size=290
    )


def test_the_most_frequent_words_are_kept() -> None:
    v = Vocabulary.fit(TEXTS, size=3)
    assert v.tokens == (*SPECIALS, "a", "dog", "runs")
    assert v.encode("a bird runs") == [4, UNKNOWN, 6, END]
    assert v.decode([4, UNKNOWN, END]) == "a <unknown>"


def test_long_texts_are_cut() -> None:
    v = Vocabulary.fit(TEXTS, length=2)
    assert len(v.encode(TEXTS[1])) == 3
    assert v.decode(v.encode(TEXTS[1])) == "a cat"


def test_parts_of_words_know_every_text() -> None:
    v = Vocabulary.fit(TEXTS, kind="pairs", size=280)
    assert len(v) <= 280 + len(SPECIALS)
    for text in ("zebra ☃ 日本", "naïve"):
        assert v.decode(v.encode(text)) == text


def test_special_names_in_a_text_are_words() -> None:
    v = Vocabulary.fit(["<pad> <end> here"])
    assert END not in v.encode("<end> here")[:-1]
    assert v.decode(v.encode("<end> here")) == "< end > here"


@pytest.mark.parametrize("texts", [[], [""], ["  "]])
@pytest.mark.parametrize("kind", ["words", "pairs"])
def test_no_words_is_refused(texts: list[str], kind: str) -> None:
    with pytest.raises(DataError, match="needs texts with words"):
        Vocabulary.fit(texts, kind=kind)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="at least 1 token; got length 0"):
        Vocabulary.fit(TEXTS, length=0)
    with pytest.raises(SettingError, match="at least 257 tokens; got 256"):
        Vocabulary.fit(TEXTS, kind="pairs", size=256)
    with pytest.raises(UnknownNameError, match="did you mean 'words'"):
        Vocabulary.fit(TEXTS, kind="word")
    with pytest.raises(DataError, match="a vocabulary begins with"):
        Vocabulary("words", ("a",), 3)


def test_a_task_carries_its_vocabulary() -> None:
    v = Vocabulary.fit(TEXTS)
    task = Task("sequence", name="caption").with_vocabulary(v)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    assert task.param_size == len(v)
    assert not task.is_classification
    assert "vocabulary" not in Task("binary").to_json()
    with pytest.raises(SettingError, match="a vocabulary is for the tokens of a sequence"):
        Task("binary", vocabulary=v)
    with pytest.raises(SettingError, match="a sequence task has 0 classes"):
        Task("sequence", ("a", "b"))
