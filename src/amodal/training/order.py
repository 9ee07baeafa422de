"""The order in which an epoch goes through the rows: at random, rows that share a file together."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from amodal.batch import Batch
from amodal.methods.base import NeuralMethod

__all__ = ["draw_order", "shared_file"]

_OFTEN = 2.0  # rows that share a file, on average, from which keeping them together pays
_DISTINCT = 8  # a batch holds at least as many different files, so that steps stay varied


def shared_file(method: NeuralMethod, data: Batch) -> Int[Tensor, " n"] | None:
    """Which file each row has, -1 for none, in the modality whose files most rows share.

    Images and recordings count, for they are what is dear to encode. None where no modality has
    files that two rows share on average.

    Args:
        method: whose encoders say which modalities are files.
        data: training rows.
    """
    found, most = None, _OFTEN
    for name, encoder in zip(method.names, method.encoders, strict=True):
        index = data.values[name].index
        held = index[index >= 0]
        if encoder.decoder is None or not len(held):
            continue
        often = len(held) / len(held.unique())
        if often >= most:
            found, most = index, often
    return None if found is None else found.cpu()


def draw_order(
    n: int, batch_size: int, shared: Int[Tensor, " n"] | None, generator: torch.Generator
) -> Int[Tensor, " n"]:
    """A random order of n rows, in which rows that share a file follow one another.

    A file is encoded once per batch, however many of its rows the batch has: ten questions about an
    image in one batch cost one encoding, in ten batches they cost ten. The order is a permutation,
    drawn from `generator`, in which the later rows of a file are moved up to its first one. Of a
    file that more than an eighth of a batch share, every eighth of a batch is moved alone.

    Args:
        n: number of rows.
        batch_size: rows of a batch.
        shared: which file a row has, -1 for none; None for no files.
        generator: randomness, drawn from once, whatever `shared` is.

    Returns:
        Positions of rows, each once.

    >>> draw = torch.Generator().manual_seed
    >>> draw_order(6, 64, None, draw(1)).tolist()
    [1, 5, 2, 0, 3, 4]
    >>> draw_order(6, 64, torch.tensor([0, 0, 1, 1, -1, 1]), draw(1)).tolist()
    [1, 0, 5, 2, 3, 4]
    """
    order = torch.randperm(n, generator=generator)
    if shared is None or n == 0:
        return order
    file = shared[order]
    own = torch.arange(n)
    file = torch.where(file >= 0, file, int(shared.max()) + 1 + own)  # a unit of its own
    together = torch.argsort(file, stable=True)
    sorted_file = file[together]
    begins = torch.searchsorted(sorted_file, sorted_file)
    most = max(1, batch_size // _DISTINCT)
    lead = begins + torch.div(own - begins, most, rounding_mode="floor") * most
    first = torch.empty_like(order)
    first[together] = together[lead]  # the place in `order` of the row that each follows
    return order[torch.argsort(first, stable=True)]
