"""`Values`: what one modality holds, packed, with absent rows having no value at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["ARRAYS", "MEDIA", "RAGGED", "Values"]

RAGGED = ("series", "codes")
"""Kinds whose values have a length of their own."""

MEDIA = ("image", "audio")
"""Kinds whose values are files."""

ARRAYS = {
    "table": ("numeric", "categorical"),
    "series": ("time", "value"),
    "codes": ("code", "type", "time"),
    "embedding": ("value",),
    "text": ("source",),
    "image": ("source",),
    "audio": ("source",),
}
"""The arrays that the values of each kind have, in order."""


@dataclass(frozen=True, eq=False)
class Values:
    """The v values of one modality and, for each of n rows, which of them is its own.

    An absent row has index -1 and thus no value that could be read by mistake; many rows can share
    one value (ten questions on one image). Arrays are numpy's in a `Dataset` and torch's in a
    `Batch`.

    | kind | ``data`` |
    |---|---|
    | ``table`` | ``numeric`` Float[v, d], NaN = missing; ``categorical`` Int[v, c], -1 = missing |
    | ``series`` | ``time`` Float[s], ``value`` Float[s, d], NaN = not observed at that time |
    | ``codes`` | ``code`` Int[s], ``type`` Int[s], ``time`` Float[s] (NaN = unknown) |
    | ``embedding`` | ``value`` Float[v, d] |
    | ``text``, ``image``, ``audio`` | ``source`` object[v]: the text, or the `Source` |

    Args:
        data: the arrays, first axis v values, or s steps of all values one after the other.
        offsets: ``Int[v + 1]``: value j has the steps ``offsets[j]:offsets[j + 1]``; None where
            each value is one entry.
        index: ``Int[n]``: row -> value, -1 where the row has none.
        whole: arrays with one entry per value also where `data` holds steps: what an encoder has
            worked out about each value beforehand.

    >>> v = Values({"value": np.array([[1.0], [2.0]])}, None, np.array([1, -1, 1]))
    >>> len(v), v.take(np.array([0, 1])).data["value"].tolist()
    (2, [[2.0]])
    """

    data: Mapping[str, Any]
    offsets: Any
    index: Any
    whole: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number v of values."""
        if self.offsets is not None:
            return len(self.offsets) - 1
        return len(next(iter(self.data.values())))

    @property
    def lengths(self) -> Any:
        """``Int[v]`` number of steps of each value (ragged kinds)."""
        return self.offsets[1:] - self.offsets[:-1]

    def take(self, rows: np.ndarray) -> Values:
        """The values of `rows` (numpy only), in order, without those that no row has.

        A value that several of the rows share is kept once.
        """
        picked = self.index[rows]
        has = picked >= 0
        used, inverse = np.unique(picked[has], return_inverse=True)
        index = np.full(len(picked), -1, dtype=np.int64)
        index[has] = inverse
        if self.offsets is None:
            return Values({k: x[used] for k, x in self.data.items()}, None, index)
        lengths = self.lengths[used]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        steps = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][used] - offsets[:-1], lengths)
        return Values({k: x[steps] for k, x in self.data.items()}, offsets, index)

    def without(self, rows: np.ndarray) -> Values:
        """The same with `rows` (``Bool[n]``, numpy) having no value; unused values are dropped."""
        hidden = Values(self.data, self.offsets, np.where(rows, -1, self.index))
        return hidden.take(np.arange(len(hidden.index)))
