"""MUSE: rows and modalities as a bipartite graph, and contrast between two views of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots, shares
from amodal.nn.losses import contrast, drop_to_subset
from amodal.nn.patient_graph import PatientGraph, even_edges
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["MUSE"]


class MUSE(NeuralMethod):
    """Mutual-consistent graph contrastive learning.

    Row nodes start as ones, modality nodes are learned, and the edge (i, k) of a present pair
    carries h_ik. In each layer x_i' = relu(W_a [mean over neighbours j of
    relu(W_m [x_j ; e_ij]) ; x_i]); between layers nodes are dropped out and
    e_ij' = relu(W_e [x_j ; x_i ; e_ij]). z_i is the node of row i behind the last layer,
    params_i = head([z_i ; evidence of the pattern]). In a second view half of the rows lose
    some modalities; with u_i = tanh(W z_i) at unit length, the loss is
    L_cls + contrast (1/2 L_unsup + 1/2 L_sup), see `amodal.nn.losses.contrast_views` and
    `amodal.nn.losses.contrast_labels`. ``unlabelled=true`` makes it MUSE+: rows without a label take
    part in L_unsup.

    Args:
        layers: layers of message passing.
        contrast: weight of the contrastive terms.

    Reference: Wu et al., "Multimodal Patient Representation Learning with Missing Modalities and
    Labels", ICLR 2024.

    Differences from the paper:

    - A modality node averages over the batch in training alone; at prediction it is the frozen
      average over the training rows, so that no row's prediction depends on the others'.
    - What was not measured joins the classifier's input (``pattern=false`` for none).
    - L_sup asks for equal classes: 0 for several labels and real targets.
    - Weights start larger where maps read edges or messages (`PatientGraph.keep_apart`). Started as
      published, rows differ behind two layers by a tenth of what they have in common, and some
      hundred steps, all that small sets are trained for here, teach nothing else (accuracy .42 on
      four quadrants of digits).
    - `contrast` is 0.1 (paper: 1). Among rows that look alike its gradient is many times that of the
      task; with a long training 1 does as well.
    - The classifier has a linear map beside its hidden layer, as all neural methods here.
    - Optimiser, batch size and dropout are those of all neural methods here (paper: Adam, 2e-4,
      512, .25), and training loses modalities at random (paper: none in the first view).
    """

    name = "muse"
    title = "MUSE"
    reference = "Wu et al., ICLR 2024"
    year = 2024
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "contrast": Range(0.1, 10.0, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        layers: int = 2,
        contrast: float = 0.1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, layers=layers)
        d, p = self.width, encoder.dropout
        self.contrast = contrast
        self.graph = PatientGraph(len(self.names), d, layers=layers, dropout=p)
        nn.init.normal_(self.graph.nodes)
        self.graph.keep_apart()
        self.projection = nn.Linear(d, d)
        self.classifier = Head(d, 2 * d, task.param_size, p)

    def rows(
        self, batch: Batch, present: Bool[Tensor, "v n m"], *, track: bool = False
    ) -> Float[Tensor, "v n d"]:
        """z_i of every row in each view; what a view has are some of the present pairs."""
        slots = Slots.of(batch.present)
        weight = slots.take(shares(present), axis=1)
        there = slots.take(present, axis=1)
        found = self.graph(slots.take(self.encode(batch)), weight, there, slots, track=track)
        return found.relu()

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Puts exact means over the training rows in place of the modality nodes' averages."""
        self.eval()
        self.graph.freeze_nodes(
            lambda batch: even_edges(self.encode(batch), batch.present), batches
        )

    def _classify(self, rows: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, "n p"]:
        return self.classifier(self.with_evidence(rows, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self._classify(self.rows(batch, batch.present[None])[0], batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        present = batch.present[None]
        if self.contrast:
            present = torch.stack([batch.present, drop_to_subset(batch.present)])
        views = self.rows(batch, present, track=True)
        terms = {"task": self.task_loss(self._classify(views[0], batch), batch)}
        if self.contrast:
            some = batch.present.any(1).nonzero()[:, 0]
            label = full(views.new_full((len(some),), torch.nan))
            if batch.target is not None and self.task.kind in ("binary", "multiclass"):
                label = batch.target[some]
            first, second = F.normalize(torch.tanh(self.projection(views[:, some])), dim=-1)
            terms["contrast"] = self.contrast * contrast(first, second, label)
        return terms
