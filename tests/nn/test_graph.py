"""Message passing against explicit loops over edges."""

from __future__ import annotations

import torch

from amodal.nn.graph import BipartiteLayer, EdgeUpdate, mean_over_rows
from amodal.nn.grouped import GroupedLinear, GroupedMLP


def test_layer_is_the_edge_list_formula() -> None:
    torch.manual_seed(0)
    n, m, d = 5, 3, 4
    layer = BipartiteLayer(d).double()
    row, node, edge = (torch.randn(*s, d).double() for s in ((n,), (m,), (n, m)))
    present = torch.rand(n, m) < 0.7
    alpha = torch.rand(n, m).double() * present
    to_rows = layer.to_rows(node, edge, alpha)
    to_nodes, count = layer.to_modalities(row, edge, present)
    weight = torch.cat([layer.from_node.weight, layer.from_edge.weight], 1)

    def message(x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        return torch.relu(weight @ torch.cat([x, e]) + layer.from_node.bias)

    for i in range(n):
        terms = [alpha[i, k] * message(node[k], edge[i, k]) for k in range(m) if present[i, k]]
        expected = sum(terms) if terms else torch.zeros(d).double()
        torch.testing.assert_close(to_rows[i], expected)
    for k in range(m):
        have = [message(row[i], edge[i, k]) for i in range(n) if present[i, k]]
        expected = torch.stack(have).mean(0) if have else torch.zeros(d).double()
        torch.testing.assert_close(to_nodes[k], expected)
        assert count[k] == len(have)
    update = torch.cat([layer.keep.weight, layer.take.weight], 1)
    raw = torch.cat([row, to_rows], 1) @ update.T + layer.keep.bias
    torch.testing.assert_close(layer.update(row, to_rows, last=True), raw)
    torch.testing.assert_close(layer.update(row, to_rows), torch.relu(raw))


def test_edge_update_is_a_linear_map_of_the_three() -> None:
    torch.manual_seed(0)
    update = EdgeUpdate(2)
    s, r, e = torch.randn(1, 2), torch.randn(1, 2), torch.randn(1, 2)
    weight = torch.cat([update.sender.weight, update.receiver.weight, update.edge.weight], 1)
    expected = torch.relu(torch.cat([s, r, e], 1) @ weight.T + update.sender.bias)
    torch.testing.assert_close(update(s, r, e), expected)


def test_mean_over_rows_of_an_absent_modality_is_zero() -> None:
    x = torch.full((3, 2, 1), float("nan"))
    x[:, 0] = 2.0
    present = torch.tensor([[True, False]]).expand(3, 2)
    mean, count = mean_over_rows(x, present)
    assert mean.tolist() == [[2.0], [0.0]]
    assert count.tolist() == [3.0, 0.0]


def test_grouped_linear_is_one_linear_map_per_modality() -> None:
    torch.manual_seed(0)
    grouped = GroupedLinear(3, 4, 2)
    x = torch.randn(5, 3, 4)
    for k in range(3):
        expected = x[:, k] @ grouped.weight[k] + grouped.bias[k]
        torch.testing.assert_close(grouped(x)[:, k], expected)
    assert GroupedMLP(3, 4, 2, gain=0.0)(x).abs().sum() == 0
    assert grouped(x[:0]).shape == (0, 3, 2)
