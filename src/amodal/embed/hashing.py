"""`HashedWords`: a text as signed counts of its words, without anything learned or downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amodal.errors import SettingError

__all__ = ["HashedWords"]


class HashedWords:
    """Words, those of one letter too, and pairs of them, hashed with signs; of unit length.

    Component j is ``sign(c_j) log(1 + |c_j|)`` with c_j the sum of the signs of the words that hash
    to j. Inner products of the counts are those of the bags of words in expectation. It needs no
    training rows, so that nothing can leak from test rows: an honest floor for what a checkpoint
    adds.

    Args:
        width: size of the vector, at least 8.

    Raises:
        SettingError: a smaller width.

    Reference: Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.

    >>> one, same, other = HashedWords(64).embed(["sepsis, no fever", "Sepsis no fever", "well"])
    >>> bool((one == same).all()), bool((one == other).all())
    (True, False)
    """

    batch_size = 4096

    def __init__(self, width: int = 256) -> None:
        if width < 8:
            raise SettingError(f"width must be at least 8; got {width}; raise it")
        self.width = width
        self.key = f"hashing2-{width}"  # the number changes with what is counted

    def facts(self) -> dict[str, object]:
        """What provenance says of it."""
        return {"encoder": "hashing", "width": self.width}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``Float32[k, width]``; 0 for a text without words."""
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.preprocessing import normalize

        if not len(texts):
            return np.zeros((0, self.width), dtype=np.float32)
        counts = HashingVectorizer(
            n_features=self.width, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", norm=None
        )
        found = counts.transform(texts).toarray()
        return normalize(np.sign(found) * np.log1p(np.abs(found))).astype(np.float32)
