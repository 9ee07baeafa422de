"""ShaSpec: what modalities share, and what each has of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.blocks import Dropout
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedMLP, select_present
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["ShaSpec", "gap_of_pairs"]


class ShaSpec(NeuralMethod):
    """Shared features r_ik, specific features s_ik; what is absent is filled with the mean of r_i.

    r_ik = S(h_ik) with one S for all modalities, s_ik = P_k(h_ik). A present modality gives
    f_ik = r_ik + W [r_ik ; s_ik]; an absent one the mean of r_ij over the present j. Then
    params_i = head([f_i1 ; ... ; f_im]). Two terms join the loss: alignment, the mean absolute
    difference between shared features of two modalities of a row; and domain classification, the
    cross-entropy of guessing k from s_ik with a linear classifier.

    Args:
        align: weight of the alignment of shared features.
        domain: weight of the classification of specific features.

    Reference: Wang et al., "Multi-modal Learning with Missing Modality via Shared-Specific Feature
    Modelling", CVPR 2023; weights and the L1 distance are those of the paper.

    Differences from the paper:

    - The modality's own encoder comes first, since tables, series and codes have no input in common:
      S and the P_k are MLPs on its vectors.
    - Alignment is over all pairs of present modalities (published code: neighbouring ones), as a
      mean over them and not a sum.
    - What was not measured joins the head's input (``pattern=false`` for none).
    """

    name = "shaspec"
    title = "Shared-specific features"
    reference = "Wang et al., CVPR 2023"
    year = 2023
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "align": Range(0.01, 1.0, log=True),
        "domain": Range(0.002, 0.2, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        align: float = 0.1,
        domain: float = 0.02,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        m, d, p = len(self.names), self.width, encoder.dropout
        self.align, self.domain = align, domain
        self.shared = nn.Sequential(nn.Linear(d, d), nn.GELU(), Dropout(p), nn.Linear(d, d))
        self.specific = GroupedMLP(m, d, d, dropout=p)
        self.compose = nn.Linear(2 * d, d)
        self.guess = nn.Linear(d, m)
        self.head = Head(2 * d, (m + 1) * d, task.param_size, p)

    def features(self, batch: Batch) -> tuple[Float[Tensor, "n m d"], Float[Tensor, "n m d"]]:
        """Shared and specific features, 0 where absent."""
        hidden, present = self.encode(batch), batch.present
        shared = self.shared(hidden.flatten(0, 1)).view_as(hidden)
        return select_present(shared, present), select_present(self.specific(hidden), present)

    def fill(
        self, shared: Tensor, specific: Tensor, present: Bool[Tensor, "n m"]
    ) -> Float[Tensor, "n m d"]:
        """f_ik: composed where present, the mean of the row's shared features where absent."""
        count = present.sum(1).clamp_min(1).to(shared.dtype)
        mean = shared.sum(1) / count[:, None]
        own = shared + self.compose(torch.cat([shared, specific], -1))
        return torch.where(present[..., None], own, mean[:, None])

    def _decode(self, shared: Tensor, specific: Tensor, batch: Batch) -> Float[Tensor, "n p"]:
        filled = self.fill(shared, specific, batch.present).flatten(1)
        return self.head(self.with_evidence(filled, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self._decode(*self.features(batch), batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        shared, specific = self.features(batch)
        terms = {"task": self.task_loss(self._decode(shared, specific, batch), batch)}
        if self.align:
            terms["align"] = self.align * gap_of_pairs(full(shared), batch.present)
        if self.domain:
            _, k = batch.present.nonzero(as_tuple=True)
            logits = full(self.guess(specific[batch.present]))
            guess = F.cross_entropy(logits, k, reduction="sum") / max(len(k), 1)
            terms["domain"] = self.domain * guess
        return terms


def gap_of_pairs(x: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Mean over all pairs of present modalities of a row of mean_d |x_ij - x_ik|; 0 without pairs.

    >>> gap_of_pairs(torch.tensor([[[0.0], [1.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor(1.)
    """
    first, second = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    both = present[:, first] & present[:, second]
    gap = (x[:, first] - x[:, second]).abs().mean(-1)
    return torch.where(both, gap, gap.new_zeros(())).sum() / both.sum().clamp_min(1)
