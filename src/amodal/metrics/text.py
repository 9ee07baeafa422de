r"""Metrics of generated texts against several references each: BLEU, ROUGE-L, CIDEr.

The numbers are those of the scorer that the COCO caption challenge published, which this module
calls (`pip install 'amodal[captions]'`). It expects words separated by blanks, as Stanford's
tokenizer makes them, which needs Java; ``tokenizer="plain"`` does the same without Java for plain
English captions (`tokenize` says where they differ), ``"java"`` runs the original. Compare scores
of one tokenizer alone.

Each metric of a set of texts is a function of sums over its rows: `bleu_counts`, `rouge_l_rows` and
`cider_rows` give what is summed, so that a bootstrap reads every text once.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from amodal.errors import SettingError
from amodal.metrics.caption_words import TOKENIZERS, published, tokenize, words_by_row

__all__ = [
    "TOKENIZERS",
    "bleu",
    "bleu_counts",
    "bleu_of_counts",
    "caption_scores",
    "cider",
    "cider_rows",
    "meteor",
    "rouge_l",
    "rouge_l_rows",
    "spice",
    "tokenize",
]

_RUNS = 4
"""BLEU and CIDEr look at runs of up to this many words."""
_NOTHING_TO_GUESS = 1e-6
"""The published scorer's precision of runs that are longer than every text: 1e-15 / 1e-9."""


def bleu(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> tuple[float, float, float, float]:
    r"""BLEU-1 to BLEU-4 of all texts together.

    :math:`BLEU_n = b \, (\prod_{k=1}^n p_k)^{1/n}`: p_k the share of the texts' runs of k words that
    stand in a reference, each counted at most as often as in the reference that has it most often;
    :math:`b = \min(1, e^{1 - r/c})` with c the number of words of the texts and r that of the
    reference nearest in length to each.

    Where no run of k words is right BLEU_k is 0; the published scorer adds 1e-15 to its counts, and
    so has up to .0003 there. Where every text has fewer than k words p_k is 1e-6, as there.

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
    counts = bleu_counts(texts, references, tokenizer=tokenizer).sum(0, keepdims=True)
    return tuple(float(bleu_of_counts(counts, n)[0]) for n in range(1, _RUNS + 1))


def bleu_counts(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> np.ndarray:
    """What BLEU sums over rows, counted by the published scorer.

    Args, errors: see `bleu`.

    Returns:
        ``Float64[n, 10]``: the runs of 1 to 4 words that are right, each counted at most as often as
        in the reference that has it most often; the runs of 1 to 4 words; the number of words, and
        that of the reference nearest in length (of two as near the shorter).

    >>> bleu_counts(["a big dog"], [["a big cat", "dog"]]).tolist()
    [[3.0, 1.0, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0, 3.0, 3.0]]
    """
    module = published("bleu.bleu_scorer")
    known, written = words_by_row(texts, references, tokenizer)
    rows = []
    for i, several in known.items():
        reference = module.cook_refs(several, n=_RUNS)
        found = module.cook_test(written[i][0], reference, eff="closest", n=_RUNS)
        rows.append([*found["correct"], *found["guess"], found["testlen"], found["reflen"]])
    return np.array(rows, dtype=np.float64)


def bleu_of_counts(sums: np.ndarray, n: int) -> np.ndarray:
    """BLEU-n from sums of `bleu_counts`, which rows may enter with weights.

    Args:
        sums: ``Float64[B, 10]``.
        n: 1 to 4, the longest run.

    Returns:
        ``Float64[B]``, NaN where there is no reference.

    >>> bleu_of_counts(np.array([[2.0, 1, 0, 0, 4, 1, 0, 0, 4, 4]]), 2).tolist()
    [0.7071067811865476]
    """
    right, runs, (size, wanted) = sums[:, :n], sums[:, _RUNS : _RUNS + n], sums[:, -2:].T
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(runs > 0, right / runs, _NOTHING_TO_GUESS)
        short = np.where(size > 0, np.exp(np.minimum(0.0, 1 - wanted / size)), 0.0)
    found = short * np.prod(precision, axis=1) ** (1 / n)
    return np.where(wanted > 0, found, np.nan)


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
    return float(rouge_l_rows(texts, references, tokenizer=tokenizer).mean())


def rouge_l_rows(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> np.ndarray:
    """The F score of each text, ``Float64[n]``, whose mean is `rouge_l`.

    Args, errors: see `bleu`.

    >>> rouge_l_rows(["a dog", "x"], [["a dog"], ["y"]]).tolist()
    [1.0, 0.0]
    """
    given = words_by_row(texts, references, tokenizer)
    return np.asarray(published("rouge.rouge").Rouge().compute_score(*given)[1], dtype=np.float64)


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
    return float(cider_rows(texts, references, tokenizer=tokenizer).mean())


def cider_rows(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> np.ndarray:
    """What each text adds to CIDEr, ``Float64[n]``, whose mean is `cider`.

    Document frequencies are those of the references of all n rows. A mean with weights, as of a
    bootstrap, leaves them as they are: its interval tells of the choice of rows that are scored, with
    the rarity of words held fixed.

    Args, errors: see `bleu`.

    >>> cider_rows(["red bus", "car"], [["red bus"], ["blue car"]]).round(3).tolist()
    [5.0, 1.743]
    """
    given = words_by_row(texts, references, tokenizer)
    return np.asarray(published("cider.cider").Cider().compute_score(*given)[1], dtype=np.float64)


def meteor(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR 1.5 by the published scorer, which runs in Java.

    Args, errors: see `bleu`; words are cut by Stanford's tokenizer.

    Reference: Denkowski and Lavie, 2014.
    """
    given = words_by_row(texts, references, "java")
    return float(published("meteor.meteor").Meteor().compute_score(*given)[0])


def spice(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """SPICE by the published scorer, which runs in Java.

    Its parser is not part of the scorer: ``pycocoevalcap.spice.get_stanford_models`` fetches it, once.

    Args, errors: see `bleu`; words are cut by Stanford's tokenizer.

    Raises:
        SettingError: the parser is not there.

    Reference: Anderson, Fernando, Johnson and Gould, ECCV 2016.
    """
    given = words_by_row(texts, references, "java")
    home = Path(find_spec("pycocoevalcap.spice").origin).parent / "lib"
    if not (home / "stanford-corenlp-3.6.0.jar").exists():
        raise SettingError(
            "SPICE needs Stanford's parser; it is not there; let "
            "pycocoevalcap.spice.get_stanford_models.get_stanford_models() fetch it"
        )
    return float(published("spice.spice").Spice().compute_score(*given)[0])


def caption_scores(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "plain"
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr, of texts that are cut into words once.

    Args, errors: see `bleu`.

    >>> found = caption_scores(["red bus"], [["red bus", "a bus"]])
    >>> {k: round(v, 3) for k, v in found.items() if k in ("bleu_1", "bleu_2", "rouge_l")}
    {'bleu_1': 1.0, 'bleu_2': 1.0, 'rouge_l': 1.0}
    """
    given = {"texts": texts, "references": references, "tokenizer": tokenizer}
    found = {f"bleu_{n}": x for n, x in enumerate(bleu(**given), start=1)}
    return {**found, "rouge_l": rouge_l(**given), "cider": cider(**given)}
