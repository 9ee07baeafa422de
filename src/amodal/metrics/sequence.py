"""Metrics of texts that were written: how likely references are, and whether one was hit.

Metrics of a corpus are functions of sums over rows: so a bootstrap costs a product of matrices and
not a reading of all texts for each replicate. `of_texts` makes one of its two parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError
from amodal.metrics.inputs import check_weight
from amodal.vocabulary import words_of

__all__ = ["exact_match", "of_texts", "perplexity", "share", "token_log_loss"]

Statistics = Callable[[Sequence[str], Sequence[Sequence[str]]], np.ndarray]
"""(texts, references of each) -> [n, s] numbers of each row whose sums a metric is made of."""
Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""([B, s] sums over rows, [B] sums of their weights) -> [B] values of the metric."""


def share(sums: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weighted mean over rows of a single statistic.

    >>> share(np.array([[3.0]]), np.array([4.0])).tolist()
    [0.75]
    """
    return sums[:, 0] / weight


def of_texts(statistics: Statistics, combine: Combine = share) -> Callable[..., float | np.ndarray]:
    """A metric of (y, outputs), y the references of each row, from what it sums up per row.

    Args:
        statistics: of each row, from its text and its references.
        combine: the metric, from sums over rows. BLEU: counts of n-grams in, their geometric mean
            out; CIDEr and ROUGE-L: a value per row in, its mean out.

    Statistics of the last few texts are kept: a bootstrap asks for the same ones block by block, and
    several metrics may be made of the same.

    >>> hits = of_texts(lambda texts, references: np.array([[t in r] for t, r in
    ...                                                     zip(texts, references)]))
    >>> hits([("a", "b"), ("c",)], {"text": ["b", "d"]})
    0.5
    """

    def metric(
        y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        texts = _take(outputs, "text")
        if len(texts) != len(y):
            raise DataError(
                f"each row has a text and its references; found {len(texts)} texts and {len(y)} rows "
                "of references. Hand in both of the same rows."
            )
        rows, single = check_weight(weight, len(texts))
        if not len(texts):
            return float("nan") if single else np.full(len(rows), np.nan)
        references = tuple((x,) if isinstance(x, str) else tuple(x) for x in y)
        found = _of_rows(statistics, tuple(texts), references)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = combine(rows @ found, rows.sum(1))
        return float(values[0]) if single else values

    return metric


@lru_cache(maxsize=8)  # of two methods that are compared, a few statistics each
def _of_rows(
    statistics: Statistics, texts: tuple[str, ...], references: tuple[tuple[str, ...], ...]
) -> np.ndarray:
    found = np.asarray(statistics(texts, references), dtype=np.float64)
    found = found[:, None] if found.ndim == 1 else found
    found.flags.writeable = False
    return found


def _hits(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([_hit(t, r) for t, r in zip(texts, references, strict=True)], dtype=float)


def _hit(text: str, references: Sequence[str]) -> bool:
    return words_of(text) in [words_of(r) for r in references]


def exact_match(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """The share of rows whose text has the words and marks of one of its references.

    Args:
        y: [n] references of each row, texts.
        outputs: ``text``.
        weight: see `amodal.metrics.inputs.check_weight`.

    >>> exact_match([("a dog", "one dog"), ("a cat",)], {"text": ["One dog", "a dog"]})
    0.5
    """
    return of_texts(_hits)(y, outputs, weight=weight)


def token_log_loss(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Mean cross-entropy of a token of all references, their ends included, in nats.

    -sum_i w_i log P(references of i) / sum_i w_i (their tokens).

    Args:
        y: [n] references of each row; not read.
        outputs: ``reference_log_prob`` and ``reference_tokens``.
        weight: see `amodal.metrics.inputs.check_weight`.

    >>> outputs = {"reference_log_prob": [-2.0, -4.0], "reference_tokens": [2, 1]}
    >>> token_log_loss([("a",), ("b",)], outputs)
    2.0
    """
    log_prob = np.asarray(_take(outputs, "reference_log_prob"), dtype=np.float64)
    tokens = np.asarray(_take(outputs, "reference_tokens"), dtype=np.float64)
    rows, single = check_weight(weight, len(log_prob))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = -(rows @ log_prob) / (rows @ tokens)
    return float(values[0]) if single else values


def perplexity(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """exp of `token_log_loss`: among how many equally likely tokens the next one would be as open.

    Args:
        y: as there.
        outputs: as there.
        weight: as there.

    >>> outputs = {"reference_log_prob": [-6.0 * np.log(2)], "reference_tokens": [3]}
    >>> round(perplexity([("a",)], outputs), 6)
    4.0
    """
    found = np.exp(token_log_loss(y, outputs, weight=weight))
    return float(found) if np.ndim(found) == 0 else found


def _take(outputs: Mapping[str, ArrayLike], name: str) -> ArrayLike:
    if name not in outputs:
        raise DataError(
            f"this metric reads {name!r} from outputs; found {sorted(outputs)}. "
            "Hand in what was written, with the tokens of the references."
        )
    return outputs[name]
