"""Encoder of tables: numeric and categorical columns, some cells missing."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.encoders.numbers import Pieces, number_size
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.types import Modality
from amodal.values import Values

__all__ = ["TableEncoder"]

_TOKEN_STD = 0.5
_MISSING_SCALE = 0.1  # a cell that was never missing in training must not bring noise when it is


class TableEncoder(Encoder):
    """A residual MLP over all columns, or attention over one token per column.

    ``table="mlp"``: ``x_0 = W u(x) + M 1(missing) + sum_c E_c[level] + b``, then `ResidualMLP`; u
    are `Pieces`, or x itself with ``numbers="linear"`` or where there are more pieces than training
    rows. An unknown cell enters as 0, and M tells it from a known one.

    ``table="tokens"``: column j gives ``x_j w_j + b_j``, or a vector of its own where the cell is
    missing; column c gives ``E_c[level]``; `Transformer`, pooled is the summary token, tokens are
    those of the columns. Reference: Gorishniy et al. 2021, "Revisiting deep learning models for
    tabular data", section 3.3.

    Level -1 (missing, or not seen in training) has a vector of its own in every column; it starts
    at 0 and so says nothing before it is learned.

    Args:
        modality: its features and levels fix the inputs.
        settings: `EncoderSettings.table` chooses.

    >>> encoder = TableEncoder(Modality("a", "table", features=("x", "y")), EncoderSettings())
    >>> encoder(Values({"numeric": torch.zeros(3, 2)}, None, torch.arange(3))).pooled.shape
    torch.Size([3, 32])
    """

    kind = "table"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        n, width, rate = modality.n_features, settings.width, settings.dropout
        self.numeric = n
        if settings.table == "tokens":
            self.weight = nn.Parameter(torch.randn(n, width) * _TOKEN_STD)
            self.bias = nn.Parameter(torch.randn(n, width) * _TOKEN_STD)
            self.missing = nn.Parameter(torch.randn(n, width) * _TOKEN_STD)
            self.body = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        else:
            # without numeric columns one column of zeros keeps the layer (its bias) in place
            wide = number_size(n, settings.numbers, settings.pieces)
            self.pieces = Pieces(n, settings.pieces) if wide > n else None
            self.body = ResidualMLP(max(wide + n, 1), width, depth=settings.blocks, dropout=rate)
            with torch.no_grad():
                self.body.first.weight[:, wide:] *= _MISSING_SCALE
        self._add_levels(modality, settings)

    def _add_levels(self, modality: Modality, settings: EncoderSettings) -> None:
        sizes = torch.tensor([len(x) + 1 for x in modality.levels.values()], dtype=torch.long)
        starts = sizes.cumsum(0) - sizes
        self.register_buffer("starts", starts, persistent=False)
        self.levels = nn.Embedding(max(int(sizes.sum()), 1), settings.width)
        inputs = max(2 * self.numeric + len(sizes), 1)
        scale = _TOKEN_STD if settings.table == "tokens" else inputs**-0.5
        with torch.no_grad():
            self.levels.weight *= scale
            self.levels.weight[starts] = 0.0

    @property
    def columns(self) -> int:
        return self.numeric

    def numbers(self, values: Values) -> Float[Tensor, "v f"]:
        return self._numbers(values)

    def fit(self, values: Values) -> None:
        if self.settings.table != "mlp":
            return
        rows, inputs = len(values), self.body.first.in_features
        if self.pieces is not None and rows < self.pieces.size:
            self.pieces.leave_out()
            inputs = 2 * self.numeric
        elif self.pieces is not None:
            self.pieces.fit(self.numbers(values))
        self.body.slow(rows, inputs=inputs, power=1.0)

    def forward(self, values: Values) -> Encoded:
        numbers = self._numbers(values)
        x, known = observed(numbers)
        if self.settings.table == "tokens":
            return self._attend(x, known, values)
        if self.pieces is not None:
            x = self.pieces(numbers)
        if not self.numeric:
            x = x.new_zeros(len(x), 1)
        hidden = self.body.enter(torch.cat([x, (~known).to(x.dtype)], dim=1))
        if len(self.starts):
            hidden = hidden + self._levels(values).sum(dim=1)
        return Encoded(self.body.refine(hidden))

    def pool(self, values: Values) -> Float[Tensor, "v d"]:
        if self.settings.table != "tokens":
            return self(values).pooled
        return self.body.summary_of(*self._tokens(*observed(self._numbers(values)), values))

    def _attend(
        self, x: Float[Tensor, "v n"], known: Bool[Tensor, "v n"], values: Values
    ) -> Encoded:
        tokens, there = self._tokens(x, known, values)
        pooled, tokens = self.body(tokens, there)
        return Encoded(pooled, tokens, there)

    def _tokens(
        self, x: Float[Tensor, "v n"], known: Bool[Tensor, "v n"], values: Values
    ) -> tuple[Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        seen = x[..., None] * self.weight + self.bias
        tokens = torch.where(known[..., None], seen, self.missing)
        if len(self.starts):
            tokens = torch.cat([tokens, self._levels(values)], dim=1)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)

    def _numbers(self, values: Values) -> Float[Tensor, "v n"]:
        if not self.numeric:
            return self.levels.weight.new_zeros(len(values), 0)
        return values.data["numeric"].to(self.dtype)

    def _levels(self, values: Values) -> Float[Tensor, "v c d"]:
        return self.levels(values.data["categorical"].long() + 1 + self.starts)
