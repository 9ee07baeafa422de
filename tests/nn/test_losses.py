"""Contrast and mixtures against hand computation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from amodal.nn import losses
from amodal.nn.losses import contrast, contrast_labels, contrast_views, drop_to_subset, mix_params
from amodal.types import Task


def test_contrast_between_views_by_loops() -> None:
    torch.manual_seed(0)
    u, v = (F.normalize(torch.randn(6, 3), dim=1) for _ in range(2))
    total = 0.0
    for a, b in ((u, v), (v, u)):
        for i in range(6):
            scores = [math.exp(float(a[i] @ b[j]) / 0.07) for j in range(6)]
            total -= math.log(scores[i] / sum(scores)) / 6
    assert contrast_views(u, v).item() == pytest.approx(total / 2, rel=1e-5)


def test_contrast_between_labels_by_loops() -> None:
    torch.manual_seed(0)
    u, v = (F.normalize(torch.randn(5, 3), dim=1) for _ in range(2))
    y = torch.tensor([0, 1, 0, 2, 1])

    def b(a: torch.Tensor, c: torch.Tensor) -> float:
        terms = []
        for i in range(5):
            for j in range(5):
                p = 1 / (1 + math.exp(-float(a[i] @ c[j]) / 0.07))
                terms.append(-math.log(p if y[i] == y[j] else 1 - p))
        return sum(terms) / 25

    same = y[:, None] == y
    found = contrast_labels(u, v, same).item()
    assert found == pytest.approx((2 * b(u, u) + b(u, v) + b(v, u)) / 4, rel=1e-4)


@pytest.mark.parametrize("block", [3, 9, 256])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_contrast_in_one_go_is_the_two_terms_and_their_gradients(
    share: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_BLOCK", block)
    torch.manual_seed(0)
    u, v = (F.normalize(torch.randn(10, 4).double(), dim=1).requires_grad_() for _ in range(2))
    label = torch.tensor([0, 1, 0, 2, 1, 1, 0, 2, 2, 0]).double()
    label[torch.rand(10) >= share] = torch.nan
    known = ~label.isnan()
    same = label[known][:, None] == label[known]
    simple = 0.5 * contrast_views(u, v) + 0.5 * contrast_labels(u[known], v[known], same)
    expected = torch.autograd.grad(simple, (u, v))
    found = contrast(u, v, label)
    torch.testing.assert_close(found, simple)
    for mine, other in zip(torch.autograd.grad(found, (u, v)), expected, strict=True):
        torch.testing.assert_close(mine, other)
    assert torch.autograd.gradcheck(lambda a, b: contrast(a, b, label, temperature=0.5), (u, v))


def test_contrast_without_rows_is_zero_and_has_a_gradient() -> None:
    u = torch.zeros(0, 3, requires_grad=True)
    loss = contrast_views(u, u) + contrast_labels(u, u, torch.zeros(0, 0).bool())
    loss = loss + contrast(u, u, torch.zeros(0))
    loss.backward()
    assert loss.item() == 0


def test_second_view_keeps_uniformly_many_and_never_all_or_none() -> None:
    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([[True, True, True, False]]).repeat(20000, 1)
    view = drop_to_subset(present, generator=generator)
    assert not view[:, 3].any()
    assert view.any(1).all()
    count = view.sum(1)
    share = [float((count == k).float().mean()) for k in (1, 2, 3)]
    assert share == pytest.approx([0.25, 0.25, 0.5], abs=0.02)
    kept = view[count == 1].float().mean(0)[:3]
    assert kept.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_mixture_averages_probabilities() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 4, 3)
    mixed = mix_params(Task("multiclass", ("a", "b", "c")), logits).exp()
    torch.testing.assert_close(mixed, logits.softmax(-1).mean(0))
    binary = mix_params(Task("binary"), logits[..., :1]).sigmoid()
    torch.testing.assert_close(binary, logits[..., :1].sigmoid().mean(0))


def test_mixture_of_normals_has_their_mean_and_variance() -> None:
    params = torch.tensor([[[0.0, math.log(1.0)]], [[2.0, math.log(3.0)]]])
    mixed = mix_params(Task("regression"), params)
    assert mixed[0, 0].item() == pytest.approx(1.0)
    assert math.exp(2 * mixed[0, 1].item()) == pytest.approx((1 + 9) / 2 + 1)
