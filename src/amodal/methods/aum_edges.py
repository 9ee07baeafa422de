"""`GaussianEdges`: methods for which each modality of a row is a Gaussian, as wide as it is noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, unknown_name
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import spread
from amodal.nn.corruption import changed_only, corrupted
from amodal.nn.gaussian import full
from amodal.nn.graph import Slots
from amodal.nn.grouped import GroupedLinear, GroupedMLP
from amodal.nn.oddness import ODDNESS, Oddness
from amodal.types import Modality, Task

__all__ = ["PACE", "VARIANCE", "Edges", "GaussianEdges", "Read"]

VARIANCE = ("learned", "constant")

PACE = 10.0
"""The variance heads start late and must have learned before the means overfit: an optimiser that
takes steps of one size moves them this many times as fast."""


@dataclass(frozen=True, eq=False)
class Edges:
    """The Gaussians on the edges: mean and log variance ``[m, s, d]``, and where the edges are."""

    mean: Float[Tensor, "m s d"]
    log_var: Float[Tensor, "m s d"]
    slots: Slots

    def by_row(self) -> tuple[Float[Tensor, "n m d"], Float[Tensor, "n m d"], Bool[Tensor, "n m"]]:
        """Means and log variances, 0 where there is no edge, and where there is one.

        >>> slots = Slots.of(torch.tensor([[True], [False]]))
        >>> mean, log_var, there = Edges(torch.ones(1, 1, 1), torch.ones(1, 1, 1), slots).by_row()
        >>> mean.flatten().tolist(), there.flatten().tolist()
        ([1.0, 0.0], [True, False])
        """
        return self.slots.put(self.mean, 0), self.slots.put(self.log_var, 0), self.slots.present


@dataclass(frozen=True, eq=False)
class Read:
    """What the heads read of the present pairs of a batch, and where the pairs are.

    Args:
        hidden: ``[s, m, d]`` what the encoders say.
        odd: ``[s, m, o]`` how odd the numbers are (`amodal.nn.oddness.Oddness`); None where the
            variance heads are not told.
        slots: where the pairs are.
    """

    hidden: Float[Tensor, "s m d"]
    odd: Float[Tensor, "s m o"] | None
    slots: Slots


class GaussianEdges(NeuralMethod):
    """Base of methods that learn a mean and a variance for each modality of a row (AUM, Eq. 1-2).

    Encoders give h_ik; mu_ik = f_k(h_ik), an MLP beside a linear map, and
    log var_ik = clamp(g_k(h_ik)). The variance heads are frozen in the first of two stages. A
    subclass says what becomes of the edges, and adds `noise_loss` to its loss.

    Args:
        variance: ``learned``, or ``constant``: every edge has variance 1.
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
    """

    stages = 2

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        variance: str = "learned",
        corrupt: float = 0.02,
        two_stage: bool = True,
        clamp: float = 4.0,
        unit_means: bool = True,
        start: float = -1.0,
        gain: float = 3.0,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        if variance not in VARIANCE:
            raise unknown_name("variance", variance, VARIANCE)
        if not clamp > 0:
            raise SettingError(f"clamp must be positive; got {clamp!r}; change it")
        constant = variance == "constant"
        self.two_stage = two_stage and not constant
        self.corrupt, self.clamp = corrupt, clamp
        self.start, self.unit_means = start, unit_means
        m, d = len(self.names), self.width
        self.mean_head = GroupedMLP(m, d, d, dropout=encoder.dropout, gain=gain)
        self.mean_direct = GroupedLinear(m, d, d)
        # Constant at first, so that attention is uniform until stage 2.
        self.variance_head = None if constant else GroupedMLP(m, d, d, gain=0.0)
        self.odd = None
        if corrupt and not constant:
            self.odd = nn.ModuleList(Oddness(encoder.columns) for encoder in self.encoders)
            self.odd_in = GroupedLinear(m, ODDNESS, d)

    def prepare(self, train: Batch) -> None:
        super().prepare(train)
        for name, encoder, odd in zip(self.names, self.encoders, self.odd or (), strict=False):
            odd.fit(encoder.numbers(train.values[name]))

    def begin_stage(self, stage: int) -> None:
        """Stage 1 freezes the variance heads, stage 2 trains everything."""
        if self.variance_head is not None:
            self.variance_head.requires_grad_(stage > 1 or not self.two_stage)

    def edges(self, batch: Batch) -> Edges:
        """The Gaussian of every present modality of every row (Eq. 1-2)."""
        return self.edges_of(self.read(batch))

    def read(self, batch: Batch) -> Read:
        """What the heads read of a batch."""
        slots = Slots.of(batch.present)
        return Read(self._hidden(batch, slots), self._oddness(batch, slots), slots)

    def edges_of(self, read: Read) -> Edges:
        """`edges` of what has been read."""
        hidden = read.hidden
        mean = (self.mean_head(hidden) + self.mean_direct(hidden)).transpose(0, 1)
        if self.unit_means:
            mean = F.layer_norm(full(mean), mean.shape[-1:])
        if self.variance_head is None:
            return Edges(mean, torch.zeros_like(mean), read.slots)
        log_var = self._log_var(hidden, read.odd)
        return Edges(mean, F.hardtanh(log_var, -self.clamp, self.clamp), read.slots)

    def learns_noise(self) -> bool:
        """Whether the variance heads learn by `noise_loss` now: not while they are frozen."""
        heads = self.variance_head
        return bool(self.corrupt and heads is not None and heads.last.weight.requires_grad)

    def noise_loss(self, read: Read, batch: Batch) -> Float[Tensor, ""]:
        """A copy of the inputs with noise of severity s must have a larger variance.

        mean over pairs of softplus(1/2 log(1 + s^2) - (l' - l)), l and l' the mean log variances of
        the input as it is and with noise of s training standard deviations added. It teaches the
        variance heads alone: encoders that had to tell noise would do so instead of their task.
        """
        slots = read.slots
        noisy, severity = corrupted(batch)
        noisy = changed_only(noisy, batch)
        with torch.no_grad():
            changed = self._hidden(noisy, slots)
        raised = self._log_var(changed, self._oddness(noisy, slots))
        gap = raised.mean(-1) - self._log_var(read.hidden.detach(), read.odd).mean(-1)
        severity = slots.take(severity)
        margin = 0.5 * (1 + severity.square()).log()
        use = slots.there & (severity > 0)
        return F.softplus(margin - gap)[use].sum() / use.sum().clamp_min(1)

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
        raw = self.variance_head(hidden, scale=PACE, shift=self.start)
        return full(raw).transpose(0, 1)
