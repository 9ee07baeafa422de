"""Product of experts: every modality a Gaussian, multiplied with the prior (MVAE's inference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn import gaussian
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedMLP, select_present
from amodal.nn.losses import drop_to_subset, mix_params
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["PoE"]

_CLAMP = 8.0
"""Log variances stay within +- this: a precision must be finite."""


class PoE(NeuralMethod):
    """q(z_i) proportional to N(0, I) times the product over present k of N(mu_ik, diag var_ik).

    Each expert (mu_ik, log var_ik) is an MLP of h_ik. The product is Gaussian with precision
    1 + sum_k 1/var_ik and mean sum_k (mu_ik / var_ik) / precision. The loss is the mean negative
    evidence lower bound, E_q[-log p(y | z)] + beta KL(q || N(0, I)), over the sub-sampled views of
    a row: all that it has, each modality alone, and a random subset. A prediction averages over
    fixed draws of z.

    `reliability` is what an expert alone would explain against the prior, mean over d of
    1 / (1 + var_ik); `reliance` its share of the precision.

    Args:
        beta: weight of the KL, in nats per row.
        draws: fixed draws of z that a prediction averages over.

    Reference: Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised
    Learning", NeurIPS 2018, Eq. 2-4.

    Differences from the paper:

    - A predictor: z explains the target alone; no modality is reconstructed.
    - beta is .001 and not 1, for one label holds less than a nat (as in deep variational information
      bottlenecks, Alemi et al. 2017). The views' bounds are averaged where the paper adds them.
    - What was not measured joins the decoder's input (``pattern=false`` for none).

    AUM's posterior aggregation multiplies Gaussians by the same rule. Differences from it: means are
    free in size, so that they can shrink where a modality is noisy; variances learn from the first
    step, at the pace of all else, and are told nothing of noise; unimodal and subset bounds stand in
    the place of the contrastive and corruption terms; there is no conflict.
    """

    name = "poe"
    title = "Product of experts"
    reference = "Wu and Goodman, NeurIPS 2018"
    year = 2018
    reports = ("reliability", "reliance")
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "beta": Range(0.0001, 0.01, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        beta: float = 1e-3,
        draws: int = 16,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, draws=draws)
        d, p = self.width, encoder.dropout
        self.beta = beta
        self.expert = GroupedMLP(len(self.names), d, 2 * d, dropout=p)
        self.head = Head(d, 2 * d, task.param_size, p)
        self.register_buffer("draws", gaussian.standard_normal_draws(draws, d))

    def experts(self, batch: Batch) -> tuple[Float[Tensor, "n m d"], Float[Tensor, "n m d"]]:
        """Means and log variances; what stands at absent pairs means nothing."""
        mean, log_var = full(self.expert(self.encode(batch))).chunk(2, -1)
        return mean, F.hardtanh(log_var, -_CLAMP, _CLAMP)

    def _decode(self, z: Float[Tensor, "*v n d"], batch: Batch) -> Float[Tensor, "*v n p"]:
        return self.head(self.with_evidence(z, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        mean, log_var = self.experts(batch)
        fused, var, share = gaussian.fuse_posterior(mean, log_var, batch.present)
        z = fused + var.sqrt() * self.draws[:, None]
        fields = {
            "reliability": gaussian.reliability(log_var, batch.present),
            "reliance": share,
            "variance": var,
        }
        return mix_params(self.task, full(self._decode(z, batch))), fields

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        views = sub_views(batch.present)
        there = views.any(-1)
        mean, var = product(*self.experts(batch), views)
        z = mean + var.sqrt() * torch.randn_like(mean)
        kl = gaussian.kl_to_standard(mean, var)[there]
        return {
            "task": self.task_loss(self._decode(z, batch), batch, there=there),
            "kl": self.beta * (kl.mean() if len(kl) else kl.sum()),
        }


def sub_views(present: Bool[Tensor, "n m"]) -> Bool[Tensor, "v n m"]:
    """What each row has in v = m + 2 views: everything, a random subset, each modality alone.

    >>> views = sub_views(torch.tensor([[True, True, False]]))
    >>> views[0].tolist(), views[2:, 0].int().tolist()
    ([[True, True, False]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    """
    alone = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)[:, None]
    views = torch.stack([present, drop_to_subset(present)])
    return torch.cat([views, present & alone])


def product(
    mean: Float[Tensor, "n m d"], log_var: Float[Tensor, "n m d"], views: Bool[Tensor, "v n m"]
) -> tuple[Float[Tensor, "v n d"], Float[Tensor, "v n d"]]:
    """Mean and variance of N(0, I) times the experts that each view has.

    `amodal.nn.gaussian.fuse_posterior` for many views, whose experts are computed once.

    >>> one = torch.ones(1, 1, 1)
    >>> mean, var = product(one, torch.zeros(1, 1, 1), torch.tensor([[[True]], [[False]]]))
    >>> mean.flatten().tolist(), var.flatten().tolist()
    ([0.5, 0.0], [0.5, 1.0])
    """
    some = views.any(0)
    weight = select_present((-select_present(log_var, some)).exp(), some)
    chosen = views.to(weight.dtype)
    precision = 1.0 + torch.einsum("vnm,nmd->vnd", chosen, weight)
    total = torch.einsum("vnm,nmd->vnd", chosen, weight * select_present(mean, some))
    return total / precision, 1.0 / precision
