"""From numpy to torch: the one file of `amodal.data` that imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from amodal.batch import Batch
from amodal.data.dataset import Dataset
from amodal.values import Values
from amodal.vocabulary import PAD, Vocabulary

__all__ = ["to_batch"]


def to_batch(
    data: Dataset, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Batch:
    """The rows of `data` as a `Batch` of tensors on `device`.

    Floats become `dtype`, integers int64, absence int8. The tensors are copies: a data set is
    immutable, and a tensor cannot be kept from being written to. Sources of text, images and audio
    stay numpy arrays. The target of a sequence task becomes the tokens of its references, behind
    each of which, and in place of those that a row has less than others, stands `PAD`.

    >>> b = to_batch(Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[2.0], [3.0]]}, [0, 1]))
    >>> b.present.tolist(), b.values["a"].index.tolist(), b.target.tolist()
    ([[True, True], [False, True]], [0, -1], [0.0, 1.0])
    """

    floating = np.float64 if dtype == torch.float64 else np.float32

    def move(x: Any, integer: type = np.int64) -> Any:
        if x is None or x.dtype == object:
            return x
        is_float = x.dtype.kind == "f"
        # numpy copies in half the time that torch.tensor takes
        tensor = torch.from_numpy(x.astype(floating if is_float else integer))
        return tensor.to(device=device, dtype=dtype if is_float else None)

    values = {}
    for name in data.names:
        v = data.values[name]
        packed = {k: move(x) for k, x in v.data.items()}
        values[name] = Values(packed, move(v.offsets), move(v.index))
    target = data.target
    if data.task is not None and data.task.kind == "sequence" and target is not None:
        target = _tokens(data.references, data.task.vocabulary)
    return Batch(
        names=data.names,
        values=values,
        absence=move(data.absence, np.int8),
        target=move(target),
        weight=move(data.weight),
    )


def _tokens(references: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """``Float[n, r, t]`` tokens of up to r texts per row, NaN where a row has none."""
    ids = [[vocabulary.encode(text) for text in texts] for texts in references]
    most = max((len(x) for x in ids), default=0) or 1
    longest = max((len(t) for x in ids for t in x), default=0) or 1
    found = np.full((len(ids), most, longest), float(PAD))
    for i, texts in enumerate(ids):
        if not texts:
            found[i] = np.nan
        for j, tokens in enumerate(texts):
            found[i, j, : len(tokens)] = tokens
    return found
