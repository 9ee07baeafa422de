"""MISA: what is invariant across modalities and what is specific, kept apart by two losses."""

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
from amodal.nn.blocks import TransformerBlock
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedLinear, select_present
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["MISA", "moment_distance", "overlap"]

_MOMENTS = 5


class MISA(NeuralMethod):
    """Modality-invariant and -specific representations.

    u_ik = norm(P_k h_ik); invariant c_ik = sigmoid(C u_ik) with one C for all, specific
    s_ik = sigmoid(S_k u_ik). A transformer block attends over the 2 m vectors of a row, absent ones
    left out, and params_i = head([what it gives, 0 where absent]). The loss adds `similar` times the
    central moment discrepancy between the invariant vectors of two modalities (`moment_distance`),
    `differ` times the squared overlap of invariant with specific ones and of specific ones of two
    modalities (`overlap`), and `rebuild` times the squared error of u_ik rebuilt from c_ik + s_ik.

    Args:
        similar, differ, rebuild: weights of the three terms.

    Reference: Hazarika, Zimmermann and Poria, "MISA: Modality-Invariant and -Specific
    Representations for Multimodal Sentiment Analysis", ACM Multimedia 2020.

    Differences from the paper:

    - Modalities can be absent: moments and overlaps are over the rows that have them.
    - Terms over pairs are means over the pairs of modalities, so that weights do not depend on how
      many there are.
    - Weights are a tenth of the paper's for MOSI (1, .3, 1), which outweigh the task where
      modalities get lost in training.
    - What was not measured joins the head's input (``pattern=false`` for none).
    """

    name = "misa"
    title = "Invariant and specific representations"
    reference = "Hazarika et al., ACM MM 2020"
    year = 2020
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "similar": Range(0.01, 1.0, log=True),
        "differ": Range(0.003, 0.3, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        similar: float = 0.1,
        differ: float = 0.03,
        rebuild: float = 0.1,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        m, d, p = len(self.names), self.width, encoder.dropout
        self.similar, self.differ, self.rebuild = similar, differ, rebuild
        self.project = GroupedLinear(m, d, d)
        self.shared, self.private = nn.Linear(d, d), GroupedLinear(m, d, d)
        self.back = GroupedLinear(m, d, d)
        self.body = TransformerBlock(d, encoder.heads, dropout=p)
        self.head = Head(2 * d, (2 * m + 1) * d, task.param_size, p)

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """u, c and s ``[n, m, d]``, 0 where absent."""
        u = self.project(self.encode(batch))
        u = F.layer_norm(u, u.shape[-1:])
        both = (u, self.shared(u).sigmoid(), self.private(u).sigmoid())
        return tuple(select_present(x, batch.present) for x in both)

    def _decode(self, common: Tensor, own: Tensor, batch: Batch) -> Float[Tensor, "n p"]:
        there = torch.cat([batch.present, batch.present], 1)
        fused = select_present(self.body(torch.cat([common, own], 1), there), there).flatten(1)
        return self.head(self.with_evidence(fused, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        _, common, own = self.parts(batch)
        return self._decode(common, own, batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        u, common, own = self.parts(batch)
        present = batch.present
        rebuilt = select_present(self.back(common + own), present)
        error = full(rebuilt - u).square().mean(-1).sum() / present.sum().clamp_min(1)
        return {
            "task": self.task_loss(self._decode(common, own, batch), batch),
            "similar": self.similar * moment_distance(full(common), present),
            "differ": self.differ * overlap(full(common), full(own), present),
            "rebuild": self.rebuild * error,
        }


def moment_distance(x: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Central moment discrepancy of two modalities' vectors, mean over the pairs of modalities.

    |E x - E y| + sum over k = 2..5 of |c_k(x) - c_k(y)|, c_k the central moments over the rows that
    have the modality, norms over d; for vectors in [0, 1] (Zellinger et al., ICLR 2017). A modality
    that fewer than two rows have takes no part.

    >>> x = torch.tensor([[[0.0], [0.5]], [[1.0], [0.5]]])
    >>> found = moment_distance(x, torch.ones(2, 2, dtype=torch.bool))
    >>> round(found.item(), 4)  # c_2 is 1/4 and 0, c_4 1/16 and 0
    0.3125
    """
    weight = present.to(x.dtype)[..., None]
    count = weight.sum(0)
    x = select_present(x, present)
    mean = x.sum(0) / count.clamp_min(1)
    centred, power = (x - mean) * weight, None
    moments = [mean]
    for _ in range(2, _MOMENTS + 1):
        power = centred * (centred if power is None else power)
        moments.append(power.sum(0) / count.clamp_min(1))
    table = torch.stack(moments)  # [5, m, d]
    first, second = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    gap = _length(table[:, first] - table[:, second]).sum(0)
    use = (count[first, 0] > 1) & (count[second, 0] > 1)
    return torch.where(use, gap, gap.new_zeros(())).sum() / use.sum().clamp_min(1)


def overlap(
    common: Float[Tensor, "n m d"], own: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> Float[Tensor, ""]:
    """Squared correlations that should be 0: invariant with specific, specific with each other.

    |X' Y|^2 / d^2 in the Frobenius norm, X and Y centred over the rows and of unit length per row;
    the mean over modalities of (c_k, s_k) plus the mean over pairs of (s_j, s_k).

    >>> x = torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]])
    >>> overlap(x, x, torch.ones(2, 1, dtype=torch.bool)).item()
    1.0
    """
    a, b = (_unit(x, present) for x in (common, own))
    m, d = a.shape[1:]
    within = torch.einsum("nkd,nke->kde", a, b).square().sum((1, 2)) / d**2
    between = torch.einsum("njd,nke->jkde", b, b).square().sum((2, 3)) / d**2
    first, second = torch.triu_indices(m, m, 1, device=a.device)
    pairs = between[first, second]
    return within.mean() + (pairs.mean() if len(pairs) else pairs.sum())


def _unit(x: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> Float[Tensor, "n m d"]:
    count = present.sum(0).clamp_min(1)[:, None].to(x.dtype)
    centred = select_present(x - select_present(x, present).sum(0) / count, present)
    return centred / _length(centred)[..., None]


def _length(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """The Euclidean norm, whose gradient at 0 is 0."""
    return (x.square().sum(-1) + 1e-12).sqrt()
