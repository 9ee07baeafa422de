"""How unlike the training rows a vector is, in a few numbers that no gradient learns."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ODDNESS", "Oddness"]

ODDNESS = 4
"""Numbers that `Oddness` gives."""

_WIDEST = 512
_ROWS = 5  # training rows to a column
_SAMPLE = 20_000
_SHARES = (0.5, 0.9)
_FLOOR = 1e-3


class Oddness(nn.Module):
    """Size of a vector along the main directions of the training rows, along lesser ones, and off.

    With principal components of variance l_j (of standardised columns, unknown = 0), split into
    bands B that hold the first half of the variance, the next two fifths, and the rest:
    ``1/2 log(mean over j in B of (projection_j^2 / l_j) + 0.01)``, which is about 0 for a training
    row and grows by log s where what a band holds is s times as large. Noise shows in the last band
    long before it shows elsewhere: it goes in all directions, and columns that tell the same do not.
    The fourth number is the share of columns that are known.

    More columns than 512, or than a fifth of the training rows, are mixed at random into as many:
    beside few rows, directions fit those rows, and any other row would look odd.

    Args:
        columns: number f; 0 gives zeros.

    Shapes: ``[v, f] -> [v, 4]``; NaN = unknown.

    Reference: the statistics T^2 and Q of Jackson and Mudholkar, Technometrics 1979, by bands.

    >>> odd = Oddness(2)
    >>> odd.fit(torch.tensor([[-1.0, -1.1], [1.0, 1.1], [2.0, 1.9], [-2.0, -1.9]]).repeat(3, 1))
    >>> usual, unusual = odd(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))[:, 2].tolist()
    >>> unusual > usual + 2
    True
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        kept = min(columns, _WIDEST)
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))
        self.register_buffer("basis", torch.eye(columns, kept))
        self.register_buffer("bands", torch.full((kept, len(_SHARES) + 1), 1 / max(kept, 1)))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "v f"]) -> None:
        """Takes means, scales, directions and bands from training vectors; NaN = unknown."""
        x = x[:: max(1, len(x) // _SAMPLE)].double().cpu()
        if len(x) < 2 or not x.shape[1]:
            return
        known = ~x.isnan()
        count = known.sum(0).clamp_min(1)
        mean = x.nan_to_num(0.0).sum(0) / count
        centred = torch.where(known, x - mean, 0.0)
        scale = (centred.square().sum(0) / count).sqrt()
        scale = torch.where(scale > 1e-6, scale, 1.0)
        z, mix = centred / scale, torch.eye(x.shape[1], dtype=x.dtype)
        kept = min(x.shape[1], _WIDEST, max(1, len(x) // _ROWS))
        if kept < x.shape[1]:
            source = torch.Generator().manual_seed(0)
            mix = torch.randn(x.shape[1], kept, generator=source, dtype=x.dtype) / kept**0.5
            z = z @ mix
        size, directions = torch.linalg.eigh(z.T @ z / len(z))
        size, directions = size.flip(0).clamp_min(0), directions.flip(1)
        floor = (_FLOOR * size.mean()).clamp_min(1e-12)
        share = (size.cumsum(0) - size) / size.sum().clamp_min(1e-12)  # held by those before
        band = torch.bucketize(share, torch.tensor(_SHARES, dtype=x.dtype), right=True)
        member = nn.functional.one_hot(band, len(_SHARES) + 1).to(x.dtype)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.basis.zero_()[:, :kept] = mix @ (directions / size.clamp_min(floor).sqrt())
        self.bands.zero_()[:kept] = member / member.sum(0).clamp_min(1)

    def forward(self, x: Float[Tensor, "v f"]) -> Float[Tensor, "v 4"]:
        if not x.shape[1]:
            return x.new_zeros(len(x), ODDNESS)
        known = ~x.isnan()
        z = torch.where(known, (x - self.mean.to(x.dtype)) / self.scale.to(x.dtype), 0.0)
        square = (z @ self.basis.to(x.dtype)).square() @ self.bands.to(x.dtype)
        share = known.to(x.dtype).mean(1, keepdim=True)
        return torch.cat([0.5 * (square + 0.01).log(), share], dim=1)
