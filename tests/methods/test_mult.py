"""MulT: crossmodal attention against loops, absent sources and targets, padding."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from amodal.errors import SettingError
from amodal.methods.mult import CrossmodalBlock, MulT, Target, stack_tokens


@torch.no_grad()
def by_hand(block: CrossmodalBlock, pair: int, z, tokens) -> torch.Tensor:
    """The block's two steps for one row of one pair, token by token and head by head."""
    t, d = z.shape
    size = d // block.heads

    def norm(x):
        return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()

    def through(layer, x):
        return x @ layer.weight[pair] + layer.bias[pair, 0]

    out = []
    for i in range(t):
        query, mixed = through(block.query, norm(z[i])), []
        for h in range(block.heads):
            part = slice(h * size, (h + 1) * size)
            both = [through(block.key_value, y) for y in tokens]
            logits = [float(query[part] @ kv[:d][part]) / math.sqrt(size) for kv in both]
            most = max(logits)
            weights = [math.exp(x - most) for x in logits]
            total = sum(w * kv[d:][part] for w, kv in zip(weights, both, strict=True))
            mixed.append(total / sum(weights))
        x = z[i] + through(block.out, torch.cat(mixed))
        hidden = F.gelu(through(block.inner, norm(x)))
        out.append(x + through(block.outer, hidden))
    return torch.stack(out)


def test_block_equals_loops_over_pairs_rows_tokens_and_heads() -> None:
    torch.manual_seed(0)
    block = CrossmodalBlock(3, 8, 2).double()
    z, y = torch.randn(3, 4, 2, 8).double(), torch.randn(3, 4, 5, 8).double()
    there = torch.rand(3, 4, 5) < 0.6
    there[..., 0] = True
    found = block(z, torch.where(there[..., None], y, torch.full_like(y, 1e3)), there)
    for g in range(3):
        for i in range(4):
            expected = by_hand(block, g, z[g, i], y[g, i][there[g, i]])
            torch.testing.assert_close(found[g, i], expected, rtol=0, atol=1e-10)


def test_summaries_join_the_streams_of_present_sources(build) -> None:
    """For one row: own tokens and one stream per present source, their mean, a transformer."""
    mult, batch = build(MulT, layers=2)
    mult.eval()
    found = mult.summaries(batch)
    encoded = mult.encode_tokens(batch)
    several = (batch.present.sum(1) == 3).nonzero()[:3, 0].tolist()
    assert several
    for i in several:
        own = {}
        for k, (e, name) in enumerate(zip(encoded, mult.names, strict=True)):
            at = int(batch.values[name].index[i])
            if at >= 0:
                own[k] = e.tokens[at][e.token_present[at]]
        for k, mine in own.items():
            target, joined = mult.targets[k], []
            weights = zip(target.join.weight, target.join.bias, strict=True)
            others = [k] + [j for j in range(4) if j != k]
            for g, (j, (weight, bias)) in enumerate(zip(others, weights, strict=True)):
                if j not in own:
                    continue
                z = mine
                for block in target.blocks if j != k else ():
                    z = by_hand(block, g - 1, z, F.layer_norm(own[j], (8,)))
                joined.append(z @ weight + bias)
            mean = torch.stack(joined).mean(0)[None]
            seen = torch.ones(mean.shape[:2], dtype=torch.bool)
            expected = target.body(mean, seen)[0][0]
            torch.testing.assert_close(found[i, k], expected, rtol=0, atol=1e-9)
    assert found[~batch.present].abs().max() == 0


def test_an_absent_source_is_as_if_there_were_no_such_modality() -> None:
    torch.manual_seed(1)
    both, one = Target(2, 8, heads=2, layers=1).double(), Target(1, 8, heads=2, layers=1).double()
    state = one.state_dict()
    for name, x in both.state_dict().items():
        first = 2 if name.startswith("join") else 1
        state[name] = x if name.startswith("body") else x[:first]
    one.load_state_dict(state)
    own, seen = torch.randn(3, 2, 8).double(), torch.ones(3, 2, dtype=torch.bool)
    sources, there = torch.randn(2, 3, 4, 8).double(), torch.ones(2, 3, 4, dtype=torch.bool)
    there[1] = False
    sources[1] = 1e6
    torch.testing.assert_close(
        both(own, seen, sources, there), one(own, seen, sources[:1], there[:1])
    )


def test_one_modality_and_no_tokens() -> None:
    alone = Target(0, 8, heads=2, layers=2)
    own, seen = torch.randn(3, 2, 8), torch.ones(3, 2, dtype=torch.bool)
    none = torch.zeros(0, 3, 2, 8)
    summary = alone(own, seen, none, none[..., 0] > 0)
    torch.testing.assert_close(
        summary, alone.body(own @ alone.join.weight[0] + alone.join.bias[0], seen)[0]
    )
    empty = (torch.zeros(3, 0, 8), torch.zeros(3, 0, dtype=torch.bool))
    tokens, there = stack_tokens([empty, empty])
    assert tokens.shape == (2, 3, 1, 8)
    assert not there.any()


def test_more_padding_changes_nothing(build) -> None:
    mult, batch = build(MulT)
    mult.eval()
    lengths = batch.values["s"].lengths
    short = (lengths[batch.values["s"].index.clamp_min(0)] < lengths.max()).nonzero()[:5, 0]
    torch.testing.assert_close(mult.summaries(batch.rows(short)), mult.summaries(batch)[short])


def test_every_weight_learns(build) -> None:
    mult, batch = build(MulT)
    mult.train()
    sum(mult.loss(batch).values()).backward()
    idle = [n for n, p in mult.targets.named_parameters() if p.grad is None]
    assert idle == []


def test_layers_must_be_positive(build) -> None:
    with pytest.raises(SettingError, match="layers must be at least 1; got 0"):
        build(MulT, layers=0)
