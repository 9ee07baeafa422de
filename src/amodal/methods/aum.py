"""AUM: each modality a Gaussian; patient-modality graph with uncertainty-aware attention; VIB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Batch, Prediction
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, unknown_name
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head, evenness, spread
from amodal.nn import gaussian
from amodal.nn.corruption import changed_only, corrupted
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots, weighted_total
from amodal.nn.grouped import GroupedLinear, GroupedMLP
from amodal.nn.losses import contrast, drop_to_subset, mix_params
from amodal.nn.oddness import ODDNESS, Oddness
from amodal.nn.patient_graph import PatientGraph
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["AGGREGATION", "AUM", "Edges", "Fused"]

AGGREGATION = ("paper", "posterior")

_PACE = 10.0
"""The variance heads start late and must have learned before the means overfit: an optimiser that
takes steps of one size moves them this many times as fast."""


@dataclass(frozen=True, eq=False)
class Edges:
    """The Gaussians on the edges: mean and log variance ``[m, s, d]``, and where the edges are."""

    mean: Float[Tensor, "m s d"]
    log_var: Float[Tensor, "m s d"]
    slots: Slots

    def by_row(self) -> tuple[Float[Tensor, "n m d"], Float[Tensor, "n m d"], Bool[Tensor, "n m"]]:
        """Means and log variances, 0 where there is no edge, and where there is one."""
        return self.slots.put(self.mean, 0), self.slots.put(self.log_var, 0), self.slots.present


@dataclass(frozen=True, eq=False)
class Fused:
    """The Gaussian of each row ``[n, d]``, and each modality's weight in it ``[n, m]``."""

    mean: Float[Tensor, "n d"]
    var: Float[Tensor, "n d"]
    reliance: Float[Tensor, "n m"]


