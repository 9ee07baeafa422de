"""From numpy to torch: the one file of `amodal.data` that imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from amodal.batch import Batch
from amodal.data.dataset import Dataset
from amodal.values import Values

__all__ = ["to_batch"]


def to_batch(
    data: Dataset, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Batch:
    """The rows of `data` as a `Batch` of tensors on `device`.

    Floats become `dtype`, integers int64, absence int8. The tensors are copies: a data set is
    immutable, and a tensor cannot be kept from being written to. Sources of text, images and audio
    stay numpy arrays.

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
    return Batch(
        names=data.names,
        values=values,
        absence=move(data.absence, np.int8),
        target=move(data.target),
        weight=move(data.weight),
    )
