"""Mean (late) fusion: every modality predicts alone, the predictions are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.nn.grouped import GroupedMLP
from amodal.types import Modality, Task

__all__ = ["MeanFusion"]


class MeanFusion(NeuralMethod):
    """Averages the logits (regression: means and log standard deviations) of present modalities.

    params_i = (sum over present k of head_k(h_ik)) / (number present) + evidence of the pattern.
    Every present modality has the same reliance. Also known as late or score fusion.
    """

    name = "mean"
    title = "Mean (late) fusion"
    reference = "late fusion"
    reports = ("reliance",)

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
        self.heads = GroupedMLP(
            len(self.names), self.width, task.param_size, dropout=encoder.dropout
        )
        self.from_pattern = torch.nn.Linear(self.width, task.param_size)

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        present = batch.present
        share = present / present.sum(1, keepdim=True).clamp_min(1)
        params = (self.heads(self.encode(batch)) * share[..., None]).sum(1)
        params = params + self.from_pattern(self.evidence(batch))
        return params, {"reliance": share}
