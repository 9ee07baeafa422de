"""`HashedWords`: a text as signed counts of its words, without anything learned or downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amodal.errors import SettingError
from amodal.media.features import hashed_words

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

    kind = "text"
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
        return hashed_words(texts, self.width)
