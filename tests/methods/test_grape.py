"""GRAPE against the same graph on an edge list, its imputation, and dropped edges."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from amodal.errors import SettingError
from amodal.methods.grape import GRAPE, drop_edges


def test_imputation_reads_the_row_nodes_of_an_edge_list(build) -> None:
    """One layer: messages of the modality nodes along the edges that the view leaves."""
    grape, batch = build(GRAPE, layers=1)
    hidden, present = grape.encode(batch), batch.present
    view = drop_edges(present, 0.5)
    found, layer = grape.imputed(hidden, batch, view), grape.graph.layers[0]
    ones = torch.ones(8, dtype=torch.double)
    for i in (1, 5, 9):
        messages = [
            (layer.from_node(grape.graph.nodes[k]) + layer.from_edge(hidden[i, k])).relu()
            for k in range(4)
            if view[i, k]
        ]
        mean = sum(messages) / max(len(messages), 1) + torch.zeros(8)
        node = layer.take(mean) + layer.keep(ones)
        for k in range(4):
            first, last = grape.impute.first, grape.impute.last
            inner = F.gelu(node @ first.weight[k] + first.bias[k, 0])
            expected = inner @ last.weight[k] + last.bias[k, 0]
            torch.testing.assert_close(found[i, k], expected)


def test_imputation_costs_at_dropped_edges_alone(build) -> None:
    grape, batch = build(GRAPE, rebuild=0.5)
    grape.eval()
    torch.manual_seed(1)
    terms = grape.loss(batch)
    torch.manual_seed(1)
    view = drop_edges(batch.present, 0.3)
    hidden = grape.encode(batch)
    error = (grape.imputed(hidden, batch, view) - hidden).square().mean(-1)
    gone = batch.present & ~view
    assert gone.any()
    torch.testing.assert_close(terms["rebuild"], 0.5 * error[gone].mean())


def test_share_of_dropped_edges() -> None:
    torch.manual_seed(0)
    present = torch.ones(4000, 5, dtype=torch.bool)
    left = drop_edges(present, 0.3)
    assert left.double().mean().item() == pytest.approx(0.7, abs=0.02)
    assert left.any(1).all()
    assert torch.equal(drop_edges(present, 0.0), present)
    assert not drop_edges(~present, 0.3).any()


def test_frozen_nodes_predict_as_the_graph_of_all_training_rows(build) -> None:
    grape, batch = build(GRAPE, layers=2)
    hidden = grape.encode(batch)
    expected = grape.train().imputed(hidden, batch, batch.present)
    grape.finalise([batch.rows(r) for r in torch.arange(len(batch)).split(11)])
    torch.testing.assert_close(grape.imputed(hidden, batch, batch.present), expected)


def test_settings_out_of_range(build) -> None:
    with pytest.raises(SettingError, match="layers must be at least 1; got 0"):
        build(GRAPE, layers=0)
    with pytest.raises(SettingError, match="edge_dropout must lie between 0 and 1; got 2"):
        build(GRAPE, edge_dropout=2)
