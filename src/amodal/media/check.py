"""`ContentCheck`: whether a file can be decoded, and the hash of its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from amodal.media.audio import read_wave
from amodal.media.image import ImageDecoder
from amodal.media.source import Source

__all__ = ["ContentCheck"]

_BYTES = 16


@dataclass(frozen=True)
class ContentCheck:
    """Decodes a file whole, and returns the first 16 bytes of the sha256 of its content.

    Args:
        kind: "image" or "audio".

    >>> ContentCheck("image").check(b"no picture")
    Traceback (most recent call last):
    amodal.media.source.UnreadableError: wrong kind
    """

    kind: str

    def decode(self, source: str) -> np.ndarray:
        """``UInt8[16]``.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        content = Source.parse(source).read()
        return np.frombuffer(bytes.fromhex(self.check(content)), dtype=np.uint8)

    def check(self, content: bytes) -> str:
        """The hash of a content that can be decoded, as 32 hexadecimal digits.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        if self.kind == "image":
            ImageDecoder(1).pixels(content)
        else:
            read_wave(content)
        return hashlib.sha256(content).digest()[:_BYTES].hex()
