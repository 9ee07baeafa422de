"""Dempster's rule and Dirichlet losses against the formulas as published, and against sampling."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from amodal.errors import SettingError
from amodal.methods.tmc import TMC, combine, dirichlet_loss


def dempster(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The combined evidence of two views by TMC's Eq. 4, class by class."""
    size = len(first)
    (b, u), (c, v) = ((e / (e.sum() + size), size / (e.sum() + size)) for e in (first, second))
    conflict = sum(b[i] * c[j] for i in range(size) for j in range(size) if i != j)
    belief = (b * c + b * v + c * u) / (1 - conflict)
    undecided = u * v / (1 - conflict)
    assert (belief.sum() + undecided).item() == pytest.approx(1)
    return belief * size / undecided


def test_combination_is_dempsters_rule_view_after_view() -> None:
    torch.manual_seed(0)
    evidence = 5 * torch.rand(7, 4, 3, dtype=torch.double)
    found = combine(evidence).exp() - 1
    for row, e in zip(evidence, found, strict=True):
        one_by_one = dempster(dempster(dempster(row[0], row[1]), row[2]), row[3])
        torch.testing.assert_close(e, one_by_one)


def test_a_view_without_evidence_changes_nothing_and_order_neither() -> None:
    evidence = torch.rand(5, 3, 4, dtype=torch.double)
    alone = combine(evidence[:, :1]).exp()
    torch.testing.assert_close(alone, evidence[:, 0] + 1)
    padded = torch.cat([torch.zeros(5, 2, 4), evidence], 1)
    torch.testing.assert_close(combine(padded), combine(evidence.flip(1)))
    assert combine(torch.full((1, 50, 2), 1e4)).isfinite().all()


def test_losses_are_expectations_and_divergences() -> None:
    torch.manual_seed(0)
    alpha = 1 + 6 * torch.rand(4, 3, dtype=torch.double)
    truth = torch.tensor([0, 2, 1, 1])
    error, kl = dirichlet_loss(alpha, truth)
    wrong = alpha.clone()
    wrong[range(4), truth] = 1
    torch.testing.assert_close(
        kl, kl_divergence(Dirichlet(wrong), Dirichlet(torch.ones(4, 3).double()))
    )
    p = Dirichlet(alpha).sample((200_000,))
    sampled = -p.log().mean(0)[range(4), truth]
    torch.testing.assert_close(error, sampled, rtol=0.02, atol=0.01)


def test_large_evidence_loses_no_precision() -> None:
    _, kl = dirichlet_loss(torch.tensor([[1.0, 1e7]]), torch.tensor([1]))
    assert kl.item() == 0
    _, kl = dirichlet_loss(torch.tensor([[1e7, 1.0]]), torch.tensor([1]))
    exact = kl_divergence(
        Dirichlet(torch.tensor([1e7, 1.0]).double()), Dirichlet(torch.ones(2).double())
    )
    torch.testing.assert_close(kl[0], exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_probabilities_are_means_of_the_combined_dirichlet(build, kind: str) -> None:
    tmc, batch = build(TMC, kind)
    evidence, there = tmc.views(batch)
    found = tmc.eval()(batch)
    some = batch.present.any(1)
    alpha = combine(evidence).exp()
    mean = alpha / alpha.sum(-1, keepdim=True)
    expected = mean[:, 0] if kind == "multiclass" else mean[..., 1]
    expected = expected[:, 0] if kind == "binary" else expected
    torch.testing.assert_close(found.mean[some], expected[some])
    decided = 1 - tmc.shape[1] / (evidence.sum(-1) + tmc.shape[1])
    torch.testing.assert_close(found.reliability, decided.mean(-1)[:, :4])
    assert not there[~some].any()


def test_loss_adds_up_views_and_their_combination(build) -> None:
    tmc, batch = build(TMC, "multiclass", pattern=False, anneal=4)
    batch.target[:3] = torch.nan
    for step in range(3):
        terms = tmc.train().loss(batch)
        assert int(tmc.rows_seen) == len(batch) * (step + 1)
    evidence, there = tmc.views(batch)
    rows = [i for i in range(3, len(batch)) if there[i].any()]
    combined, single, kl = 0.0, 0.0, 0.0
    for i in rows:
        y = batch.target[i].long()
        e, k = dirichlet_loss(combine(evidence[i : i + 1])[0].exp(), y)
        combined, kl = combined + e, kl + k
        for j in range(4):
            if there[i, j]:
                e, k = dirichlet_loss(evidence[i, j] + 1, y)
                single, kl = single + e, kl + k
    torch.testing.assert_close(terms["task"], combined.sum() / len(rows))
    torch.testing.assert_close(terms["views"], single.sum() / len(rows))
    torch.testing.assert_close(terms["kl"], 0.75 * kl.sum() / len(rows))


def test_without_labels_there_is_nothing_to_learn(build) -> None:
    tmc, batch = build(TMC)
    batch.target[:] = torch.nan
    assert sum(tmc.train().loss(batch).values()).item() == 0


def test_regression_is_refused(build) -> None:
    with pytest.raises(SettingError, match="tmc is for binary or multiclass or multilabel tasks"):
        build(TMC, "regression")
    with pytest.raises(SettingError, match="anneal must be positive; got 0"):
        build(TMC, anneal=0)
