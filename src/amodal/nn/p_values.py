"""p-values against those of rows that were set aside, where they ought to be uniform."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["quantiles_of", "to_uniform"]

_FEWEST = 20


def quantiles_of(p: Float[Tensor, " n"], levels: int = 101) -> Float[Tensor, " q"] | None:
    """The p-values at even levels from 0 to 1, by which `to_uniform` maps others.

    The first is 0 and the last 1, whatever was seen. None from fewer than 20 known values, which
    tell nothing of their distribution; NaN = unknown.

    >>> quantiles_of(torch.linspace(0, 0.5, 101), levels=5).tolist()
    [0.0, 0.125, 0.25, 0.375, 1.0]
    """
    known = p[~p.isnan()]
    if len(known) < _FEWEST:
        return None
    grid = torch.quantile(known, torch.linspace(0, 1, levels, dtype=known.dtype, device=p.device))
    grid[0], grid[-1] = 0.0, 1.0
    return grid


def to_uniform(p: Float[Tensor, " n"], quantiles: Float[Tensor, " q"]) -> Float[Tensor, " n"]:
    """The level of each p-value among `quantiles`, linear in between; NaN stays NaN.

    >>> to_uniform(torch.tensor([0.125, 0.75]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.125, 0.75]
    >>> to_uniform(torch.tensor([0.125]), torch.tensor([0.0, 0.25, 1.0])).tolist()  # half of half
    [0.25]
    """
    grid = quantiles.to(p.dtype)
    level = torch.linspace(0, 1, len(grid), dtype=p.dtype, device=p.device)
    high = torch.searchsorted(grid, p.nan_to_num(0.0).contiguous()).clamp(1, len(grid) - 1)
    span = (grid[high] - grid[high - 1]).clamp_min(1e-12)
    part = ((p - grid[high - 1]) / span).clamp(0, 1)
    return level[high - 1] + part * (level[high] - level[high - 1])
