"""Losses that know no method: contrast between two views, and mixtures of predictions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.types import Task

__all__ = ["contrast_labels", "contrast_views", "drop_to_subset", "mix_params"]


def contrast_views(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], *, temperature: float = 0.07
) -> Float[Tensor, ""]:
    """Each row must recognise itself in the other view among the rows of the batch.

    1/2 [CE(s u u'^T, diag) + CE(s u' u^T, diag)], s = 1 / temperature, rows of unit length; log n at
    chance, 0 for an empty batch. Reference: MUSE, L_unsup.

    >>> contrast_views(torch.eye(2), torch.eye(2), temperature=1.0).round(decimals=4).item()
    0.313...
    """
    if len(first) == 0:
        return first.sum()
    logits = first @ second.T / temperature
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def contrast_labels(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "n d"],
    same: Bool[Tensor, "n n"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """Rows of the same class should look alike, within a view and between views.

    [2 b(s u u^T) + b(s u u'^T) + b(s u' u^T)] / 4, with b the mean binary cross-entropy with logits
    against "same class"; 0, not NaN, without labelled rows. Reference: MUSE, L_sup.
    """
    if len(first) == 0:
        return first.sum()
    target = same.to(first.dtype)
    within = F.binary_cross_entropy_with_logits(first @ first.T / temperature, target)
    between = first @ second.T / temperature
    across = F.binary_cross_entropy_with_logits(between, target)
    back = F.binary_cross_entropy_with_logits(between.T, target)
    return (2 * within + across + back) / 4


def drop_to_subset(
    present: Bool[Tensor, "n m"], *, generator: torch.Generator | None = None
) -> Bool[Tensor, "n m"]:
    """A second view's presence: half of the rows lose some modalities, never all.

    With probability 1/2 a row keeps everything; else, having c >= 2 modalities, it keeps
    k ~ Uniform{1..c-1} of them at random. Reference: MUSE.

    >>> drop_to_subset(torch.tensor([[True, False]])).tolist()
    [[True, False]]
    """
    device = present.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    n, m = present.shape
    count = present.sum(1)
    keep = 1 + (uniform(n) * (count - 1)).floor().long()
    whole = (uniform(n) < 0.5) | (count < 2)
    order = uniform(n, m).masked_fill(~present, 2.0)
    rank = order.argsort(1).argsort(1)
    return present & (whole[:, None] | (rank < keep[:, None]))


def mix_params(task: Task, params: Float[Tensor, "s n p"]) -> Float[Tensor, "n p"]:
    """Parameters of the equal mixture of s predicted distributions.

    Exact for classes and labels (probabilities are averaged, in log space); a mixture of normals is
    replaced by the normal of the same mean and variance.

    >>> mix_params(Task("binary"), torch.tensor([[[3.0]], [[-3.0]]])).item()
    0.0
    """
    size = math.log(len(params))
    if task.kind == "multiclass":
        return params.log_softmax(-1).logsumexp(0) - size
    if task.kind in ("binary", "multilabel"):
        return F.logsigmoid(params).logsumexp(0) - F.logsigmoid(-params).logsumexp(0)
    dist = task.dist(params)
    mean = dist.mean.mean(0)
    var = dist.variance.mean(0) + (dist.mean - mean).square().mean(0)
    return torch.stack([mean, var.log() / 2], -1)
