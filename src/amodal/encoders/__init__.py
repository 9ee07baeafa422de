"""Encoders: one file per kind of modality; `ENCODERS` names them."""

from __future__ import annotations

from amodal.encoders.audio import AudioEncoder
from amodal.encoders.base import Encoder, EncoderSettings
from amodal.encoders.codes import CodesEncoder
from amodal.encoders.embedding import EmbeddingEncoder
from amodal.encoders.image import ImageEncoder
from amodal.encoders.series import SeriesEncoder
from amodal.encoders.table import TableEncoder
from amodal.encoders.text import TextEncoder
from amodal.types import Modality

__all__ = ["ENCODERS", "Encoder", "EncoderSettings", "make_encoder"]

ENCODERS: dict[str, type[Encoder]] = {
    "table": TableEncoder,
    "series": SeriesEncoder,
    "codes": CodesEncoder,
    "embedding": EmbeddingEncoder,
    "text": TextEncoder,
    "image": ImageEncoder,
    "audio": AudioEncoder,
}
"""Kind of modality -> its encoder."""


def make_encoder(modality: Modality, settings: EncoderSettings | None = None) -> Encoder:
    """The encoder of a modality, its parameters drawn from torch's global generator.

    Args:
        modality: kind, and names of features, levels and codes.
        settings: sizes and choices; None for the defaults.

    Raises:
        DataError: an embedding that does not name its dimensions.

    >>> make_encoder(Modality("labs", "table", features=("lactate",))).width
    32
    """
    return ENCODERS[modality.kind](modality, settings or EncoderSettings())
