"""ShaSpec's filling and its two auxiliary losses against loops."""

from __future__ import annotations

import math

import torch

from amodal.methods.shaspec import ShaSpec, gap_of_pairs


def test_absent_features_are_the_mean_of_the_shared_ones(build) -> None:
    method, batch = build(ShaSpec)
    shared, specific = method.features(batch)
    filled = method.fill(shared, specific, batch.present)
    for i in range(len(batch)):
        have = [k for k in range(4) if batch.present[i, k]]
        mean = sum(shared[i, k] for k in have) / max(len(have), 1)
        for k in range(4):
            if k in have:
                own = shared[i, k] + method.compose(torch.cat([shared[i, k], specific[i, k]]))
                torch.testing.assert_close(filled[i, k], own)
            else:
                torch.testing.assert_close(filled[i, k], mean + torch.zeros(8, dtype=torch.double))


def test_one_shared_encoder_and_one_of_its_own_for_each(build) -> None:
    method, batch = build(ShaSpec)
    same = torch.ones(len(batch), 4, 8, dtype=torch.double)
    method.encode = lambda b: torch.where(b.present[..., None], same, 0.0)
    shared, specific = method.features(batch)
    row = int(batch.present.all(1).nonzero()[0])
    assert torch.equal(shared[row, 0], shared[row, 1])
    assert (specific[row, 0] - specific[row, 1]).abs().max() > 1e-3


def test_alignment_is_the_mean_over_pairs() -> None:
    torch.manual_seed(0)
    x, present = torch.randn(6, 4, 3), torch.rand(6, 4) < 0.6
    gaps = [
        (x[i, j] - x[i, k]).abs().mean()
        for i in range(6)
        for j in range(4)
        for k in range(j + 1, 4)
        if present[i, j] and present[i, k]
    ]
    torch.testing.assert_close(gap_of_pairs(x, present), torch.stack(gaps).mean())
    assert gap_of_pairs(x[:, :1], present[:, :1]) == 0


def test_domain_term_is_chance_when_specific_features_tell_nothing(build) -> None:
    method, batch = build(ShaSpec, domain=0.5, align=0.0)
    with torch.no_grad():
        method.guess.weight.zero_()
        method.guess.bias.zero_()
    terms = method.loss(batch)
    assert math.isclose(terms["domain"].item(), 0.5 * math.log(4), rel_tol=1e-6)
    assert "align" not in terms
    with torch.no_grad():  # the bias of one modality makes it certain of what is false elsewhere
        method.guess.bias[0] = 50.0
    share = batch.present[:, 0].sum() / batch.present.sum()
    assert math.isclose(
        method.loss(batch)["domain"].item(), 0.5 * 50 * (1 - share.item()), rel_tol=1e-6
    )
