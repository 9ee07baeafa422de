"""Predictions of several members, made into one."""

from __future__ import annotations

import torch

from amodal.batch import Prediction
from amodal.nn.losses import mix_params

__all__ = ["mix_predictions"]


def mix_predictions(members: list[Prediction]) -> Prediction:
    """The equal mixture of the members' distributions; reliability and reliance are averaged.

    Probabilities are averaged (exact); for a real target mean and variance are those of the mixture.
    What all members agree on stays as it is, to the bit: the base rate in a row with nothing present.

    Reference: Lakshminarayanan et al., NeurIPS 2017.

    Args:
        members: at least one, of the same rows and task.

    >>> from amodal.types import Task
    >>> there = torch.ones(1, 1, dtype=torch.bool)
    >>> two = [Prediction(Task("binary"), torch.tensor([[x]]).logit(), there) for x in (0.1, 0.7)]
    >>> round(mix_predictions(two).mean.item(), 4)
    0.4
    """
    first = members[0]
    if len(members) == 1:
        return first
    found = torch.stack([p.params for p in members])
    agreed = (found == found[0]).all(0).all(-1, keepdim=True)
    params = torch.where(agreed, found[0], mix_params(first.task, found))

    def average(name: str) -> torch.Tensor | None:
        found = [getattr(p, name) for p in members]
        return None if found[0] is None else torch.stack(found).mean(0)

    return first.replace(
        params=params,
        extra={k: torch.stack([p.extra[k] for p in members]).mean(0) for k in first.extra},
        **{name: average(name) for name in ("reliability", "reliance", "variance", "conflict")},
    )
