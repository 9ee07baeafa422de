"""MUSE against the same mathematics on edge lists, written as it was published."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from amodal import Model
from amodal.batch import Batch
from amodal.data.builtin import digits
from amodal.errors import SettingError
from amodal.methods.muse import MUSE
from amodal.nn.losses import drop_to_subset


def on_edge_list(muse: MUSE, hidden: Tensor, present: Tensor) -> Tensor:
    """The rows' nodes: messages on a list of directed edges, each [x_j ; e_ij] written out."""
    graph, (n, m) = muse.graph, present.shape
    row, k = present.nonzero(as_tuple=True)
    source, target = torch.cat([row, k + n]), torch.cat([k + n, row])
    x = torch.cat([torch.ones(n, hidden.shape[-1], dtype=hidden.dtype), graph.nodes])
    edge = hidden[row, k].repeat(2, 1)
    count = torch.bincount(target, minlength=n + m).clamp_min(1)[:, None]
    for depth, layer in enumerate(graph.layers):
        matrix = torch.cat([layer.from_node.weight, layer.from_edge.weight], 1)
        message = F.linear(torch.cat([x[source], edge], 1), matrix, layer.from_node.bias).relu()
        mean = torch.zeros_like(x).index_add(0, target, message) / count
        matrix = torch.cat([layer.take.weight, layer.keep.weight], 1)
        x = F.linear(torch.cat([mean, x], 1), matrix, layer.keep.bias).relu()
        if depth + 1 < len(graph.layers):
            update = graph.updates[depth]
            parts = (update.sender, update.receiver, update.edge)
            matrix = torch.cat([part.weight for part in parts], 1)
            both = torch.cat([x[source], x[target], edge], 1)
            edge = F.linear(both, matrix, update.sender.bias).relu()
    return x[:n]


def published_loss(muse: MUSE, batch: Batch) -> dict[str, Tensor]:
    """L_cls and 1/2 L_unsup + 1/2 L_sup, on rows that have something."""
    hidden, some = muse.encode(batch), batch.present.any(1)
    z, other = (
        on_edge_list(muse, hidden, p)[some] for p in (batch.present, drop_to_subset(batch.present))
    )
    u, v = (F.normalize(torch.tanh(muse.projection(x)), dim=-1) for x in (z, other))
    across = u @ v.T / 0.07
    own = torch.arange(len(u))
    unsup = (F.cross_entropy(across, own) + F.cross_entropy(across.T, own)) / 2
    known = batch.labelled[some]
    y = batch.target[some][known]
    same = (y[:, None] == y[None]).double()
    within, across = u[known] @ u[known].T / 0.07, across[known][:, known]
    b = F.binary_cross_entropy_with_logits
    sup = (2 * b(within, same) + b(across, same) + b(across.T, same)) / 4
    logit = muse.classifier(torch.cat([z, muse.evidence(batch)[some]], 1))[known][:, 0]
    return {"task": b(logit, y), "contrast": muse.contrast * (unsup + sup) / 2}


@pytest.mark.parametrize("unlabelled", [0, 15])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_losses_and_gradients_equal_edge_lists(build, layers: int, unlabelled: int) -> None:
    muse, batch = build(MUSE, layers=layers)
    batch.target[:unlabelled] = torch.nan
    found, grads = [], []
    for loss in (muse.train().loss, lambda b: published_loss(muse, b)):
        torch.manual_seed(3)
        terms = loss(batch)
        muse.zero_grad()
        sum(terms.values()).backward()
        found.append(terms)
        grads.append([p.grad.clone() for p in muse.parameters() if p.grad is not None])
    for name in ("task", "contrast"):
        torch.testing.assert_close(found[0][name], found[1][name], rtol=0, atol=1e-6)
    assert max(float(g.abs().max()) for g in grads[1]) > 1e-3
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_frozen_nodes_predict_as_the_graph_of_all_training_rows(build) -> None:
    muse, batch = build(MUSE)
    muse.finalise([batch.rows(r) for r in torch.arange(len(batch)).split(7)])
    z = on_edge_list(muse, muse.encode(batch), batch.present)
    params = muse.classifier(torch.cat([z, muse.evidence(batch)], 1))
    found = muse.eval()(batch).params
    some = batch.present.any(1)
    torch.testing.assert_close(found[some], params[some], rtol=0, atol=1e-8)
    assert torch.equal(found[~some], muse.base.expand(int((~some).sum()), -1))


def test_rows_without_a_label_teach_by_contrast_alone(build) -> None:
    muse, batch = build(MUSE)
    batch.target[:] = torch.nan
    terms = muse.train().loss(batch)
    assert terms["task"].item() == 0
    assert 0 < terms["contrast"].item() < 10
    assert MUSE.uses_unlabelled


def test_settings_out_of_range(build) -> None:
    with pytest.raises(SettingError, match="layers must be at least 1; got 0"):
        build(MUSE, layers=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["muse", "grape"])
def test_graphs_learn_digits_within_the_usual_steps(name: str) -> None:
    """As many steps as every method takes: weights that hide the rows' differences do not learn."""
    data = digits()
    model = Model(name, refit=False).fit(data[:1400])
    assert model.score(data[1400:]) > 0.75
