"""What is predicted of a row about which nothing is known, and weights that even classes out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from amodal.types import Task
from amodal.vocabulary import PAD

__all__ = ["base_params", "class_weights"]


def base_params(task: Task, target: Tensor, weight: Tensor | None = None) -> Float[Tensor, " p"]:
    """The parameters that predict the base rate of labelled `target`: nothing known about a row.

    Classes that never occur get half a row, so that no probability is 0.

    >>> base_params(Task("binary"), torch.tensor([0.0, 0.0, 1.0, 1.0])).item()
    0.0
    """
    target = target.double()
    if task.kind == "sequence":
        return _token_rates(task, target, weight)
    if task.kind != "multilabel":
        known = ~target.isnan()
        target = target[known]
        weight = None if weight is None else weight[known].double()
    weight = torch.ones(len(target), dtype=torch.double) if weight is None else weight.double()
    total = weight.sum().clamp_min(1e-12)
    if task.kind == "regression":
        if len(target) == 0:
            return torch.zeros(2)
        mean = (weight * target).sum() / total
        std = ((weight * (target - mean).square()).sum() / total).sqrt().clamp_min(1e-6)
        return torch.stack([mean, std.log()]).float()
    if task.kind == "multilabel":
        known = ~target.isnan()
        ones = (weight[:, None] * torch.where(known, target, 0.0)).sum(0)
        rest = (weight[:, None] * torch.where(known, 1.0 - target, 0.0)).sum(0)
        return (ones.clamp_min(0.5) / rest.clamp_min(0.5)).log().float()
    counts = torch.zeros(len(task.classes), dtype=torch.double)
    counts = counts.index_add(0, target.long(), weight).clamp_min(0.5)
    if task.kind == "binary":
        return (counts[1] / counts[0]).log().float()[None]
    return (counts / counts.sum()).log().float()


def _token_rates(task: Task, target: Tensor, weight: Tensor | None) -> Float[Tensor, " v"]:
    """Log frequencies of tokens in all references, their ends included."""
    counts = torch.zeros(task.param_size, dtype=torch.double)
    known = ~target.flatten(1).isnan().any(1)
    ids = target[known].long().flatten(1)
    each = torch.ones(len(ids)) if weight is None else weight[known]
    each = torch.where(ids != PAD, each.double()[:, None], 0.0)
    counts = counts.index_add(0, ids.flatten(), each.flatten()).clamp_min(0.5)
    return (counts / counts.sum()).log().float()


def class_weights(task: Task, base: Float[Tensor, " p"]) -> Float[Tensor, " c"]:
    """Weights that make the classes equally heavy: 1 / (C p_c), from base-rate parameters."""
    if task.kind == "binary":
        p = torch.sigmoid(base)
        return 0.5 / torch.cat([1 - p, p])
    return 1.0 / (base.softmax(-1) * len(base))
