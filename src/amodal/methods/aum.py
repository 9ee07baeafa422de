"""AUM: each modality a Gaussian; patient-modality graph with uncertainty-aware attention; VIB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Batch, Prediction
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, unknown_name
from amodal.methods.aum_edges import Edges, GaussianEdges
from amodal.methods.aum_fusion import Attention, Fused, by_messages, by_posterior
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head, evenness
from amodal.nn import gaussian
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots
from amodal.nn.losses import contrast, drop_to_subset, mix_params
from amodal.nn.p_values import quantiles_of, to_uniform
from amodal.nn.patient_graph import PatientGraph
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["AGGREGATION", "AUM", "Edges", "Fused"]

AGGREGATION = ("paper", "posterior")


class AUM(GaussianEdges):
    """Aleatoric uncertainty modelling, and exact Gaussian fusion as a variant of it.

    Each modality of a row is N(mu_ik, var_ik) (Eq. 1-2, `GaussianEdges`, where the settings of the
    edges are explained). With ``aggregation="paper"``, L layers of message passing between rows and
    modalities, where rows attend to modalities by inverse variance (Eq. 3), give mu_i (Eq. 4) and
    var_i = sum_k alpha_ik^2 var_ik (Eq. 5). With ``"posterior"``, mu_i and var_i are the exact
    posterior of a latent that each modality measures. The loss is
    L_cls + contrast L_con + beta KL(N(mu_i, var_i) || N(0, I)) (Eq. 6-7).

    Args:
        aggregation: ``paper`` or ``posterior``.
        layers: layers of message passing (``paper``).
        attention: ``softmax``, ``precision`` or ``uniform`` (``paper``).
        theta: temperature of the softmax.
        absent: ``mask`` or ``literal``, see `amodal.nn.gaussian.uncertainty_attention`.
        vib: add beta KL to the loss.
        beta: weight of the KL, in nats per row.
        contrast: weight of the contrastive terms; 0 leaves them out.
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
        vib: bool = True,
        beta: float = 1e-3,
        contrast: float = 0.02,
        draws: int = 16,
        widen: bool = False,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        if aggregation not in AGGREGATION:
            raise unknown_name("aggregation", aggregation, AGGREGATION)
        for what, value in (("theta", theta), ("layers", layers)):
            if not value > 0:
                raise SettingError(f"{what} must be positive; got {value!r}; change it")
        self.attention = Attention(attention, theta, absent)
        self.beta, self.contrast, self.widen = beta if vib else 0.0, contrast, widen
        d, p = self.width, encoder.dropout
        self.graph = None
        if aggregation == "paper":
            self.graph = PatientGraph(len(self.names), d, layers=layers, dropout=p)
            self.graph.keep_apart()
        self.projection = nn.Linear(d, d)
        self.head = Head(d, 2 * d, task.param_size, p)
        self.register_buffer("draws", gaussian.standard_normal_draws(draws, d))
        self.register_buffer("conflict_quantiles", torch.linspace(0, 1, 101))

    def prepare(self, train: Batch) -> None:
        super().prepare(train)
        with torch.no_grad():
            self.head.last.bias.copy_(self.base)

    # -- equations 3 to 5 -----------------------------------------------------------------------

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
        if self.graph is None:
            return by_posterior(edges, present)
        settings = {"graph": self.graph, "attention": self.attention, "track": track}
        return by_messages(edges, present, **settings)

    def attend(self, edges: Edges) -> Float[Tensor, "n m"]:
        """The weight of each modality in its row (Eq. 3)."""
        var = full(edges.log_var).exp()
        return self.attention.weights(var, edges.slots, edges.slots.present)

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Replaces the running averages of the modality nodes by exact means over training rows."""
        if self.graph is not None:
            self.eval()
            self.graph.freeze_nodes(self._attended, batches)

    def _attended(self, batch: Batch) -> tuple[Float[Tensor, "m s d"], Float[Tensor, "m s"], Slots]:
        """What the graph reads of a batch: means and weights of its edges, and where they are."""
        edges = self.edges(batch)
        return edges.mean, edges.slots.take(self.attend(edges)), edges.slots

    # -- equations 6 and 7 ----------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        read = self.read(batch)
        edges = self.edges_of(read)
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
        if self.learns_noise():
            terms["corrupt"] = self.corrupt * self.noise_loss(read, batch)
        if self.contrast:
            terms["contrast"] = self.contrast * self._contrast(means, batch.target, some)
        return terms

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
        p = to_uniform(gaussian.conflict(mean, log_var, present), self.conflict_quantiles)
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

    @torch.no_grad()
    def calibrate_conflict(self, predictions: Prediction) -> None:
        """Takes the p-values of validation rows: there, conflict is uniform from now on."""
        grid = quantiles_of(predictions.conflict.to(self.conflict_quantiles.dtype))
        if grid is not None:
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
