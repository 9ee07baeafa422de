"""Both sides of the stability bound against gradients taken row by row and branch by branch."""

from __future__ import annotations

import copy

import pytest
import torch

from amodal.batch import Encoded
from amodal.nn.reliable_attention import ReliableAttention
from amodal.nn.stability import Meter, traces
from amodal.nn.token_groups import group_tokens

N, M, Q, D = 6, 3, 2, 4


def variance(g: torch.Tensor) -> float:
    """tr Var over rows ``[n, p]``."""
    return float(g.var(0, correction=0).sum())


def test_traces_are_those_of_the_matrices() -> None:
    a, b = torch.randn(N, M, Q, D).double(), torch.randn(N, Q, 3).double()
    matrices = torch.einsum("nmqd,nqe->nmde", a, b).flatten(2)
    left, right = traces(a, b)
    assert left == pytest.approx(variance(matrices.sum(1)))
    assert right == pytest.approx(sum(variance(matrices[:, k]) for k in range(M)))


def test_meter_finds_the_gradients_of_each_branch() -> None:
    """A copy of the weights for each branch, and the loss of one row at a time."""
    lengths = (3, 2, 9)
    tokens = [torch.randn(N, t, D).double() for t in lengths]
    ones = [torch.ones(N, t, dtype=torch.bool) for t in lengths]
    encoded = [Encoded(t[:, 0], t, o) for t, o in zip(tokens, ones, strict=True)]
    index = torch.arange(N)[:, None].repeat(1, M)
    index[0, 1] = index[3, 2] = -1
    weight = torch.rand(N, M).double() * (index >= 0)
    x, grid = torch.randn(N, Q, D).double(), torch.randn(N, Q, D).double()
    attention, meter = ReliableAttention(D, 2).double(), Meter().double()
    groups = group_tokens(encoded, index)
    out = attention(x, groups, weight, meter=meter)
    (out.tanh() * grid).sum().backward()

    copies = [copy.deepcopy(attention) for _ in range(M)]
    gradients = {"query": torch.zeros(N, M, D * D), "output": torch.zeros(N, M, D * D)}
    for i in range(N):
        for c in copies:
            c.zero_grad()
        only = [w * (torch.arange(M) == k) for k, w in enumerate([weight] * M)]
        parts = [c(x, groups, w)[i] for c, w in zip(copies, only, strict=True)]
        (sum(parts).tanh() * grid[i]).sum().backward()
        for k, c in enumerate(copies):
            gradients["query"][i, k] = c.query.weight.grad.flatten()
            gradients["output"][i, k] = c.out.weight.grad.flatten()
    report = meter.report()
    for what, g in gradients.items():
        left, right = variance(g.sum(1)), sum(variance(g[:, k]) for k in range(M))
        assert report[f"gradient_variance_{what}"] == pytest.approx(left, rel=1e-4)
        assert report[f"gradient_bound_{what}"] == pytest.approx(right, rel=1e-4)
        assert report[f"bound_held_{what}"] == float(left <= right)
    total = sum(c.query.weight.grad for c in copies)
    assert total.shape == attention.query.weight.grad.shape


def test_single_tokens_give_the_queries_no_gradient() -> None:
    tokens = torch.randn(N, 1, D).double()
    encoded = [Encoded(tokens[:, 0], tokens, torch.ones(N, 1, dtype=torch.bool))]
    attention, meter = ReliableAttention(D, 2).double(), Meter().double()
    groups = group_tokens(encoded, torch.arange(N)[:, None])
    x = torch.randn(N, Q, D).double()
    attention(x, groups, torch.ones(N, 1).double(), meter=meter).square().sum().backward()
    report = meter.report()
    assert not [name for name in report if "query" in name]
    assert report["gradient_ratio_output"] == pytest.approx(1.0)  # one branch
