"""QMF: late fusion in which the energy of each modality's logits says how far it is trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.base import NeuralMethod
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedMLP, select_present
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["QMF", "rank_loss"]


class QMF(NeuralMethod):
    """Quality-aware fusion: logits_i = sum over present k of w_ik f_ik, w_ik = log sum exp(f_ik) / 10.

    f_ik = head_k(h_ik) are logits of C classes; minus their log sum exp is the energy, low where a
    modality is sure. The loss adds the cross-entropies of every present modality alone, and `rank`
    times a ranking loss: of two rows, the one that a modality predicts better must get the larger
    weight there (`rank_loss`).

    `reliance` is the share of w_ik in the weights of the row, negative ones counting 0.

    A binary task has two classes, and each label of several is a binary task of its own, whose
    weights are averaged.

    Args:
        rank: weight of the ranking loss.

    Reference: Zhang et al., "Provable Dynamic Fusion for Low-Quality Multimodal Data", ICML 2023.

    Differences from the paper:

    - Modalities can be absent: they leave the sums.
    - The ranking compares the losses of the present step, where the paper keeps each row's mean loss
      over past epochs: with random losses in training a row's past belongs to other inputs.
    - The margin adds to the ranking loss, as in the paper's formula (published code subtracts it).
    - What was not measured adds logits of its own to the sum (``pattern=false`` for none).

    Raises:
        SettingError: regression, which has no classes.
    """

    name = "qmf"
    title = "Quality-aware fusion"
    reference = "Zhang et al., ICML 2023"
    year = 2023
    tasks = ("binary", "multiclass", "multilabel")
    reports = ("reliance",)
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "rank": Range(0.01, 1.0, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        rank: float = 0.1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        self.rank = rank
        single = task.kind == "multiclass"
        self.shape = (1, len(task.classes)) if single else (task.param_size, 2)
        size = math.prod(self.shape)
        self.heads = GroupedMLP(len(self.names), self.width, size, dropout=encoder.dropout)
        self.from_pattern = torch.nn.Linear(self.width, task.param_size)

    def logits(self, batch: Batch) -> tuple[Float[Tensor, "n m l c"], Float[Tensor, "n m"]]:
        """f and w of every present modality, 0 where absent."""
        f = select_present(full(self.heads(self.encode(batch))), batch.present)
        f = f.unflatten(-1, self.shape)
        w = f.logsumexp(-1).mean(-1) / 10
        return f, torch.where(batch.present, w, w.new_zeros(()))

    def _params(self, f: Float[Tensor, "*v n l c"]) -> Float[Tensor, "*v n p"]:
        return f[..., 0, :] if self.task.kind == "multiclass" else f[..., 1] - f[..., 0]

    def _fused(self, f: Tensor, w: Tensor, batch: Batch) -> Float[Tensor, "n p"]:
        params = self._params((f * w[..., None, None]).sum(1))
        return params + full(self.from_pattern(self.evidence(batch)))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        f, w = self.logits(batch)
        share = w.relu() / w.relu().sum(1, keepdim=True).clamp_min(1e-12)
        return self._fused(f, w, batch), {"reliance": share}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        f, w = self.logits(batch)
        present, alone = batch.present.T, self._params(f).transpose(0, 1)
        single = self.task_loss(alone, batch, there=present)
        terms = {
            "task": self.task_loss(self._fused(f, w, batch), batch),
            "single": single * len(self.names),
        }
        if self.rank and batch.target is not None:
            target = batch.target.nan_to_num(0.0)
            error = -self.task.dist(alone).log_prob(target.expand(len(alone), *target.shape))
            use = present & batch.labelled
            terms["rank"] = self.rank * rank_loss(w.T, error.detach(), use)
        return terms


def rank_loss(
    weight: Float[Tensor, "m n"], error: Float[Tensor, "m n"], use: Bool[Tensor, "m n"]
) -> Float[Tensor, ""]:
    """Rows with the larger error must have the smaller weight: sum over m of means over pairs.

    max(0, g (w_i - w_j) + |c_i - c_j|) for neighbouring rows i, j = i + 1 (the last one and the
    first), c the error scaled to [0, 1] within the batch, g = 1 where c_i > c_j and -1 where it is
    smaller; 0 where both are equal. Reference: QMF, Eq. 10-11.

    >>> use = torch.ones(1, 2, dtype=torch.bool)
    >>> rank_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[3.0, 1.0]]), use).item()
    0.0
    >>> rank_loss(torch.tensor([[0.5, 0.0]]), torch.tensor([[3.0, 1.0]]), use).item()
    1.5
    """
    if error.shape[1] == 0:
        return weight.sum()
    low = error.masked_fill(~use, torch.inf).amin(1, keepdim=True)
    high = error.masked_fill(~use, -torch.inf).amax(1, keepdim=True)
    scaled = torch.where(use, (error - low) / (high - low).clamp_min(1e-8), error.new_zeros(()))
    gap = scaled - scaled.roll(-1, 1)
    both = use & use.roll(-1, 1)
    hinge = (gap.sign() * (weight - weight.roll(-1, 1)) + gap.abs()).relu()
    hinge = torch.where(both & (gap != 0), hinge, hinge.new_zeros(()))
    return (hinge.sum(1) / both.sum(1).clamp_min(1)).sum()
