"""Reliability-aware attention against the formula, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from amodal.batch import Encoded
from amodal.nn.reliable_attention import ReliableAttention, ReliableTransformer
from amodal.nn.token_groups import group_tokens

WIDTH, HEADS = 8, 2


def modality(lengths: list[int], seed: int) -> Encoded:
    """Values of so many tokens each, padded with NaN-free garbage."""
    source = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), max(lengths, default=1), WIDTH, generator=source).double()
    there = torch.arange(tokens.shape[1]) < torch.tensor(lengths, dtype=torch.long)[:, None]
    return Encoded(tokens[:, 0], tokens.requires_grad_(), there)


@pytest.fixture
def rows() -> tuple[list[Encoded], torch.Tensor, torch.Tensor]:
    """Four modalities of 1, 2-4, 5 and 30 tokens; values shared; row 3 has nothing."""
    encoded = [modality([1, 1, 1], 0), modality([2, 4], 1), modality([5, 5], 2)]
    encoded.append(modality([30, 7], 3))
    index = torch.tensor(
        [[0, 0, -1, 1], [1, -1, 0, -1], [2, 1, 1, 0], [-1, -1, -1, -1], [-1, 0, 0, 1]]
    )
    weight = torch.rand(5, 4, generator=torch.Generator().manual_seed(9)).double()
    weight = torch.where(index >= 0, weight, torch.nan).nan_to_num(0.0)
    return encoded, index, weight / weight.sum(1, keepdim=True).clamp_min(1e-9)


def direct(
    attention: ReliableAttention, x: torch.Tensor, encoded: list[Encoded], index, weight
) -> torch.Tensor:
    """Z_i = W_o sum_k R_ik softmax(Q K' / sqrt(d / h)) V with one softmax a row, modality, head."""
    size, found = WIDTH // HEADS, []
    for i, queries in enumerate(x):
        total = torch.zeros_like(queries)
        for k, e in enumerate(encoded):
            if index[i, k] < 0:
                continue
            tokens = e.tokens[index[i, k]][e.token_present[index[i, k]]]
            key, value = attention.key_value(tokens).chunk(2, -1)
            heads = []
            for h in range(HEADS):
                part = slice(h * size, (h + 1) * size)
                logits = attention.query(queries)[:, part] @ key[:, part].T / math.sqrt(size)
                heads.append(logits.softmax(-1) @ value[:, part])
            total = total + weight[i, k] * torch.cat(heads, -1)
        found.append(attention.out(total))
    return torch.stack(found)


def test_fused_calls_are_the_formula_forward_and_backward(rows) -> None:
    encoded, index, weight = rows
    attention = ReliableAttention(WIDTH, HEADS).double()
    x = torch.randn(5, 3, WIDTH).double().requires_grad_()
    groups = group_tokens(encoded, index)
    assert [g.tokens.shape[1] for g in groups] == [1, 5, 30]
    fused = attention(x, groups, weight)
    expected = direct(attention, x, encoded, index, weight)
    torch.testing.assert_close(fused, expected)
    assert fused[3].abs().sum() == 0
    leaves = [x, *attention.parameters(), *(e.tokens for e in encoded)]
    grid = torch.randn_like(fused)
    mine = torch.autograd.grad((fused * grid).sum(), leaves)
    other = torch.autograd.grad((expected * grid).sum(), leaves)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b)


def test_one_softmax_over_all_tokens_is_another_formula(rows) -> None:
    """Why a call a group, and not one over the row's tokens side by side."""
    encoded, index, _ = rows
    attention = ReliableAttention(WIDTH, HEADS).double()
    x = torch.randn(5, 1, WIDTH).double()
    tokens = torch.cat([encoded[k].tokens[index[2, k]] for k in range(4)])
    there = torch.cat([encoded[k].token_present[index[2, k]] for k in range(4)])
    joined = [Encoded(tokens[:1], tokens[None], there[None])]
    one = attention(x[2:3], group_tokens(joined, torch.zeros(1, 1, dtype=int)), torch.ones(1, 1))
    apart = attention(x, group_tokens(encoded, index), (index >= 0) / 4.0)
    assert (one[0] - apart[2]).abs().max() > 0.01


