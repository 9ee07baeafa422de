"""Encoder of tables: numeric and categorical columns, some cells missing."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.types import Modality
from amodal.values import Values

__all__ = ["TableEncoder"]


class TableEncoder(Encoder):
    """A residual MLP over all columns, or attention over one token per column.

    "mlp": ``x_0 = W [x ; 1(missing)] + sum_c E_c[level] + b``, with x = 0 where a cell is missing, then
    `ResidualMLP`. "tokens": column j gives ``x_j w_j + b_j`` if it is there, else a vector of its own
    (Gorishniy et al. 2021, FT-Transformer, section 3.3); pooled is the summary token.
    Level -1 (missing or unseen in training) has a vector of its own in every column.
    """

    kind = "table"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        sizes = torch.tensor([len(x) + 1 for x in modality.levels.values()], dtype=torch.long)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        self.levels = nn.Embedding(max(int(sizes.sum()), 1), settings.width)
        n, width, rate = modality.n_features, settings.width, settings.dropout
        if settings.table == "tokens":
            self.weight = nn.Parameter(torch.randn(n, width) * 0.5)
            self.bias = nn.Parameter(torch.randn(n, width) * 0.5)
            self.missing = nn.Parameter(torch.randn(n, width) * 0.5)
            self.body = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        else:
            self.body = ResidualMLP(2 * n, width, depth=settings.depth, dropout=rate)

    def forward(self, values: Values) -> Encoded:
        x, known = observed(self._numeric(values))
        levels = self._levels(values)
        if self.settings.table == "tokens":
            seen = x[..., None] * self.weight + self.bias
            columns = torch.where(known[..., None], seen, self.missing)
            tokens = torch.cat([columns, levels], dim=1)
            there = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
            pooled, tokens = self.body(tokens, there)
            return Encoded(pooled, tokens, there)
        hidden = self.body.first(torch.cat([x, (~known).to(x.dtype)], dim=1))
        return Encoded(self.body.refine(hidden + levels.sum(dim=1)))

    def _numeric(self, values: Values) -> Float[Tensor, "v n"]:
        if "numeric" not in values.data:
            return self.levels.weight.new_zeros(len(values), 0)
        return values.data["numeric"].to(self.dtype)

    def _levels(self, values: Values) -> Float[Tensor, "v c d"]:
        if not len(self.starts):
            return self.levels.weight.new_zeros(len(values), 0, self.width)
        level: Int[Tensor, "v c"] = values.data["categorical"]
        return self.levels(level + 1 + self.starts)
