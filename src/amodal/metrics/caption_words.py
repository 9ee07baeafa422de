"""What metrics of captions read: words, cut as Stanford's tokenizer does, and the published scorer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from amodal.errors import DataError, SettingError, unknown_name

__all__ = ["TOKENIZERS", "Words", "published", "tokenize", "words_by_row"]

TOKENIZERS = ("plain", "java")
"""What cuts texts into words: this module, or Stanford's tokenizer."""


Words = dict[int, list[str]]
"""Number of the row -> texts, their words separated by blanks, as the published scorer reads them."""

_MARKS = {"''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"}
_BRACKETS = dict(zip("()[]{}", ("-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"), strict=True))
_TWO_WORDS = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "lemme": "lem me",
    "gimme": "gim me",
    "wanna": "wan na",
}
_TOKEN = re.compile(
    r"""(?:[a-z]\.){2,}                      # u.s.
      | (?:mr|mrs|ms|dr|st|jr|sr|vs)\.(?=\s) # an abbreviation before a word
      | \d+(?:[.,:]\d+)+(?![a-z\d])
      | [^\W_]+?(?=n't\b) | n't\b
      | '(?:s|m|re|ve|ll|d)\b
      | [^\W_]+(?:-[^\W_]+)*(?=n't\b)
      | 'n'
      | \w+(?:[-&/]\w+)*                     # tri-colored, at&t, black/white
      | \.\.\. | -- | \S""",
    re.VERBOSE,
)


def tokenize(text: str) -> str:
    """The words of an English text in small letters, separated by blanks, without punctuation.

    As Stanford's tokenizer cuts it: "n't" and what follows an apostrophe are words of their own,
    words with hyphens stay whole, brackets become "-lrb-" and "-rrb-", which the published scorer
    counts as words. It differs on abbreviations that are not common, currencies, addresses of the
    web, and scripts other than Latin.

    >>> tokenize("The dog's ball isn't here.")
    "the dog 's ball is n't here"
    """
    text = text.lower().replace("\u2019", "'").replace("\u2018", "'")
    words = (w for w in _TOKEN.findall(text) if w not in _MARKS)
    return " ".join(_TWO_WORDS.get(w, _BRACKETS.get(w, w)) for w in words)


def published(module: str) -> Any:
    """A module of the published scorer, by its name in the package.

    Raises:
        SettingError: the scorer is not installed.
    """
    try:
        return import_module(f"pycocoevalcap.{module}")
    except ImportError:
        raise SettingError(
            "metrics of captions come from the published scorer; it is not installed; "
            "pip install 'amodal[captions]'"
        ) from None


def words_by_row(
    texts: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str
) -> tuple[Words, Words]:
    """Words of the references and of the texts (one each), cut once for metrics that follow.

    Raises:
        DataError: no texts, another number of references, what is no text, a reference without words.
        SettingError: there is no Java for ``"java"``.
        UnknownNameError: another tokenizer.

    >>> words_by_row(["A dog."], [["One dog!", "a cat"]], "plain")
    ({0: ['one dog', 'a cat']}, {0: ['a dog']})
    """
    if tokenizer not in TOKENIZERS:
        raise unknown_name("tokenizer of captions", tokenizer, TOKENIZERS)
    if isinstance(texts, str) or len(texts) != len(references) or not len(texts):
        raise DataError(
            f"each of at least one text has a list of references; got {len(texts)} texts and "
            f"{len(references)} lists; pass sequences of equal length"
        )
    known = tuple((r,) if isinstance(r, str) else tuple(r) for r in references)
    odd = sum(not isinstance(t, str) for several in (texts, *known) for t in several)
    if odd:
        raise DataError(
            f'texts and references are strings; {odd} are not; leave their rows out, or write "" '
            "where a text is empty"
        )
    return _cut(tuple(texts), known, tokenizer)


@lru_cache(maxsize=2)  # several metrics of the same texts follow each other
def _cut(
    texts: tuple[str, ...], references: tuple[tuple[str, ...], ...], tokenizer: str
) -> tuple[Words, Words]:
    cut: Callable = _java if tokenizer == "java" else lambda lines: list(map(tokenize, lines))
    flat = cut([*texts, *(t for several in references for t in several)])
    hypotheses, rest = flat[: len(texts)], iter(flat[len(texts) :])
    found = {i: [next(rest) for _ in several] for i, several in enumerate(references)}
    bad = sum(not several or not all(several) for several in found.values())
    if bad:
        raise DataError(
            f"each text needs references, all with words; {bad} of {len(texts)} lack one or have an "
            "empty one; leave these out, or choose other metrics"
        )
    return found, {i: [x] for i, x in enumerate(hypotheses)}


def _java(lines: Sequence[str]) -> list[str]:
    if shutil.which("java") is None:
        raise SettingError(
            "Stanford's tokenizer, METEOR and SPICE run in Java; there is no java on this machine; "
            'install it, or use tokenizer="plain"'
        )
    cutter = published("tokenizer.ptbtokenizer").PTBTokenizer()
    found = cutter.tokenize({i: [{"caption": x}] for i, x in enumerate(lines)})
    return [found[i][0] for i in range(len(lines))]
