"""M3Care: what is absent is imputed from similar rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.errors import at_least
from amodal.methods.base import NeuralMethod
from amodal.methods.parts import Head
from amodal.nn.blocks import Transformer
from amodal.nn.gaussian import full
from amodal.nn.grouped import GroupedLinear, GroupedMLP, select_present
from amodal.space import Range
from amodal.types import Modality, Task

__all__ = ["M3Care", "kernel", "squared_distances"]

_SCALES = (0.5, 1.0, 2.0)
"""Bandwidths of the kernel, as multiples of the mean squared distance."""


class M3Care(NeuralMethod):
    """Similar rows of a memory lend their embeddings of what a row lacks.

    h_ik = relu(encoded). For each modality that rows i and j both have, their similarity is
    (1 - w_k) K(phi_k(h_ik), phi_k(h_jk)) + w_k K(h_ik, h_jk), K a Gaussian kernel (`kernel`), w_k
    learned; s_ij is the mean over those modalities. Links a_ij = relu(s_ij - t) / (1 - t) are left
    above a learned threshold t. Two graph convolutions along them, over rows that have k, give g_ik;
    where h_ik is present both are mixed by learned weights, where absent g_ik stands for it. The
    head reads these and the summary of a transformer over the present h_ik. The loss keeps
    |phi_k(h)| near |h|, so that phi cannot collapse.

    Args:
        memory: training rows kept as neighbours for prediction.
        layers: transformer blocks.
        stable: weight of the term on phi.

    Reference: Zhang et al., "M3Care: Learning with Missing Modalities in Multimodal Healthcare
    Data", KDD 2022.

    Differences from the paper:

    - Neighbours. In the paper they are the rows of the mini-batch, also at prediction, so that a
      row's prediction depends on who else is in the batch. Here they are the batch in training
      alone; at prediction they are `memory` training rows, stored in encoded form with the weights
      (in training a queue of the last ones, behind it evenly spaced ones, encoded anew). The stored
      bandwidths are those of these rows.
    - Convolutions divide by 1 + sum_j a_ij, so that they do not grow with the number of neighbours;
      a row has a link of 1 to itself where it has k, and none in the memory.
    - Links above t fall to 0 at t without a jump, and t starts at .5 (published code: .88, at which
      hardly any pair is linked before training).
    - Kernels read layer-normalised vectors (published code: batch-normalised, absent rows included).
    - What was not measured joins the head's input (``pattern=false`` for none).

    Raises:
        SettingError: `memory` or `layers` below 1.
    """

    name = "m3care"
    title = "M3Care"
    reference = "Zhang et al., KDD 2022"
    year = 2022
    uses_unlabelled = True
    search_space = {  # noqa: RUF012 - as the base declares it
        **NeuralMethod.search_space,
        "stable": Range(0.001, 0.1, log=True),
    }

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        memory: int = 512,
        layers: int = 2,
        stable: float = 0.01,
        **common: Any,
    ) -> None:
        encoder = encoder or EncoderSettings()
        super().__init__(modalities, task, encoder=encoder, **common)
        at_least(1, memory=memory, layers=layers)
        m, d, p = len(self.names), self.width, encoder.dropout
        self.stable = stable
        self.phi = GroupedMLP(m, d, d, dropout=p)
        self.mix = nn.Parameter(torch.zeros(m))
        self.threshold = nn.Parameter(torch.zeros(()))
        self.first, self.second = GroupedLinear(m, d, d), GroupedLinear(m, d, d)
        self.trust = GroupedLinear(m, 2 * d, 2)
        self.kind = nn.Parameter(torch.randn(m, d) * 0.02)
        self.body = Transformer(d, encoder.heads, depth=layers, dropout=p)
        self.head = Head(2 * d, (m + 2) * d, task.param_size, p)
        self.register_buffer("bank", torch.zeros(memory, m, d))
        self.register_buffer("bank_present", torch.zeros(memory, m, dtype=torch.bool))
        self.register_buffer("bank_next", torch.zeros((), dtype=torch.int64))
        self.register_buffer("bandwidth", torch.ones(2, m))

    # -- similarity of rows ---------------------------------------------------------------------

    def _keys(self, hidden: Float[Tensor, "n m d"]) -> Float[Tensor, "2 n m d"]:
        """What the two kernels read: the embeddings, and phi of them."""
        both = torch.stack([hidden, self.phi(hidden).relu()])
        return F.layer_norm(full(both), both.shape[-1:])

    def links(
        self,
        hidden: Float[Tensor, "n m d"],
        present: Bool[Tensor, "n m"],
        other: Float[Tensor, "s m d"] | None = None,
        other_present: Bool[Tensor, "s m"] | None = None,
    ) -> Float[Tensor, "n s"]:
        """a_ij in [0, 1] from rows to others, or among themselves without a row's own."""
        own = other is None
        keys = self._keys(hidden)
        there = present if own else other_present
        distance = squared_distances(keys, keys if own else self._keys(other))
        both = (present[:, None] & there[None]).permute(2, 0, 1)  # [m, n, s]
        if own:
            both = both & ~torch.eye(len(present), dtype=torch.bool, device=both.device)
        width = self.bandwidth
        if own and self.training:
            width = _mean_distance(distance, both)
            self._learn_bandwidth(width)
        plain, learned = kernel(distance, width[..., None, None].to(distance.dtype))
        share = self.mix.sigmoid()[:, None, None].to(plain.dtype)
        similar = torch.where(both, share * plain + (1 - share) * learned, plain.new_zeros(()))
        mean = similar.sum(0) / both.sum(0).clamp_min(1)
        t = self.threshold.sigmoid().to(mean.dtype)
        return (mean - t).relu() / (1 - t).clamp_min(1e-6)

    @torch.no_grad()
    def _learn_bandwidth(self, found: Float[Tensor, "2 m"]) -> None:
        self.bandwidth.lerp_(found.to(self.bandwidth.dtype), 0.1)

    # -- what similar rows lend -----------------------------------------------------------------

    def lend(
        self, hidden: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
    ) -> Float[Tensor, "n m d"]:
        """g_ik: from the rest of the batch in training, else from the memory."""
        if self.training:
            links = self.links(hidden, present)
            first = convolve(links, hidden, present, hidden, present)
            first = self.first(first).relu()
            return self.second(convolve(links, first, present, first)).relu()
        used = self.bank_present.any(1)
        bank, kept = self.bank[used].to(hidden.dtype), self.bank_present[used]
        among = self.links(bank, kept)
        lent = self.first(convolve(among, bank, kept, bank, kept)).relu()
        links = self.links(hidden, present, bank, kept)
        first = self.first(convolve(links, bank, kept, hidden, present)).relu()
        return self.second(convolve(links, lent, kept, first)).relu()

    def _hidden(self, batch: Batch) -> Float[Tensor, "n m d"]:
        return select_present(self.encode(batch).relu(), batch.present)

    def _params(self, hidden: Float[Tensor, "n m d"], batch: Batch) -> Float[Tensor, "n p"]:
        present, lent = batch.present, self.lend(hidden, batch.present)
        trust = self.trust(torch.cat([lent, hidden], -1)).sigmoid()
        share = (trust[..., :1] / trust.sum(-1, keepdim=True)).to(hidden.dtype)
        filled = torch.where(present[..., None], share * lent + (1 - share) * hidden, lent)
        summary = self.body(hidden + self.kind, present)[0]
        read = torch.cat([summary, filled.flatten(1).to(summary.dtype)], 1)
        return self.head(self.with_evidence(read, batch))

    def predict_params(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        return self._params(self._hidden(batch), batch), {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        hidden = self._hidden(batch)
        terms = {"task": self.task_loss(self._params(hidden, batch), batch)}
        if self.training:
            self._remember(hidden.detach(), batch.present)
        if self.stable:
            gap = (full(self.phi(hidden)).norm(dim=-1) - full(hidden).norm(dim=-1)).abs()
            gap = torch.where(batch.present, gap, gap.new_zeros(()))
            terms["stable"] = self.stable * gap.sum() / batch.present.sum().clamp_min(1)
        return terms

    # -- the memory -----------------------------------------------------------------------------

    @torch.no_grad()
    def _remember(self, hidden: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> None:
        """The newest rows take the places of the oldest."""
        size = len(self.bank)
        hidden, present = hidden[-size:], present[-size:]
        place = (self.bank_next + torch.arange(len(hidden), device=hidden.device)) % size
        self.bank[place] = hidden.to(self.bank.dtype)
        self.bank_present[place] = present
        self.bank_next.add_(len(hidden)).remainder_(size)

    @torch.no_grad()
    def finalise(self, batches: Iterable[Batch]) -> None:
        """Fills the memory with evenly spaced training rows, encoded by the final weights."""
        self.eval()
        parts = [(self._hidden(b), b.present) for b in batches]
        hidden, present = (torch.cat(x) for x in zip(*parts, strict=True))
        some = present.any(1).nonzero()[:, 0]
        spaced = torch.linspace(0, max(len(some) - 1, 0), min(len(self.bank), len(some)))
        rows = some[spaced.round().long().to(some.device)]
        self.bank.zero_()
        self.bank_present.zero_()
        self.bank[: len(rows)] = hidden[rows].to(self.bank.dtype)
        self.bank_present[: len(rows)] = present[rows]
        keys = self._keys(self.bank)
        both = self.bank_present[:, None] & self.bank_present[None]
        both = both & ~torch.eye(len(both), dtype=torch.bool, device=both.device)[..., None]
        found = _mean_distance(squared_distances(keys, keys), both.permute(2, 0, 1))
        self.bandwidth.copy_(found)


def squared_distances(
    x: Float[Tensor, "k n m d"], y: Float[Tensor, "k s m d"]
) -> Float[Tensor, "k m n s"]:
    """Mean over d of (x_i - y_j)^2, for every pair of rows.

    >>> squared_distances(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]])).item()
    5.0
    """
    x, y = x.transpose(1, 2), y.transpose(1, 2)
    inner = x @ y.transpose(-1, -2)
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (squares - 2 * inner).clamp_min(0) / x.shape[-1]


def kernel(distance: Tensor, width: Tensor) -> Tensor:
    """Mean over three bandwidths c of exp(-distance / (c width)): 1 at distance 0, falling to 0.

    >>> kernel(torch.tensor([0.0, 100.0]), torch.tensor(1.0)).round(decimals=3).tolist()
    [1.0, 0.0]
    """
    ratio = distance / width
    return torch.stack([(-ratio / c).exp() for c in _SCALES]).mean(0)


def convolve(
    links: Float[Tensor, "n s"],
    other: Float[Tensor, "s m d"],
    other_present: Bool[Tensor, "s m"],
    own: Float[Tensor, "n m d"],
    own_present: Bool[Tensor, "n m"] | None = None,
) -> Float[Tensor, "n m d"]:
    """(own_ik + sum_j a_ij other_jk) / (1 + sum_j a_ij), j over rows that have k.

    >>> one = torch.ones(1, 1, dtype=torch.bool)
    >>> convolve(torch.tensor([[1.0]]), torch.full((1, 1, 1), 4.0), one, torch.zeros(1, 1, 1)).item()
    2.0
    """
    links = links.to(other.dtype)
    own = own if own_present is None else select_present(own, own_present)
    total = torch.einsum("ns,smd->nmd", links, select_present(other, other_present))
    weight = links @ other_present.to(links.dtype)
    return (own + total) / (1 + weight)[..., None]


@torch.no_grad()
def _mean_distance(
    distance: Float[Tensor, "k m n s"], both: Bool[Tensor, "m n s"]
) -> Float[Tensor, "k m"]:
    """Mean over the pairs of rows that both have a modality; 1 where there is no such pair."""
    count = both.sum((1, 2))
    total = torch.where(both, distance, distance.new_zeros(())).sum((2, 3))
    mean = (total / count.clamp_min(1)).clamp_min(1e-3)
    return torch.where(count > 0, mean, mean.new_ones(()))