class AUM(NeuralMethod):
    """Aleatoric uncertainty modelling, and exact Gaussian fusion as a variant of it.

    Encoders give h_ik; mu_ik = f_k(h_ik), an MLP beside a linear map, and
    log var_ik = clamp(g_k(h_ik)) (Eq. 1-2). With
    ``aggregation="paper"``, L layers of message passing between rows and modalities, where rows
    attend to modalities by inverse variance (Eq. 3), give mu_i (Eq. 4) and
    var_i = sum_k alpha_ik^2 var_ik (Eq. 5). With ``"posterior"``, mu_i and var_i are the exact
    posterior of a latent that each modality measures. The loss is
    L_cls + contrast L_con + beta KL(N(mu_i, var_i) || N(0, I)) (Eq. 6-7).

    Args:
        aggregation: ``paper`` or ``posterior``.
        layers: layers of message passing (``paper``).
        attention: ``softmax``, ``precision`` or ``uniform`` (``paper``).
        theta: temperature of the softmax.
        absent: ``mask`` or ``literal``, see `amodal.nn.gaussian.uncertainty_attention`.
        variance: ``learned``, or ``constant``: every edge has variance 1.
        vib: add beta KL to the loss.
        beta: weight of the KL, in nats per row.
        contrast: weight of the contrastive terms; 0 leaves them out.
        corrupt: weight of the term that teaches the variance heads what noise looks like: a copy of
            the input with noise added must get a larger variance; 0 leaves it out.
        two_stage: freeze the variance heads in stage 1.
        clamp: log variances stay in [-clamp, clamp].
        unit_means: means have mean 0 and variance 1 over d. Else a mean can shrink where its modality
            is noisy, which does for the task what a larger variance would, and the variance learns
            nothing of the noise.
        start: log variance of every edge before training; below 0, so that the noise of the latent
            does not drown the means when training begins.
        gain: scale of the edges' means before training, for the same reason.
        draws: fixed draws of the latent that a prediction averages over.
        widen: let conflict between modalities widen the predictive variance.

    Reference: "Embracing Aleatoric Uncertainty in Medical Multimodal Learning with Missing
    Modalities", arXiv 2601.21950; contrastive terms and graph: MUSE (Wu et al., ICLR 2024).
    Differences from the paper are listed in docs/papers/aum.md.
    """

    name = "aum"
    title = "AUM"
    reference = "arXiv 2601.21950"
    year = 2026
    stages = 2
    reports = ("reliability", "reliance", "conflict")
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "beta": Range(0.0001, 0.01, log=True),
        "contrast": Range(0.002, 0.2, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        aggregation: str = "posterior",
        layers: int = 2,
        attention: str = "softmax",
        theta: float = 1.0,
        absent: str = "mask",
        variance: str = "learned",
        vib: bool = True,
        beta: float = 1e-3,
        contrast: float = 0.02,
        corrupt: float = 0.02,
        two_stage: bool = True,
        clamp: float = 4.0,
        unit_means: bool = True,
        start: float = -1.0,
        gain: float = 3.0,
        draws: int = 16,
        widen: bool = False,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        _check(aggregation, attention, absent, variance, theta=theta, clamp=clamp, layers=layers)
        self.aggregation, self.attention, self.absent = aggregation, attention, absent
        self.theta, self.clamp, self.widen = theta, clamp, widen
        self.constant = variance == "constant"
        self.two_stage = two_stage and not self.constant
        self.beta = beta if vib else 0.0
        self.contrast, self.corrupt = contrast, corrupt
        m, d, p = len(self.names), self.width, encoder.dropout
        self.start, self.unit_means = start, unit_means
        self.mean_head = GroupedMLP(m, d, d, dropout=p, gain=gain)
        self.mean_direct = GroupedLinear(m, d, d)
        # Constant at first, so that attention is uniform until stage 2.
        self.variance_head = None if self.constant else GroupedMLP(m, d, d, gain=0.0)
        self.odd = None
        if corrupt and not self.constant:
            self.odd = nn.ModuleList(Oddness(encoder.columns) for encoder in self.encoders)
            self.odd_in = GroupedLinear(m, ODDNESS, d)
        if aggregation == "paper":
            self.graph = PatientGraph(m, d, layers=layers, dropout=p)
        self.projection = nn.Linear(d, d)
        self.head = Head(d, 2 * d, task.param_size, p)
        self.register_buffer("draws", gaussian.standard_normal_draws(draws, d))
        self.register_buffer("conflict_quantiles", torch.linspace(0, 1, 101))

    def prepare(self, train: Batch) -> None:
        super().prepare(train)
        for name, encoder, odd in zip(self.names, self.encoders, self.odd or (), strict=False):
            odd.fit(encoder.numbers(train.values[name]))
        with torch.no_grad():
            self.head.last.bias.copy_(self.base)

    def begin_stage(self, stage: int) -> None:
        """Stage 1 freezes the variance heads, stage 2 trains everything."""
        if self.variance_head is not None:
            self.variance_head.requires_grad_(stage > 1 or not self.two_stage)

    # -- equations 1 to 5 -----------------------------------------------------------------------

    def edges(self, batch: Batch) -> Edges:
        """The Gaussian of every present modality of every row (Eq. 1-2)."""
        slots = Slots.of(batch.present)
        return self._edges(self._hidden(batch, slots), self._oddness(batch, slots), slots)

    def _edges(
        self, hidden: Float[Tensor, "s m d"], odd: Float[Tensor, "s m o"] | None, slots: Slots
    ) -> Edges:
        mean = (self.mean_head(hidden) + self.mean_direct(hidden)).transpose(0, 1)
        if self.unit_means:
            mean = F.layer_norm(full(mean), mean.shape[-1:])
        if self.variance_head is None:
            return Edges(mean, torch.zeros_like(mean), slots)
        log_var = self._log_var(hidden, odd)
        return Edges(mean, F.hardtanh(log_var, -self.clamp, self.clamp), slots)

    def _hidden(self, batch: Batch, slots: Slots) -> Float[Tensor, "s m d"]:
        return slots.take(self.encode(batch)).transpose(0, 1)

    @torch.no_grad()
    def _oddness(self, batch: Batch, slots: Slots) -> Float[Tensor, "s m o"] | None:
        """How odd the numbers of every present modality are; 0 for a modality without numbers."""
        if self.odd is None:
            return None
        kind, columns = self.base.dtype, []
        for name, encoder, odd in zip(self.names, self.encoders, self.odd, strict=True):
            values = batch.values[name]
            columns.append(spread(odd(encoder.numbers(values)).to(kind), values))
        return slots.take(torch.stack(columns, 1)).transpose(0, 1)

    def _log_var(
        self, hidden: Float[Tensor, "s m d"], odd: Float[Tensor, "s m o"] | None
    ) -> Float[Tensor, "m s d"]:
        if odd is not None:
            hidden = hidden + self.odd_in(odd)
        raw = self.variance_head(hidden, scale=_PACE, shift=self.start)
        return full(raw).transpose(0, 1)

    def fuse(self, edges: Edges) -> Fused:
        """The Gaussian of every row."""
        return self.fuse_views(edges, edges.slots.present[None])[0]

    def fuse_views(
        self, edges: Edges, present: Bool[Tensor, "v n m"], *, track: bool = False
    ) -> tuple[Fused, Float[Tensor, "v n d"]]:
        """The Gaussian of every row in the first of several views, and its means in all of them.

        Args:
            present: what each view has of the edges.
            track: let the modality nodes' running averages learn from the first view.
        """
        if self.aggregation == "posterior":
            mean, log_var, _ = edges.by_row()
            views = [gaussian.fuse_posterior(mean, log_var, there) for there in present]
            return Fused(*views[0]), torch.stack([view[0] for view in views])
        slots, var = edges.slots, full(edges.log_var).exp()
        alpha = self._attend(var, slots, present)
        weight = slots.take(alpha, axis=1)
        there = slots.take(present, axis=1)
        mean = full(self.graph(edges.mean, weight, there, slots, track=track))
        var = weighted_total(var[None], weight[:1].square(), slots)[0]
        some = present.any(2, keepdim=True)
        mean = torch.where(some, mean, mean.new_zeros(()))
        return Fused(mean[0], torch.where(some[0], var, var.new_ones(())), alpha[0]), mean

    def attend(self, edges: Edges) -> Float[Tensor, "n m"]:
        """The weight of each modality in its row (Eq. 3)."""
        return self._attend(full(edges.log_var).exp(), edges.slots, edges.slots.present)

    def _attend(
        self, var: Float[Tensor, "m s d"], slots: Slots, present: Bool[Tensor, "*v n m"]
    ) -> Float[Tensor, "*v n m"]:
        return gaussian.attention_weights(
            slots.put(var.mean(-1), empty=1),
            present,
            kind=self.attention,
            theta=self.theta,
            absent=self.absent,
        )

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Replaces the running averages of the modality nodes by exact means over training rows."""
        if self.aggregation != "paper":
            return
        self.eval()
        self.graph.freeze_nodes(self._attended, batches)

    def _attended(self, batch: Batch) -> tuple[Float[Tensor, "m s d"], Float[Tensor, "m s"], Slots]:
        """What the graph reads of a batch: means and weights of its edges, and where they are."""
        edges = self.edges(batch)
        return edges.mean, edges.slots.take(self.attend(edges)), edges.slots

    # -- equations 6 and 7 ----------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        slots = Slots.of(batch.present)
        hidden, odd = self._hidden(batch, slots), self._oddness(batch, slots)
        edges = self._edges(hidden, odd, slots)
        noise = torch.randn_like(full(edges.mean.new_empty(len(batch), self.width)))
        present = batch.present[None]
        if self.contrast:
            present = torch.stack([batch.present, drop_to_subset(batch.present)])
        fused, means = self.fuse_views(edges, present, track=True)
        params = self._decode(fused.mean + fused.var.sqrt() * noise, batch)
        terms = {"task": self.task_loss(params, batch)}
        some = batch.present.any(1).nonzero()[:, 0]
        means = means.index_select(1, some)
        if self.beta:
            kl = gaussian.kl_to_standard(means[0], fused.var.index_select(0, some))
            terms["vib"] = self.beta * (kl.mean() if len(kl) else kl.sum())
        heads = self.variance_head
        if self.corrupt and heads is not None and heads.last.weight.requires_grad:
            terms["corrupt"] = self.corrupt * self._corruption(hidden.detach(), odd, batch, slots)
        if self.contrast:
            terms["contrast"] = self.contrast * self._contrast(means, batch.target, some)
        return terms

    def _corruption(
        self, hidden: Float[Tensor, "s m d"], odd: Tensor, batch: Batch, slots: Slots
    ) -> Float[Tensor, ""]:
        """A copy of the inputs with noise of severity s must have a larger variance.

        mean over pairs of softplus(1/2 log(1 + s^2) - (l' - l)), l and l' the mean log variances of
        the input as it is and with noise of s training standard deviations added. It teaches the
        variance heads alone: encoders that had to tell noise would do so instead of their task.
        """
        noisy, severity = corrupted(batch)
        noisy = changed_only(noisy, batch)
        with torch.no_grad():
            changed = self._hidden(noisy, slots)
        raised = self._log_var(changed, self._oddness(noisy, slots))
        gap = raised.mean(-1) - self._log_var(hidden, odd).mean(-1)
        severity = slots.take(severity)
        margin = 0.5 * (1 + severity.square()).log()
        use = slots.there & (severity > 0)
        return F.softplus(margin - gap)[use].sum() / use.sum().clamp_min(1)

    def _contrast(
        self, views: Float[Tensor, "2 r d"], target: Tensor | None, rows: Int[Tensor, " r"]
    ) -> Float[Tensor, ""]:
        """1/2 L_unsup + 1/2 L_sup between the rows and the same rows with modalities dropped."""
        first, second = F.normalize(torch.tanh(self.projection(views)), dim=-1)
        label = first.new_full((len(rows),), torch.nan)
        if target is not None and self.task.kind in ("binary", "multiclass"):
            label = target[rows]
        return contrast(first, second, label)

    def _decode(self, latent: Float[Tensor, "*s n d"], batch: Batch) -> Float[Tensor, "*s n p"]:
        return self.head(self.with_evidence(latent, batch))

    # -- prediction -----------------------------------------------------------------------------

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        edges = self.edges(batch)
        fused = self.fuse(edges)
        mean, log_var, present = edges.by_row()
        p = self._recalibrate(gaussian.conflict(mean, log_var, present))
        var = fused.var
        if self.widen:
            var = self._widened(var, p)
        latent = fused.mean + var.sqrt() * self.draws[:, None]
        params = mix_params(self.task, full(self._decode(latent, batch)))
        collapsed = (log_var.abs() >= 0.99 * self.clamp).float().mean(-1)
        fields = {
            "reliability": gaussian.reliability(log_var, present),
            "reliance": fused.reliance,
            "variance": var,
            "conflict": p,
            "extra": {
                "variance_of_modality": log_var.exp().mean(-1),
                "collapsed": collapsed,
                "kl": gaussian.kl_to_standard(fused.mean, fused.var),
            },
        }
        return params, fields

    def _widened(self, var: Tensor, p: Tensor) -> Tensor:
        """Conflict below .05 widens towards the prior's variance: at p = 0 all the way."""
        share = (1 - p / 0.05).clamp(0, 1).nan_to_num(0.0)[:, None]
        return var + share * (1 - var).clamp_min(0)

    def _recalibrate(self, p: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """p-values against those of validation rows, so that they are uniform there."""
        grid = self.conflict_quantiles.to(p.dtype)
        level = torch.linspace(0, 1, len(grid), dtype=p.dtype, device=p.device)
        high = torch.searchsorted(grid, p.nan_to_num(0.0).contiguous()).clamp(1, len(grid) - 1)
        span = (grid[high] - grid[high - 1]).clamp_min(1e-12)
        part = ((p - grid[high - 1]) / span).clamp(0, 1)
        return level[high - 1] + part * (level[high] - level[high - 1])

    @torch.no_grad()
    def calibrate_conflict(self, predictions: Prediction) -> None:
        known = predictions.conflict[~predictions.conflict.isnan()]
        known = known.to(self.conflict_quantiles.dtype)
        if len(known) >= 20:
            grid = torch.quantile(known, torch.linspace(0, 1, 101, device=known.device))
            grid[0], grid[-1] = 0.0, 1.0
            self.conflict_quantiles.copy_(grid)

    def inherit(self, earlier: NeuralMethod) -> None:
        self.conflict_quantiles.copy_(earlier.conflict_quantiles)

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        """Variance collapse, attention entropy against uniform, KL per row in nats, log variances.

        The last are quantiles over present modalities of the log of the mean variance over d.
        """
        there = prediction.present
        out = {
            "variance_collapse": float(prediction.extra["collapsed"][there].mean()),
            "attention_entropy": evenness(prediction.reliance, there),
            "kl_nats": float(prediction.extra["kl"].mean()),
        }
        spread = prediction.extra["variance_of_modality"][there].log()
        if len(spread):
            levels = torch.tensor([0.05, 0.5, 0.95], dtype=spread.dtype, device=spread.device)
            found = torch.quantile(spread, levels).tolist()
            out |= {f"log_variance_q{q}": x for q, x in zip(("05", "50", "95"), found, strict=True)}
        return {k: v for k, v in out.items() if v == v}


def _check(aggregation: str, attention: str, absent: str, variance: str, **numbers: float) -> None:
    for what, value, known in (
        ("aggregation", aggregation, AGGREGATION),
        ("attention", attention, gaussian.ATTENTION),
        ("absent", absent, ("mask", "literal")),
        ("variance", variance, ("learned", "constant")),
    ):
        if value not in known:
            raise unknown_name(what, value, known)
    for what, value in numbers.items():
        if not value > 0:
            raise SettingError(f"{what} must be positive; got {value!r}; change it")
