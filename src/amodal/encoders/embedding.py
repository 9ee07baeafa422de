"""Encoder of vectors that another network made."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings
from amodal.errors import DataError
from amodal.nn.blocks import ResidualMLP
from amodal.types import Modality
from amodal.values import Values

__all__ = ["EmbeddingEncoder"]


class EmbeddingEncoder(Encoder):
    """A residual MLP over the given vector, with dropout on the input.

    The input is not normalised per vector: each dimension is standardised over the training rows
    already, and the length of a vector is evidence (noise makes it longer).

    Args:
        modality: its features name the dimensions.
        settings: sizes.

    Raises:
        DataError: the modality does not name its dimensions.

    >>> encoder = EmbeddingEncoder(Modality("a", "embedding", ("0", "1")), EncoderSettings())
    >>> encoder.body.first.in_features
    2
    """

    kind = "embedding"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        if not modality.n_features:
            raise DataError(
                f"an encoder needs the dimensions of embedding {modality.name!r}; "
                "its modality names none; name each one"
            )
        self.drop = nn.Dropout(settings.dropout)
        self.body = ResidualMLP(
            modality.n_features, settings.width, depth=settings.blocks, dropout=settings.dropout
        )

    @property
    def columns(self) -> int:
        return self.modality.n_features

    def numbers(self, values: Values) -> Float[Tensor, "v f"]:
        return values.data["value"].to(self.real)

    def forward(self, values: Values) -> Encoded:
        return Encoded(self.body(self.drop(values.data["value"].to(self.dtype))))
