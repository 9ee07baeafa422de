"""Linear maps with separate weights per modality, applied to all modalities in one operation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.nn.blocks import drop

__all__ = ["GroupedLinear", "GroupedMLP", "select_present"]


def select_present(x: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> Tensor:
    """`x` with zeros where absent. Selected, not multiplied: 0 * NaN is NaN.

    >>> x = torch.tensor([[[1.0], [float("nan")]]])
    >>> select_present(x, torch.tensor([[True, False]])).flatten().tolist()
    [1.0, 0.0]
    """
    return torch.where(present[..., None], x, x.new_zeros(()))


class GroupedLinear(nn.Module):
    """y_k = x_k W_k + b_k for every modality k at once.

    Args:
        groups: number m of modalities.
        inputs, outputs: widths.

    Shapes: ``[n, m, inputs] -> [n, m, outputs]``; a batched matrix product, no loop over modalities.
    Weights start as `torch.nn.Linear`'s do: uniform in +-1/sqrt(inputs).

    >>> layer = GroupedLinear(2, 1, 1)
    >>> layer.weight.data, layer.bias.data = torch.tensor([[[2.0]], [[3.0]]]), torch.ones(2, 1, 1)
    >>> layer(torch.ones(1, 2, 1)).flatten().tolist()  # each modality has weights of its own
    [3.0, 4.0]
    """

    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, outputs).uniform_(-bound, bound))

    def forward(
        self, x: Float[Tensor, "n m i"], *, scale: float = 1.0, shift: float = 0.0
    ) -> Float[Tensor, "n m o"]:
        """scale y + shift; both go to the weights, which are smaller than y."""
        weight, bias = self.weight, self.bias
        if (scale, shift) != (1.0, 0.0):
            weight, bias = scale * weight, scale * bias + shift
        return torch.baddbmm(bias, x.transpose(0, 1), weight).transpose(0, 1)


class GroupedMLP(nn.Module):
    """Linear - GELU - dropout - linear with separate weights per modality.

    Args:
        gain: scale of the output at the start; 0 for one that is constant until it learns.

    Shapes: ``[n, m, width] -> [n, m, outputs]``.

    >>> layer = GroupedMLP(2, 4, 3, gain=0)
    >>> layer(torch.randn(5, 2, 4)).abs().max().item()
    0.0
    """

    def __init__(
        self, groups: int, width: int, outputs: int, *, dropout: float = 0.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.first = GroupedLinear(groups, width, width)
        self.last = GroupedLinear(groups, width, outputs)
        self.dropout = dropout
        with torch.no_grad():
            self.last.weight *= gain
            self.last.bias *= gain

    def forward(
        self, x: Float[Tensor, "n m d"], *, scale: float = 1.0, shift: float = 0.0
    ) -> Float[Tensor, "n m o"]:
        """scale y + shift."""
        hidden = F.gelu(self.first(x)).transpose(0, 1)  # as it lies in memory
        hidden = drop(hidden.flatten(0, 1), self.dropout, self.training, by=self).view_as(hidden)
        return self.last(hidden.transpose(0, 1), scale=scale, shift=shift)
