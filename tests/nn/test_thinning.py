"""Dropout at prediction: one draw for all rows, and in the mean what training does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from amodal.nn.blocks import Dropout, TransformerBlock
from amodal.nn.grouped import GroupedMLP
from amodal.nn.thinning import thin, thinned


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 64), Dropout(0.5), nn.Dropout(0.5), nn.Linear(64, 3)).eval()


def test_rows_do_not_depend_on_each_other_or_on_order() -> None:
    layers, x = net(), torch.randn(6, 4)
    with thinned(layers, seed=2):
        whole = layers(x)
        torch.testing.assert_close(layers(x[[3, 1]]), whole[[3, 1]])
        torch.testing.assert_close(layers(x.flip(0)), whole.flip(0))
    with thinned(layers, seed=3):
        assert (layers(x) - whole).abs().max() > 1e-3
    plain = layers(x)
    assert (plain - whole).abs().max() > 1e-3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in layers.modules())


def test_mean_over_draws_is_the_full_layer() -> None:
    """Behind the last dropout all is linear, so the mean over draws is the network without."""
    torch.manual_seed(0)
    layers, x = nn.Sequential(Dropout(0.3), nn.Linear(64, 2)).eval(), torch.randn(5, 64)
    total = torch.zeros(5, 2)
    for seed in range(2000):
        with thinned(layers, seed=seed):
            total += layers(x).detach()
    torch.testing.assert_close(total / 2000, layers(x).detach(), atol=0.06, rtol=0)


def test_rate_of_dropped_units_and_their_scale() -> None:
    layer = Dropout(0.25).eval()
    with thinned(layer, seed=0):
        y = layer(torch.ones(1, 8000))
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (y == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)


def test_each_place_has_a_draw_of_its_own_but_the_same_each_time() -> None:
    block = TransformerBlock(16, 2, dropout=0.5).eval()
    x, there = torch.randn(2, 3, 16), torch.ones(2, 3, dtype=torch.bool)
    with thinned(block, seed=1):
        assert torch.equal(block(x, there), block(x, there))
    both = nn.ModuleList([GroupedMLP(2, 32, 4, dropout=0.5), GroupedMLP(2, 32, 4, dropout=0.5)])
    both[1].load_state_dict(both[0].state_dict())
    both.eval()
    h = torch.randn(3, 2, 32)
    with thinned(both, seed=1):
        assert not torch.equal(both[0](h), both[1](h))


def test_draws_do_not_depend_on_what_else_ran() -> None:
    """A part that a batch has no values for is passed over."""
    parts = nn.ModuleList([Dropout(0.5), Dropout(0.5)]).eval()
    x = torch.ones(1, 64)
    with thinned(parts, seed=1):
        parts[0](x)
        after = parts[1](x)
    with thinned(parts, seed=1):
        assert torch.equal(parts[1](x), after)
        assert Dropout(0.5).eval()(x) is x  # none of these parts


def test_nothing_happens_outside_or_after_an_error() -> None:
    x, layer = torch.ones(2, 4), Dropout(0.5).eval()
    assert layer(x) is x
    with pytest.raises(ZeroDivisionError), thinned(layer, seed=0):
        1 / 0  # noqa: B018
    assert layer(x) is x
    with thinned(layer, seed=0):
        assert thin(x, 0.0, layer) is x
        assert thin(x, 0.5, None) is x
