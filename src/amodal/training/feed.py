"""Batches in turn, media decoded ahead of the step that needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from amodal.batch import Batch, take_values
from amodal.encoders import Encoder
from amodal.media.decode import checked, decode_ahead
from amodal.methods.base import NeuralMethod

__all__ = ["feed", "part_size"]

_DECODED_AT_ONCE = 128


def feed(method: NeuralMethod, data: Batch, parts: Sequence[Int[Tensor, " p"]]) -> Iterator[Batch]:
    """The rows of each part in turn.

    Images and audio that `Encoder.prepare` left as sources, for all of them decoded would take too
    much memory, are decoded part by part, in worker processes that run ahead.

    Args:
        method: whose encoders decode.
        data: what `NeuralMethod.prepare_values` returned.
        parts: positions of rows.

    Raises:
        MediaError: a file cannot be decoded.
    """
    lazy = _lazy(method, data)
    if not lazy:
        for rows in parts:
            yield data.rows(rows.to(data.absence.device))
        return
    decoders = {name: encoder.decoder for name, encoder in lazy.items()}
    tasks = ([(decoders[n], _sources(data, n, rows)) for n in lazy] for rows in parts)
    for rows, found in zip(parts, decode_ahead(tasks), strict=True):
        batch = data.rows(rows.to(data.absence.device))
        values = dict(batch.values)
        for (name, encoder), outcomes in zip(lazy.items(), found, strict=True):
            values[name] = _filled(encoder, batch, name, outcomes)
        yield batch.with_values(values)


def part_size(method: NeuralMethod, data: Batch, size: int) -> int:
    """Rows that are predicted together: `size`, or fewer where files are decoded for them."""
    return min(size, _DECODED_AT_ONCE) if _lazy(method, data) else size


def _lazy(method: NeuralMethod, data: Batch) -> dict[str, Encoder]:
    """The encoders of modalities whose files are not decoded yet."""
    encoders = dict(zip(method.names, method.encoders, strict=True))
    return {
        name: encoder
        for name, encoder in encoders.items()
        if encoder.decoder is not None and "source" in data.values[name].data
    }


def _sources(data: Batch, name: str, rows: Int[Tensor, " p"]) -> list[str]:
    """What `Batch.rows` would keep of a modality, in the same order."""
    values = data.values[name]
    return take_values(values, rows.to(values.index.device)).data["source"].tolist()


@torch.no_grad()
def _filled(encoder: Encoder, batch: Batch, name: str, outcomes: list) -> object:
    values = batch.values[name]
    sources = values.data["source"].tolist()
    return encoder.filled(values, checked(encoder.decoder, sources, outcomes))
