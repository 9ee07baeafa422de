"""MT: a transformer over modality tokens, trained on the whole row and on parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.blocks import Transformer
from amodal.nn.losses import drop_to_subset
from amodal.types import Modality, Task

__all__ = ["MT"]


class MT(NeuralMethod):
    """params_i = head(summary token of a transformer over the tokens h_ik + type_k).

    Absent tokens are no keys of the attention. Training is multi-task: the loss is the mean over two
    views of each row, all that it has and (for half of the rows) a random part of it, so that the
    same weights predict from any subset.

    Args:
        layers: transformer blocks.

    Reference: Ma et al., "Are Multimodal Transformers Robust to Missing Modality?", CVPR 2022.

    Differences from the paper:

    - One summary token and one head predict for every subset, where the paper has a head for each
      (2^m of them here).
    - The fusion layer is not searched: tokens are one vector a modality, and all blocks fuse.
    - What was not measured joins the head's input (``pattern=false`` for none).

    Raises:
        SettingError: `layers` below 1.
    """

    name = "mt"
    title = "Multimodal transformer"
    reference = "Ma et al., CVPR 2022"
    year = 2022

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        layers: int = 2,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, layers=layers)
        d, p = self.width, encoder.dropout
        self.kind = nn.Parameter(torch.randn(len(self.names), d) * 0.02)
        self.body = Transformer(d, encoder.heads, depth=layers, dropout=p)
        self.head = Head(d, 2 * d, task.param_size, p)

    def fuse(
        self, hidden: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
    ) -> Float[Tensor, "n d"]:
        """The summary token of each row."""
        return self.body(hidden + self.kind, present)[0]

    def _decode(self, fused: Float[Tensor, "*v n d"], batch: Batch) -> Float[Tensor, "*v n p"]:
        return self.head(self.with_evidence(fused, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self._decode(self.fuse(self.encode(batch), batch.present), batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        hidden = self.encode(batch)
        views = torch.stack([batch.present, drop_to_subset(batch.present)])
        fused = self.fuse(torch.cat([hidden, hidden]), views.flatten(0, 1))
        params = self._decode(fused.unflatten(0, views.shape[:2]), batch)
        return {"task": self.task_loss(params, batch, there=views.any(-1))}
