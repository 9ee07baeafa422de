"""`AstDecoder`: a recording as an Audio Spectrogram Transformer's own features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from amodal.media.audio import RATE, read_wave
from amodal.media.changes import change_wave
from amodal.media.source import Source

__all__ = ["AstDecoder"]


@dataclass(frozen=True)
class AstDecoder:
    """A sound file as ``Float32[max_length, bands]`` of transformers' `ASTFeatureExtractor`.

    Mono at 16 kHz as in `AudioDecoder`; what is longer than the network reads is cut off, what is
    shorter is filled up as the network was trained.

    Args:
        settings: of the feature extractor, as JSON.
    """

    settings: str

    kind = "audio"

    def decode(self, source: str) -> np.ndarray:
        """The features of the file.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        found = Source.parse(source)
        extractor = _extractor(self.settings)
        most = 400 + 160 * extractor.max_length
        wave = change_wave(read_wave(found.read())[:most], found.changes)
        wave = np.pad(wave, (0, max(0, 400 - len(wave))))
        return np.asarray(extractor(wave, sampling_rate=RATE)["input_values"][0], np.float32)


@lru_cache(maxsize=2)
def _extractor(settings: str) -> Any:
    from transformers import ASTFeatureExtractor

    return ASTFeatureExtractor(**json.loads(settings))
