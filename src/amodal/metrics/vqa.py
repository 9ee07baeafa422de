"""Accuracy of answers to questions about pictures, against what ten people answered."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from amodal.errors import DataError

__all__ = ["normalise_answer", "vqa_accuracy", "vqa_scores"]

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_STOP = re.compile(r"\.(?!\d)")
_THOUSANDS = re.compile(r"\d,\d")
_STOPS = 32  # the official code passes a flag where the number of replacements belongs
_NUMBERS = {"none": "0"} | {
    word: str(k)
    for k, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
_ARTICLES = {"a", "an", "the"}
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
    might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
    you've
"""
_WHOLE = {
    word[:k] + word[k + 1 :]: word
    for word in _CONTRACTIONS.split()
    for k, c in enumerate(word)
    if c == "'"
} | {"somebody'd": "somebodyd"}
"""A contraction that lacks one apostrophe -> the contraction; and the official code's own slip."""


def normalise_answer(text: str) -> str:
    """An answer as the official evaluation of VQA reads it.

    Small letters; marks become blanks, or go where the text has blanks beside one, or a comma between
    digits; full stops that no digit follows go; number words up to ten become digits and "none" 0;
    articles go; an apostrophe that a contraction lacks is put in.

    >>> [normalise_answer(x) for x in ("The dog.", "two", "dont know", "1,000", "2.5", "T-shirt")]
    ['dog', '2', "don't know", '1000', '2.5', 't shirt']
    """
    words = _plain(text.replace("\n", " ").replace("\t", " ").strip()).lower().split()
    numbers = (_NUMBERS.get(word, word) for word in words)
    return " ".join(_WHOLE.get(word, word) for word in numbers if word not in _ARTICLES)


def _plain(text: str) -> str:
    """Without marks."""
    gone = _THOUSANDS.search(text) is not None
    out = text
    for mark in _PUNCTUATION:
        beside = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if gone or beside else " ")
    return _STOP.sub("", out, count=_STOPS)


def vqa_scores(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    r"""``Float64[n]``: for each answer, the mean of min(those who gave it / 3, 1) over subsets.

    With k of r people agreeing, each of the r ways to leave one of them out counts

    .. math:: \min(k - [\mathrm{left\ out\ agrees}], 3) / 3.

    With ten people: 0, .3, .6, .9 and 1 for 0 to 4 and more who agree. As in the official code, marks
    of what people answered are removed only where they do not all say the same.

    Args:
        texts: n answers.
        references: of each question, what people answered, at least one.

    Raises:
        DataError: another number of lists, or an empty one.

    Reference: Antol et al., ICCV 2015; Goyal et al., CVPR 2017; the official evaluation code.

    >>> vqa_scores(["Red.", "blue"], [["red"] * 2 + ["pink"] * 8, ["blue"] * 10]).round(3).tolist()
    [0.6, 1.0]
    """
    if isinstance(texts, str) or len(texts) != len(references):
        raise DataError(
            f"each answer has a list of what people answered; got {len(texts)} answers and "
            f"{len(references)} lists; pass sequences of equal length"
        )
    lacking = sum(isinstance(x, str) or not len(x) for x in references)
    if lacking:
        raise DataError(
            f"each question has at least one answer of people, in a list; {lacking} have none; leave "
            "these rows out"
        )
    pairs = zip(texts, references, strict=True)
    return np.array([_score(normalise_answer(t), r) for t, r in pairs], dtype=np.float64)


def vqa_accuracy(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The mean of `vqa_scores`, in [0, 1]: the official accuracy is 100 times this.

    Args, errors: see there. No answers at all: NaN.

    >>> vqa_accuracy(["2"], [["2"] * 10])
    1.0
    """
    scores = vqa_scores(texts, references)
    return float(scores.mean()) if len(scores) else float("nan")


def _score(answer: str, people: Sequence[str]) -> float:
    people = list(people)
    if len(set(people)) > 1:
        people = [_plain(x) for x in people]
    agree, count = sum(x == answer for x in people), len(people)
    without = agree * min(agree - 1, 3) + (count - agree) * min(agree, 3)
    return without / (3 * count)
