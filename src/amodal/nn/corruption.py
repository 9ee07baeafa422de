"""Noise on what encoders read, drawn anew at each training step."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from amodal.batch import Batch, take_values
from amodal.values import Values

__all__ = ["changed_only", "corrupted"]

_LEAST, _MOST = 0.25, 4.0


def corrupted(batch: Batch, *, share: float = 1.0) -> tuple[Batch, Float[Tensor, "n m"]]:
    """A copy of `batch` with Gaussian noise on its numbers, and how much of it each pair got.

    A value gets noise with probability `share`, else severity 0.

    Inputs are scaled, so severity s is a multiple of the training standard deviation: log-uniform
    from 1/4 to 4, one draw per value and modality; 0 for a modality without numbers (codes) and
    where it is absent. Missing cells stay missing, times stay as they are.
    """
    values, columns = {}, []
    for name in batch.names:
        values[name], severity = _noisy(batch.values[name], share)
        columns.append(severity)
    return batch.with_values(values), torch.stack(columns, 1)


def changed_only(noisy: Batch, batch: Batch) -> Batch:
    """`noisy` with nothing in the modalities in which it is still `batch`: none to encode again."""
    rows = torch.arange(len(batch), device=batch.absence.device)
    values = {}
    for name, found in noisy.values.items():
        if found is batch.values[name]:
            none = Values(found.data, found.offsets, torch.full_like(found.index, -1), found.whole)
            found = take_values(none, rows)
        values[name] = found
    return noisy.with_values(values)


def _noisy(values: Values, share: float) -> tuple[Values, Float[Tensor, " n"]]:
    index = values.index
    data = {k: x for k, x in values.data.items() if _is_number(k, x)}
    whole = {k: x for k, x in values.whole.items() if x.is_floating_point() and x.shape[-1]}
    some = next(iter({**data, **whole}.values()), None)
    if some is None or len(values) == 0:
        return values, torch.zeros(len(index), device=index.device)
    low, high = math.log(_LEAST), math.log(_MOST)
    severity = torch.empty(len(values), dtype=some.dtype, device=some.device)
    severity = severity.uniform_(low, high).exp()
    if share < 1:
        severity = severity * (torch.rand_like(severity) < share)
    steps = severity
    if values.offsets is not None:
        steps = torch.repeat_interleave(severity, values.lengths)
    changed = Values(
        {**values.data, **{k: _add(x, steps) for k, x in data.items()}},
        values.offsets,
        index,
        {**values.whole, **{k: _add(x, severity) for k, x in whole.items()}},
    )
    drawn = severity[index.clamp_min(0)]
    return changed, torch.where(index >= 0, drawn, drawn.new_zeros(()))


def _is_number(name: str, x: Tensor) -> bool:
    return name != "time" and x.is_floating_point() and x.ndim == 2 and x.shape[-1] > 0


def _add(x: Float[Tensor, "v d"], severity: Float[Tensor, " v"]) -> Float[Tensor, "v d"]:
    return x + severity[:, None] * torch.randn_like(x)
