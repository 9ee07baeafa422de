"""Texts, images and audio into vectors, once: by hashed words, or by a frozen checkpoint."""

from __future__ import annotations

from amodal.embed.apply import Embedder, embed, vectors_of
from amodal.embed.cache import VectorCache
from amodal.embed.hashing import HashedWords
from amodal.errors import SettingError
from amodal.values import MEDIA

__all__ = ["Embedder", "HashedWords", "VectorCache", "embed", "make_embedder", "vectors_of"]

HASHING = "hashing"


def make_embedder(name: str, **settings: object) -> Embedder:
    """``hashing``, or the checkpoint in a folder or on the hub: of texts, images or audio.

    Args:
        name: "hashing", a folder that transformers saved, or an id of the Hugging Face hub.
        **settings: of `HashedWords`, `amodal.embed.checkpoint.TextCheckpoint` or
            `amodal.embed.media.MediaCheckpoint`.

    >>> make_embedder("hashing", width=64).width
    64
    """
    if name == HASHING:
        return HashedWords(**settings)
    from amodal.embed.backbone import kind_of, read_config
    from amodal.embed.checkpoint import TextCheckpoint
    from amodal.embed.media import MediaCheckpoint

    kind = kind_of(read_config(str(name)))
    if kind not in MEDIA:
        return TextCheckpoint(name, **settings)
    windows = sorted({"max_tokens", "windows"} & set(settings))
    if windows:
        raise SettingError(f"{windows[0]} is for texts; this checkpoint reads {kind}; leave it out")
    return MediaCheckpoint(name, kind, **settings)
