"""Which pairs of rows and values are attended to in one call, and how they are laid out.

The present pairs (row, modality) are the batch of one fused call; modalities whose numbers of tokens
differ much have a call each, because padding would cost more. Absent pairs are in no call. Rows that
share a value ask together, so that its keys are laid out once for several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amodal.batch import Encoded

__all__ = ["Group", "group_tokens", "laid_out"]

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


def laid_out(queries: Float[Tensor, "p q d"], group: Group) -> Float[Tensor, "u cq d"]:
    """The queries of the pairs of each unit side by side, 0 in empty slots."""
    slots = queries.new_zeros(len(group.unit) * group.size, *queries.shape[1:])
    slots = slots.index_copy(0, group.slot, queries)
    return slots.view(len(group.unit), group.size * queries.shape[1], queries.shape[-1])
