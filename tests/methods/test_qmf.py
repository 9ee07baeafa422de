"""QMF's weights, its sum and its ranking loss against loops."""

from __future__ import annotations

import pytest
import torch

from amodal.errors import SettingError
from amodal.methods.qmf import QMF, rank_loss


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_prediction_is_the_sum_weighted_by_energy(build, kind: str) -> None:
    qmf, batch = build(QMF, kind)
    found = qmf.eval()(batch)
    raw, extra = qmf.heads(qmf.encode(batch)), qmf.from_pattern(qmf.evidence(batch))
    for i in range(1, 8):
        total, weights = extra[i].clone(), []
        for k in range(4):
            f = raw[i, k].view(qmf.shape)
            w = f.exp().sum(-1).log().mean() / 10 if batch.present[i, k] else torch.tensor(0.0)
            total = total + w * (f[0] if kind == "multiclass" else f[:, 1] - f[:, 0])
            weights.append(max(w.item(), 0.0))
        torch.testing.assert_close(found.params[i], total)
        share = torch.tensor(weights).double() / max(sum(weights), 1e-12)
        torch.testing.assert_close(found.reliance[i], share, rtol=1e-5, atol=1e-7)


def test_ranking_loss_is_a_hinge_over_neighbours() -> None:
    torch.manual_seed(0)
    weight, error, use = torch.randn(3, 9), torch.rand(3, 9), torch.rand(3, 9) < 0.7
    expected = 0.0
    for w, e, u in zip(weight, error, use, strict=True):
        c = (e - e[u].min()) / (e[u].max() - e[u].min())
        pairs = [(i, (i + 1) % 9) for i in range(9) if u[i] and u[(i + 1) % 9]]
        hinges = [
            max(0.0, (c[i] - c[j]).sign() * (w[i] - w[j]) + abs(c[i] - c[j])) for i, j in pairs
        ]
        expected += sum(hinges) / max(len(pairs), 1)
    torch.testing.assert_close(rank_loss(weight, error, use), expected)


def test_ranking_loss_at_the_edges() -> None:
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert rank_loss(torch.ones(2, 3), torch.ones(2, 3), none) == 0
    assert rank_loss(torch.tensor([[1.0, 2.0]]), torch.ones(1, 2), ~none[:1, :2]) == 0
    assert rank_loss(torch.ones(2, 0), torch.ones(2, 0).cumsum(1), none[:, :0]) == 0


def test_loss_adds_every_modality_alone(build) -> None:
    qmf, batch = build(QMF, rank=0.0)
    batch.target[:4] = torch.nan
    terms = qmf.eval().loss(batch)
    f, _ = qmf.logits(batch)
    errors = [
        -torch.distributions.Categorical(logits=f[i, k, 0]).log_prob(batch.target[i])
        for i in range(4, len(batch))
        for k in range(4)
        if batch.present[i, k]
    ]
    torch.testing.assert_close(terms["single"], 4 * torch.stack(errors).mean())
    assert "rank" not in terms


def test_regression_is_refused(build) -> None:
    with pytest.raises(SettingError, match="qmf is for binary or multiclass or multilabel tasks"):
        build(QMF, "regression")
