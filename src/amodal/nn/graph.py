"""Message passing on the bipartite graph of rows and modalities, as masked dense arithmetic.

An edge (i, k) exists where row i has modality k. `Slots` gives each modality as many places as the
most frequent one has rows, so that edges are ``[m, s, d]`` with s at most n: what is absent is not
computed. The row side of a layer is a weighted sum over m, the modality side a mean over s, and
W [x ; e] = W_x x + W_e e, so neither edge lists nor a loop over rows are needed. W_e e (`project`)
serves both directions.

Several views of the same rows are computed at once: the same places, other weights. The first axis
of nodes and edges counts the v views, or has length 1 (w is 1 or v) while they are all still the
same. Places left over hold finite numbers, which a weight of 0 takes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["BipartiteLayer", "EdgeUpdate", "Slots", "mean_over_rows", "shares", "weighted_total"]


@dataclass(frozen=True, eq=False)
class Slots:
    """Places for the present pairs: s for each modality, s being the most rows that one has.

    Args:
        row: ``Int[m, s]`` the row of each place, none twice; where places are left over, rows that
            lack the modality.
        there: ``Bool[m, s]`` false at the places left over.
        present: ``Bool[n, m]`` the pairs.
        pair: ``Int[p]`` where the p = m s places lie among the n m pairs.
        place: ``Int[e]`` the places of the present pairs, row by row.
        first: ``Int[n]`` where in `place` each row begins.
    """

    row: Int[Tensor, "m s"]
    there: Bool[Tensor, "m s"]
    present: Bool[Tensor, "n m"]
    pair: Int[Tensor, " p"]
    place: Int[Tensor, " e"]
    first: Int[Tensor, " n"]

    @classmethod
    def of(cls, present: Bool[Tensor, "n m"]) -> Slots:
        """Places for what is present, in the order of the rows.

        >>> slots = Slots.of(torch.tensor([[True, False], [False, True], [True, False]]))
        >>> slots.row.tolist(), slots.there.tolist()
        ([[0, 2], [1, 0]], [[True, True], [True, False]])
        """
        (n, m), have, count = present.shape, present.T, present.sum(1)
        row = have.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        row = row[:, : int(have.sum(1).max()) if n else 0].contiguous()
        pair = (row * m + torch.arange(m, device=row.device)[:, None]).flatten()
        place = row.new_empty(n * m).index_copy_(
            0, pair, torch.arange(len(pair), device=row.device)
        )
        place = place.view(n, m)[present]
        return cls(row, have.gather(1, row), present, pair, place, count.cumsum(0) - count)

    def take(self, x: Shaped[Tensor, "*v n m *d"], *, axis: int = 0) -> Shaped[Tensor, "*v m s *d"]:
        """What stands at the pairs.

        Args:
            axis: where the rows are: the number of axes in front of them.

        >>> slots = Slots.of(torch.tensor([[True, False], [True, True]]))
        >>> slots.take(torch.tensor([[1, 2], [3, 4]])).tolist()
        [[1, 3], [4, 2]]
        """
        flat = x.flatten(axis, axis + 1).index_select(axis, self.pair)
        return flat.unflatten(axis, self.row.shape)

    def put(self, x: Shaped[Tensor, "m s *d"], empty: float) -> Shaped[Tensor, "n m *d"]:
        """What stands at the places back to their pairs, `empty` where there is no pair.

        >>> slots = Slots.of(torch.tensor([[True, False], [True, True]]))
        >>> slots.put(torch.tensor([[1, 3], [4, 2]]), empty=0).tolist()
        [[1, 0], [3, 4]]
        """
        there = self.there.view(*self.there.shape, *(1,) * (x.ndim - 2))
        out = x.new_full((self.present.numel(), *x.shape[2:]), empty)
        x = torch.where(there, x, out.new_tensor(empty)).flatten(0, 1)
        return out.index_copy(0, self.pair, x).unflatten(0, self.present.shape)

    def total(
        self, x: Float[Tensor, "m s d"], weight: Float[Tensor, "m s"] | None = None
    ) -> Float[Tensor, "n d"]:
        """The (weighted) sum over each row's places, none of those left over; no derivative.

        >>> slots = Slots.of(torch.tensor([[True, False], [True, True]]))
        >>> slots.total(torch.ones(2, 2, 1), torch.tensor([[1.0, 2.0], [3.0, 0.0]])).tolist()
        [[1.0], [5.0]]
        """
        if self.place.numel() == 0:
            return x.new_zeros(len(self.first), x.shape[-1])
        if weight is not None:
            weight = weight.flatten().index_select(0, self.place)
        bags = {"mode": "sum", "per_sample_weights": weight}
        return F.embedding_bag(self.place, x.flatten(0, 1), self.first, **bags)


def shares(present: Bool[Tensor, "*v n m"]) -> Float[Tensor, "*v n m"]:
    """1 / (number present) where present, 0 elsewhere: the weights of a mean over neighbours.

    >>> shares(torch.tensor([[True, False, True], [False, False, False]])).tolist()
    [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    return present / present.sum(-1, keepdim=True).clamp_min(1)


# -- operations with derivatives ------------------------------------------------------------------


class _Receive(torch.autograd.Function):
    """sum_k weight_ik relu(edge_ik + node_k) for each row i; without `node`, of edge_ik itself.

    Keeps nothing but the messages, and reads them once on each way.
    """

    @staticmethod
    def forward(
        ctx: Any, edge: Tensor, node: Tensor | None, weight: Tensor, slots: Slots
    ) -> Tensor:
        message = edge if node is None else (edge + node[:, :, None]).relu_()
        ctx.save_for_backward(message, weight)
        ctx.slots, ctx.plain = slots, node is None
        views = [slots.total(message[v % len(message)], w) for v, w in enumerate(weight)]
        return torch.stack(views)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        message, weight = ctx.saved_tensors
        to_edge, to_weight = _spread(grad, ctx.slots), torch.empty_like(weight)
        for v, sent in enumerate(to_edge):
            torch.sum(sent * message[v % len(message)], -1, out=to_weight[v])
            sent *= weight[v, ..., None]
        to_weight *= ctx.slots.there
        if len(message) < len(weight):
            to_edge = to_edge.sum(0, keepdim=True)
        if ctx.plain:
            return to_edge, None, to_weight, None
        _through_relu(to_edge, message, out=to_edge)
        return to_edge, to_edge.sum(2), to_weight, None


class _Renew(torch.autograd.Function):
    """relu(edge_ik + row_i + node_k) on every edge."""

    @staticmethod
    def forward(ctx: Any, edge: Tensor, row: Tensor, node: Tensor, slots: Slots) -> Tensor:
        new = _spread(row, slots).add_(edge).add_(node[:, :, None]).relu_()
        ctx.save_for_backward(new)
        ctx.slots, ctx.single = slots, len(edge) < len(new)
        return new

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (new,) = ctx.saved_tensors
        to_edge = _through_relu(grad, new, out=torch.empty_like(new))
        to_row = torch.stack([ctx.slots.total(view) for view in to_edge])
        to_node = to_edge.sum(2)
        return to_edge.sum(0, keepdim=True) if ctx.single else to_edge, to_row, to_node, None


def _spread(x: Float[Tensor, "v n d"], slots: Slots) -> Float[Tensor, "v m s d"]:
    """The vector of each place's row."""
    out, at = x.new_empty(len(x), *slots.row.shape, x.shape[2]), slots.row.flatten()
    for rows, places in zip(x, out, strict=True):
        torch.index_select(rows, 0, at, out=places.view(-1, x.shape[2]))
    return out


def _through_relu(grad: Tensor, after: Tensor, *, out: Tensor) -> Tensor:
    """`grad` where relu gave `after` > 0, else 0."""
    return torch.ops.aten.threshold_backward.grad_input(grad, after, 0, grad_input=out)


def weighted_total(
    edge: Float[Tensor, "w m s d"], weight: Float[Tensor, "v m s"], slots: Slots
) -> Float[Tensor, "v n d"]:
    """sum_k weight_ik edge_ik of each row i.

    >>> slots = Slots.of(torch.tensor([[True, True]]))
    >>> edge, weight = torch.tensor([[[[1.0]], [[10.0]]]]), torch.tensor([[[2.0], [3.0]]])
    >>> weighted_total(edge, weight, slots).item()
    32.0
    """
    return _Receive.apply(edge, None, weight.to(edge.dtype), slots)


def mean_over_rows(
    edge: Float[Tensor, "w m s d"], there: Bool[Tensor, "v m s"]
) -> tuple[Float[Tensor, "v m d"], Float[Tensor, "v m"]]:
    """Mean of each modality's edges over the rows that have it, and their number.

    Summed over the devices of a distributed run; (0, 0) for a modality that no row has.

    >>> mean, count = mean_over_rows(torch.ones(1, 1, 2, 1), torch.tensor([[[True, False]]]))
    >>> mean.item(), count.item()
    (1.0, 1.0)
    """
    some = there.to(edge.dtype)
    total = torch.einsum("vms,vmsd->vmd", some, edge)
    count = some.sum(2)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.nn.functional import all_reduce

        total, count = all_reduce(total), all_reduce(count)
    return total / count.clamp_min(1)[..., None], count


class BipartiteLayer(nn.Module):
    """One layer: messages along edges, aggregation, update of both sides' nodes.

    message_{j->i} = relu(W_m [x_j ; e_ij] + b_m); x_i' = act(W_u [x_i ; a_i] + b_u), with a_i the
    weighted sum (rows: `Slots.total`) or the mean (modalities: `mean_over_rows`) of the messages.
    Both directions share weights.

    Reference: MUSE (Wu et al., ICLR 2024); AUM, Eq. 4.

    >>> layer, slots = BipartiteLayer(1), Slots.of(torch.tensor([[True], [True]]))
    >>> for part in (layer.from_node, layer.from_edge):
    ...     _ = nn.init.ones_(part.weight)
    >>> _ = nn.init.zeros_(layer.from_node.bias)
    >>> edge, node = torch.tensor([[[[2.0], [-9.0]]]]), torch.ones(1, 1, 1)  # [w, m, s, d]
    >>> layer.to_rows(node, layer.project(edge), torch.ones(1, 1, 2), slots).flatten().tolist()
    [3.0, 0.0]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_node = nn.Linear(width, width)
        self.from_edge = nn.Linear(width, width, bias=False)
        self.keep = nn.Linear(width, width)
        self.take = nn.Linear(width, width, bias=False)

    def project(self, edge: Float[Tensor, "w m s d"]) -> Float[Tensor, "w m s d"]:
        """W_m [0 ; e_ik]: what messages in both directions take from the edges."""
        return self.from_edge(edge)

    def to_rows(
        self,
        modality: Float[Tensor, "w m d"],
        projected: Float[Tensor, "w m s d"],
        weight: Float[Tensor, "v m s"],
        slots: Slots,
    ) -> Float[Tensor, "v n d"]:
        """sum_k weight_ik relu(W_m [v_k ; e_ik] + b_m)."""
        weight = weight.to(projected.dtype)
        return _Receive.apply(projected, self.from_node(modality), weight, slots)

    def to_modalities(
        self,
        row: Float[Tensor, "w r d"],
        projected: Float[Tensor, "w m s d"],
        there: Bool[Tensor, "v m s"],
        slots: Slots,
    ) -> tuple[Float[Tensor, "v m d"], Float[Tensor, "v m"]]:
        """mean over present rows of relu(W_m [u_i ; e_ik] + b_m), and the number of those rows.

        `row` has r = n rows, or the one that all of them still are.
        """
        sender = self.from_node(row)
        if len(slots.present) == row.shape[1] > 1:
            sender = sender.index_select(1, slots.row.flatten()).unflatten(1, slots.row.shape)
        else:
            sender = sender[:, None]
        return mean_over_rows((projected + sender).relu_(), there)

    def update(self, node: Tensor, message: Tensor, *, last: bool = False) -> Tensor:
        """act(W_u [x ; a]): relu, or the identity in the last layer."""
        new = self.take(message) + self.keep(node)
        return new if last else new.relu_()


class EdgeUpdate(nn.Module):
    """e_ij <- relu(W_e [x_j ; x_i ; e_ij] + b_e), between two layers.

    Edges have a direction from here on: rows and modalities send with `sender`, and receive with
    `receiver`.

    >>> layer, slots = EdgeUpdate(1), Slots.of(torch.tensor([[True], [True]]))
    >>> for part in (layer.sender, layer.receiver, layer.edge):
    ...     _ = nn.init.ones_(part.weight)
    >>> _ = nn.init.zeros_(layer.sender.bias)
    >>> row, node = torch.tensor([[[1.0], [-9.0]]]), torch.ones(1, 1, 1)
    >>> edge = layer.project(torch.full((1, 1, 2, 1), 2.0))
    >>> layer.to_rows(row, node, edge, slots).flatten().tolist()  # relu(1 + 1 + 2), relu(1 - 9 + 2)
    [4.0, 0.0]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sender = nn.Linear(width, width)
        self.receiver = nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(width, width, bias=False)

    def project(self, edge: Float[Tensor, "w m s d"]) -> Float[Tensor, "w m s d"]:
        """W_e [0 ; 0 ; e_ij]: what the new edges in both directions take from the old ones."""
        return self.edge(edge)

    def to_rows(
        self,
        row: Float[Tensor, "v n d"],
        modality: Float[Tensor, "v m d"],
        projected: Float[Tensor, "w m s d"],
        slots: Slots,
    ) -> Float[Tensor, "v m s d"]:
        """The new edges along which modalities send to rows."""
        return _Renew.apply(projected, self.receiver(row), self.sender(modality), slots)

    def to_modalities(
        self,
        row: Float[Tensor, "v n d"],
        modality: Float[Tensor, "v m d"],
        projected: Float[Tensor, "w m s d"],
        slots: Slots,
    ) -> Float[Tensor, "v m s d"]:
        """The new edges along which rows send to modalities."""
        return _Renew.apply(projected, self.sender(row), self.receiver(modality), slots)
