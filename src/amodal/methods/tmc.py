"""TMC: each modality gives evidence, a Dirichlet distribution; Dempster's rule combines them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError
from amodal.methods.base import NeuralMethod
from amodal.methods.base_rates import class_weights
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedMLP, select_present
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["TMC", "combine", "dirichlet_loss"]


class TMC(NeuralMethod):
    """Trusted multi-view classification: evidence e_ik, Dirichlet(e_ik + 1), Dempster's combination.

    e_ik = softplus(head_k(h_ik)) over C classes. With S = sum_c e_c + C, a view believes b_c = e_c / S
    and leaves u = C / S undecided. Dempster's rule combines the present views (`combine`); an absent
    view decides nothing, u = 1, and drops out by itself. Probabilities are the mean of the combined
    Dirichlet, (e_c + 1) / S. The loss adds up, over the present views and their combination, the
    expected cross-entropy and an annealed KL of the wrong classes' evidence (`dirichlet_loss`).

    `reliability` of a modality is what it decides by itself, 1 - u_ik; `reliance` its share in
    sum_c log(1 + e_c / C), in which Dempster's rule is additive.

    A binary task has two classes, and each label of several is a binary task of its own.

    Args:
        anneal: epochs until the KL has its full weight; of a training of fewer epochs it has the
            share that went by. Early and in full, it keeps views from giving evidence at all.

    Reference: Han et al., "Trusted Multi-View Classification", ICLR 2021, Eq. 2-9.

    Differences from the paper:

    - Views can be absent (in the paper all are there).
    - What was not measured is one more view (``pattern=false`` for none), trained through the
      combination.
    - Dempster's rule is worked out in logarithms, for all views at once; the result is the same.

    Raises:
        SettingError: regression, which has no classes; `anneal` is not positive.
    """

    name = "tmc"
    title = "Trusted multi-view classification"
    reference = "Han et al., ICLR 2021"
    year = 2021
    tasks = ("binary", "multiclass", "multilabel")
    reports = ("reliability", "reliance")
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "anneal": Range(5.0, 200.0, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        anneal: float = 50.0,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        if not anneal > 0:
            raise SettingError(f"anneal must be positive; got {anneal!r}; change it")
        self.anneal = anneal
        single = task.kind == "multiclass"
        self.shape = (1, len(task.classes)) if single else (task.param_size, 2)
        size = math.prod(self.shape)
        self.heads = GroupedMLP(len(self.names), self.width, size, dropout=encoder.dropout)
        self.from_pattern = nn.Linear(self.width, size) if self.pattern is not None else None
        self.register_buffer("rows_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rows_of_epoch", torch.ones((), dtype=torch.int64))

    def prepare(self, train: Batch) -> None:
        super().prepare(train)
        self.rows_of_epoch.fill_(max(1, len(train)))

    def views(self, batch: Batch) -> tuple[Float[Tensor, "n k l c"], Bool[Tensor, "n k"]]:
        """Evidence of every modality, and of the pattern where it is one, and which there are."""
        raw, there = self.heads(self.encode(batch)), batch.present
        if self.from_pattern is not None:
            raw = torch.cat(
                [raw, self.from_pattern(self.evidence(batch)).to(raw.dtype)[:, None]], 1
            )
            there = torch.cat([there, there.any(1, keepdim=True)], 1)
        evidence = select_present(F.softplus(full(raw)), there)
        return evidence.unflatten(-1, self.shape), there

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        evidence, _ = self.views(batch)
        m, size = len(self.names), self.shape[1]
        decided = evidence.sum(-1) / (evidence.sum(-1) + size)
        added = (evidence / size).log1p().sum((-2, -1))
        share = added / added.sum(1, keepdim=True).clamp_min(1e-12)
        fields = {"reliability": decided.mean(-1)[:, :m], "reliance": share[:, :m]}
        return self._params(combine(evidence)), fields

    def _params(self, log_alpha: Float[Tensor, "n l c"]) -> Float[Tensor, "n p"]:
        if self.task.kind == "multiclass":
            return log_alpha[:, 0]
        return log_alpha[..., 1] - log_alpha[..., 0]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        evidence, there = self.views(batch)
        m = len(self.names)
        if self.training:
            self.rows_seen += len(batch)
        use = batch.labelled & there.any(1)
        if not bool(use.any()):
            return {"task": evidence.sum() * 0.0}
        combined = combine(evidence)[:, None].exp()
        alpha = torch.cat([combined, evidence[:, :m] + 1], 1)[use]  # the combination comes first
        truth = batch.target[use].long().view(-1, 1, self.shape[0])
        weight = _precise(self._weight(batch)[use] / self._weight(batch)[use].sum())
        share = float((self.rows_seen / self.rows_of_epoch / self.anneal).clamp(max=1))
        error, kl = dirichlet_loss(alpha, truth)
        counted = torch.cat([there.new_ones(len(there), 1), there[:, :m]], 1)[use] * weight[:, None]
        terms = {
            "task": (error.sum(-1) * counted)[:, 0].sum(),
            "views": (error.sum(-1) * counted)[:, 1:].sum(),
            "kl": share * (kl.sum(-1) * counted).sum(),
        }
        return {name: x.to(evidence.dtype) for name, x in terms.items()}

    def _weight(self, batch: Batch) -> Float[Tensor, " n"]:
        weight = torch.ones_like(batch.target.view(len(batch), -1)[:, 0])
        weight = weight if batch.weight is None else batch.weight
        if self.class_weight == "balanced":
            classes = batch.target.nan_to_num(0.0).long()
            weight = weight * class_weights(self.task, self.base)[classes]
        return weight


def combine(evidence: Float[Tensor, "n k *l c"]) -> Float[Tensor, "n *l c"]:
    """log alpha of Dempster's combination of k views, from their evidence; 0 is a view not there.

    For two views b_c = (b_c b_c' + b_c u' + b_c' u) / (1 - C) and u = u u' / (1 - C), C the belief
    in contradictions. So b_c / u + 1 = (b_c / u + 1) (b_c' / u' + 1), and with b_c / u = e_c / C:
    log(1 + e_c / C) adds up over views. Order does not matter.

    >>> combine(torch.tensor([[[2.0, 0.0], [2.0, 2.0]]])).exp().round().tolist()
    [[7.0, 3.0]]
    """
    size = evidence.shape[-1]
    total = (evidence / size).log1p().sum(1)
    # 1 + C (exp(total) - 1), without its overflow
    return total + (size - (size - 1) * (-total).exp()).log()


def dirichlet_loss(
    alpha: Float[Tensor, "n *k c"], truth: Tensor
) -> tuple[Float[Tensor, "n *k"], Float[Tensor, "n *k"]]:
    """Expected cross-entropy under Dirichlet(alpha), and the KL of what speaks for wrong classes.

    psi(S) - psi(alpha_y); and KL(Dirichlet(a) || Dirichlet(1)), a being alpha with 1 at the true
    class. Reference: TMC, Eq. 7-9. In double precision where the device has it: differences of large
    log Gamma values are wanted.

    Args:
        alpha: above 0, C classes in the last axis.
        truth: the true class, broadcast against the axes in front of it.

    >>> error, kl = dirichlet_loss(torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
    >>> round(error.item(), 6), round(kl.item(), 6)
    (1.0, 0.0)
    """
    alpha = _precise(alpha)
    truth = truth.expand(alpha.shape[:-1])[..., None]
    error = alpha.sum(-1).digamma() - alpha.gather(-1, truth)[..., 0].digamma()
    wrong = alpha.scatter(-1, truth, 1.0)
    total, size = wrong.sum(-1), alpha.shape[-1]
    kl = total.lgamma() - math.lgamma(size) - wrong.lgamma().sum(-1)
    kl = kl + ((wrong - 1) * (wrong.digamma() - total.digamma()[..., None])).sum(-1)
    return error, kl


def _precise(x: Tensor) -> Tensor:
    return x if x.device.type == "mps" else x.double()
