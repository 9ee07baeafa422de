"""`PatientGraph`: layers of messages between rows and modalities, whose nodes freeze for prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.nn.blocks import drop
from amodal.nn.graph import BipartiteLayer, EdgeUpdate, Slots, shares

__all__ = ["PatientGraph", "even_edges"]

_MEMORY = 0.9


class PatientGraph(nn.Module):
    """L layers on the bipartite graph of rows and modalities (AUM, Eq. 4).

    Row nodes start as ones, modality nodes are learned. In each layer a row gathers the messages of
    the modalities that it has by the weights given, a modality the mean of those of its rows, and
    between layers the edges are updated. In training that mean is over the batch; at prediction it
    is the frozen one over the training rows, so that a row's result does not depend on the others.

    Args:
        modalities: m.
        width: d.
        layers: L, at least 1.
        dropout: share of a node's units dropped between layers in training.

    Reference: MUSE (Wu et al., ICLR 2024); frozen nodes are ours.

    >>> graph = PatientGraph(2, 4, layers=2, dropout=0.0).eval()
    >>> encoded = torch.randn(3, 2, 4)
    >>> def rows(x):
    ...     edge, weight, slots = even_edges(x, torch.ones(len(x), 2, dtype=torch.bool))
    ...     return graph(edge, weight[None], slots.there[None], slots)[0]
    >>> bool(torch.allclose(rows(encoded)[:1], rows(encoded[:1]), atol=1e-5))  # alone as in a batch
    True
    """

    def __init__(self, modalities: int, width: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        m, d = modalities, width
        self.nodes = nn.Parameter(torch.randn(m, d) / d**0.5)
        self.layers = nn.ModuleList(BipartiteLayer(d) for _ in range(layers))
        self.updates = nn.ModuleList(EdgeUpdate(d) for _ in range(layers - 1))
        self.register_buffer("node_mean", torch.zeros(layers - 1, m, d))
        self.register_buffer("node_count", torch.zeros(layers - 1, m))
        self.dropout = dropout

    @torch.no_grad()
    def keep_apart(self, *, edges: float = 2.0, nodes: float = 0.2) -> None:
        """Starts the weights so that what tells rows apart reaches the last layer.

        Normal with variance edges^2 / d where a map reads edges or messages, nodes^2 / d where it
        reads nodes; biases 0. A relu wants 2 / d (He et al., ICCV 2015); the mean over neighbours
        shrinks what differs between rows once more, by half for two of them: hence 4 / d. Started as
        `torch.nn.Linear` is, rows differ behind two layers by a tenth of what they have in common,
        and a few hundred steps go by before the difference has grown.

        >>> graph = PatientGraph(2, 4, layers=1, dropout=0.0)
        >>> graph.keep_apart(nodes=0.0)
        >>> graph.layers[0].keep.weight.abs().max().item()
        0.0
        """
        d = self.nodes.shape[1]
        for layer in self.layers:
            _start((layer.from_edge, layer.take), edges / d**0.5)
            _start((layer.from_node, layer.keep), nodes / d**0.5)
        for update in self.updates:
            _start((update.edge,), edges / d**0.5)
            _start((update.sender, update.receiver), nodes / d**0.5)

    def forward(
        self,
        edge: Float[Tensor, "m s d"],
        weight: Float[Tensor, "v m s"],
        there: Bool[Tensor, "v m s"],
        slots: Slots,
        *,
        track: bool = False,
    ) -> Float[Tensor, "v n d"]:
        """The rows' nodes behind the last layer, in each view.

        Args:
            edge: means of the edges.
            weight: of the edges in their rows.
            there: what each view has of the edges.
            slots: where the edges are.
            track: let the running averages of the modality nodes learn from the first view.
        """
        depth, layer = len(self.layers) - 1, self.layers[-1]
        row, node, to_row, _ = self.state_before(depth, edge, weight, there, slots, track=track)
        received = layer.to_rows(node, layer.project(to_row), weight, slots)
        return layer.update(row, received, last=True)

    def state_before(
        self,
        depth: int,
        edge: Float[Tensor, "m s d"],
        weight: Tensor,
        there: Tensor,
        slots: Slots,
        *,
        track: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Row nodes, modality nodes, edges towards rows and towards modalities before a layer.

        Before the first one all rows share a node, and all views all of it.
        """
        row, node = self.nodes.new_ones(1, 1, self.nodes.shape[1]), self.nodes[None]
        to_row = to_node = edge[None]
        for level, (layer, update) in enumerate(zip(self.layers, self.updates, strict=False)):
            if level == depth:
                break
            inward = layer.project(to_row)
            outward = layer.project(to_node) if level else inward
            message = self._node_message(level, row, outward, slots, there, track)
            received = layer.to_rows(node, inward, weight, slots)
            row, node = (
                self._drop(layer.update(row, received)),
                self._drop(layer.update(node, message)),
            )
            inward = update.project(to_row)
            outward = update.project(to_node) if level else inward
            to_row = update.to_rows(row, node, inward, slots)
            if level + 2 < len(self.layers):  # the last layer sends nothing to modalities
                to_node = update.to_modalities(row, node, outward, slots)
        return row, node, to_row, to_node

    def _drop(self, x: Float[Tensor, "v n d"]) -> Float[Tensor, "v n d"]:
        return drop(x.flatten(0, -2), self.dropout, self.training, by=self).view_as(x)

    def _node_message(
        self, level: int, row: Tensor, outward: Tensor, slots: Slots, there: Tensor, track: bool
    ) -> Float[Tensor, "*v m d"]:
        """In training the mean over the batch, at prediction the frozen mean over training rows."""
        if not self.training:
            return self.node_mean[level][None].to(outward.dtype)
        mean, count = self.layers[level].to_modalities(row, outward, there, slots)
        if track:
            with torch.no_grad():
                kind = self.node_mean.dtype
                self.track(level, mean[0].to(kind), count[0].to(kind))
        return mean

    def track(self, depth: int, mean: Float[Tensor, "m d"], count: Float[Tensor, " m"]) -> None:
        """Moves the running average of a layer's messages to modalities, weighted by counts."""
        old = _MEMORY * self.node_count[depth]
        total = (old + count).clamp_min(1e-12)
        mixed = (old[:, None] * self.node_mean[depth] + count[:, None] * mean) / total[:, None]
        self.node_mean[depth] = torch.where((count > 0)[:, None], mixed, self.node_mean[depth])
        self.node_count[depth] = torch.where(count > 0, old + count, self.node_count[depth])

    def freeze_nodes(
        self,
        edges: Callable[[Batch], tuple[Float[Tensor, "m s d"], Float[Tensor, "m s"], Slots]],
        batches: Iterable[Batch],
    ) -> None:
        """Puts exact means over all rows in place of the running averages, layer by layer.

        Args:
            edges: gives the means and weights of a batch's edges, and where they are; called once
                a batch and layer, since the nodes of a layer feed the next.
            batches: all the rows.
        """
        batches = list(batches)
        for level, layer in enumerate(self.layers[:-1]):
            total = torch.zeros_like(self.node_mean[level])
            count = torch.zeros_like(self.node_count[level])
            for edge, weight, slots in map(edges, batches):
                there = slots.there[None]
                row, _, _, to_node = self.state_before(level, edge, weight[None], there, slots)
                mean, number = layer.to_modalities(row, layer.project(to_node), there, slots)
                total += mean[0] * number[0, :, None]
                count += number[0]
            self.node_mean[level] = total / count.clamp_min(1)[:, None]
            self.node_count[level] = count


def _start(parts: Iterable[nn.Linear], std: float) -> None:
    for part in parts:
        nn.init.normal_(part.weight, std=std)
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def even_edges(
    encoded: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> tuple[Float[Tensor, "m s d"], Float[Tensor, "m s"], Slots]:
    """Edges that carry the encoded modalities and weigh the same in their row, and where they are.

    >>> encoded, present = torch.ones(1, 2, 1), torch.tensor([[True, True]])
    >>> even_edges(encoded, present)[1].tolist()
    [[0.5], [0.5]]
    """
    slots = Slots.of(present)
    return slots.take(encoded), slots.take(shares(present)), slots
