"""GRAPE: a graph of rows and modalities imputes every vector; the imputed row is predicted from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots, shares
from amodal.nn.grouped import GroupedMLP
from amodal.nn.patient_graph import PatientGraph, even_edges
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["GRAPE", "drop_edges"]


class GRAPE(NeuralMethod):
    """Message passing between rows and modalities, then imputation of all h_ik, then prediction.

    The edge of a present pair carries h_ik. In each layer messages relu(P [x_j ; e_ij]) are averaged
    over neighbours, x_i' = Q [mean ; x_i] (with a relu but in the last layer), and
    e_ij' = relu(W [x_j ; x_i ; e_ij]). From a row's last node every modality is imputed,
    d_ik = O_k(x_i), present or not, and params_i = head([d_i1 ; ... ; d_im]). In training edges are
    dropped; the loss adds `rebuild` times the squared error of h_ik at the dropped ones.

    Args:
        layers: layers of message passing.
        edge_dropout: share of the edges that a training step drops.
        rebuild: weight of the imputation.

    Reference: You et al., "Handling Missing Data with Graph Representation Learning", NeurIPS 2020.

    Differences from the paper:

    - An edge is a modality of a row, with its encoded vector, and not a cell of a table.
    - A modality node averages over the batch in training alone; at prediction it is the frozen
      average over the training rows, so that no row's prediction depends on the others'. Being
      constant then, it is no input of O; each modality has an O_k of its own instead.
    - Imputation and label are learned together (paper: one or the other).
    - Weights start larger where maps read edges or messages (`PatientGraph.keep_apart`); else what
      tells rows apart has all but vanished behind three layers when training begins.
    - What was not measured joins the head's input (``pattern=false`` for none).

    Raises:
        SettingError: `layers` below 1, or `edge_dropout` outside of [0, 1].
    """

    name = "grape"
    title = "GRAPE"
    reference = "You et al., NeurIPS 2020"
    year = 2020
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "rebuild": Range(0.01, 1.0, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        layers: int = 3,
        edge_dropout: float = 0.3,
        rebuild: float = 0.1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, layers=layers)
        if not 0 <= edge_dropout <= 1:
            raise SettingError(
                f"edge_dropout must lie between 0 and 1; got {edge_dropout!r}; change it"
            )
        self.edge_dropout, self.rebuild = edge_dropout, rebuild
        m, d, p = len(self.names), self.width, encoder.dropout
        self.graph = PatientGraph(m, d, layers=layers, dropout=p)
        self.graph.keep_apart()
        self.impute = GroupedMLP(m, d, d, dropout=p)
        self.head = Head(2 * d, (m + 1) * d, task.param_size, p)

    def imputed(
        self, hidden: Float[Tensor, "n m d"], batch: Batch, view: Bool[Tensor, "n m"]
    ) -> Float[Tensor, "n m d"]:
        """d_ik of all pairs, from the present pairs that `view` leaves."""
        slots = Slots.of(batch.present)
        weight, there = slots.take(shares(view))[None], slots.take(view)[None]
        rows = self.graph(slots.take(hidden), weight, there, slots, track=True)[0]
        return self.impute(rows[:, None].expand(-1, len(self.names), -1))

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Puts exact means over the training rows in place of the modality nodes' averages."""
        self.eval()
        self.graph.freeze_nodes(
            lambda batch: even_edges(self.encode(batch), batch.present), batches
        )

    def _decode(self, imputed: Float[Tensor, "n m d"], batch: Batch) -> Float[Tensor, "n p"]:
        return self.head(self.with_evidence(imputed.flatten(1), batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self._decode(self.imputed(self.encode(batch), batch, batch.present), batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        hidden, view = self.encode(batch), drop_edges(batch.present, self.edge_dropout)
        imputed = self.imputed(hidden, batch, view)
        terms = {"task": self.task_loss(self._decode(imputed, batch), batch)}
        if self.rebuild:
            gone = batch.present & ~view
            error = full(imputed - hidden.detach()).square().mean(-1)
            error = torch.where(gone, error, error.new_zeros(()))
            terms["rebuild"] = self.rebuild * error.sum() / gone.sum().clamp_min(1)
        return terms


def drop_edges(present: Bool[Tensor, "n m"], rate: float) -> Bool[Tensor, "n m"]:
    """What is left when each present pair goes with probability `rate`; rows that would lose all stay.

    >>> drop_edges(torch.tensor([[True, False], [True, True]]), 1.0).tolist()
    [[True, False], [True, True]]
    """
    left = present & (torch.rand(present.shape, device=present.device) >= rate)
    return torch.where(left.any(1, keepdim=True), left, present)
