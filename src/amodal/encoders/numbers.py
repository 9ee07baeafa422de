"""How numbers enter a network: as they are, or in pieces of their distribution."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.encoders.base import observed

__all__ = ["Pieces", "number_size"]

_ENOUGH = 50_000  # rows that quantiles are taken from
_REACH = 1.0  # widths of the outer pieces that a number beyond the training range still counts for


def number_size(columns: int, kind: str, pieces: int) -> int:
    """Inputs that `columns` numbers become.

    >>> number_size(3, "piecewise", 8), number_size(3, "linear", 8)
    (27, 3)
    """
    return columns * (1 + pieces) if kind == "piecewise" else columns


class Pieces(nn.Module):
    """Piecewise-linear encoding: how far a number has come through each piece of its range.

    With edges b_0 <= ... <= b_p, the quantiles of a column over training rows, piece t of x is
    ``(x - b_{t-1}) / (b_t - b_{t-1})`` limited to [0, 1]: a linear layer behind it is any function
    that is linear within pieces, so that "too high and too low are both bad" takes no hidden layer,
    and a skewed column needs no transformation. The first piece goes down to -1 and the last up to
    2, for numbers beyond the range seen in training. A piece without width (ties) is 0. All pieces
    of an unknown number are 0. The number itself stands in front of its pieces (0 if unknown).

    Before `fit` the edges are those of a standard normal column.

    Args:
        columns: number f of columns.
        pieces: number p of pieces of each.

    Shapes: ``[v, f] -> [v, (1 + p) f]``: the numbers, all first pieces, all second ones, and so on.

    Reference: Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning",
    NeurIPS 2022, Eq. 1; open ends of the outer pieces are limited here.

    >>> pieces = Pieces(1, 2)
    >>> pieces.fit(torch.tensor([[0.0], [1.0], [5.0]]))
    >>> pieces(torch.tensor([[0.5], [3.0], [-9.0], [torch.nan]])).tolist()
    [[0.5, 0.5, 0.0], [3.0, 1.0, 0.5], [-9.0, -1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, columns: int, pieces: int) -> None:
        super().__init__()
        level = torch.linspace(0, 1, pieces + 1).clamp(0.02, 0.98)
        normal = torch.special.ndtri(level.double()).float()
        self.register_buffer("edges", normal[:, None].repeat(1, columns))
        low, high = torch.zeros(pieces, 1), torch.ones(pieces, 1)
        low[0] -= _REACH
        high[-1] += _REACH
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.left_out = False
        self.register_load_state_dict_post_hook(_notice)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "v f"]) -> None:
        """Takes the edges from training values; NaN = unknown. Columns never known keep theirs."""
        self.left_out = False
        rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), _ENOUGH)).astype(np.int64))
        sample = x[torch.from_numpy(rows).to(x.device)].double().cpu().numpy()
        some = ~np.isnan(sample).all(axis=0) if len(sample) else np.zeros(x.shape[1], dtype=bool)
        if some.any():
            level = np.linspace(0, 1, len(self.edges))
            found = torch.from_numpy(np.nanquantile(sample[:, some], level, axis=0))
            self.edges[:, torch.from_numpy(some).to(self.edges.device)] = found.to(self.edges)

    @property
    def size(self) -> int:
        """Numbers that come out."""
        return self.edges.shape[1] * len(self.edges)

    @torch.no_grad()
    def leave_out(self) -> None:
        """Makes all pieces 0, so that numbers enter as they are.

        >>> pieces = Pieces(1, 2)
        >>> pieces.leave_out()
        >>> pieces(torch.tensor([[0.5]])).tolist()
        [[0.5, 0.0, 0.0]]
        """
        self.edges.zero_()
        self.left_out = True

    def forward(self, x: Float[Tensor, "v f"]) -> Float[Tensor, "v k"]:
        x, known = observed(x)
        if self.left_out:
            return F.pad(x, (0, self.low.shape[0] * x.shape[1]))
        edges = self.edges.to(x.dtype)
        width = edges.diff(dim=0)
        slope = torch.where(width > 0, 1 / width, 0.0)
        part = (x[:, None] - edges[:-1]) * slope
        part = part.clamp(self.low.to(x.dtype), self.high.to(x.dtype))
        part = torch.where(known[:, None], part, 0.0)
        return torch.cat([x, part.flatten(1)], dim=1)


def _notice(module: Pieces, _keys: object) -> None:
    """Loaded edges tell whether the pieces are left out: then all of them are 0."""
    module.left_out = not bool(module.edges.any())
