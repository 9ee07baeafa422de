"""Gaussian arithmetic against closed forms, brute force and an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Independent, Normal, kl_divergence

from amodal.errors import UnknownNameError
from amodal.nn import gaussian as g


@pytest.fixture
def edges() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    present = torch.rand(20, 4) < 0.6
    present[0], present[1], present[2] = False, True, torch.tensor([True, False, False, False])
    return torch.randn(20, 4, 3).double(), torch.randn(20, 4, 3).double(), present


def poisoned(x: torch.Tensor, present: torch.Tensor, value: float) -> torch.Tensor:
    return torch.where(present[..., None], x, torch.full_like(x, value))


@pytest.mark.parametrize("kind", g.ATTENTION)
@pytest.mark.parametrize("value", [float("nan"), 1e6, -1e6])
def test_absent_edges_change_nothing_forward_and_backward(edges, kind, value) -> None:
    mean, log_var, present = edges

    def run(mean, log_var):
        mean, log_var = mean.clone().requires_grad_(), log_var.clone().requires_grad_()
        alpha = g.uncertainty_attention(log_var, present, kind=kind)
        fused, var, reliance = g.fuse_posterior(mean, log_var, present)
        outputs = [alpha, fused, var, reliance, g.reliability(log_var, present)]
        outputs.append(g.conflict(mean, log_var, present)[present.sum(1) >= 2])
        total = sum((x * torch.arange(1, x.numel() + 1).reshape(x.shape)).sum() for x in outputs)
        return outputs, list(torch.autograd.grad(total, [mean, log_var]))

    plain, plain_grads = run(mean, log_var)
    bad, bad_grads = run(poisoned(mean, present, value), poisoned(log_var, present, value))
    for a, b in zip(plain + plain_grads, bad + bad_grads, strict=True):
        assert torch.equal(a, b)
    for grad in bad_grads:
        assert grad[~present].abs().sum() == 0


def test_softmax_attention_is_the_formula(edges) -> None:
    _, log_var, present = edges
    alpha = g.uncertainty_attention(log_var, present, theta=0.5)
    for i in range(len(alpha)):
        have = present[i].nonzero()[:, 0]
        if not len(have):
            assert alpha[i].abs().sum() == 0
            continue
        inverse = np.array([1 / (0.5 * log_var[i, k].exp().mean().item()) for k in have])
        expected = np.exp(inverse - inverse.max())
        np.testing.assert_allclose(alpha[i, have], expected / expected.sum(), rtol=1e-5)
        assert alpha[i].sum().item() == pytest.approx(1, abs=1e-6)


def test_literal_softmax_lets_an_absent_edge_keep_weight() -> None:
    log_var = torch.zeros(1, 3, 2)
    present = torch.tensor([[True, True, False]])
    literal = g.uncertainty_attention(log_var, present, absent="literal")
    kept = 1 - literal.sum().item()
    assert kept == pytest.approx(1 / (2 * math.e + 1), abs=1e-6)  # 0.155 at theta = 1
    masked = g.uncertainty_attention(log_var, present, absent="mask")
    assert masked.tolist() == [[0.5, 0.5, 0.0]]


def test_precision_and_uniform_attention_by_hand() -> None:
    log_var = torch.tensor([[[0.0], [math.log(3.0)]]])
    present = torch.ones(1, 2).bool()
    precision = g.uncertainty_attention(log_var, present, kind="precision")
    assert precision[0].tolist() == pytest.approx([0.75, 0.25])
    assert g.uncertainty_attention(log_var, present, kind="uniform").tolist() == [[0.5, 0.5]]


def test_unknown_attention_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'softmax'"):
        g.uncertainty_attention(torch.zeros(1, 1, 1), torch.ones(1, 1).bool(), kind="softmx")


def test_posterior_is_gaussian_conditioning(edges) -> None:
    """Against conditioning the joint normal of (z, measurements) on the measurements."""
    mean, log_var, present = edges
    fused, var, reliance = g.fuse_posterior(mean, log_var, present)
    for i in range(len(mean)):
        have = present[i].nonzero()[:, 0]
        for d in range(mean.shape[-1]):
            noise = log_var[i, have, d].exp().numpy()
            cov = np.ones((len(have), len(have))) + np.diag(noise)
            gain = np.linalg.solve(cov, np.ones(len(have))) if len(have) else np.zeros(0)
            assert fused[i, d].item() == pytest.approx(gain @ mean[i, have, d].numpy(), abs=1e-5)
            assert var[i, d].item() == pytest.approx(1 - gain.sum(), abs=1e-5)
    total = reliance.sum(1) + var.mean(1)  # the prior keeps the rest: its share is the variance
    torch.testing.assert_close(total, torch.ones_like(total))


def test_more_modalities_never_raise_the_variance(edges) -> None:
    mean, log_var, present = edges
    for k in range(present.shape[1]):
        fewer = present.clone()
        fewer[:, k] = False
        more = g.fuse_posterior(mean, log_var, present)[1]
        assert (more <= g.fuse_posterior(mean, log_var, fewer)[1] + 1e-7).all()


def test_a_row_with_nothing_is_the_prior() -> None:
    nothing = torch.zeros(1, 2).bool()
    mean, var, reliance = g.fuse_posterior(torch.ones(1, 2, 3), torch.zeros(1, 2, 3), nothing)
    assert mean.abs().sum() == 0
    assert (var == 1).all()
    assert reliance.abs().sum() == 0


def test_kl_is_torchs(edges) -> None:
    mean, log_var = edges[0][:, 0], edges[1][:, 0]
    var = log_var.exp()
    ours = g.kl_to_standard(mean, var)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    theirs = kl_divergence(Independent(Normal(mean, var.sqrt()), 1), prior)
    torch.testing.assert_close(ours, theirs)
    assert (ours >= 0).all()


def test_conflict_is_a_p_value_when_the_modalities_agree() -> None:
    """Measurements of one latent with the stated variances: p is uniform; of two: near 0."""
    torch.manual_seed(1)
    n, m, d = 4000, 3, 4
    log_var = torch.randn(n, m, d)
    latent = torch.randn(n, 1, d)
    mean = latent + (log_var / 2).exp() * torch.randn(n, m, d)
    present = torch.ones(n, m).bool()
    p = g.conflict(mean, log_var, present).numpy()
    assert stats.kstest(p, "uniform").pvalue > 0.01
    other = mean.clone()
    other[:, 0] += 5
    assert np.median(g.conflict(other, log_var, present).numpy()) < 1e-3


def test_conflict_by_scipy_and_undefined_below_two(edges) -> None:
    mean, log_var, present = edges
    p = g.conflict(mean, log_var, present)
    for i in range(len(p)):
        have = present[i].nonzero()[:, 0]
        if len(have) < 2:
            assert p[i].isnan()
            continue
        weight = (-log_var[i, have]).exp().numpy()
        x = mean[i, have].numpy()
        centre = (weight * x).sum(0) / weight.sum(0)
        statistic = (weight * (x - centre) ** 2).sum()
        expected = stats.chi2.sf(statistic, mean.shape[-1] * (len(have) - 1))
        assert p[i].item() == pytest.approx(expected, rel=1e-6)


def test_draws_are_fixed_and_centred() -> None:
    draws = g.standard_normal_draws(16, 5)
    assert torch.equal(draws, g.standard_normal_draws(16, 5))
    assert draws.sum(0).abs().max() < 1e-6
    assert draws.std().item() == pytest.approx(1, abs=0.2)
    assert g.standard_normal_draws(1, 5).shape == (1, 5)
