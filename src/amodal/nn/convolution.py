"""Convolutions that turn an image into tokens."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConvolutionStem"]


class ConvolutionStem(nn.Module):
    """Convolutions of stride 2 until a token stands for `patch` x `patch` pixels.

    ``log2 patch`` times ``gelu(convolution of 3 x 3, stride 2)``, the channels doubling up to
    `width`, then a linear map of each token. Edges and corners are seen alike wherever they lie; a
    linear map of patches has to learn them anew for every place inside a patch. Nothing is
    normalised: a norm over the image hides how bright it is, one over places would tell of others.

    Args:
        channels: of the image.
        width: size of a token.
        patch: a power of 2, at least 2.

    Shapes: ``[v, channels, h, w] -> [v, h w / patch^2, width]``, row by row.

    Reference: Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021, without
    its norms.

    >>> import torch
    >>> ConvolutionStem(3, 8, 4)(torch.zeros(2, 3, 16, 8)).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        steps = patch.bit_length() - 1
        sizes = [channels, *(max(1, width >> (steps - 1 - k)) for k in range(steps))]
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(sizes)
        )
        for step in self.steps:  # sizes stay as they are from layer to layer
            nn.init.kaiming_normal_(step.weight, nonlinearity="relu")
        self.last = nn.Linear(sizes[-1], width)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v t d"]:
        for step in self.steps:
            x = F.gelu(step(x))
        return self.last(x.flatten(2).transpose(1, 2))
