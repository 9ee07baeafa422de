"""Attention to each modality apart, what each gives being scaled by its reliability.

``Z_i = sum_k R_ik softmax(Q_i K_ik' / sqrt(d / heads)) V_ik``. This is no softmax over all tokens:
each modality has one of its own. So the present pairs (i, k) are the batch of one fused call of
`scaled_dot_product_attention`; modalities whose numbers of tokens differ much have a call each,
because padding would cost more. Absent pairs are in no call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.nn.blocks import FeedForward, drop
from amodal.nn.gated import GatedFeedForward
from amodal.nn.stability import Meter

__all__ = ["Group", "ReliableAttention", "ReliableTransformer", "group_tokens"]

_PADDED = 1.5
"""Modalities share a call as long as it computes at most this many times the tokens there are."""


@dataclass(frozen=True, eq=False)
class Group:
    """Modalities that are attended to in one call: their v values and p present pairs.

    Args:
        tokens: ``Float[v, t, d]`` of the values, modality by modality.
        there: ``Bool[v, t]`` false at padding; None where nothing is padded.
        row: ``Int[p]`` the row of each pair.
        place: ``Int[p]`` where it lies among the n m pairs.
        unit: ``Int[u]`` the value of each unit: the pairs of a value ask together, so many a unit.
        slot: ``Int[p]`` where each pair lies among the places of all units.
    """

    tokens: Float[Tensor, "v t d"]
    there: Bool[Tensor, "v t"] | None
    row: Int[Tensor, " p"]
    place: Int[Tensor, " p"]
    unit: Int[Tensor, " u"]
    slot: Int[Tensor, " p"]

    @property
    def value(self) -> Int[Tensor, " p"]:
        """The value of each pair."""
        return self.unit[self.slot // self.size]

    @property
    def size(self) -> int:
        """Pairs that a unit has place for: as many as share a value on average."""
        return _size(len(self.row), len(self.tokens))


def group_tokens(encoded: Sequence[Encoded], index: Int[Tensor, "n m"]) -> list[Group]:
    """The modalities, in groups of about the same number of tokens.

    Args:
        encoded: of each modality: tokens ``[v_k, t_k, d]``, at least one a value.
        index: row and modality -> value, -1 where absent.

    >>> one = Encoded(torch.ones(2, 4), torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool))
    >>> many = Encoded(torch.ones(1, 4), torch.ones(1, 9, 4), torch.ones(1, 9, dtype=torch.bool))
    >>> groups = group_tokens([one, many, one], torch.tensor([[0, 0, 1], [1, -1, 0]]))
    >>> [g.tokens.shape[:2] for g in groups], groups[1].row.tolist()
    ([torch.Size([4, 1]), torch.Size([1, 9])], [0])
    """
    groups, parts = [], _parts([tuple(e.tokens.shape[:2]) for e in encoded])
    m, has = index.shape[1], index >= 0
    for part in parts:
        length = max(encoded[k].tokens.shape[1] for k in part)
        tokens, there, rows, values, places, before = [], [], [], [], [], 0
        for k in part:
            e, row = encoded[k], has[:, k].nonzero()[:, 0]
            short = length - e.tokens.shape[1]
            tokens.append(F.pad(e.tokens, (0, 0, 0, short)) if short else e.tokens)
            there.append(F.pad(e.token_present, (0, short)) if short else e.token_present)
            rows.append(row)
            values.append(index[row, k] + before)
            places.append(row * m + k)
            before += len(e.tokens)
        seen = torch.cat(there)
        groups.append(
            Group(
                torch.cat(tokens),
                None if length == 1 or bool(seen.all()) else seen,
                torch.cat(rows),
                torch.cat(places),
                *_units(torch.cat(values), before),
            )
        )
    return groups


def _size(pairs: int, values: int) -> int:
    return max(1, pairs // max(1, values))


def _units(value: Int[Tensor, " p"], values: int) -> tuple[Int[Tensor, " u"], Int[Tensor, " p"]]:
    """The value of each unit, and the slot of each pair.

    With c pairs a value on average, c of a value make a unit: keys and values are laid out once a
    unit and not once a pair, and of the slots at most half stay empty.

    >>> _units(torch.tensor([0, 1, 0, 0]), 2)
    (tensor([0, 0, 1]), tensor([0, 4, 1, 2]))
    """
    size = _size(len(value), values)
    count = torch.bincount(value, minlength=values)
    order = torch.argsort(value, stable=True)
    place = torch.empty_like(value)
    begins = (count.cumsum(0) - count)[value[order]]
    place[order] = torch.arange(len(value), device=value.device) - begins
    units = (count + size - 1) // size
    first = (units.cumsum(0) - units)[value]
    unit = torch.repeat_interleave(torch.arange(values, device=value.device), units)
    return unit, (first + place // size) * size + place % size


def _parts(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Which modalities share a call, from their (values, tokens a value).

    >>> _parts([(8, 20), (8, 1), (8, 24), (8, 200), (8, 1)])
    [[1, 4], [0, 2], [3]]
    """
    parts: list[list[int]] = []
    for k in sorted((k for k, (v, _) in enumerate(sizes) if v), key=lambda k: sizes[k][1]):
        if parts:
            joined = [*parts[-1], k]
            real = sum(sizes[j][0] * sizes[j][1] for j in joined)
            padded = sum(sizes[j][0] for j in joined) * sizes[k][1]
            single = (sizes[parts[-1][0]][1] == 1) != (sizes[k][1] == 1)
            if padded <= _PADDED * real and not single:
                parts[-1] = joined
                continue
        parts.append([k])
    return parts


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
        asked = _laid_out(queries, group)
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


def _laid_out(queries: Float[Tensor, "p q d"], group: Group) -> Float[Tensor, "u cq d"]:
    """The queries of the pairs of each unit side by side, 0 in empty slots."""
    slots = queries.new_zeros(len(group.unit) * group.size, *queries.shape[1:])
    slots = slots.index_copy(0, group.slot, queries)
    return slots.view(len(group.unit), group.size * queries.shape[1], queries.shape[-1])


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
        meter: Meter | None = None,
    ) -> Float[Tensor, "n q d"]:
        entered = [
            Encoded(e.pooled, enter(e.tokens), e.token_present)
            for e, enter in zip(encoded, self.enter, strict=True)
        ]
        groups = group_tokens(entered, index)
        x = self.queries.expand(len(index), -1, -1)
        for block in self.blocks:
            x = block(x, groups, weight, meter=meter)
        return self.norm(x)
