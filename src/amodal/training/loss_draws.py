"""Random losses during training, so that a model is calibrated when modalities get lost."""

from __future__ import annotations

import torch

from amodal.batch import Batch

__all__ = ["lose_at_random"]


def lose_at_random(batch: Batch, mean_rate: float, generator: torch.Generator) -> Batch:
    """Row i loses each modality with probability r_i ~ Uniform(0, 2 mean_rate), never all it has.

    Measured or not: a pair that was not measured can become lost as well, as at prediction.

    Args:
        batch: training rows; unchanged.
        mean_rate: in [0, .5]; 0 returns `batch` itself.
        generator: randomness, on the CPU.

    >>> from amodal.values import Values
    >>> values = Values({"value": torch.zeros(100, 1)}, None, torch.arange(100))
    >>> absence = torch.zeros(100, 2, dtype=torch.int8)
    >>> batch = Batch(("a", "b"), {"a": values, "b": values}, absence)
    >>> lost = lose_at_random(batch, 0.5, torch.Generator().manual_seed(0))
    >>> bool(lost.lost.any()), bool(lost.present.any(1).all())  # no row loses all it has
    (True, True)
    """
    if mean_rate == 0:
        return batch
    n, m = batch.absence.shape
    rate = 2 * mean_rate * torch.rand(n, 1, generator=generator)
    draw = torch.rand(n, m, generator=generator)
    remove = (draw < rate).to(batch.absence.device)
    draw = draw.to(batch.absence.device)
    left = batch.present & ~remove
    emptied = batch.present.any(1) & ~left.any(1)
    # A row about to lose everything keeps the present modality with the largest draw.
    keep = draw.masked_fill(~batch.present, -1.0).argmax(1)
    remove[emptied, keep[emptied]] = False
    return batch.drop(remove)
