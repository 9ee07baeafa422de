"""Media: files into arrays. Pixels of images, log-mel frames of sound; no torch."""

from __future__ import annotations

from amodal.media.audio import AudioDecoder, log_mel, read_wave
from amodal.media.decode import Decoder, checked, decode_ahead, decode_many, try_decode
from amodal.media.image import ImageDecoder
from amodal.media.source import REASONS, Source, UnreadableError

__all__ = [
    "REASONS",
    "AudioDecoder",
    "Decoder",
    "ImageDecoder",
    "Source",
    "UnreadableError",
    "checked",
    "decode_ahead",
    "decode_many",
    "log_mel",
    "read_wave",
    "try_decode",
]
