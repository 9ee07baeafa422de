"""Parts that several neural methods are made of."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch, Encoded
from amodal.nn.blocks import Dropout
from amodal.values import Values

__all__ = ["Head", "PatternEmbedding", "evenness", "spread", "spread_tokens"]


def spread(x: Float[Tensor, "v d"], values: Values) -> Float[Tensor, "n d"]:
    """The vector of each row's value; 0 where the row has none.

    >>> spread(torch.ones(1, 2), Values({}, None, torch.tensor([0, -1]))).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    has = values.index >= 0
    if len(x) == 0:
        return x.new_zeros(len(has), x.shape[-1])
    chosen = x[values.index.clamp_min(0)]
    return torch.where(has[:, None], chosen, chosen.new_zeros(()))


def spread_tokens(
    encoded: Encoded, values: Values
) -> tuple[Float[Tensor, "n t d"], Bool[Tensor, "n t"]]:
    """The tokens of each row's value and which of them are there; none where the row has no value."""
    tokens, has = encoded.tokens, values.index >= 0
    if len(tokens) == 0:
        none = tokens.new_zeros(len(has), 0, tokens.shape[-1])
        return none, none[..., 0].bool()
    at = values.index.clamp_min(0)
    there = encoded.token_present[at] & has[:, None]
    return torch.where(there[..., None], tokens[at], tokens.new_zeros(())), there


def evenness(reliance: Float[Tensor, "n m"], present: Bool[Tensor, "n m"]) -> float:
    """Mean entropy of the shares of reliance over that of equal ones, in rows with two or more.

    1 where all present modalities count the same, 0 where one decides; NaN without such rows.

    >>> there = torch.ones(2, 2, dtype=torch.bool)
    >>> evenness(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), there)
    0.5
    """
    several = present.sum(1) >= 2
    share = reliance[several]
    share = share / share.sum(1, keepdim=True).clamp_min(1e-12)
    entropy = -torch.special.xlogy(share, share).sum(1)
    return float((entropy / present[several].sum(1).to(share.dtype).log()).mean())


class PatternEmbedding(nn.Module):
    """Turns "nobody measured it" into evidence, and "it was lost" into none.

    The input of modality k is 1 - r_k where it was not measured, -r_k where present, 0 where lost,
    with r_k the share of rows in which it was not measured among those where it was not lost. Where
    r_k is 0 or 1 nothing could be learned of it and the input is 0: else a modality that all training
    rows have, and a new row lacks, would bring in a weight that no gradient has touched.

    Shapes: absence ``[n, m] -> [n, width]``.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rate", torch.zeros(modalities))
        self.linear = nn.Linear(modalities, width)

    def fit(self, batch: Batch) -> None:
        """Takes the rates from training rows."""
        kept = (~batch.lost).sum(0).clamp_min(1)
        self.rate.copy_(batch.not_measured.sum(0) / kept)

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        told = batch.not_measured.to(self.rate.dtype) - self.rate
        learned = (self.rate > 0) & (self.rate < 1) & ~batch.lost
        return self.linear(torch.where(learned, told, told.new_zeros(())))


class Head(nn.Module):
    """From a fused representation to parameters: ``W x + W_2 dropout(gelu(W_1 x)) + b``.

    W starts at 0. What is linear in the representation need not be learned by hidden units.
    """

    def __init__(self, width: int, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.dropout = Dropout(dropout)
        self.last = nn.Linear(width, outputs)
        self.direct = nn.Linear(inputs, outputs, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return self.last(self.dropout(nn.functional.gelu(self.hidden(x)))) + self.direct(x)
