"""Texts into vectors, once: by hashed words, or by a frozen checkpoint with a cache on disk."""

from __future__ import annotations

from amodal.embed.apply import TextEmbedder, embed, vectors_of
from amodal.embed.cache import VectorCache
from amodal.embed.hashing import HashedWords

__all__ = ["HashedWords", "TextEmbedder", "VectorCache", "embed", "make_embedder", "vectors_of"]

HASHING = "hashing"


def make_embedder(name: str, **settings: object) -> TextEmbedder:
    """``hashing``, or the checkpoint in a folder or on the hub.

    Args:
        name: "hashing", a folder that transformers saved, or an id of the Hugging Face hub.
        **settings: of `HashedWords` or `amodal.embed.checkpoint.TextCheckpoint`.

    >>> make_embedder("hashing", width=64).width
    64
    """
    if name == HASHING:
        return HashedWords(**settings)
    from amodal.embed.checkpoint import TextCheckpoint

    return TextCheckpoint(name, **settings)
