"""A feed-forward block that multiplies what two maps read."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.nn.blocks import drop

__all__ = ["GatedFeedForward"]


class GatedFeedForward(nn.Module):
    """``W3 dropout(gelu(W1 norm(x)) * W2 norm(x))``: the inner part of a pre-norm residual block.

    Where x is a sum of what several modalities tell, the product holds that of what one tells and
    what another tells: whether the colour asked for is the colour seen is read off it at once, while
    `FeedForward` has to build products out of curved units first.

    Args:
        width: size d of the last axis, in and out.
        hidden: size between; None for 2 d.
        dropout: share of hidden units dropped in training.

    Reference: Shazeer, "GLU Variants Improve Transformer", 2020.

    >>> import torch
    >>> GatedFeedForward(4, hidden=6)(torch.zeros(5, 3, 4)).shape
    torch.Size([5, 3, 4])
    """

    def __init__(self, width: int, *, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = hidden or 2 * width
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * hidden)
        self.outer = nn.Linear(hidden, width)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        gate, value = self.inner(self.norm(x)).chunk(2, -1)
        return self.outer(drop(F.gelu(gate) * value, self.dropout, self.training, by=self))
