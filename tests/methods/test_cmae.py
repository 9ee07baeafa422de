"""The cross-modal autoencoder: what it fills in, and what it pays for."""

from __future__ import annotations

import torch

from amodal.methods.cmae import CMAE
from amodal.nn.losses import drop_to_subset


def test_present_vectors_stay_and_absent_ones_are_rebuilt(build) -> None:
    method, batch = build(CMAE)
    hidden, present = method.encode(batch), batch.present
    rebuilt = method.impute(hidden, present)
    filled = torch.where(present[..., None], hidden, rebuilt)
    expected = method.head(torch.cat([filled.flatten(1), method.evidence(batch)], 1))
    found = method.eval()(batch).params
    some = present.any(1)
    torch.testing.assert_close(found[some], expected[some])


def test_garbage_in_absent_places_is_not_read(build) -> None:
    method, batch = build(CMAE)
    hidden = method.encode(batch)
    other = torch.where(batch.present[..., None], hidden, torch.nan)
    assert torch.equal(method.impute(other, batch.present), method.impute(hidden, batch.present))


def test_loss_is_over_both_views_and_all_present_vectors(build) -> None:
    method, batch = build(CMAE, rebuild=0.5)
    method.eval()
    torch.manual_seed(1)
    terms = method.loss(batch)
    torch.manual_seed(1)
    hidden, subset = method.encode(batch), drop_to_subset(batch.present)
    errors, nll = [], []
    for view in (batch.present, subset):
        rebuilt = method.impute(hidden, view)
        errors.append((rebuilt - hidden).square().mean(-1)[batch.present])
        filled = torch.where(view[..., None], hidden, rebuilt).flatten(1)
        logit = method.head(torch.cat([filled, method.evidence(batch)], 1))[:, 0]
        lost = -torch.distributions.Bernoulli(logits=logit).log_prob(batch.target)
        nll.append(lost[view.any(1)])
    torch.testing.assert_close(terms["rebuild"], 0.5 * torch.cat(errors).mean())
    torch.testing.assert_close(terms["task"], torch.cat(nll).mean())


def test_targets_are_not_pushed_towards_what_is_easy_to_rebuild(build) -> None:
    """With nothing but the decoder's bias left, no gradient of the reconstruction reaches encoders."""
    method, batch = build(CMAE)
    with torch.no_grad():
        method.decode.weight.zero_()
    method.eval().loss(batch)["rebuild"].backward()
    grads = [p.grad for p in method.encoders.parameters() if p.grad is not None]
    assert all((g == 0).all() for g in grads)
    assert method.decode.bias.grad.abs().max() > 0
