"""Concatenation: the vectors of all modalities side by side, learned ones where absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head, spread_tokens
from amodal.types import Modality, Task

__all__ = ["Concat"]


class Concat(NeuralMethod):
    """params_i = head([h_i1 ; ... ; h_im]), with a learned vector in the place of an absent h_ik.

    The simplest fusion that sees interactions between modalities (early fusion of encodings). Texts
    are written by a decoder that attends to the tokens of all present modalities side by side, with
    one softmax over all of them.
    """

    name = "concat"
    title = "Concatenation"
    reference = "early fusion"
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
        m = len(self.names)
        if self.text_head is not None:
            self.mark = nn.Parameter(torch.randn(m, self.width) * 0.1)
            return
        self.absent = nn.Parameter(torch.zeros(m, self.width))
        self.head = Head(2 * self.width, (m + 1) * self.width, task.param_size, encoder.dropout)

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        if self.text_head is not None:
            return self.side_by_side(batch), {}
        hidden = self.encode(batch)
        filled = torch.where(batch.present[..., None], hidden, self.absent.to(hidden.dtype))
        return self.head(self.with_evidence(filled.flatten(1), batch)), {}

    def side_by_side(self, batch: Batch) -> Tensor:
        """The tokens of all modalities and what was not measured, as a memory; absent ones absent.

        A learned vector per modality tells its tokens from those of others.
        """
        tokens, there = [self.evidence(batch)[:, None]], [batch.present.any(1, keepdim=True)]
        for k, encoded in enumerate(self.encode_tokens(batch)):
            values = batch.values[self.names[k]]
            own, seen = spread_tokens(encoded, values)
            tokens.append((own + self.mark[k]).to(tokens[0].dtype))
            there.append(seen)
        return self.text_head.memory(torch.cat(tokens, 1), torch.cat(there, 1), batch.present)