def test_absent_pairs_are_not_computed_and_padding_not_read(rows) -> None:
    encoded, index, weight = rows
    groups = group_tokens(encoded, index)
    assert sum(len(g.row) for g in groups) == int((index >= 0).sum())
    attention = ReliableAttention(WIDTH, HEADS).double()
    x = torch.randn(5, 3, WIDTH).double()
    plain = attention(x, groups, weight)
    poisoned = [
        Encoded(
            e.pooled,
            torch.where(e.token_present[..., None], e.tokens, torch.tensor(1e6).double()),
            e.token_present,
        )
        for e in encoded
    ]
    torch.testing.assert_close(attention(x, group_tokens(poisoned, index), weight), plain)


def test_a_row_is_the_same_alone(rows) -> None:
    encoded, index, weight = rows
    fusion = ReliableTransformer(4, WIDTH, heads=HEADS, layers=2, queries=3).double()
    whole = fusion(encoded, index, weight)
    for i in range(5):
        alone = fusion(encoded, index[[i]], weight[[i]])
        torch.testing.assert_close(alone[0], whole[i])


def test_reliability_zero_silences_a_modality(rows) -> None:
    encoded, index, weight = rows
    weight = weight.clone()
    weight[:, 3] = 0
    fusion = ReliableTransformer(4, WIDTH, heads=HEADS, layers=2, queries=2).double()
    fused = fusion(encoded, index, weight)
    without = index.clone()
    without[:, 3] = -1
    torch.testing.assert_close(fused, fusion(encoded, without, weight))


def test_no_rows_and_no_values() -> None:
    fusion = ReliableTransformer(2, WIDTH, heads=HEADS, layers=1, queries=2).double()
    empty = [modality([], k) for k in range(2)]
    for n in (0, 2):
        index = torch.full((n, 2), -1)
        fused = fusion(empty, index, torch.zeros(n, 2).double())
        assert fused.shape == (n, 2, WIDTH)
        assert bool(torch.isfinite(fused).all())


@pytest.mark.parametrize("shared", [1, 3, 7])
def test_rows_that_share_a_value_ask_together_and_get_the_same(shared: int) -> None:
    """Keys laid out once a unit, against the formula, forward and backward."""
    text, image = modality([2, 4, 3], 1), modality([9, 5], 3)
    source = torch.Generator().manual_seed(5)
    n = 2 * shared
    rows_image = torch.arange(2).repeat_interleave(shared)
    rows_text = torch.randint(-1, 3, (n,), generator=source)
    index = torch.stack([rows_text, rows_image], 1)
    index[0, 1] = -1
    weight = torch.where(index >= 0, 0.5, 0.0).double()
    attention = ReliableAttention(WIDTH, HEADS).double()
    x = torch.randn(n, 2, WIDTH, generator=source).double().requires_grad_()
    groups = group_tokens([text, image], index)
    pairs = int((index >= 0).sum())
    assert sum(len(g.unit) * g.size for g in groups) <= 2 * pairs + sum(
        len(g.tokens) for g in groups
    )
    values = torch.cat([g.tokens[g.value].sum((1, 2)) for g in groups])
    place = torch.cat([g.place for g in groups])
    for k, e in enumerate((text, image)):
        for i in range(n):
            if index[i, k] >= 0:
                found = values[place == i * 2 + k]
                torch.testing.assert_close(found[0], e.tokens[index[i, k]].sum())
    fused = attention(x, groups, weight)
    expected = direct(attention, x, [text, image], index, weight)
    torch.testing.assert_close(fused, expected)
    leaves = [x, *attention.parameters(), text.tokens, image.tokens]
    grid = torch.randn_like(fused)
    mine = torch.autograd.grad((fused * grid).sum(), leaves)
    other = torch.autograd.grad((expected * grid).sum(), leaves)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b)
