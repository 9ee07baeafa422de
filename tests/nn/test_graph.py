"""Message passing against explicit loops over edges."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from amodal.nn.graph import BipartiteLayer, EdgeUpdate, Slots, mean_over_rows, weighted_total
from amodal.nn.grouped import GroupedLinear, GroupedMLP

SIZES = [(5, 3), (1, 1), (1, 3), (4, 1)]
"""Numbers of rows and modalities."""


def graph(n: int, m: int, d: int = 4, *, views: int = 2) -> tuple[Slots, Tensor, dict]:
    """Slots, the presence ``[v, n, m]`` of each view, and rows, nodes, edges ``[v, n, m, d]``."""
    torch.manual_seed(n * m)
    present = torch.rand(n, m) < 0.7
    seen = torch.stack([present, *(present & (torch.rand(n, m) < 0.6) for _ in range(views - 1))])
    shapes = {"row": (views, n, d), "node": (views, m, d), "edge": (views, n, m, d)}
    parts = {k: torch.randn(*s).double() for k, s in shapes.items()}
    return Slots.of(present), seen, parts


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_layer_is_the_edge_list_formula(n: int, m: int) -> None:
    slots, seen, x = graph(n, m)
    layer = BipartiteLayer(4).double()
    alpha = torch.rand(2, n, m).double() * seen
    projected = layer.project(slots.take(x["edge"], axis=1))
    there, weight = slots.take(seen, axis=1), slots.take(alpha, axis=1)
    to_rows = layer.to_rows(x["node"], projected, weight, slots)
    to_nodes, count = layer.to_modalities(x["row"], projected, there, slots)
    matrix = torch.cat([layer.from_node.weight, layer.from_edge.weight], 1)

    def message(sender: Tensor, edge: Tensor) -> Tensor:
        return torch.relu(matrix @ torch.cat([sender, edge]) + layer.from_node.bias)

    for v in range(2):
        row, node, edge = x["row"][v], x["node"][v], x["edge"][v]
        for i in range(n):
            have = [k for k in range(m) if seen[v, i, k]]
            expected = sum(
                (alpha[v, i, k] * message(node[k], edge[i, k]) for k in have), 0 * row[0]
            )
            torch.testing.assert_close(to_rows[v, i], expected)
        for k in range(m):
            have = [message(row[i], edge[i, k]) for i in range(n) if seen[v, i, k]]
            expected = torch.stack(have).mean(0) if have else 0 * node[0]
            torch.testing.assert_close(to_nodes[v, k], expected)
            assert count[v, k] == len(have)
    update = torch.cat([layer.keep.weight, layer.take.weight], 1)
    raw = torch.cat([x["row"], to_rows], 2) @ update.T + layer.keep.bias
    torch.testing.assert_close(layer.update(x["row"], to_rows, last=True), raw)
    torch.testing.assert_close(layer.update(x["row"], to_rows), torch.relu(raw))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_edge_update_is_a_linear_map_of_sender_receiver_and_edge(n: int, m: int) -> None:
    slots, _, x = graph(n, m)
    update = EdgeUpdate(4).double()
    projected = update.project(slots.take(x["edge"], axis=1))
    to_rows = update.to_rows(x["row"], x["node"], projected, slots)
    to_nodes = update.to_modalities(x["row"], x["node"], projected, slots)
    weight = torch.cat([update.sender.weight, update.receiver.weight, update.edge.weight], 1)
    for v, (k, place) in itertools.product(range(2), slots.there.nonzero().tolist()):
        i = int(slots.row[k, place])
        row, node, edge = x["row"][v, i], x["node"][v, k], x["edge"][v, i, k]
        for found, ends in ((to_rows, (node, row)), (to_nodes, (row, node))):
            expected = torch.relu(weight @ torch.cat([*ends, edge]) + update.sender.bias)
            torch.testing.assert_close(found[v, k, place], expected)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_derivatives_of_messages_and_edges(n: int, m: int, same: bool) -> None:
    """`same`: one set of edges for both views, as before the first layer."""
    slots, seen, x = graph(n, m)
    edge = slots.take(x["edge"][:1] if same else x["edge"], axis=1).requires_grad_()
    weight = slots.take(torch.rand(2, n, m).double() * seen, axis=1).requires_grad_()
    row, node = (x[k].requires_grad_() for k in ("row", "node"))
    layer, update = BipartiteLayer(4).double(), EdgeUpdate(4).double()
    sender = node[:1] if same else node

    def receive(edge: Tensor, node: Tensor, weight: Tensor) -> Tensor:
        return layer.to_rows(node, edge, weight, slots)

    def renew(edge: Tensor, row: Tensor, node: Tensor) -> Tensor:
        # places left over are nobody's: their derivatives reach no row
        return update.to_rows(row, node, edge, slots)[:, slots.there]

    assert torch.autograd.gradcheck(receive, (edge, sender, weight))
    assert torch.autograd.gradcheck(renew, (edge, row, node))
    assert torch.autograd.gradcheck(lambda e, w: weighted_total(e, w, slots), (edge, weight))


def test_nothing_present_gives_zeros_and_derivatives() -> None:
    for n, m in ((0, 2), (3, 2)):
        slots = Slots.of(torch.zeros(n, m).bool())
        assert slots.row.shape == (m, 0)
        layer, update = BipartiteLayer(4), EdgeUpdate(4)
        edge = slots.take(torch.randn(1, n, m, 4), axis=1).requires_grad_()
        there = slots.take(torch.zeros(2, n, m).bool(), axis=1)
        row, node = torch.randn(2, n, 4, requires_grad=True), torch.randn(2, m, 4)
        received = layer.to_rows(node, edge.expand(2, -1, -1, -1), there.float(), slots)
        sent, count = layer.to_modalities(row[:, :1], edge, there, slots)
        new = update.to_rows(row, node, edge, slots)
        assert received.tolist() == torch.zeros(2, n, 4).tolist()
        assert sent.tolist() == torch.zeros(2, m, 4).tolist()
        assert count.sum() == 0
        (received.sum() + sent.sum() + new.sum()).backward()
        assert row.grad.abs().sum() == 0


def test_slots_hold_each_present_pair_once() -> None:
    torch.manual_seed(0)
    for n, m in ((7, 3), (1, 1), (0, 2)):
        present = torch.rand(n, m) < 0.5
        slots = Slots.of(present)
        pairs = [(k, i) for k in range(m) for i in range(n) if present[i, k]]
        found = slots.there.nonzero().tolist()
        assert [(k, int(slots.row[k, j])) for k, j in found] == pairs
        assert slots.row.shape[1] == (int(present.sum(0).max()) if n else 0)
        for x in (torch.randn(n, m), torch.randn(n, m, 2)):
            there = present if x.ndim == 2 else present[..., None]
            back = slots.put(slots.take(x), -1.0)
            torch.testing.assert_close(back, torch.where(there, x, torch.tensor(-1.0)))


def test_places_left_over_carry_no_weight() -> None:
    slots = Slots.of(torch.tensor([[True, False], [True, True]]))
    x = slots.take(torch.full((2, 2, 1), 5.0))
    x[1, 1] = 1e6  # the place that the second modality does not need
    assert slots.total(x).flatten().tolist() == [5.0, 10.0]
    mean, count = mean_over_rows(x[None], slots.there[None])
    assert mean.flatten().tolist() == [5.0, 5.0]
    assert count.tolist() == [[2.0, 1.0]]


def test_mean_over_rows_of_an_absent_modality_is_zero() -> None:
    x = torch.full((1, 2, 3, 1), 7.0)
    x[0, 0] = 2.0
    there = torch.tensor([[[True] * 3, [False] * 3]])
    mean, count = mean_over_rows(x, there)
    assert mean.tolist() == [[[2.0], [0.0]]]
    assert count.tolist() == [[3.0, 0.0]]


def test_grouped_linear_is_one_linear_map_per_modality() -> None:
    torch.manual_seed(0)
    grouped = GroupedLinear(3, 4, 2)
    x = torch.randn(5, 3, 4)
    for k in range(3):
        expected = x[:, k] @ grouped.weight[k] + grouped.bias[k]
        torch.testing.assert_close(grouped(x)[:, k], expected)
    torch.testing.assert_close(grouped(x, scale=2.0, shift=0.5), 2 * grouped(x) + 0.5)
    assert GroupedMLP(3, 4, 2, gain=0.0)(x).abs().sum() == 0
    assert grouped(x[:0]).shape == (0, 3, 2)
