"""Attention to each modality apart, what each gives being scaled by its reliability.

``Z_i = sum_k R_ik softmax(Q_i K_ik' / sqrt(d / heads)) V_ik``. This is no softmax over all tokens:
each modality has one of its own. So the present pairs (i, k) are the batch of one fused call of
`scaled_dot_product_attention`, or of a few (`amodal.nn.token_groups`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.nn.blocks import FeedForward, drop
from amodal.nn.gated import GatedFeedForward
from amodal.nn.stability import Meter
from amodal.nn.token_groups import Group, group_tokens, laid_out

__all__ = ["ReliableAttention", "ReliableTransformer"]


class ReliableAttention(nn.Module):
    """``Z_i = W_o sum_k R_ik softmax(Q_i K_ik' / sqrt(d / heads)) V_ik`` over the present k.

    Queries, keys, values and W_o share their weights between modalities, whose tokens were mapped
    into one space before. A softmax over a single token is 1: such modalities need no call.

    Args:
        width: size d of queries and tokens.
        heads: number of heads; divides d.

    Shapes: queries ``[n, q, d]``, weights ``[n, m] -> [n, q, d]``; 0 for a row with nothing.

    >>> there = torch.ones(1, 1, dtype=torch.bool)
    >>> labs = Encoded(torch.ones(1, 4), torch.ones(1, 1, 4), there)
    >>> groups = group_tokens([labs], torch.tensor([[0], [-1]]))
    >>> weight = torch.tensor([[0.5], [0.0]])
    >>> layer, queries = ReliableAttention(4, heads=2), torch.zeros(2, 1, 4)
    >>> one, twice = layer(queries, groups, weight), layer(queries, groups, 2 * weight)
    >>> bool(torch.allclose(2 * one, twice)), one[1].abs().max().item()  # row 1 has nothing
    (True, 0.0)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width, bias=False)
        with torch.no_grad():  # what comes in goes out in the same size before anything is learned
            nn.init.orthogonal_(self.out.weight)
            nn.init.orthogonal_(self.key_value.weight[width:])

    def forward(
        self,
        x: Float[Tensor, "n q d"],
        groups: Sequence[Group],
        weight: Float[Tensor, "n m"],
        *,
        meter: Meter | None = None,
    ) -> Float[Tensor, "n q d"]:
        branches = self.branches(x, groups, weight.shape, meter=meter)
        mixed = torch.einsum("nm,nmqd->nqd", weight.to(branches.dtype), branches)
        out = self.out(mixed)
        if meter is not None and out.requires_grad:
            scaled = weight[..., None, None] * branches.detach()
            out.register_hook(lambda grad: meter.add("output", scaled, grad))
        return out

    def branches(
        self,
        x: Float[Tensor, "n q d"],
        groups: Sequence[Group],
        shape: tuple[int, int],
        *,
        meter: Meter | None = None,
    ) -> Float[Tensor, "n m q d"]:
        """What each modality gives before it is scaled; 0 where absent."""
        n, m = shape
        found = [
            self._attend(x, g) if g.tokens.shape[1] > 1 else self._single(x, g) for g in groups
        ]
        empty = x.new_zeros(n * m, *x.shape[1:])
        if not found:
            return empty.unflatten(0, (n, m))
        if meter is not None:
            self._watch(x, groups, found, shape, meter)
        outputs = torch.cat([output for output, _ in found])
        place = torch.cat([g.place for g in groups])
        return empty.to(outputs.dtype).index_copy(0, place, outputs).unflatten(0, (n, m))

    def _single(self, x: Tensor, group: Group) -> tuple[Float[Tensor, "p q d"], None]:
        value = self.key_value(group.tokens).chunk(2, -1)[1]
        return value[group.value].expand(-1, x.shape[1], -1), None

    def _attend(self, x: Tensor, group: Group) -> tuple[Float[Tensor, "p q d"], Tensor]:
        """What the pairs of a group give, and the queries that asked for it."""
        queries = self.query(x)[group.row]
        key, value = self.key_value(group.tokens)[group.unit].chunk(2, -1)
        mask = None if group.there is None else group.there[group.unit][:, None, None]
        asked = laid_out(queries, group)
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (asked, key, value))
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        output = output.transpose(1, 2).flatten(2)
        return output.reshape(-1, *queries.shape[1:])[group.slot], queries

    def _watch(self, x: Tensor, groups: Sequence[Group], found: list, shape, meter: Meter) -> None:
        """Hands the gradients of the queries of each branch to `meter`."""
        asked = [(g, queries) for g, (_, queries) in zip(groups, found, strict=True)]
        asked = [(g, queries) for g, queries in asked if queries is not None]
        if not asked or not asked[0][1].requires_grad:
            return
        collected = x.new_zeros(shape[0] * shape[1], *x.shape[1:])
        seen, left = x.detach(), [len(asked)]

        def take(group: Group, grad: Tensor) -> None:
            collected.index_copy_(0, group.place, grad.to(collected.dtype))
            left[0] -= 1
            if left[0] == 0:  # autograd comes to the groups in any order
                meter.add("query", collected.unflatten(0, shape), seen)

        for g, queries in asked:
            queries.register_hook(lambda grad, g=g: take(g, grad))


