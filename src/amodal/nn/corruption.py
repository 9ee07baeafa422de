"""Noise on what encoders read, drawn anew at each training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from amodal.batch import Batch, take_values
from amodal.values import Values

__all__ = ["changed_only", "corrupted"]

_LEAST, _MOST = 0.25, 4.0
_WAVES = 6  # cosines that a smooth spectrum is made of


def corrupted(
    batch: Batch, *, share: float = 1.0, replaced: float = 0.0
) -> tuple[Batch, Float[Tensor, "n m"]]:
    """A copy of `batch` with noise on what it holds, and how much of it each pair got.

    A value gets noise with probability `share`, else severity 0. Severity s is log-uniform from 1/4
    to 4, one draw per value and modality; 0 for codes, for files that are not decoded, and where a
    modality is absent. Of the values with noise the share `replaced` keeps nothing of its own: then
    k = 0 below, else 1.

    - Numbers, which are scaled, become k x + s n, n standard normal. Missing cells stay missing,
      times stay as they are.
    - Pixels become c + k (x - c) + s d n, with c and d mean and standard deviation of their channel
      in the batch, and stay pixels.
    - Frames of sound become k x + s (f + u n): f is a random smooth spectrum, the same in all frames
      of a recording, for what is drawn anew in each could be averaged out; u is even on [0, 1].
    - Each token of a text becomes, with probability 1 - k exp(-s), one drawn from all in the batch.

    Args:
        batch: n rows of m modalities; unchanged.
        share: probability in [0, 1].
        replaced: probability in [0, 1].

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
        found = batch.values[name]
        change = next((_CHANGES[k] for k in found.data if k in _CHANGES), _noisy_numbers)
        values[name], severity = _noisy(found, change, share=share, replaced=replaced)
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


@dataclass(frozen=True)
class _Draw:
    """How much noise each of v values gets, and whether (1 or 0) it keeps what it holds."""

    severity: Float[Tensor, " v"]
    kept: Float[Tensor, " v"]

    @classmethod
    def of(cls, count: int, *, share: float, replaced: float, device: torch.device) -> _Draw:
        severity = torch.empty(count, device=device)
        severity = severity.uniform_(math.log(_LEAST), math.log(_MOST)).exp()
        if share < 1:
            severity = severity * (torch.rand_like(severity) < share)
        gone = (severity > 0) & (torch.rand_like(severity) < replaced) if replaced else severity < 0
        return cls(severity, (~gone).to(severity.dtype))

    def steps(self, values: Values) -> _Draw:
        """The same for every step of each value."""
        if values.offsets is None:
            return self
        lengths = values.lengths
        both = (torch.repeat_interleave(x, lengths) for x in (self.severity, self.kept))
        return _Draw(*both)

    def add(self, x: Float[Tensor, "v d"], noise: Float[Tensor, "v d"]) -> Float[Tensor, "v d"]:
        """k x + s n, in the type of x."""
        kept, severity = (a.to(x.dtype)[:, None] for a in (self.kept, self.severity))
        return kept * x + severity * noise


_Change = Callable[[Values, _Draw], "Values | None"]


def _noisy(
    values: Values, change: _Change, *, share: float, replaced: float
) -> tuple[Values, Float[Tensor, " n"]]:
    index = values.index
    draw = _Draw.of(len(values), share=share, replaced=replaced, device=index.device)
    found = change(values, draw) if len(values) else None
    if found is None:
        return values, torch.zeros(len(index), device=index.device)
    drawn = draw.severity[index.clamp_min(0)]
    return found, torch.where(index >= 0, drawn, drawn.new_zeros(()))


def _noisy_numbers(values: Values, draw: _Draw) -> Values | None:
    data = {k: x for k, x in values.data.items() if _is_number(k, x)}
    whole = {k: x for k, x in values.whole.items() if x.is_floating_point() and x.shape[-1]}
    if not data and not whole:
        return None
    steps = draw.steps(values)
    return Values(
        {**values.data, **{k: steps.add(x, torch.randn_like(x)) for k, x in data.items()}},
        values.offsets,
        values.index,
        {**values.whole, **{k: draw.add(x, torch.randn_like(x)) for k, x in whole.items()}},
    )


def _noisy_pixels(values: Values, draw: _Draw) -> Values:
    before = values.data["pixels"]
    x = before.float()
    centre, std = (a[:, None, None] for a in (x.mean((0, 2, 3)), x.std((0, 2, 3), correction=0)))
    flat = draw.add((x - centre).flatten(1), (std * torch.randn_like(x)).flatten(1))
    pixels = (centre + flat.view_as(x)).round().clamp(0, 255).to(before.dtype)
    return Values({**values.data, "pixels": pixels}, values.offsets, values.index, values.whole)


def _noisy_frames(values: Values, draw: _Draw) -> Values:
    x = values.data["frame"]
    band = torch.linspace(0, math.pi, x.shape[1], device=x.device, dtype=x.dtype)
    waves = torch.cos(band * torch.arange(_WAVES, device=x.device)[:, None])
    spectrum = x.new_empty(len(values), _WAVES).normal_() @ waves / (_WAVES / 2) ** 0.5
    lengths, own = values.lengths, torch.rand(len(values), 1, device=x.device, dtype=x.dtype)
    steady, own = (torch.repeat_interleave(a, lengths, dim=0) for a in (spectrum, own))
    frame = draw.steps(values).add(x, steady + own * torch.randn_like(x))
    return Values({**values.data, "frame": frame}, values.offsets, values.index, values.whole)


def _other_tokens(values: Values, draw: _Draw) -> Values:
    token, steps = values.data["token"], draw.steps(values)
    if len(token):
        hit = torch.rand(len(token), device=token.device) >= steps.kept * (-steps.severity).exp()
        other = token[torch.randint(len(token), token.shape, device=token.device)]
        token = torch.where(hit, other, token)
    return Values({**values.data, "token": token}, values.offsets, values.index, values.whole)


_CHANGES = {"pixels": _noisy_pixels, "frame": _noisy_frames, "token": _other_tokens}


def _is_number(name: str, x: Tensor) -> bool:
    return name != "time" and x.is_floating_point() and x.ndim == 2 and x.shape[-1] > 0
