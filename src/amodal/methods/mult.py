"""MulT: the tokens of each modality attend to those of every other one, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head, spread_tokens
from amodal.nn.blocks import Transformer, drop
from amodal.nn.grouped import GroupedLinear
from amodal.types import Modality, Task

__all__ = ["CrossmodalBlock", "MulT", "Target", "stack_tokens"]


class MulT(NeuralMethod):
    """Crossmodal transformers over unaligned tokens.

    For each modality k and every other one j, the tokens of k are reinforced by those of j:
    Z_jk starts as the tokens of k, and in each layer Z_jk += CM(Z_jk, tokens of j), then
    Z_jk += f(Z_jk), CM being attention with queries from Z_jk, keys and values from j's first
    tokens (`CrossmodalBlock`). The streams Z_jk of all j and the tokens of k are joined, a
    transformer with a summary token reads them, and params_i = head([summary_1 ; ... ; summary_m]).
    Tokens are those of the encoders, led by the pooled vector; numbers of tokens differ freely.

    An absent modality has no summary (0), and no stream of the others comes from it: where j is
    absent, k's tokens are joined without Z_jk. A lone modality keeps its own tokens.

    Args:
        layers: crossmodal blocks of each pair, and blocks of each summary.

    Reference: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences",
    ACL 2019, Eq. 1-5.

    Differences from the paper:

    - Modalities can be absent (in the paper all are there), so streams are joined by their mean
      behind a linear map each, the tokens of k among them. The paper concatenates them, which makes
      them as wide as there are modalities; a concatenation of what is absent would have to be filled.
    - No convolution and no positions are added to the tokens: the encoders made them, of numbers,
      events, texts or images, and told them their place or time.
    - The summary is that of a learned token (paper: the last token, and m is 3).
    - Residuals carry Z itself, as in the published code, and not its normalised form (Eq. 4).
    - What was not measured joins the head's input (``pattern=false`` for none).

    Raises:
        SettingError: `layers` below 1.
    """

    name = "mult"
    title = "Crossmodal transformers (MulT)"
    reference = "Tsai et al., ACL 2019"
    year = 2019

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        layers: int = 1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, layers=layers)
        m, d, p = len(self.names), self.width, encoder.dropout
        self.targets = nn.ModuleList(
            Target(m - 1, d, heads=encoder.heads, layers=layers, dropout=p) for _ in self.names
        )
        self.head = Head(2 * d, (m + 1) * d, task.param_size, p)

    def summaries(self, batch: Batch) -> Float[Tensor, "n m d"]:
        """The summary of each modality, reinforced by the others; 0 where it is absent."""
        encoded = zip(self.encode_tokens(batch), self.names, strict=True)
        own = [spread_tokens(e, batch.values[name]) for e, name in encoded]
        tokens, there = stack_tokens(own)
        found = tokens.new_zeros(len(batch), len(own), self.width)
        for k, (target, (mine, seen)) in enumerate(zip(self.targets, own, strict=True)):
            rows = batch.present[:, k].nonzero()[:, 0]
            if len(rows) == 0:
                continue
            others = [j for j in range(len(own)) if j != k]
            sources = tokens[others][:, rows], there[others][:, rows]
            summary = target(mine[rows], seen[rows], *sources)
            found = found.index_put((rows, rows.new_tensor(k)), summary.to(found.dtype))
        return found

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self.head(self.with_evidence(self.summaries(batch).flatten(1), batch)), {}


class Target(nn.Module):
    """Everything that reinforces the tokens of one modality by those of g others.

    Args:
        sources: g, at least 0.
        width: d.
        heads: of attention; divides d.
        layers: crossmodal blocks, and blocks of the summary.
        dropout: share of units dropped in training.

    Shapes: own ``[n, t, d]``, sources ``[g, n, s, d]``, and which tokens are there ``-> [n, d]``.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> target, own, seen = Target(1, 4, heads=2, layers=1), torch.randn(1, 2, 4), torch.ones(1, 2) > 0
    >>> nothing = torch.zeros(1, 1, 3) > 0
    >>> a, b = (target(own, seen, torch.full((1, 1, 3, 4), x), nothing) for x in (0.0, 1e6))
    >>> bool((a == b).all())  # what an absent source holds is not read
    True
    """

    def __init__(
        self, sources: int, width: int, *, heads: int, layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            CrossmodalBlock(sources, width, heads, dropout=dropout)
            for _ in range(layers if sources else 0)
        )
        self.join = GroupedLinear(sources + 1, width, width)
        self.body = Transformer(width, heads, depth=layers, dropout=dropout)

    def forward(
        self,
        own: Float[Tensor, "n t d"],
        seen: Bool[Tensor, "n t"],
        sources: Float[Tensor, "g n s d"],
        there: Bool[Tensor, "g n s"],
    ) -> Float[Tensor, "n d"]:
        streams, keys = own.expand(len(sources), -1, -1, -1), _normed(sources)
        for block in self.blocks:
            streams = block(streams, keys, there)
        streams = torch.cat([own[None], streams.to(own.dtype)])
        has = torch.cat([there.new_ones(1, len(own)), there.any(-1)])
        joined = _grouped(self.join, streams)
        joined = torch.where(has[..., None, None], joined, joined.new_zeros(()))
        return self.body.summary_of(joined.sum(0) / has.sum(0)[:, None, None], seen)


class CrossmodalBlock(nn.Module):
    """z + W_o attention(W_q norm(z), W_k y, W_v y), then z + W_2 gelu(W_1 norm(z)).

    For g pairs of modalities at once, each with weights of its own. The norms have none: the maps
    behind them would take those in.

    Args:
        pairs: g.
        width: d.
        heads: of attention; divides d.
        dropout: share of units dropped in training.

    Shapes: z ``[g, n, t, d]``, normalised tokens y ``[g, n, s, d]``, which of these are there
    ``[g, n, s] -> [g, n, t, d]``. Attention to nothing gives 0.

    >>> block, z = CrossmodalBlock(3, 4, 2), torch.randn(3, 5, 2, 4)
    >>> block(z, torch.randn(3, 5, 7, 4), torch.ones(3, 5, 7, dtype=torch.bool)).shape
    torch.Size([3, 5, 2, 4])
    """

    def __init__(self, pairs: int, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = GroupedLinear(pairs, width, width)
        self.key_value = GroupedLinear(pairs, width, 2 * width)
        self.out = GroupedLinear(pairs, width, width)
        self.inner = GroupedLinear(pairs, width, 2 * width)
        self.outer = GroupedLinear(pairs, 2 * width, width)

    def forward(
        self,
        z: Float[Tensor, "g n t d"],
        y: Float[Tensor, "g n s d"],
        there: Bool[Tensor, "g n s"],
    ) -> Float[Tensor, "g n t d"]:
        asked = self._split(_grouped(self.query, _normed(z)))
        key, value = map(self._split, _grouped(self.key_value, y).chunk(2, -1))
        mask = there.flatten(0, 1)[:, None, None]
        mixed = F.scaled_dot_product_attention(asked, key, value, attn_mask=mask)
        mixed = mixed.transpose(1, 2).flatten(2).view_as(z)
        z = z + self._drop(_grouped(self.out, mixed))
        hidden = self._drop(F.gelu(_grouped(self.inner, _normed(z))))
        return z + self._drop(_grouped(self.outer, hidden))

    def _split(self, x: Float[Tensor, "g n t d"]) -> Float[Tensor, "r h t e"]:
        """Rows of all pairs, and heads, side by side."""
        return x.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _drop(self, x: Float[Tensor, "g n t d"]) -> Float[Tensor, "g n t d"]:
        return drop(x.flatten(0, 1), self.dropout, self.training, by=self).view_as(x)


def stack_tokens(
    own: Sequence[tuple[Float[Tensor, "n t d"], Bool[Tensor, "n t"]]],
) -> tuple[Float[Tensor, "m n s d"], Bool[Tensor, "m n s"]]:
    """The tokens of all modalities, padded to as many as one of them has (at least 1).

    >>> one, two = torch.ones(1, 1, 3), torch.ones(1, 2, 3)
    >>> tokens, there = stack_tokens([(one, one[..., 0] > 0), (two, two[..., 0] > 0)])
    >>> tokens.shape, there.tolist()
    (torch.Size([2, 1, 2, 3]), [[[True, False]], [[True, True]]])
    """
    longest = max(1, *(x.shape[1] for x, _ in own))
    short = [longest - x.shape[1] for x, _ in own]
    tokens = [F.pad(x, (0, 0, 0, s)) for (x, _), s in zip(own, short, strict=True)]
    there = [F.pad(seen, (0, s)) for (_, seen), s in zip(own, short, strict=True)]
    return torch.stack(tokens), torch.stack(there)


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _grouped(layer: GroupedLinear, x: Float[Tensor, "g n t i"]) -> Float[Tensor, "g n t o"]:
    """The map of each group, on all its tokens."""
    found = layer(x.flatten(1, 2).transpose(0, 1)).transpose(0, 1)
    return found.unflatten(1, x.shape[1:3])
