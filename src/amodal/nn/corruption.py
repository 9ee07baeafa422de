"""Noise on what encoders read, drawn anew at each training step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amodal.batch import Batch, take_values
from amodal.values import Values

__all__ = ["changed_only", "corrupted"]

_LEAST, _MOST = 0.25, 4.0


def corrupted(batch: Batch, *, share: float = 1.0) -> tuple[Batch, Float[Tensor, "n m"]]:
    """A copy of `batch` with noise on what it holds, and how much of it each pair got.

    A value gets noise with probability `share`, else severity 0.

    Severity s is log-uniform from 1/4 to 4, one draw per value and modality; 0 for codes, for files
    that are not decoded, and where a modality is absent. Numbers, which are scaled, get Gaussian
    noise of standard deviation s; missing cells stay missing, times stay as they are. Frames of
    sound get one more such vector each recording, the same in all its frames: what is drawn anew
    in each frame could be averaged out. Pixels get
    noise of s times the standard deviation of their channel in the batch, and stay pixels. Each
    token of a text becomes, with probability 1 - exp(-s), one drawn from all tokens in the batch.

    Args:
        batch: n rows; unchanged.
        share: of the values that get noise, in [0, 1].

    Returns:
        The copy, and the severities.

    >>> values = Values({"value": torch.zeros(1, 3)}, None, torch.tensor([0, -1]))
    >>> batch = Batch(("a",), {"a": values}, torch.tensor([[0], [1]], dtype=torch.int8))
    >>> noisy, severity = corrupted(batch)
    >>> 0.25 <= severity[0].item() <= 4, severity[1].item()
    (True, 0.0)
    >>> corrupted(batch, share=0.0)[0].values["a"].data["value"].tolist()
    [[0.0, 0.0, 0.0]]
    """
    values, columns = {}, []
    for name in batch.names:
        values[name], severity = _noisy(batch.values[name], share)
        columns.append(severity)
    return batch.with_values(values), torch.stack(columns, 1)


def changed_only(noisy: Batch, batch: Batch) -> Batch:
    """`noisy` with nothing in the modalities in which it is still `batch`: none to encode again.

    >>> values = Values({"value": torch.zeros(1, 3)}, None, torch.tensor([0]))
    >>> other = Values({"value": torch.ones(1, 3)}, None, torch.tensor([0]))
    >>> absence = torch.zeros(1, 2, dtype=torch.int8)
    >>> batch = Batch(("a", "b"), {"a": values, "b": values}, absence)
    >>> changed = changed_only(batch.with_values({"a": other, "b": values}), batch)
    >>> [changed.values[name].index.tolist() for name in "ab"]
    [[0], [-1]]
    """
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
    if len(values) and "pixels" in values.data:
        return _changed(values, share, _noisy_pixels)
    if len(values) and "frame" in values.data:
        return _changed(values, share, _noisy_frames)
    if len(values) and "token" in values.data:
        return _changed(values, share, _other_tokens)
    data = {k: x for k, x in values.data.items() if _is_number(k, x)}
    whole = {k: x for k, x in values.whole.items() if x.is_floating_point() and x.shape[-1]}
    some = next(iter({**data, **whole}.values()), None)
    if some is None or len(values) == 0:
        return values, torch.zeros(len(index), device=index.device)
    severity = _severity(len(values), share, some)
    steps = severity
    if values.offsets is not None:
        steps = torch.repeat_interleave(severity, values.lengths)
    changed = Values(
        {**values.data, **{k: _add(x, steps) for k, x in data.items()}},
        values.offsets,
        index,
        {**values.whole, **{k: _add(x, severity) for k, x in whole.items()}},
    )
    return changed, _of_rows(severity, index)


def _severity(count: int, share: float, like: Tensor) -> Float[Tensor, " v"]:
    """One draw per value; 0 for those that get no noise."""
    severity = torch.empty(count, dtype=like.dtype, device=like.device)
    severity = severity.uniform_(math.log(_LEAST), math.log(_MOST)).exp()
    return severity * (torch.rand_like(severity) < share) if share < 1 else severity


def _of_rows(severity: Float[Tensor, " v"], index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    drawn = severity[index.clamp_min(0)]
    return torch.where(index >= 0, drawn, drawn.new_zeros(()))


def _changed(
    values: Values, share: float, change: Callable[[Values, Tensor], dict[str, Tensor]]
) -> tuple[Values, Float[Tensor, " n"]]:
    like = torch.zeros((), device=values.index.device)
    severity = _severity(len(values), share, like)
    found = Values(change(values, severity), values.offsets, values.index, values.whole)
    return found, _of_rows(severity, values.index)


def _noisy_pixels(values: Values, severity: Float[Tensor, " v"]) -> dict[str, Tensor]:
    x = values.data["pixels"].float()
    std = x.std((0, 2, 3), correction=0)[:, None, None]
    x = x + severity[:, None, None, None] * std * torch.randn_like(x)
    return {**values.data, "pixels": x.round().clamp(0, 255).to(values.data["pixels"].dtype)}


def _noisy_frames(values: Values, severity: Float[Tensor, " v"]) -> dict[str, Tensor]:
    x = values.data["frame"]
    steady = severity[:, None].to(x.dtype) * x.new_empty(len(severity), x.shape[1]).normal_()
    steady = torch.repeat_interleave(steady, values.lengths, dim=0)
    return {
        **values.data,
        "frame": _add(x + steady, torch.repeat_interleave(severity, values.lengths)),
    }


def _other_tokens(values: Values, severity: Float[Tensor, " v"]) -> dict[str, Tensor]:
    token = values.data["token"]
    if not len(token):
        return dict(values.data)
    hit = torch.rand(len(token), device=token.device) > torch.exp(
        -torch.repeat_interleave(severity, values.lengths)
    )
    other = token[torch.randint(len(token), token.shape, device=token.device)]
    return {**values.data, "token": torch.where(hit, other, token)}


def _is_number(name: str, x: Tensor) -> bool:
    return name != "time" and x.is_floating_point() and x.ndim == 2 and x.shape[-1] > 0


def _add(x: Float[Tensor, "v d"], severity: Float[Tensor, " v"]) -> Float[Tensor, "v d"]:
    return x + severity[:, None] * torch.randn_like(x)