class ReliableBlock(nn.Module):
    """Pre-norm: ``x + attention(norm(x), tokens)``, then ``x + feed(x)``, gated or not."""

    def __init__(
        self, width: int, heads: int, *, dropout: float = 0.0, gated: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = ReliableAttention(width, heads)
        self.feed = (GatedFeedForward if gated else FeedForward)(width, dropout=dropout)
        self.dropout = dropout

    def forward(
        self,
        x: Float[Tensor, "n q d"],
        groups: Sequence[Group],
        weight: Float[Tensor, "n m"],
        *,
        meter: Meter | None = None,
    ) -> Float[Tensor, "n q d"]:
        mixed = self.attention(self.norm(x), groups, weight, meter=meter)
        x = x + drop(mixed, self.dropout, self.training, by=self)
        return x + drop(self.feed(x), self.dropout, self.training, by=self)


class ReliableTransformer(nn.Module):
    """Learned query tokens that read each modality's tokens, weighed by its reliability.

    Tokens of modality k enter as ``P_k t + b_k``, the same for every layer. They are not normalised
    again: encoders did, and hand on beside it how large their input was.

    Args:
        modalities: number m.
        width: size d.
        heads: attention heads; divides d.
        layers: number of blocks.
        queries: number q of fused tokens.
        dropout: share of units dropped in training.
        gated: `GatedFeedForward` in the blocks, which multiplies, and not `FeedForward`.

    Shapes: encoded values of m modalities, index and weight ``[n, m] -> [n, q, d]``.
    """

    def __init__(
        self,
        modalities: int,
        width: int,
        *,
        heads: int,
        layers: int,
        queries: int,
        dropout: float = 0.0,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Linear(width, width) for _ in range(modalities))
        for enter in self.enter:
            nn.init.orthogonal_(enter.weight)
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.1)
        self.blocks = nn.ModuleList(
            ReliableBlock(width, heads, dropout=dropout, gated=gated) for _ in range(layers)
        )

    def forward(
        self,
        encoded: Sequence[Encoded],
        index: Int[Tensor, "n m"],
        weight: Float[Tensor, "n m"],
        *,
        begin: Float[Tensor, "n q d"] | None = None,
        meter: Meter | None = None,
    ) -> Float[Tensor, "n q d"]:
        """The fused tokens; `begin` is added to the learned queries of each row."""
        entered = [
            Encoded(e.pooled, enter(e.tokens), e.token_present)
            for e, enter in zip(encoded, self.enter, strict=True)
        ]
        groups = group_tokens(entered, index)
        x = self.queries.expand(len(index), -1, -1)
        if begin is not None:
            x = x + begin.to(x.dtype)
        for block in self.blocks:
            x = block(x, groups, weight, meter=meter)
        return self.norm(x)
