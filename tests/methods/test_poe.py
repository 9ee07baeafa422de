"""The product of experts against loops over views and against closed forms."""

from __future__ import annotations

import pytest
import torch

from amodal.errors import SettingError
from amodal.methods.poe import PoE, product, sub_views
from amodal.nn.gaussian import fuse_posterior, kl_to_standard
from amodal.nn.losses import drop_to_subset


def test_product_of_many_views_is_that_of_each() -> None:
    torch.manual_seed(0)
    mean, log_var = torch.randn(2, 6, 3, 4, dtype=torch.double)
    views = torch.rand(5, 6, 3) < 0.5
    mean[~views.any(0)], log_var[~views.any(0)] = torch.nan, torch.nan
    found, var = product(mean, log_var, views)
    for v, there in enumerate(views):
        expected_mean, expected_var, _ = fuse_posterior(mean, log_var, there)
        torch.testing.assert_close(found[v], expected_mean)
        torch.testing.assert_close(var[v], expected_var)


def test_product_is_the_normalised_product_of_densities() -> None:
    """On a grid, for one dimension and two experts."""
    mean, log_var = torch.tensor([[[0.5], [-1.0]]]), torch.tensor([[[0.3], [-0.7]]])
    grid = torch.linspace(-12, 12, 48001, dtype=torch.double)
    log = -0.5 * grid**2
    for k in range(2):
        log = log - 0.5 * (grid - mean[0, k]) ** 2 / log_var[0, k].exp()
    p = log.exp() / log.exp().sum()
    found, var = product(mean, log_var, torch.ones(1, 1, 2, dtype=torch.bool))
    centre = (p * grid).sum()
    assert found.item() == pytest.approx(centre.item(), abs=1e-6)
    assert var.item() == pytest.approx((p * (grid - centre) ** 2).sum().item(), abs=1e-6)


def test_loss_is_the_mean_bound_over_views(build) -> None:
    poe, batch = build(PoE, beta=0.1)
    batch.target[:5] = torch.nan
    poe.eval()
    torch.manual_seed(4)
    terms = poe.loss(batch)
    torch.manual_seed(4)
    subset = drop_to_subset(batch.present)
    mean, log_var = poe.experts(batch)
    alone = [batch.present & (torch.arange(4) == k) for k in range(4)]
    views = torch.stack([batch.present, subset, *alone])
    noise = torch.randn_like(product(mean, log_var, views)[0])  # in the same order in memory
    errors, divergences = [], []
    for eps, there in zip(noise, views, strict=True):
        fused, var, _ = fuse_posterior(mean, log_var, there)
        z = torch.cat([fused + var.sqrt() * eps, poe.evidence(batch)], 1)
        logit, some = poe.head(z)[:, 0], there.any(1)
        nll = -torch.distributions.Bernoulli(logits=logit[5:]).log_prob(batch.target[5:])
        errors.append(nll[some[5:]])
        divergences.append(kl_to_standard(fused, var)[some])
    torch.testing.assert_close(terms["task"], torch.cat(errors).mean())
    torch.testing.assert_close(terms["kl"], 0.1 * torch.cat(divergences).mean())


def test_what_a_prediction_tells(build) -> None:
    """A useless expert has no reliance, and the prior keeps what the experts leave."""
    poe, batch = build(PoE)
    with torch.no_grad():
        poe.expert.last.weight.zero_()
        poe.expert.last.bias[:, :, :8].zero_()
        poe.expert.last.bias[:, 0, 8:] = torch.tensor([0.0, 7.9, 7.9, 7.9])[:, None]
    found = poe.eval()(batch)
    has = batch.present
    torch.testing.assert_close(
        found.reliance[has[:, 0], 0],
        torch.full_like(found.reliance[has[:, 0], 0], 0.5),
        atol=1e-3,
        rtol=0,
    )
    assert (found.reliance[:, 1:] < 1e-3).all()
    assert (found.reliability[has[:, 0], 0] == 0.5).all()
    assert (found.variance[~has.any(1)] == 1).all()


def test_views_of_a_row_without_anything() -> None:
    views = sub_views(torch.zeros(2, 3, dtype=torch.bool))
    assert views.shape == (5, 2, 3)
    assert not views.any()


def test_draws_must_be_positive(build) -> None:
    with pytest.raises(SettingError, match="draws must be at least 1; got 0"):
        build(PoE, draws=0)
