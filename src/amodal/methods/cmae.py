"""CM-AE: an autoencoder across modalities imputes the vectors of what is absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.blocks import Dropout
from amodal.nn.gaussian import full
from amodal.nn.grouped import select_present
from amodal.nn.losses import drop_to_subset
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["CMAE"]


class CMAE(NeuralMethod):
    """Cross-modal autoencoder: [h_1 ; ... ; h_m] from those that are there, absent ones as zeros.

    code_i = gelu(W [h_i1 ; ... ; h_im ; present_i]), decoded to a vector of every modality, which
    stands in where the modality is absent; params_i = head([those vectors]). The loss adds
    `rebuild` times the squared error of all present vectors, rebuilt from the row and from a random
    subset of it (the targets are not pushed towards their reconstruction). The task is learned from
    both views too, so that the head knows imputed vectors.

    Args:
        rebuild: weight of the reconstruction.

    Reference: Ngiam et al., "Multimodal Deep Learning", ICML 2011 (bimodal deep autoencoder trained
    with absent inputs).

    Differences from the paper:

    - Vectors of the modalities' encoders are rebuilt, not inputs; all is trained together and not
      layer by layer as restricted Boltzmann machines.
    - It predicts from the completed vectors; the paper puts a classifier on the code.
    - Which modalities are there is an input, and any number of them can be absent.
    - What was not measured joins the head's input (``pattern=false`` for none).
    """

    name = "cmae"
    title = "Cross-modal autoencoder"
    reference = "Ngiam et al., ICML 2011"
    year = 2011
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
        rebuild: float = 0.1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        m, d, p = len(self.names), self.width, encoder.dropout
        self.rebuild = rebuild
        self.code = nn.Sequential(nn.Linear(m * (d + 1), 2 * d), nn.GELU(), Dropout(p))
        self.decode = nn.Linear(2 * d, m * d)
        self.head = Head(2 * d, (m + 1) * d, task.param_size, p)

    def impute(
        self, hidden: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
    ) -> Float[Tensor, "n m d"]:
        """Every modality's vector, rebuilt from the present ones."""
        seen = select_present(hidden, present).flatten(1)
        code = self.code(torch.cat([seen, present.to(hidden.dtype)], 1))
        return self.decode(code).view_as(hidden)

    def _predict(
        self, hidden: Tensor, rebuilt: Tensor, present: Tensor, batch: Batch
    ) -> Float[Tensor, "n p"]:
        filled = torch.where(present[..., None], hidden, rebuilt.to(hidden.dtype)).flatten(1)
        evidence = self.evidence(batch).to(filled.dtype)
        evidence = evidence.repeat(len(filled) // max(len(evidence), 1), 1)
        return self.head(torch.cat([filled, evidence], 1))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        hidden = self.encode(batch)
        rebuilt = self.impute(hidden, batch.present)
        return self._predict(hidden, rebuilt, batch.present, batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        hidden = self.encode(batch)
        views = torch.stack([batch.present, drop_to_subset(batch.present)])
        twice, seen = torch.cat([hidden, hidden]), views.flatten(0, 1)
        rebuilt = self.impute(twice, seen)
        params = self._predict(twice, rebuilt, seen, batch).unflatten(0, views.shape[:2])
        terms = {"task": self.task_loss(params, batch, there=views.any(-1))}
        if self.rebuild:
            error = full(rebuilt.unflatten(0, views.shape[:2]) - hidden.detach()).square().mean(-1)
            error = torch.where(batch.present, error, error.new_zeros(()))
            count = 2 * batch.present.sum().clamp_min(1)
            terms["rebuild"] = self.rebuild * error.sum() / count
        return terms
