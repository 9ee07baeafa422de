"""Attention fusion: a learned query weighs the present modalities of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.grouped import GroupedLinear
from amodal.types import Modality, Task

__all__ = ["Attention"]


class Attention(NeuralMethod):
    """alpha_i = softmax over present k of w' tanh(V_k h_ik); params_i = head(sum_k alpha_ik U_k h_ik).

    Absent modalities get no weight. The weights are the row's `reliance`: they say what was
    attended to, not how good it was, so there is no `reliability`. Texts are written by a decoder
    that reads the one vector sum_k alpha_ik U_k h_ik.

    Reference: attention pooling, Ilse et al., ICML 2018, with a projection per modality.
    """

    name = "attention"
    title = "Attention fusion"
    reference = "Ilse et al. 2018"
    year = 2018
    reports = ("reliance",)
    tasks = ("binary", "multiclass", "multilabel", "regression", "sequence")

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
        m, d = len(self.names), self.width
        self.key = GroupedLinear(m, d, d)
        self.value = GroupedLinear(m, d, d)
        self.score = nn.Linear(d, 1, bias=False)
        self.head = None
        if self.text_head is None:
            self.head = Head(d, 2 * d, task.param_size, encoder.dropout)

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        hidden = self.encode(batch)
        logits = self.score(torch.tanh(self.key(hidden)))[..., 0].float()
        logits = logits.masked_fill(~batch.present, torch.finfo(logits.dtype).min)
        alpha = logits.softmax(1) * batch.present
        fused = (alpha.to(hidden.dtype)[..., None] * self.value(hidden)).sum(1)
        if self.text_head is not None:
            both = torch.stack([fused, self.evidence(batch).to(fused.dtype)], 1)
            there = batch.present.any(1, keepdim=True).expand(-1, 2)
            return self.text_head.memory(both, there, batch.present), {"reliance": alpha}
        return self.head(self.with_evidence(fused, batch)), {"reliance": alpha}
