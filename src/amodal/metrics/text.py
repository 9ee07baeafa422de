r"""Metrics of generated texts against several references each: BLEU, ROUGE-L, CIDEr.

The numbers are those of the scorer that the COCO caption challenge published, which this module
calls (`pip install 'amodal[captions]'`). It expects words separated by blanks, as Stanford's
tokenizer makes them, which needs Java; ``tokenizer="plain"`` does the same without Java for plain
English captions (`tokenize` says where they differ), ``"java"`` runs the original. Compare scores
of one tokenizer alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from amodal.errors import DataError, SettingError, unknown_name

__all__ = [
    "TOKENIZERS",
    "bleu",
    "caption_scores",
    "cider",
    "meteor",
    "rouge_l",
    "spice",
    "tokenize",
]

TOKENIZERS = ("plain", "java")
"""What cuts texts into words: this module, or Stanford's tokenizer."""

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


def bleu(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> tuple[float, float, float, float]:
    r"""BLEU-1 to BLEU-4 of all texts together.

    :math:`BLEU_n = b \, (\prod_{k=1}^n p_k)^{1/n}`: p_k the share of the texts' runs of k words that
    stand in a reference, each counted at most as often as in the reference that has it most often;
    :math:`b = \min(1, e^{1 - r/c})` with c the number of words of the texts and r that of the
    reference nearest in length to each.

    Args:
        texts: n texts.
        references: of each text, at least one.
        tokenizer: one of `TOKENIZERS`.

    Returns:
        Four numbers in [0, 1].

    Raises:
        DataError: no texts, another number of references, a reference without words.
        SettingError: the scorer is not installed, or there is no Java for ``"java"``.

    Reference: Papineni et al., ACL 2002.

    Two words of three are right, one pair of two:

    >>> found = bleu(["a big dog"], [["a big cat"]])
    >>> [round(x, 3) for x in found[:2]]
    [0.667, 0.577]
    """
    return _bleu(*_words(texts, references, tokenizer))


def rouge_l(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> float:
    r"""ROUGE-L: the mean over texts of an F score of the longest common subsequence of words.

    :math:`F = (1 + \beta^2) P R / (R + \beta^2 P)` with beta = 1.2, P the largest share of the text's
    words in a common subsequence with a reference, R the largest share of a reference's words.

    Args, errors: see `bleu`.

    Returns:
        A number in [0, 1].

    Reference: Lin, 2004.

    "the dog ran" in both, of four words in each (P = R = 3/4):

    >>> rouge_l(["the old dog ran"], [["the dog ran home"]])
    0.75
    """
    return _rouge(*_words(texts, references, tokenizer))


def cider(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> float:
    r"""CIDEr-D, as the published scorer computes what it calls CIDEr.

    The mean over texts and their references of ten times the cosine of TF-IDF vectors of runs of one
    to four words, averaged over the four lengths; counts of the text are clipped to those of the
    reference, and :math:`e^{-\delta^2 / 72}` punishes a difference :math:`\delta` of length. A run's
    document frequency is the number of rows of which a reference has it: a score depends on the
    whole set, and of a single row it is 0.

    Args, errors: see `bleu`.

    Returns:
        A number from 0 to 10.

    Reference: Vedantam, Zitnick and Parikh, CVPR 2015.

    A text equal to its only reference has all runs right; of two words, those of length 1 and 2:

    >>> round(cider(["red bus", "blue car"], [["red bus"], ["blue car"]]), 6)
    5.0
    """
    return _cider(*_words(texts, references, tokenizer))


def meteor(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR 1.5 by the published scorer, which runs in Java.

    Args, errors: see `bleu`; words are cut by Stanford's tokenizer.

    Reference: Denkowski and Lavie, 2014.
    """
    given = _words(texts, references, "java")
    return float(_scorer("meteor.meteor", "Meteor").compute_score(*given)[0])


def spice(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """SPICE by the published scorer, which runs in Java.

    Its parser is not part of the scorer: ``pycocoevalcap.spice.get_stanford_models`` fetches it, once.

    Args, errors: see `bleu`; words are cut by Stanford's tokenizer.

    Raises:
        SettingError: the parser is not there.

    Reference: Anderson, Fernando, Johnson and Gould, ECCV 2016.
    """
    given = _words(texts, references, "java")
    home = Path(find_spec("pycocoevalcap.spice").origin).parent / "lib"
    if not (home / "stanford-corenlp-3.6.0.jar").exists():
        raise SettingError(
            "SPICE needs Stanford's parser; it is not there; let "
            "pycocoevalcap.spice.get_stanford_models.get_stanford_models() fetch it"
        )
    return float(_scorer("spice.spice", "Spice").compute_score(*given)[0])


def caption_scores(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr, of texts that are cut into words once.

    Args, errors: see `bleu`.

    >>> found = caption_scores(["red bus"], [["red bus", "a bus"]])
    >>> {k: round(v, 3) for k, v in found.items() if k in ("bleu_1", "bleu_2", "rouge_l")}
    {'bleu_1': 1.0, 'bleu_2': 1.0, 'rouge_l': 1.0}
    """
    given = _words(texts, references, tokenizer)
    found = {f"bleu_{n}": x for n, x in enumerate(_bleu(*given), start=1)}
    return {**found, "rouge_l": _rouge(*given), "cider": _cider(*given)}


# -- the published scorer -------------------------------------------------------------------------

_Words = dict[int, list[str]]


def _bleu(references: _Words, texts: _Words) -> tuple[float, float, float, float]:
    found, _ = _scorer("bleu.bleu", "Bleu").compute_score(references, texts, verbose=0)
    return tuple(min(max(float(x), 0.0), 1.0) for x in found)  # it adds 1e-15 to counts


def _rouge(references: _Words, texts: _Words) -> float:
    return float(_scorer("rouge.rouge", "Rouge").compute_score(references, texts)[0])


def _cider(references: _Words, texts: _Words) -> float:
    return float(_scorer("cider.cider", "Cider").compute_score(references, texts)[0])


def _scorer(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"pycocoevalcap.{module}"), name)()
    except ImportError:
        raise SettingError(
            "metrics of captions come from the published scorer; it is not installed; "
            "pip install 'amodal[captions]'"
        ) from None


def _words(
    texts: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str
) -> tuple[_Words, _Words]:
    """Words of the references and of the texts, by number of the text."""
    if tokenizer not in TOKENIZERS:
        raise unknown_name("tokenizer of captions", tokenizer, TOKENIZERS)
    if isinstance(texts, str) or len(texts) != len(references) or not len(texts):
        raise DataError(
            f"each of at least one text has a list of references; got {len(texts)} texts and "
            f"{len(references)} lists; pass sequences of equal length"
        )
    known = [[r] if isinstance(r, str) else list(r) for r in references]
    cut: Callable = _java if tokenizer == "java" else lambda lines: list(map(tokenize, lines))
    flat = cut([*texts, *(t for several in known for t in several)])
    hypotheses, rest = flat[: len(texts)], iter(flat[len(texts) :])
    found = {i: [next(rest) for _ in several] for i, several in enumerate(known)}
    bad = sum(not several or not all(several) for several in found.values())
    if bad:
        raise DataError(
            f"each text needs references, all with words; {bad} of {len(texts)} lack one or have an "
            "empty one; leave these out"
        )
    return found, {i: [x] for i, x in enumerate(hypotheses)}


def _java(lines: Sequence[str]) -> list[str]:
    if shutil.which("java") is None:
        raise SettingError(
            "Stanford's tokenizer, METEOR and SPICE run in Java; there is no java on this machine; "
            'install it, or use tokenizer="plain"'
        )
    cutter = _scorer("tokenizer.ptbtokenizer", "PTBTokenizer")
    found = cutter.tokenize({i: [{"caption": x}] for i, x in enumerate(lines)})
    return [found[i][0] for i in range(len(lines))]
