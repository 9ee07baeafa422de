"""What a modality tells of the target, and how uncertain its embedding is.

Shapes: v values of each of m modalities (the fewer are padded), n rows; entries of absent pairs are
0 and were never computed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import kl_divergence

from amodal.nn.gaussian import full
from amodal.types import Task
from amodal.vocabulary import PAD

__all__ = [
    "WEIGHTS",
    "Prototypes",
    "information",
    "log_ratio",
    "mean_of_columns",
    "relative",
    "reliability",
    "scale_gradient",
    "to_rows",
    "token_shares",
]

WEIGHTS = ("reliability", "information", "certainty", "uniform", "gate")
"""What attention is weighed by."""

_MEMORY = 0.99  # of the running mean of embeddings, per step


class Prototypes(nn.Module):
    """p(c | h) = softmax over C prototypes w_kc of cos(h - b_k, w_kc) / temperature, and its entropy.

    b_k is a running mean of the embeddings: what all have in common would make all directions alike.

    A distribution over finitely many states, so that Shannon's sum is defined and lies between 0
    and log C. Directions are compared, not sizes: an embedding that looks like no prototype is
    spread over many, however large it is.

    Args:
        groups: number m of modalities, each with prototypes of its own.
        width: size d of the embeddings.
        prototypes: number C, at least 2.
        temperature: positive; the smaller, the lower the entropy.

    The prototypes are fitted to the embeddings by `log_likelihood`, as centres of equal clusters;
    `entropy` does not move them. If they followed the entropy, all would lie on one another.

    Shapes: ``[v, m, d] -> [v, m, C]`` log probabilities.

    Reference: mixtures of von Mises-Fisher distributions, Banerjee et al., JMLR 6, 2005.

    >>> p = Prototypes(1, 2, 2, temperature=0.1)
    >>> with torch.no_grad():
    ...     _ = p.weight.copy_(torch.eye(2)[None])
    >>> between, near = p.entropy(torch.tensor([[[1.0, 1.0]], [[1.0, 0.0]]]))[:, 0].tolist()
    >>> round(between, 4) == round(math.log(2), 4), round(near, 4)
    (True, 0.0005)
    """

    def __init__(self, groups: int, width: int, prototypes: int, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.weight = nn.Parameter(torch.randn(groups, prototypes, width))
        self.register_buffer("centre", torch.zeros(groups, width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def track(self, hidden: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]) -> None:
        """Moves b_k towards the mean embedding of a mini-batch, for the modalities that it has.

        Args:
            hidden: 0 where absent.
        """
        count = present.sum(0)[:, None]
        mean = (hidden.sum(0) / count.clamp_min(1)).to(self.centre.dtype)
        keep = (self.steps / (self.steps + 10)).clamp_max(_MEMORY).to(self.centre.dtype)
        self.centre.copy_(torch.where(count > 0, torch.lerp(mean, self.centre, keep), self.centre))
        self.steps += 1

    def forward(self, hidden: Float[Tensor, "v m d"]) -> Float[Tensor, "v m c"]:
        return self._logits(hidden, self.weight.detach()).log_softmax(-1)

    def entropy(self, hidden: Float[Tensor, "v m d"]) -> Float[Tensor, "v m"]:
        """-sum_c p_c log p_c, in nats, in [0, log C]."""
        log_p = self(hidden)
        return -(log_p.exp() * log_p).sum(-1)

    def log_likelihood(self, hidden: Float[Tensor, "v m d"]) -> Float[Tensor, "v m"]:
        """log (1/C) sum_c exp(cos(h, w_c) / temperature), up to a constant; embeddings stay put."""
        return self._logits(hidden.detach(), self.weight).logsumexp(-1) - self.most

    def _logits(self, hidden: Tensor, weight: Tensor) -> Float[Tensor, "v m c"]:
        h = F.normalize(full(hidden) - self.centre, dim=-1)
        w = F.normalize(full(weight), dim=-1)
        with torch.autocast(h.device.type, enabled=False):
            cosine = torch.bmm(h.transpose(0, 1), w.transpose(1, 2)).transpose(0, 1)
        return cosine / self.temperature

    @property
    def most(self) -> float:
        """log C: the largest entropy."""
        return math.log(self.weight.shape[1])


def information(
    task: Task, params: Float[Tensor, "*v m p"], prior: Float[Tensor, "m p"]
) -> Float[Tensor, "*v m"]:
    """KL(q_k(y | x) || p_k(y)) in nats, at least 0: what a modality tells of a target not yet known.

    Its mean over rows is the mutual information that q has extracted, where q is calibrated.

    Args:
        task: turns parameters into distributions.
        params: of q_k, a prediction from modality k alone.
        prior: of p_k, the base rate among the rows that have it.

    >>> task = Task("binary")
    >>> information(task, torch.tensor([[[30.0]]]), torch.zeros(1, 1)).item()  # log 2
    0.693...
    """
    if params.numel() == 0:
        return full(params).new_zeros(params.shape[:-1])
    q, p = task.dist(full(params)), task.dist(full(prior).expand_as(full(params)))
    return kl_divergence(q, p).clamp_min(0)


def log_ratio(
    task: Task,
    params: Float[Tensor, "n m p"],
    prior: Float[Tensor, "m p"],
    target: Float[Tensor, "n *l"],
) -> Float[Tensor, "n m"]:
    """log q_k(y_i | x_ik) - log p_k(y_i) of known targets.

    Its mean over rows that have the modality is Barber and Agakov's bound of I(X_k; Y), the
    cross-entropy of the base rate standing for H(Y). Of a sequence it is the mean over all tokens of
    its references, each drawn for itself: sum_w f_i(w) [log q_k(w | x_ik) - log p_k(w)], with f_i the
    shares of tokens in them.

    >>> task, sure = Task("binary"), torch.tensor([[[3.0]], [[3.0]]])  # log odds of 1
    >>> log_ratio(task, sure, torch.zeros(1, 1), torch.tensor([1.0, 0.0])).sign().flatten().tolist()
    [1.0, -1.0]
    >>> from amodal.vocabulary import END, SPECIALS, Vocabulary
    >>> task = Task("sequence", vocabulary=Vocabulary("words", (*SPECIALS, "a"), 1))
    >>> even, sure = torch.zeros(1, 5), torch.tensor([[[-99.0, -99.0, 0.0, -99.0, 0.0]]])
    >>> log_ratio(task, sure, even, torch.tensor([[[4.0, END]]])).item()  # log 5/2
    0.916...
    """
    if task.kind == "sequence":
        gain = full(params).log_softmax(-1) - full(prior).log_softmax(-1)
        return (token_shares(target, params.shape[-1])[:, None] * gain).sum(-1)
    y = target.unsqueeze(1)
    return task.dist(full(params)).log_prob(y) - task.dist(full(prior)).log_prob(y)


def token_shares(target: Float[Tensor, "n r t"], size: int) -> Float[Tensor, "n v"]:
    """How often each token stands in the references of a row, as shares; 0 for padding.

    >>> from amodal.vocabulary import END
    >>> token_shares(torch.tensor([[[4.0, END, PAD], [4.0, 3.0, END]]]), 5).tolist()
    [[0.0, 0.0, 0.4000..., 0.2000..., 0.4000...]]
    """
    ids = target.flatten(1).long()
    real = (ids != PAD).to(target.dtype)
    counts = target.new_zeros(len(ids), size).scatter_add_(1, ids, real)
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def reliability(
    told: Float[Tensor, "n m"], entropy: Float[Tensor, "n m"], eps: float
) -> Float[Tensor, "n m"]:
    """I / (I + H + eps), in [0, 1): how good a modality is, whatever else is there.

    >>> reliability(torch.tensor([1.0]), torch.tensor([0.75]), 0.25).item()
    0.5
    """
    return told / (told + entropy + eps)


def relative(score: Float[Tensor, "n m"], present: Bool[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Scores as shares: sum 1 over the present modalities of a row, 0 where absent.

    Equal shares where every score is 0; what stands where a modality is absent is not read.

    >>> there = torch.tensor([[True, True, False], [True, True, False]])
    >>> relative(torch.tensor([[3.0, 1.0, 9.0], [0.0, 0.0, 9.0]]), there).tolist()
    [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]]
    """
    score = torch.where(present, score, score.new_zeros(()))
    total = score.sum(-1, keepdim=True)
    known = total > torch.finfo(score.dtype).tiny
    score = torch.where(known, score, present.to(score.dtype))
    return score / score.sum(-1, keepdim=True).clamp_min(torch.finfo(score.dtype).tiny)


