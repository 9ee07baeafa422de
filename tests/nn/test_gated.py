"""The gated feed-forward block against its formula."""

from __future__ import annotations

import math

import torch

from amodal.nn.gated import GatedFeedForward


def test_is_the_formula_entry_by_entry() -> None:
    layer = GatedFeedForward(3, hidden=2).double()
    x = torch.randn(4, 3, dtype=torch.double)
    found = layer(x)
    w, b = layer.inner.weight.tolist(), layer.inner.bias.tolist()
    for row, out in zip(x.tolist(), found.tolist(), strict=True):
        mean = sum(row) / 3
        size = math.sqrt(sum((a - mean) ** 2 for a in row) / 3 + 1e-5)
        normal = [(a - mean) / size for a in row]
        inner = [
            sum(p * a for p, a in zip(ws, normal, strict=True)) + c
            for ws, c in zip(w, b, strict=True)
        ]
        gelu = [a * 0.5 * (1 + math.erf(a / math.sqrt(2))) for a in inner[:2]]
        hidden = torch.tensor([g * v for g, v in zip(gelu, inner[2:], strict=True)]).double()
        torch.testing.assert_close(torch.tensor(out).double(), layer.outer(hidden))


def test_no_rows() -> None:
    assert GatedFeedForward(3)(torch.zeros(0, 2, 3)).shape == (0, 2, 3)
