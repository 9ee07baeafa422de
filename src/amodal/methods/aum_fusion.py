"""How AUM's Gaussians on the edges of a row become one: messages on a graph, or exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.errors import unknown_name
from amodal.methods.aum_edges import Edges
from amodal.nn import gaussian
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots, weighted_total
from amodal.nn.patient_graph import PatientGraph

__all__ = ["Attention", "Fused", "by_messages", "by_posterior"]


@dataclass(frozen=True, eq=False)
class Fused:
    """The Gaussian of each row ``[n, d]``, and each modality's weight in it ``[n, m]``."""

    mean: Float[Tensor, "n d"]
    var: Float[Tensor, "n d"]
    reliance: Float[Tensor, "n m"]


@dataclass(frozen=True)
class Attention:
    """How rows attend to modalities by their variances (Eq. 3).

    Args:
        kind: one of `amodal.nn.gaussian.ATTENTION`.
        theta: temperature of the softmax.
        absent: ``mask`` or ``literal``, see `amodal.nn.gaussian.uncertainty_attention`.

    Raises:
        UnknownNameError: another kind, or another way with absent edges.
    """

    kind: str = "softmax"
    theta: float = 1.0
    absent: str = "mask"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("attention", self.kind, gaussian.ATTENTION),
            ("absent", self.absent, ("mask", "literal")),
        ):
            if value not in known:
                raise unknown_name(what, value, known)

    def weights(
        self, var: Float[Tensor, "m s d"], slots: Slots, present: Bool[Tensor, "*v n m"]
    ) -> Float[Tensor, "*v n m"]:
        """The weight of each modality in its row, for each view of what is present.

        >>> slots = Slots.of(torch.tensor([[True, True]]))
        >>> var = torch.tensor([[[1.0]], [[3.0]]])  # [m, s, d]
        >>> Attention("precision").weights(var, slots, slots.present).tolist()  # 1 : 1/3
        [[0.75, 0.25]]
        """
        spread = slots.put(var.mean(-1), empty=1)
        return gaussian.attention_weights(
            spread, present, kind=self.kind, theta=self.theta, absent=self.absent
        )


def by_posterior(
    edges: Edges, present: Bool[Tensor, "v n m"]
) -> tuple[Fused, Float[Tensor, "v n d"]]:
    """The exact posterior of a latent that every edge measures (`amodal.nn.gaussian`).

    Args:
        edges: the Gaussians.
        present: what each view has of them.

    Returns:
        The Gaussian of every row in the first view, and its means in all views.

    >>> slots = Slots.of(torch.ones(1, 1, dtype=torch.bool))
    >>> edges = Edges(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), slots)
    >>> fused, means = by_posterior(edges, slots.present[None])
    >>> fused.mean.item(), fused.var.item(), fused.reliance.item(), means.item()
    (0.5, 0.5, 0.5, 0.5)
    """
    mean, log_var, _ = edges.by_row()
    views = [gaussian.fuse_posterior(mean, log_var, there) for there in present]
    return Fused(*views[0]), torch.stack([view[0] for view in views])


def by_messages(
    edges: Edges,
    present: Bool[Tensor, "v n m"],
    *,
    graph: PatientGraph,
    attention: Attention,
    track: bool = False,
) -> tuple[Fused, Float[Tensor, "v n d"]]:
    """Layers of messages between rows and modalities (Eq. 3-5).

    mu_i is the row's node behind the last layer, var_i = sum_k alpha_ik^2 var_ik; a row with nothing
    has N(0, I).

    Args:
        edges: the Gaussians.
        present: what each view has of them.
        graph: whose weights the messages pass through.
        attention: which gives alpha.
        track: let the modality nodes' running averages learn from the first view.

    Returns:
        The Gaussian of every row in the first view, and its means in all views.

    >>> slots = Slots.of(torch.tensor([[True, True], [False, False]]))
    >>> edges = Edges(torch.ones(2, 1, 4), torch.zeros(2, 1, 4), slots)
    >>> graph = PatientGraph(2, 4, layers=1, dropout=0.0)
    >>> fused, _ = by_messages(edges, slots.present[None], graph=graph, attention=Attention())
    >>> fused.var[:, 0].tolist()  # 1/4 + 1/4, and the prior
    [0.5, 1.0]
    """
    slots, var = edges.slots, full(edges.log_var).exp()
    alpha = attention.weights(var, slots, present)
    weight = slots.take(alpha, axis=1)
    there = slots.take(present, axis=1)
    mean = full(graph(edges.mean, weight, there, slots, track=track))
    var = weighted_total(var[None], weight[:1].square(), slots)[0]
    some = present.any(2, keepdim=True)
    mean = torch.where(some, mean, mean.new_zeros(()))
    return Fused(mean[0], torch.where(some[0], var, var.new_ones(())), alpha[0]), mean
