"""Entropy, information and reliability where they can be enumerated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from amodal.nn import modality_reliability as mr
from amodal.types import Task


def test_entropy_is_shannons_sum() -> None:
    prototypes = mr.Prototypes(2, 5, 7, temperature=0.2).double()
    prototypes.centre.normal_()
    hidden = torch.randn(4, 2, 5).double()
    found = prototypes.entropy(hidden)
    for v in range(4):
        for k in range(2):
            h = hidden[v, k] - prototypes.centre[k]
            cosine = [float(h @ w / h.norm() / w.norm()) for w in prototypes.weight[k].detach()]
            p = np.exp(np.array(cosine) / 0.2)
            p /= p.sum()
            assert float(found[v, k]) == pytest.approx(-(p * np.log(p)).sum())
    assert bool((found <= math.log(7)).all())


def test_prototypes_are_moved_by_the_likelihood_alone() -> None:
    prototypes = mr.Prototypes(1, 3, 4, temperature=0.1)
    hidden = torch.randn(9, 1, 3, requires_grad=True)
    (of_hidden,) = torch.autograd.grad(prototypes.entropy(hidden).sum(), hidden)
    assert of_hidden.abs().sum() > 0
    prototypes.log_likelihood(hidden).sum().backward()
    assert hidden.grad is None
    assert prototypes.weight.grad.abs().sum() > 0


def test_prototypes_find_clusters() -> None:
    centres = torch.nn.functional.normalize(torch.randn(8, 16), dim=-1)
    prototypes = mr.Prototypes(1, 16, 8, temperature=0.1)
    optimizer = torch.optim.Adam(prototypes.parameters(), lr=0.05)
    for _ in range(150):
        x = centres[torch.randint(8, (64,))] + 0.05 * torch.randn(64, 16)
        optimizer.zero_grad()
        (-prototypes.log_likelihood(x[:, None]).mean()).backward()
        optimizer.step()
    inside = prototypes.entropy((centres + 0.05 * torch.randn(8, 16))[:, None])
    outside = prototypes.entropy(torch.randn(200, 1, 16))
    assert float(outside.median()) > 2 * float(inside.median())


def test_mean_kl_of_a_calibrated_prediction_is_the_mutual_information() -> None:
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.ones(12)).reshape(4, 3)  # of x and y
    x, y = joint.sum(1), joint.sum(0)
    exact = (joint * np.log(joint / np.outer(x, y))).sum()
    params = torch.tensor(np.log(joint / x[:, None]))[:, None]
    prior = torch.tensor(np.log(y))[None]
    task = Task("multiclass", tuple("abc"))
    told = mr.information(task, params, prior)[:, 0].numpy()
    assert (x * told).sum() == pytest.approx(exact)
    ratio = [
        mr.log_ratio(task, params, prior, torch.full((4,), float(c)))[:, 0].numpy()
        for c in range(3)
    ]
    assert (joint * np.stack(ratio, 1)).sum() == pytest.approx(exact)


def test_information_of_normals_and_labels() -> None:
    rho = 0.8  # y | x ~ N(rho x, 1 - rho^2), x ~ N(0, 1): the mean is -1/2 log(1 - rho^2)
    x = torch.tensor(np.polynomial.hermite_e.hermegauss(40)[0])
    weight = np.polynomial.hermite_e.hermegauss(40)[1] / math.sqrt(2 * math.pi)
    params = torch.stack([rho * x, torch.full_like(x, 0.5 * math.log(1 - rho**2))], 1)[:, None]
    told = mr.information(Task("regression"), params, torch.zeros(1, 2).double())[:, 0]
    assert (weight * told.numpy()).sum() == pytest.approx(-0.5 * math.log(1 - rho**2))
    labels = Task("multilabel", ("u", "v"))
    both = mr.information(labels, torch.tensor([[[1.0, -2.0]]]), torch.tensor([[0.5, 0.0]]))
    single = [
        mr.information(Task("binary"), torch.tensor([[[q]]]), torch.tensor([[p]]))
        for q, p in ((1.0, 0.5), (-2.0, 0.0))
    ]
    torch.testing.assert_close(both, sum(single))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_information_is_0_at_the_base_rate_and_never_negative(kind: str) -> None:
    task = Task(kind, {"multiclass": tuple("abc"), "multilabel": tuple("uv")}.get(kind, ()))
    prior = torch.randn(2, task.param_size)
    assert mr.information(task, prior.expand(3, -1, -1), prior).abs().max() < 1e-6
    assert (mr.information(task, torch.randn(50, 2, task.param_size), prior) >= 0).all()
    assert mr.information(task, torch.zeros(0, 2, task.param_size), prior).shape == (0, 2)


def test_shares_sum_to_one_whatever_stands_at_absent_pairs() -> None:
    present = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    score = torch.tensor([[2.0, 6.0, torch.nan], [0.0, torch.inf, 1.0], [torch.nan, 1.0, 2.0]])
    found = mr.relative(score, present)
    assert found.tolist() == [[0.25, 0.75, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_centres_are_a_running_mean_of_what_is_there() -> None:
    prototypes = mr.Prototypes(2, 3, 4, temperature=0.1)
    first, second = torch.randn(2, 5, 1, 3)
    absent = torch.zeros(5, 1, 3)
    there = torch.tensor([[True, False]]).expand(5, -1)
    prototypes.track(torch.cat([first, absent], 1), there)
    prototypes.track(torch.cat([second, absent], 1), there)
    keep = 1 / 11
    expected = keep * first[:, 0].mean(0) + (1 - keep) * second[:, 0].mean(0)
    torch.testing.assert_close(prototypes.centre[0], expected)
    assert prototypes.centre[1].abs().sum() == 0
