"""AUM's fusion written with edge lists in torch_geometric: the same mathematics, the same weights.

The E edges are the present pairs (row, modality), in the order of the modalities; everything that
belongs to an edge is ``[E, d]``. Messages are gathered along an index, and scattered back to nodes
by `torch_geometric.nn.MessagePassing`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.batch import Batch
from amodal.methods.aum import AUM
from amodal.methods.aum_edges import PACE
from amodal.methods.parts import Head, PatternEmbedding
from amodal.nn.gaussian import kl_to_standard
from amodal.nn.losses import contrast_labels, contrast_views, drop_to_subset

with warnings.catch_warnings():  # torch_geometric calls what torch has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import MessagePassing
    from torch_geometric.utils import scatter, softmax

__all__ = ["EdgeList", "EdgeListAUM"]


@dataclass(frozen=True, eq=False)
class EdgeList:
    """The edges of a batch: where they end, and the Gaussian on each.

    Args:
        row, modality: ``Int[E]`` the two ends.
        mean, log_var: ``Float[E, d]``.
        size: numbers of rows and of modalities.
    """

    row: Int[Tensor, " e"]
    modality: Int[Tensor, " e"]
    mean: Float[Tensor, "e d"]
    log_var: Float[Tensor, "e d"]
    size: tuple[int, int]

    def keep(self, present: Tensor) -> EdgeList:
        """The edges of the pairs that are present in another view."""
        kept = present[self.row, self.modality].nonzero()[:, 0]
        parts = (x[kept] for x in (self.row, self.modality, self.mean, self.log_var))
        return EdgeList(*parts, self.size)


class _TypedLinear(nn.Module):
    """y_e = x_e W_k + b_k, k the modality of edge e: one product per modality."""

    def __init__(self, m: int, d: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(m, d, d))
        self.bias = nn.Parameter(torch.empty(m, 1, d))

    def forward(self, x: Float[Tensor, "e d"], counts: list[int]) -> Float[Tensor, "e d"]:
        parts = zip(self.bias, x.split(counts), self.weight, strict=True)
        return torch.cat([torch.addmm(b, y, w) for b, y, w in parts])


class _TypedMLP(nn.Module):
    def __init__(self, m: int, d: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = _TypedLinear(m, d), _TypedLinear(m, d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "e d"], counts: list[int]) -> Float[Tensor, "e d"]:
        return self.last(self.dropout(F.gelu(self.first(x, counts))), counts)


class _Layer(MessagePassing):
    """relu(W_m [x_j ; e_ij] + b_m), aggregated; both directions share weights.

    With `joined`, x_j and e_ij are put side by side on every edge, as formulas and published code
    do. Without, W_m is split, and x_j is mapped once per node before it is gathered.
    """

    def __init__(self, d: int, *, joined: bool) -> None:
        super().__init__(aggr="sum")
        self.from_node, self.from_edge = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.keep, self.take = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.joined = joined

    def forward(self, x: Tensor, ends: Tensor, edge: Tensor, weight: Tensor, to: int) -> Tensor:
        """The sum over the edges of each of `to` receiving nodes of weight times message."""
        x = x if self.joined else self.from_node(x)
        size = (len(x), to)
        return self.propagate(ends, x=(x, None), edge=edge, weight=weight, size=size)

    def message(self, x_j: Tensor, edge: Tensor, weight: Tensor) -> Tensor:
        if self.joined:
            matrix = torch.cat([self.from_node.weight, self.from_edge.weight], 1)
            new = F.linear(torch.cat([x_j, edge], 1), matrix, self.from_node.bias)
        else:
            new = x_j + self.from_edge(edge)
        return weight[:, None] * torch.relu(new)

    def renew(self, x: Tensor, message: Tensor) -> Tensor:
        """W_u [x ; a] + b_u."""
        return self.keep(x) + self.take(message)


class _EdgeUpdate(nn.Module):
    """relu(W_e [x_j ; x_i ; e_ij] + b_e)."""

    def __init__(self, d: int, *, joined: bool) -> None:
        super().__init__()
        self.sender = nn.Linear(d, d)
        self.receiver, self.edge = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.joined = joined

    def forward(self, x_j: Tensor, x_i: Tensor, ends: Tensor, edge: Tensor) -> Tensor:
        if not self.joined:
            nodes = self.sender(x_j)[ends[0]] + self.receiver(x_i)[ends[1]]
            return torch.relu(self.edge(edge) + nodes)
        matrix = torch.cat([self.sender.weight, self.receiver.weight, self.edge.weight], 1)
        whole = torch.cat([x_j[ends[0]], x_i[ends[1]], edge], 1)
        return torch.relu(F.linear(whole, matrix, self.sender.bias))


class EdgeListAUM(nn.Module):
    """The fusion of an `AUM` (its defaults: ``paper``, ``softmax``, ``mask``), its weights copied.

    Heads, attention (Eq. 3), message passing (Eq. 4), variance (Eq. 5) and loss (Eq. 6-7), from the
    encoded rows on. What has no edges (decoder, KL) is computed by the same functions as in `AUM`;
    the contrast of rows with rows by its formulas, as published code does, where `AUM` has
    `amodal.nn.losses.contrast`.

    Args:
        method: whose weights and settings are taken.
        joined: see `_Layer`; False is the faster way.
    """

    def __init__(self, method: AUM, *, joined: bool = False) -> None:
        super().__init__()
        m, d, p = len(method.names), method.width, method.encoders[0].settings.dropout
        self.task, self.task_loss = method.task, method.task_loss
        self.theta, self.clamp, self.start = method.attention.theta, method.clamp, method.start
        self.unit_means = getattr(method, "unit_means", False)
        self.pace = PACE
        self.beta, self.contrast = method.beta, method.contrast
        self.mean_head, self.variance_head = _TypedMLP(m, d, p), _TypedMLP(m, d, 0.0)
        self.mean_direct = _TypedLinear(m, d)
        self.nodes = nn.Parameter(torch.empty(m, d))
        depth = len(method.graph.layers)
        self.layers = nn.ModuleList(_Layer(d, joined=joined) for _ in range(depth))
        self.updates = nn.ModuleList(_EdgeUpdate(d, joined=joined) for _ in range(depth - 1))
        self.node_dropout = nn.Dropout(p)
        self.projection = nn.Linear(d, d)
        self.head = Head(d, 2 * d, self.task.param_size, p)
        self.pattern = PatternEmbedding(m, d)
        self.to(method.graph.nodes.dtype)
        state = {k.removeprefix("graph."): x for k, x in method.state_dict().items()}
        self.load_state_dict({name: state[name] for name in self.state_dict()})

    def edges(self, hidden: Float[Tensor, "n m d"], batch: Batch) -> EdgeList:
        """The Gaussian of every present pair (Eq. 1-2)."""
        modality, row = batch.present.T.nonzero(as_tuple=True)
        x = hidden[row, modality]
        counts = batch.present.sum(0).tolist()
        mean = self.mean_head(x, counts) + self.mean_direct(x, counts)
        log_var = self.variance_head(x, counts)
        if self.unit_means:
            mean = F.layer_norm(mean, mean.shape[-1:])
        log_var = (self.start + self.pace * log_var).clamp(-self.clamp, self.clamp)
        return EdgeList(row, modality, mean, log_var, hidden.shape[:2])

    def fuse(self, edges: EdgeList) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Mean and variance of every row; 0 and 1 where it has nothing."""
        n, _ = edges.size
        var = edges.log_var.exp()
        alpha = softmax(1 / (self.theta * var.mean(1)), edges.row, num_nodes=n)
        mean = self._pass_messages(edges, alpha)
        var = scatter(alpha.square()[:, None] * var, edges.row, dim=0, dim_size=n)
        some = torch.zeros(n, 1, dtype=torch.bool).index_fill_(0, edges.row, True)
        return torch.where(some, mean, 0.0), torch.where(some, var, 1.0)

    def _pass_messages(self, edges: EdgeList, alpha: Tensor) -> Float[Tensor, "n d"]:
        n, m = edges.size
        to_row = torch.stack([edges.modality, edges.row])
        to_node = to_row.flip(0)
        count = torch.bincount(edges.modality, minlength=m).clamp_min(1)
        share = (1 / count.to(alpha.dtype))[edges.modality]
        row, node = alpha.new_ones(n, edges.mean.shape[1]), self.nodes
        inward = outward = edges.mean
        for layer, update in zip(self.layers, self.updates, strict=False):
            rows = layer(node, to_row, inward, alpha, n)
            nodes = layer(row, to_node, outward, share, m)
            row = self.node_dropout(torch.relu(layer.renew(row, rows)))
            node = self.node_dropout(torch.relu(layer.renew(node, nodes)))
            inward = update(node, row, to_row, inward)
            if layer is not self.layers[-2]:  # nothing reads the modalities behind the last update
                outward = update(row, node, to_node, outward)
        last = self.layers[-1]
        return last.renew(row, last(node, to_row, inward, alpha, n))

    def loss(self, hidden: Float[Tensor, "n m d"], batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss by name (Eq. 6-7)."""
        edges = self.edges(hidden, batch)
        mean, var = self.fuse(edges)
        latent = mean + var.sqrt() * torch.randn_like(var)
        some = batch.present.any(1)
        params = self.head(torch.cat([latent, self.pattern(batch)], 1))
        terms = {
            "task": self.task_loss(params, batch),
            "vib": self.beta * kl_to_standard(mean[some], var[some]).mean(),
        }
        if self.contrast:
            view, _ = self.fuse(edges.keep(drop_to_subset(batch.present)))
            terms["contrast"] = self.contrast * self._contrast(mean[some], view[some], some, batch)
        return terms

    def _contrast(self, mean: Tensor, view: Tensor, some: Tensor, batch: Batch) -> Tensor:
        first, second = (F.normalize(torch.tanh(self.projection(x)), dim=-1) for x in (mean, view))
        known = batch.labelled[some]
        same = self.task.same(batch.target[some][known])
        labels = contrast_labels(first[known], second[known], same)
        return 0.5 * contrast_views(first, second) + 0.5 * labels