def to_rows(x: Float[Tensor, "v m *p"], index: Int[Tensor, "n m"]) -> Float[Tensor, "n m *p"]:
    """What belongs to the value of each pair; 0 where absent.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> to_rows(x, torch.tensor([[1, 0], [0, -1], [1, 1]])).tolist()
    [[3.0, 2.0], [1.0, 0.0], [3.0, 4.0]]
    """
    if not len(x):
        return x.new_zeros(*index.shape, *x.shape[2:])
    picked = x[index.clamp_min(0), torch.arange(index.shape[1], device=index.device)]
    has = (index >= 0).view(*index.shape, *(1,) * (x.ndim - 2))
    return torch.where(has, picked, picked.new_zeros(()))


def mean_of_columns(
    x: Float[Tensor, "n m"], use: Bool[Tensor, "n m"], weight: Float[Tensor, " n"] | None = None
) -> Float[Tensor, " m"]:
    """The (weighted) mean of each column over the entries in use; 0 where there is none.

    >>> use = torch.tensor([[True, False], [True, False]])
    >>> mean_of_columns(torch.tensor([[1.0, 5.0], [2.0, torch.nan]]), use).tolist()
    [1.5, 0.0]
    """
    share = use.to(x.dtype) if weight is None else use * weight[:, None].to(x.dtype)
    x = torch.where(use, x, x.new_zeros(()))
    return (share * x).sum(0) / share.sum(0).clamp_min(1e-12)


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """x, with its gradient scaled.

    >>> x = torch.ones(1, requires_grad=True)
    >>> y = scale_gradient(x, 0.5)
    >>> y.sum().backward()
    >>> y.item(), x.grad.item()
    (1.0, 0.5)
    """
    if scale == 0 or not x.requires_grad:
        return x.detach()
    return x if scale == 1 else scale * x + (1 - scale) * x.detach()
