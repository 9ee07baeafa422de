"""IMRO: attention to each modality, scaled by what it tells of the target and how surely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from amodal.batch import Batch, Encoded, Prediction
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, unknown_name
from amodal.methods.base import NeuralMethod
from amodal.methods.base_rates import base_params
from amodal.methods.parts import Head, evenness
from amodal.nn import modality_reliability as mr
from amodal.nn.corruption import corrupted
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedLinear, GroupedMLP
from amodal.nn.reliable_attention import ReliableTransformer
from amodal.nn.stability import Meter
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["IMRO", "SCHEDULES", "Seen"]

SCHEDULES = ("constant", "rise", "fall")
"""How both weights of the objective change: not; from 0 to 1 over the first half; from 1 to 0."""

_REPLACED = 0.5  # of the noisy ones, those that tell nothing at all
_KEPT = 20_000  # rows from which it is counted how many prototypes are in use
_PACE = 5.0
"""Heads start at the base rate, and attention weighs by them at once: an optimiser that takes steps
of one size moves them this many times as fast."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of the modalities of a batch.

    Args:
        encoded: per modality, pooled vector and tokens of its values.
        index: ``Int[n, m]`` row and modality -> value, -1 where absent.
        pooled: ``Float[v, m, d]`` of all values, 0 where a modality has fewer.
        params: ``Float[n, m, p]`` of q_k(y | x_ik), the prediction from modality k alone.
        information: ``Float[n, m]`` I_ik = KL(q_k(y | x_ik) || p_k(y)).
        entropy: ``Float[n, m]`` H_ik of the distribution over prototypes.

    The last three are 0 where absent; `information` has no gradient.
    """

    encoded: Sequence[Encoded]
    index: Int[Tensor, "n m"]
    pooled: Float[Tensor, "v m d"]
    params: Float[Tensor, "n m p"]
    information: Float[Tensor, "n m"]
    entropy: Float[Tensor, "n m"]


class IMRO(NeuralMethod):
    """Information-theoretic modality reliability optimization.

    A light head predicts the target from modality k alone: q_k(y | x_ik), and I_ik =
    KL(q_k(y | x_ik) || p_k(y)) is what the modality tells about this row. H_ik is the entropy of the
    distribution of its embedding over C prototypes. R_ik = I_ik / (H_ik + eps), divided by its sum
    over present modalities, scales what attention takes from each:
    Z_i = sum_k R_ik softmax(Q K_ik' / sqrt(d)) V_ik, in several layers; R has no gradient there. The
    loss is L_task + entropy sum_k H_k - information sum_k I_k, where I_k is Barber and Agakov's
    bound: known targets reward a head for being right, not for being sure.

    Texts are written by a decoder that attends to the fused tokens Z_i. Reliability is needed before
    a word is written: the light heads predict which words a text has, whatever their order, and
    I_ik is in nats per word.

    Args:
        layers: of attention.
        queries: fused tokens that attend.
        prototypes: number C of states of an embedding.
        eps: in R, as a share of log C.
        temperature: of the softmax over prototypes.
        entropy: lambda_1, the weight of the entropies; 0 leaves the term out.
        information: lambda_2, the weight of the mutual information; 0 leaves the term out. The heads
            are fitted all the same.
        schedule: of both weights: ``constant``; ``rise`` from 0 over the first half of training;
            ``fall`` to 0 over all of it.
        weights: what scales attention: ``reliability`` (R), ``information`` (I alone), ``certainty``
            (1 / (H + eps) alone), ``uniform`` (plain attention), or ``gate`` (a network that learns
            the shares from the task).
        corrupt: chance that a modality gets noise in training (`amodal.nn.corruption`), half of
            those nothing but noise, so that heads learn what noise tells: nothing; 0 for none.
        gated: feed-forward blocks of the fused tokens multiply what two maps read
            (`amodal.nn.gated`): answers that hang on two modalities at once, as whether the colour
            asked for is the one seen, are learned in fewer steps.
        conditioned: queries are not the same for all rows: learned query j of row i starts at q_j +
            ``prod_k (1 + m_i R_ik (S_kj h_ik + s_kj)) - 1`` over its m_i present modalities, h_ik
            their pooled vectors. So what hangs on two modalities at once is there before the first
            look.
        stability: measure both sides of the bound on the variance of gradients in training.

    Reference: Alugolu and Peddi, Educational Administration: Theory and Practice 30(1), 2024.
    Differences from the paper are listed in docs/papers/imro.md.
    """

    name = "imro"
    title = "IMRO"
    reference = "Alugolu and Peddi 2024"
    year = 2024
    reports = ("reliability", "reliance")
    tasks = ("binary", "multiclass", "multilabel", "regression", "sequence")
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "entropy": Range(0.0001, 0.01, log=True),
        "information": Range(0.1, 10.0, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        layers: int = 2,
        queries: int = 4,
        prototypes: int = 32,
        eps: float = 0.1,
        temperature: float = 0.1,
        entropy: float = 1e-3,
        information: float = 1.0,
        schedule: str = "constant",
        weights: str = "reliability",
        corrupt: float = 0.2,
        gated: bool = False,
        conditioned: bool = False,
        stability: bool = False,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        _check(weights, schedule, layers=layers, queries=queries, eps=eps, temperature=temperature)
        if prototypes < 2 or not 0 <= corrupt <= 1 or min(entropy, information) < 0:
            raise SettingError(
                "prototypes are at least 2, corrupt lies in [0, 1], entropy and information are not "
                f"negative; got {prototypes}, {corrupt:g}, {entropy:g}, {information:g}; change them"
            )
        self.weights, self.schedule, self.corrupt = weights, schedule, corrupt
        self.entropy, self.information, self.pace = entropy, information, 1.0
        m, d, p = len(self.names), self.width, encoder.dropout
        self.heads = GroupedMLP(m, d, task.param_size, dropout=p, gain=0.0)
        self.prototypes = mr.Prototypes(m, d, prototypes, temperature=temperature)
        self.eps = eps * self.prototypes.most
        self.gate = GroupedMLP(m, d, 1, dropout=p) if weights == "gate" else None
        self.fusion = ReliableTransformer(
            m, d, heads=encoder.heads, layers=layers, queries=queries, dropout=p, gated=gated
        )
        self.start = GroupedLinear(m, d, queries * d) if conditioned else None
        self.head = None
        if self.text_head is None:
            self.head = Head(d, (queries + 1) * d, task.param_size, p)
        self.meter = Meter() if stability else None
        self.register_buffer("prior", torch.zeros(m, task.param_size))
        self.register_buffer("used", torch.zeros(m))
        self.register_buffer("bound", torch.full((m,), torch.nan))

    def prepare(self, train: Batch) -> None:
        """Also p_k(y), over the training rows that have modality k; heads start at it (I = 0)."""
        super().prepare(train)
        for k in range(len(self.names)):
            own = train.present[:, k] & train.labelled
            self.prior[k] = self.base
            if bool(own.any()):
                weight = None if train.weight is None else train.weight[own].cpu()
                self.prior[k] = base_params(self.task, train.target[own].cpu(), weight)
        with torch.no_grad():
            if self.head is not None:
                self.head.last.bias.copy_(self.base)
            self.heads.last.bias.copy_(self.prior[:, None] / _PACE)

    def begin_epoch(self, done: float) -> None:
        """Sets the share of both weights that the schedule gives."""
        self.pace = {"constant": 1.0, "rise": min(1.0, 2 * done), "fall": 1.0 - done}[self.schedule]

    # -- reliability ------------------------------------------------------------------------------

    def look(self, batch: Batch) -> Seen:
        """Encodes what is present, once a value, and says what each modality tells and how surely."""
        encoded = self.encode_tokens(batch)
        index = torch.stack([batch.values[name].index for name in self.names], 1)
        pooled = pad_sequence([full(e.pooled) for e in encoded])
        reached = mr.scale_gradient(pooled, self.pace * self.information)
        params = full(self.heads(reached, scale=_PACE))
        with torch.no_grad():
            told = mr.information(self.task, params, self.prior)
        entropy = self.prototypes.entropy(pooled)
        found = (mr.to_rows(x, index) for x in (params, told, entropy))
        return Seen(encoded, index, pooled, *found)

    def shares(self, seen: Seen) -> Float[Tensor, "n m"]:
        """R_ik over the present modalities of a row, or what stands in its place; sums to 1."""
        present = seen.index >= 0
        if self.gate is not None:
            logits = mr.to_rows(full(self.gate(seen.pooled))[..., 0], seen.index)
            logits = logits.masked_fill(~present, torch.finfo(logits.dtype).min)
            return logits.softmax(1) * present
        with torch.no_grad():
            entropy = seen.entropy.detach() + self.eps
            score = {
                "reliability": seen.information / entropy,
                "information": seen.information,
                "certainty": 1 / entropy,
                "uniform": torch.ones_like(entropy),
            }[self.weights]
            return mr.relative(score, present)

    def begin(self, seen: Seen, shares: Float[Tensor, "n m"]) -> Float[Tensor, "n q d"]:
        """What is added to the learned queries of each row; 0 for a row with nothing.

        Reference: products of linear maps, Kim et al., ICLR 2017; 1 + so that none need be there.
        """
        asked = mr.to_rows(self.start(seen.pooled), seen.index)
        worth = shares * (seen.index >= 0).sum(1, keepdim=True)  # 1 where all count the same
        factors = 1 + worth[..., None].to(asked.dtype) * asked
        return (factors.prod(1) - 1).unflatten(-1, (-1, self.width))

    def fuse(self, batch: Batch, seen: Seen, shares: Float[Tensor, "n m"]) -> Tensor:
        """Raw parameters ``[n, p]`` from the fused tokens and what was not measured."""
        meter = self.meter if self.training else None
        begin = None if self.start is None else self.begin(seen, shares)
        fused = self.fusion(seen.encoded, seen.index, shares, begin=begin, meter=meter)
        if self.text_head is not None:
            evidence = self.evidence(batch).to(fused.dtype)[:, None]
            there = batch.present.any(1, keepdim=True).expand(-1, fused.shape[1] + 1)
            return self.text_head.memory(torch.cat([fused, evidence], 1), there, batch.present)
        return full(self.head(self.with_evidence(fused.flatten(1), batch)))

    # -- objective --------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        severity = None
        if self.corrupt:
            batch, severity = corrupted(batch, share=self.corrupt, replaced=_REPLACED)
        seen = self.look(batch)
        if self.training:
            self.prototypes.track(mr.to_rows(seen.pooled.detach(), seen.index), seen.index >= 0)
        terms = {"task": self.task_loss(self.fuse(batch, seen, self.shares(seen)), batch)}
        clean = batch.present if severity is None else batch.present & (severity == 0)
        terms["entropy"] = self.pace * self.entropy * mr.mean_of_columns(seen.entropy, clean).sum()
        told = self.told(batch, seen).sum()
        # The heads learn at full weight; their gradient reaches the encoders scaled, see `look`.
        worth = self.pace * self.information * told.detach()
        terms["information"] = -(worth + (told - told.detach()))
        likely = mr.to_rows(self.prototypes.log_likelihood(seen.pooled), seen.index)
        terms["prototypes"] = -mr.mean_of_columns(likely, batch.present).sum()
        return terms

    def told(self, batch: Batch, seen: Seen) -> Float[Tensor, " m"]:
        """Barber and Agakov's bound of I(X_k; Y) over the labelled rows of a batch that have k."""
        use = batch.labelled
        if not bool(use.any()):
            return seen.params.sum((0, 2)) * 0.0
        ratio = mr.log_ratio(self.task, seen.params[use], self.prior, batch.target[use])
        weight = None if batch.weight is None else batch.weight[use]
        return mr.mean_of_columns(ratio, batch.present[use], weight)

    # -- prediction -------------------------------------------------------------------------------

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        seen = self.look(batch)
        shares = self.shares(seen)
        sure = mr.reliability(seen.information, seen.entropy, self.eps)
        fields = {
            "reliability": torch.where(batch.present, sure, sure.new_zeros(())),
            "reliance": shares,
            "extra": {"information": seen.information, "entropy": seen.entropy},
        }
        return self.fuse(batch, seen, shares), fields

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Centres embeddings at their exact mean over training rows, and counts used prototypes."""
        self.eval()
        kept, total, rows = [], torch.zeros_like(self.prototypes.centre), self.used.new_zeros(1)
        for batch in batches:  # once: media are decoded for it
            seen = self.look(batch)
            pooled, present = mr.to_rows(seen.pooled, seen.index), seen.index >= 0
            total, rows = total + pooled.sum(0), rows + present.sum(0)
            if sum(map(len, kept)) < _KEPT:
                kept.append(pooled.masked_fill(~present[..., None], torch.nan))
        centre = total / rows.clamp_min(1)[:, None]
        self.prototypes.centre.copy_(torch.where(rows[:, None] > 0, centre, self.prototypes.centre))
        if kept:
            share = self.prototypes(torch.cat(kept)).exp().nanmean(0).nan_to_num(0.0)
            self.used.copy_((-torch.special.xlogy(share, share).sum(-1)).exp())

    @torch.no_grad()
    def examine(self, batches: Iterable[Batch]) -> None:
        """Barber and Agakov's bound of I(X_k; Y) for each modality, on rows kept out."""
        self.eval()
        total, rows = 0.0, 0.0
        for batch in batches:
            known = batch.rows(batch.labelled.nonzero()[:, 0])
            if not len(known):
                continue
            ratio = mr.log_ratio(self.task, self.look(known).params, self.prior, known.target)
            weight = ratio.new_ones(len(known)) if known.weight is None else known.weight
            share = weight[:, None] * known.present
            total, rows = total + (share * ratio).sum(0), rows + share.sum(0)
        if torch.is_tensor(rows):
            self.bound.copy_(total / rows)  # NaN for a modality that no such row has

    def inherit(self, earlier: NeuralMethod) -> None:
        self.bound.copy_(earlier.bound)

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        """Collapse of prototypes, evenness of reliance, mean R and information per modality."""
        there = prediction.present
        entropy = prediction.extra["entropy"]
        out = {
            "prototype_collapse": float((entropy < self.eps / 10)[there].float().mean()),
            "prototypes_idle": float(1 - self.used.mean() / self.prototypes.weight.shape[1]),
            "attention_entropy": evenness(prediction.reliance, there),
        }
        for k, name in enumerate(self.names):
            out[f"reliance:{name}"] = float(prediction.reliance[there[:, k], k].mean())
            out[f"information:{name}"] = float(self.bound[k])
        out |= self.meter.report() if self.meter is not None else {}
        return {k: v for k, v in out.items() if v == v}


def _check(weights: str, schedule: str, **numbers: float) -> None:
    for what, value, known in (("weights", weights, mr.WEIGHTS), ("schedule", schedule, SCHEDULES)):
        if value not in known:
            raise unknown_name(what, value, known)
    for what, value in numbers.items():
        if not value > 0:
            raise SettingError(f"{what} must be positive; got {value!r}; change it")
