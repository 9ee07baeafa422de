"""Blocks against the formulas written out, and what absent tokens may not do."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from amodal.nn.blocks import Attention, FeedForward, ResidualMLP, Transformer, drop
from amodal.nn.ragged import pad


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_drop_keeps_the_mean_and_removes_whole_units(rate):
    x = torch.ones(30_000, 2, 3)
    y = drop(x, rate, training=True)
    assert y.unique().tolist() == [0.0, pytest.approx(1 / (1 - rate), rel=1e-4)]
    assert (y == y[:, :1]).all()  # the same units of all tokens of a value
    assert (y[:, 0] == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    draws = (y[:, 0] == 0).double().T  # independent of each other
    assert (torch.corrcoef(draws) - torch.eye(3)).abs().max() < 0.03
    neighbours = torch.stack([draws.T.flatten()[:-1], draws.T.flatten()[1:]])
    assert torch.corrcoef(neighbours)[0, 1].abs() < 0.02


def test_drop_is_seeded_and_off_outside_training():
    x = torch.randn(5, 7, requires_grad=True)
    assert drop(x, 0.25, training=False) is x
    assert drop(x, 0.0, training=True) is x
    torch.manual_seed(3)
    first = drop(x, 0.25, training=True)
    torch.manual_seed(3)
    assert torch.equal(drop(x, 0.25, training=True), first)
    (grad,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(grad, (first != 0).float() / 0.75, rtol=1e-4, atol=0)
    assert drop(x[:0], 0.25, training=True).shape == (0, 7)


def test_residual_mlp_is_its_formula():
    torch.manual_seed(0)
    mlp = ResidualMLP(3, 8, depth=2, dropout=0.5).eval()
    x = torch.randn(5, 3)
    h = x @ mlp.first.weight.T + mlp.first.bias
    for block in mlp.blocks:
        n = F.layer_norm(h, (8,), block.norm.weight, block.norm.bias)
        h = h + block.outer(F.gelu(block.inner(n)))
    log_size = 0.5 * (h.square().mean(1, keepdim=True) + 1e-6).log()
    torch.testing.assert_close(mlp(x), F.layer_norm(h, (8,)) + log_size * mlp.size)


def test_feed_forward_drops_in_training_only():
    torch.manual_seed(0)
    feed, x = FeedForward(4, dropout=0.5), torch.randn(20, 4)
    assert not torch.equal(feed(x), feed(x))
    feed.eval()
    assert torch.equal(feed(x), feed(x))


def test_attention_matches_the_softmax_written_out():
    torch.manual_seed(0)
    attention = Attention(8, 2).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    present = torch.rand(3, 5) < 0.6
    present[:, 0] = True
    q, k, v = attention.qkv(x).detach().chunk(3, dim=-1)
    expected = torch.zeros_like(x)
    for i in range(3):
        for head in (slice(0, 4), slice(4, 8)):
            for t in range(5):
                logits = [float(q[i, t, head] @ k[i, s, head]) / 2.0 for s in range(5)]
                weights = [
                    math.exp(a) if there else 0.0
                    for a, there in zip(logits, present[i].tolist(), strict=True)
                ]
                mixed = sum(w * v[i, s, head] for s, w in enumerate(weights))
                expected[i, t, head] = mixed / sum(weights)
    torch.testing.assert_close(attention(x, present), attention.out(expected))


def test_attention_without_keys_is_zero_with_zero_gradients():
    torch.manual_seed(0)
    attention, x = Attention(8, 2), torch.randn(2, 3, 8, requires_grad=True)
    present = torch.tensor([[True, True, True], [False, False, False]])
    y = attention(x, present)
    assert (y[1] == 0).all()
    grads = torch.autograd.grad(y.sum(), [x, *attention.parameters()])
    assert all(g.isfinite().all() for g in grads)
    assert (grads[0][1] == 0).all()


def test_transformer_ignores_absent_tokens():
    torch.manual_seed(0)
    body = Transformer(8, 2, depth=2).eval()
    x = torch.randn(2, 4, 8)
    present = torch.tensor([[True, True, False, False], [False] * 4])
    summary, tokens = body(x, present)
    assert (tokens[~present] == 0).all()
    other = torch.where(present[..., None], x, torch.full_like(x, 1e6))
    torch.testing.assert_close(body(other, present)[0], summary)
    alone, alone_tokens = body(x[:1, :2], present[:1, :2])
    torch.testing.assert_close(alone, summary[:1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone_tokens, tokens[:1, :2], rtol=1e-5, atol=1e-6)
    nothing, _ = body(x[1:, :0], present[1:, :0])
    torch.testing.assert_close(nothing, summary[1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("longest", [None, 5])
def test_summaries_alone_are_those_of_all_tokens(depth, longest):
    torch.manual_seed(0)
    body = Transformer(8, 2, depth=depth).eval()
    lengths = torch.randint(0, 9, (100,))
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    x = torch.randn(int(offsets[-1]), 8)
    expected, _ = body(*pad(x, offsets, longest))
    torch.testing.assert_close(body.summarise(x, offsets, longest), expected, rtol=1e-5, atol=1e-5)
    assert body.summarise(x[:0], offsets[:1]).shape == (0, 8)


def test_summaries_alone_drop_the_same_units():
    torch.manual_seed(0)
    body, x = Transformer(8, 2, dropout=0.3), torch.randn(4, 3, 8)
    present = torch.ones(4, 3, dtype=torch.bool)
    torch.manual_seed(1)
    expected, _ = body(x, present)
    torch.manual_seed(1)
    torch.testing.assert_close(body.summary_of(x, present), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_transformer_takes_nothing(shape):
    summary, tokens = Transformer(8, 2)(
        torch.zeros(*shape, 8), torch.zeros(shape, dtype=torch.bool)
    )
    assert summary.shape == (shape[0], 8)
    assert tokens.shape == (*shape, 8)
    assert summary.isfinite().all()


def test_blocks_under_bfloat16_autocast_stay_close():
    torch.manual_seed(0)
    body, x = Transformer(16, 2).eval(), torch.randn(3, 4, 16)
    present = torch.ones(3, 4, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = body(x, present)[0]
    torch.testing.assert_close(half.float(), body(x, present)[0], rtol=0.1, atol=0.1)
    half.float().square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in body.parameters())
