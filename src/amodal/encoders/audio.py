"""Encoder of audio: a spectrogram transformer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.embed.backbone import audio_reader
from amodal.encoders.base import EncoderSettings
from amodal.encoders.media import MediaEncoder
from amodal.media.audio import AudioDecoder
from amodal.media.decode import Decoder
from amodal.nn.ragged import pad
from amodal.types import Modality
from amodal.values import Values

__all__ = ["AudioEncoder"]

_MELS = 64
_TOGETHER = 4


class AudioEncoder(MediaEncoder):
    """A spectrogram transformer: attention over patches of log-mel frames.

    Recordings are mono at 16 kHz, cut behind `EncoderSettings.max_seconds`; `log_mel` gives frames
    of 64 bands every 10 ms, each band standardised by its mean and standard deviation over the
    frames of (at most 512 of) the training recordings. A token is ``W [4 frames] + b + position``,
    40 ms of sound; frames behind the end of the last one are 0. A checkpoint
    (`EncoderSettings.audio`) is an Audio Spectrogram Transformer and brings its own bands and
    length. See `MediaEncoder`.

    Args:
        modality: audio.
        settings: sizes.

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021; patches span
    all bands here, which is less to learn from few recordings.

    >>> settings = EncoderSettings(width=8, max_seconds=1.0)
    >>> encoder = AudioEncoder(Modality("a", "audio"), settings)
    >>> frames = {"frame": torch.zeros(9, 64)}
    >>> encoder(Values(frames, torch.tensor([0, 4, 9]), torch.arange(2))).token_present.tolist()
    [[True, False], [True, True]]
    """

    kind = "audio"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        longest = AudioDecoder(_MELS, float(settings.max_seconds)).frames
        super().__init__(modality, settings, -(-longest // _TOGETHER))
        self.register_buffer("mean", torch.zeros(_MELS))
        self.register_buffer("std", torch.ones(_MELS))
        if not self.source:
            self.first = nn.Linear(_TOGETHER * _MELS, settings.width)

    @property
    def decoder(self) -> Decoder:
        if self.backbone is not None:
            return audio_reader(json.loads(self.record.read()))
        return AudioDecoder(_MELS, float(self.settings.max_seconds))

    def filled(self, values: Values, arrays: Sequence[np.ndarray]) -> Values:
        device = values.index.device
        lengths = torch.tensor([0, *(len(x) for x in arrays)])
        flat = np.concatenate(arrays) if arrays else np.zeros((0, _MELS), dtype=np.float32)
        frames = torch.from_numpy(flat).to(device)
        if self.backbone is None:
            frames = (frames - self.mean.to(frames.dtype)) / self.std.to(frames.dtype)
        return Values({"frame": frames}, lengths.cumsum(0).to(device), values.index)

    @torch.no_grad()
    def fit_values(self, values: Values) -> None:
        if self.backbone is not None or not len(values):
            return
        self.mean.zero_()
        self.std.fill_(1.0)
        frames = self.sample(values).data["frame"].double()
        self.mean.copy_(frames.mean(0))
        self.std.copy_(frames.std(0, correction=0).clamp_min(1e-2))

    def tokens(self, values: Values) -> tuple[Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        frames, there = pad(values.data["frame"].to(self.dtype), values.offsets)
        v, t, bands = frames.shape
        short = -t % _TOGETHER
        frames = nn.functional.pad(frames, (0, 0, 0, short))
        there = nn.functional.pad(there, (0, short)).view(v, (t + short) // _TOGETHER, _TOGETHER)
        x = self.first(frames.reshape(v, there.shape[1], _TOGETHER * bands))
        return x, there.any(2)

    def inputs(self, values: Values) -> tuple[dict[str, Tensor], None]:
        return {"input_values": pad(values.data["frame"].to(self.dtype), values.offsets)[0]}, None
