"""Losses that know no method: contrast between two views, and mixtures of predictions."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from amodal.nn.gaussian import full
from amodal.types import Task

__all__ = ["contrast", "contrast_labels", "contrast_views", "drop_to_subset", "mix_params"]


_BLOCK = 256
"""Rows of which all pairs are worked out at a time: what is between stays in a processor's cache."""


class _Pairs(torch.autograd.Function):
    """Sums over pairs of rows, with e_ij = exp(u_i v_j) and f_ij = exp(u_i u_j).

    sum_i log sum_j e_ij + sum_j log sum_i e_ij; and sum of log(1 + e_ij) + log(1 + f_ij) over known
    i and j. Both derivatives are a few operations on one matrix, [f e], where automatic
    differentiation of the losses below takes dozens. f is symmetric: a block of rows leaves out the
    columns of the blocks before, and those of the blocks behind count twice.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        n, both = len(u), torch.cat([u, v])
        by_row, by_column, pairs = u.new_empty(n), u.new_zeros(n), u.new_zeros(())
        blocks = []
        for begin in range(0, n, _BLOCK):
            rows = slice(begin, min(begin + _BLOCK, n))
            block = torch.mm(u[rows], both[begin:].T).exp_()
            torch.sum(block[:, n - begin :], 1, out=by_row[rows])
            by_column += block[:, n - begin :].sum(0)
            pairs += (block + 1).log_().mv(_times(known, rows)) @ known[rows]
            blocks.append(block)
        ctx.save_for_backward(both, known, by_row, by_column, *blocks)
        return by_row.log().sum() + by_column.log().sum(), pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, views: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, None]:
        both, known, by_row, by_column, *blocks = ctx.saved_tensors
        n, begin, partly = len(known), 0, not known.all()
        to_u, to_both = torch.empty_like(both[:n]), torch.zeros_like(both.T)
        for block in blocks:
            rows = slice(begin, begin + len(block))
            slope = (block + 1).reciprocal_().mul_(labels * _times(known, rows))
            if partly:
                slope.mul_(known[rows, None])
            slope[:, n - begin :].add_(views / by_row[rows, None]).add_(views / by_column)
            slope.mul_(block)
            torch.mm(slope, both[begin:], out=to_u[rows])
            to_both[:, begin:].addmm_(both[rows].T, slope)
            begin += len(block)
        return to_u.add_(to_both[:, :n].T), to_both[:, n:].T, None


def _times(known: Float[Tensor, " n"], rows: slice) -> Tensor:
    """How often the pairs of `rows` with each column of their block count."""
    return torch.cat([known[rows], known[rows.stop :] * 2, known])


def contrast(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "n d"],
    label: Float[Tensor, " n"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """1/2 `contrast_views` of all rows + 1/2 `contrast_labels` of the labelled ones, in one go.

    What attracts is linear in the sums U_c of the rows of a class c: sum over pairs of one class of
    u_i v_j = sum_c U_c V_c. Only what repels needs the matrix of pairs.

    Args:
        first, second: rows of unit length.
        label: the class of each row, NaN where unknown.
        temperature: at least 0.02 in single precision, where exp(1 / temperature) is finite.

    >>> contrast(torch.eye(2), torch.eye(2), torch.full((2,), torch.nan), temperature=1.0).item()
    0.156...
    """
    if len(first) == 0:
        return first.sum()
    known = ~label.isnan()
    with torch.autocast(first.device.type, enabled=False):
        u, v = full(first) / temperature**0.5, full(second) / temperature**0.5
        views, labels = _Pairs.apply(u, v, known.to(u.dtype))
        member = (label[:, None] == label[known].unique()).to(u.dtype)
        mine, other = member.T @ u, member.T @ v
        views = views / 2 - (u * v).sum()
        labels = labels - (mine * (mine + other)).sum()
        return views / (2 * len(u)) + labels / (4 * known.sum().clamp_min(1).square())


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

    >>> views, same = torch.zeros(2, 1), torch.eye(2, dtype=torch.bool)
    >>> contrast_labels(views, views, same).item()  # log 2: every logit is 0
    0.693...
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
