"""TFN: the outer product of all modalities' vectors, so that the head sees every interaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.grouped import GroupedMLP, select_present
from amodal.types import Modality, Task

__all__ = ["TFN", "outer_product"]

_LARGEST = 4096
"""Entries of the outer product, at most."""


class TFN(NeuralMethod):
    """params_i = head([z_i1 ; 1] x ... x [z_im ; 1]), z_ik = F_k(h_ik) of `size` entries.

    The outer product has (size + 1)^m entries: products of one entry of each of any subset of the
    modalities. An absent modality has z_ik = 0, so that all products with it are 0 and those without
    it stay.

    Args:
        size: entries of each modality's factor; 0 takes as many as keep the outer product within
            4096 entries, at most the encoders' width.

    Reference: Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", EMNLP 2017.

    Differences from the paper:

    - Modalities can be absent, see above; factors are as small as their number demands (paper: three
      modalities, 32 to 128 entries).
    - What was not measured joins the head's input (``pattern=false`` for none).

    Raises:
        SettingError: so many modalities or so large a size that the product exceeds 4096 entries.
    """

    name = "tfn"
    title = "Tensor fusion"
    reference = "Zadeh et al., EMNLP 2017"
    year = 2017

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        size: int = 0,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        m, d, p = len(self.names), self.width, encoder.dropout
        fitting = [s for s in range(1, d + 1) if (s + 1) ** m <= _LARGEST]
        size = size or max(fitting, default=1)
        if size < 1 or (size + 1) ** m > _LARGEST:
            raise SettingError(
                f"the outer product of tfn has (size + 1)^m entries, at most {_LARGEST}; got size "
                f"{size} and {m} modalities; take fewer modalities or another method"
            )
        self.factors = GroupedMLP(m, d, size, dropout=p)
        self.head = Head(2 * d, (size + 1) ** m + d, task.param_size, p)

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        z = self.factors(self.encode(batch))
        fused = outer_product(z, batch.present)
        return self.head(self.with_evidence(fused, batch)), {}


def outer_product(z: Float[Tensor, "n m s"], present: Bool[Tensor, "n m"]) -> Float[Tensor, "n q"]:
    """[z_1 ; 1] x ... x [z_m ; 1], q = (s + 1)^m, z_k being 0 where absent.

    >>> outer_product(torch.tensor([[[2.0], [3.0]]]), torch.tensor([[True, True]])).tolist()
    [[6.0, 2.0, 3.0, 1.0]]
    """
    z = select_present(z, present)
    z = torch.cat([z, z.new_ones(*z.shape[:2], 1)], -1)
    total = z[:, 0]
    for k in range(1, z.shape[1]):
        total = (total[:, :, None] * z[:, k, None]).flatten(1)
    return total
