"""What every encoder is: `Encoder`, and the settings they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.errors import SettingError, unknown_name, whole_numbers
from amodal.media.decode import Decoder
from amodal.media.image import FITS
from amodal.types import Modality
from amodal.values import Values

__all__ = [
    "NUMBERS",
    "POOLS",
    "SERIES",
    "STEMS",
    "TABLES",
    "Encoder",
    "EncoderSettings",
    "observed",
]

SERIES = ("summaries", "windows", "gru", "mingru", "transformer")
"""How the time course of a series is read."""
NUMBERS = ("piecewise", "linear")
"""How the numbers of a table and the summaries of a series enter."""
TABLES = ("mlp", "tokens")
"""How the columns of a table are read."""
POOLS = ("mean", "max")
"""What the vector of a text, an image or a recording is made of, beside the summary token."""
STEMS = ("linear", "convolution")
"""How pixels become tokens."""

_CHOICES = {
    "series": SERIES,
    "table": TABLES,
    "numbers": NUMBERS,
    "image_fit": FITS,
    "stem": STEMS,
    "pool": POOLS,
}
_COUNTS = {
    "width": 1,
    "depth": 1,
    "blocks": 0,
    "heads": 1,
    "pieces": 1,
    "max_steps": 1,
    "max_events": 1,
    "vocabulary": 300,
    "max_tokens": 1,
    "ngrams": 0,
    "image_size": 1,
    "patch": 1,
    "media_memory": 0,
}


@dataclass(frozen=True)
class EncoderSettings:
    """How large the encoders are and how they read.

    Args:
        width: size of every vector that comes out.
        dropout: share of hidden units dropped in training, in [0, 1).
        series: "summaries" (last, first, mean, ... of each variable and no more), or besides them
            "windows" (means in eight windows of time), or "gru", "mingru" or "transformer" over the
            time steps. On a CPU the first two cost next to nothing, "mingru" less than a GRU, and a
            GRU several times less than a transformer. A few thousand rows are too few for the last
            four to tell more than the first.
        numbers: "piecewise" or "linear": how the numbers of a table and the summaries of a series
            enter, see `Pieces`. A table with more pieces than training rows enters linearly.
        pieces: pieces of each number's range, where it is piecewise.
        blocks: residual blocks behind the first layer, where vectors are encoded; may be 0.
        depth: number of transformer blocks, at least 1.
        heads: attention heads; divides `width`.
        max_steps: a longer series is averaged into this many time bins.
        max_events: of more events only the last ones are read one by one.
        summaries: whether a series enters as last, first, mean, ... of each variable beside "windows"
            or what reads the time steps.
        table: "mlp", or "tokens": one token per column and attention between them.
        names: what codes are called becomes a vector beside the learned one: "hashing" (of words), or
            a folder or hub id of a text checkpoint, see `amodal.embed`; empty for learned ones alone.
            Helps where codes are many and rows few, if vocabularies are names and not numbers.
        names_cache: folder where vectors of names are kept from fit to fit; empty for none.
        text: who reads texts: empty for a small transformer that is trained from the start, its
            tokenizer on the training rows; else a folder that transformers saved, or an id of the
            Hugging Face hub, trained further. For a frozen one see `amodal.embed`.
        image: the same for images (a Vision Transformer).
        audio: the same for audio (a spectrogram transformer).
        vocabulary: number of tokens of a trained tokenizer, at least 300 (256 of them are bytes).
        max_tokens: of a text only the first ones are read.
        ngrams: runs of one to this many tokens count besides, each with a vector of its own: what
            words tell by themselves takes few texts to learn, see `NGrams`. 0 for the transformer
            alone. Not for checkpoints.
        image_size: images are read as squares of this side, in pixels; a multiple of `patch`.
        image_fit: "crop" (the middle of the image), "letterbox" (all of it, with black beside it) or
            "stretch"; a checkpoint has its own size and fit.
        patch: side of the squares that an image is cut into, one token each, in pixels.
        stem: how pixels become those tokens: "linear" (a linear map of each square), or
            "convolution": layers of 3 x 3 convolutions besides, with which shapes are learned in a
            fraction of the passes, each a third dearer; `patch` is a power of 2 then.
        pool: the vector of a text, an image or a recording is made of the summary token and the
            "mean" of the others, or their "max": a single word or patch that decides stands out from
            a dozen others at once, of which the mean keeps a twelfth. Not for checkpoints.
        max_seconds: what comes later in a recording is not read.
        media_memory: MiB that the decoded images or audio of one modality may take; larger ones are
            decoded anew for each batch, in worker processes.

    Raises:
        SettingError: a number out of its range, `heads` not dividing `width`.
        UnknownNameError: a choice that does not exist.

    >>> EncoderSettings(width=32).depth
    2
    >>> EncoderSettings(width=30)
    Traceback (most recent call last):
    ...
    amodal.errors.SettingError: heads must divide width; got width 30, heads 4; change one
    """

    width: int = 32
    dropout: float = 0.3
    series: str = "windows"
    numbers: str = "piecewise"
    pieces: int = 8
    blocks: int = 0
    depth: int = 2
    heads: int = 4
    max_steps: int = 48
    max_events: int = 128
    summaries: bool = True
    table: str = "mlp"
    names: str = ""
    names_cache: str = ""
    text: str = ""
    image: str = ""
    audio: str = ""
    vocabulary: int = 4096
    max_tokens: int = 64
    ngrams: int = 3
    image_size: int = 64
    image_fit: str = "crop"
    patch: int = 8
    stem: str = "linear"
    pool: str = "mean"
    max_seconds: float = 4.0
    media_memory: int = 2048

    def __post_init__(self) -> None:
        whole_numbers(self, _COUNTS)
        if self.width % self.heads:
            raise SettingError(
                f"heads must divide width; got width {self.width}, heads {self.heads}; change one"
            )
        if self.image_size % self.patch:
            raise SettingError(
                f"patch must divide image_size; got image_size {self.image_size}, patch "
                f"{self.patch}; change one"
            )
        if self.stem == "convolution" and (self.patch < 2 or self.patch & (self.patch - 1)):
            raise SettingError(
                "with stem=convolution patch must be a power of 2, from 2; got "
                f"{self.patch}; change it"
            )
        if not 0.1 <= self.max_seconds <= 3600:
            raise SettingError(
                f"max_seconds must lie in [0.1, 3600]; got {self.max_seconds!r}; change it"
            )
        number = isinstance(self.dropout, int | float) and not isinstance(self.dropout, bool)
        if not number or not 0.0 <= self.dropout < 1.0:
            raise SettingError(f"dropout must lie in [0, 1); got {self.dropout!r}; change it")
        if not isinstance(self.summaries, bool):
            raise SettingError(
                f"summaries must be true or false; got {self.summaries!r}; change it"
            )
        if self.series == "summaries" and not self.summaries:
            raise SettingError(
                "a series must enter somehow; got series='summaries' and summaries=False; "
                f"choose series from {', '.join(SERIES[1:])}"
            )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(f"{name} encoder", getattr(self, name), known)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EncoderSettings:
        """The settings that `to_json` wrote."""
        return cls(**data)

    def replace(self, **changes: Any) -> EncoderSettings:
        """The same settings with some changed."""
        return replace(self, **changes)


class Encoder(nn.Module):
    """Turns the v present values of one modality into v vectors of `EncoderSettings.width`.

    An encoder never sees an absent row. The vector of a value depends on that value alone: not on
    the others, their order, or how far they are padded.

    Args:
        modality: what is encoded; its names of features, levels and codes fix the input sizes.
        settings: sizes and choices.
    """

    kind: str
    """The kind of modality that the class reads."""

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__()
        self.modality = modality
        self.settings = settings

    @property
    def width(self) -> int:
        """Size d of the vectors that come out."""
        return self.settings.width

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters: what layers are fed with."""
        return next(self.parameters()).dtype

    @property
    def real(self) -> torch.dtype:
        """The type in which values are read: that of the parameters, but at least float32.

        Sums, differences of times and counts lose their meaning in half precision.
        """
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def columns(self) -> int:
        """Number f of the columns of `numbers`."""
        return 0

    def numbers(self, values: Values) -> Float[Tensor, "v f"]:
        """The numbers that a value enters with, as one vector; NaN = unknown. None for codes."""
        return torch.zeros(len(values), 0, dtype=self.real, device=values.index.device)

    def fit(self, values: Values) -> None:
        """Takes from training values what no gradient learns, such as quantiles; before training."""

    def prepare(self, values: Values) -> Values:
        """What of the encoding depends on no parameter, worked out once and not at every step.

        Sources stay sources before `fit`, and where what they decode to is too large to be kept.
        `forward` takes values before and after it, and gives the same for both.
        """
        return values

    @property
    def decoder(self) -> Decoder | None:
        """What reads the files of the modality; None where there are none to read."""
        return None

    def filled(self, values: Values, arrays: Sequence[np.ndarray]) -> Values:
        """`values` with what `decoder` made of each of its sources instead of these."""
        raise NotImplementedError

    def forward(self, values: Values) -> Encoded:
        """``pooled`` ``Float[v, width]``, and tokens where the encoder has them."""
        raise NotImplementedError

    def pool(self, values: Values) -> Float[Tensor, "v d"]:
        """``forward(values).pooled``, without what only tokens cost."""
        return self(values).pooled

    def extra_repr(self) -> str:
        return f"{self.modality.name}, {self.kind}"


def observed(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(x with 0 where it is NaN, where it is not)``; no gradient passes a NaN.

    Selected, not multiplied: 0 * NaN is NaN.

    >>> observed(torch.tensor([2.0, float("nan")]))
    (tensor([2., 0.]), tensor([ True, False]))
    """
    known = ~x.isnan()
    return torch.where(known, x, torch.zeros_like(x)), known
