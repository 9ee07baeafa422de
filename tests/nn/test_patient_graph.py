"""The graph of rows and modalities over several layers."""

from __future__ import annotations

import torch

from amodal.nn.patient_graph import PatientGraph, even_edges


def test_rows_are_kept_apart_through_two_layers() -> None:
    """What differs between rows, over the size of their nodes: a half of it and more."""
    torch.manual_seed(0)
    graph = PatientGraph(2, 32, layers=2, dropout=0.0)
    encoded, there = torch.randn(200, 2, 32), torch.ones(200, 2, dtype=torch.bool)
    edge, weight, slots = even_edges(encoded, there)

    @torch.no_grad()
    def share() -> float:
        rows = graph(edge, weight[None], slots.there[None], slots)[0]
        return float(rows.std(0).norm() / rows.square().mean(0).sqrt().norm())

    before = share()
    graph.keep_apart()
    assert before < 0.35
    assert share() > 0.5
