"""Concatenation: the vectors of all modalities side by side, learned ones where absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import Head, NeuralMethod
from amodal.types import Modality, Task

__all__ = ["Concat"]


class Concat(NeuralMethod):
    """params_i = head([h_i1 ; ... ; h_im]), with a learned vector in the place of an absent h_ik.

    The simplest fusion that sees interactions between modalities (early fusion of encodings).
    """

    name = "concat"
    title = "Concatenation"
    reference = "early fusion"

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        m = len(self.names)
        self.absent = nn.Parameter(torch.zeros(m, self.width))
        self.head = Head(2 * self.width, (m + 1) * self.width, task.param_size, encoder.dropout)

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        hidden = self.encode(batch)
        filled = torch.where(batch.present[..., None], hidden, self.absent.to(hidden.dtype))
        return self.head(self.with_evidence(filled.flatten(1), batch)), {}
