"""`embed`: a data set whose texts, images or recordings have become vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.media import naming_rows
from amodal.embed.cache import VectorCache
from amodal.errors import DataError, unknown_name
from amodal.media.source import Source
from amodal.types import Modality
from amodal.values import MEDIA, Values

__all__ = ["Embedder", "embed", "vectors_of"]


class Embedder(Protocol):
    """What turns texts, or files of images or audio, into vectors, each on its own."""

    kind: str
    """"text", "image" or "audio"."""
    key: str
    """Changes with everything that changes a vector."""
    width: int
    batch_size: int
    """How many are embedded between two writes to the cache."""

    def embed(self, sources: Sequence[str]) -> np.ndarray:
        """``Float32[k, width]``."""
        ...

    def facts(self) -> dict[str, object]:
        """What provenance says of it."""
        ...


def embed(
    data: Dataset,
    embedder: Embedder,
    *,
    modalities: Sequence[str] | None = None,
    cache: VectorCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """`data` with modalities of the embedder's kind as embeddings of the same name.

    Each distinct text or file is encoded once, whatever the number of rows that share it and of
    fits that follow; an absent one never. Each is encoded alone, so that no row tells of another
    one and test rows may be embedded together with training rows. The dimensions are named after the
    encoder: a model does not take vectors of another one for its own.

    Args:
        data: any; unchanged.
        embedder: `HashedWords` or a checkpoint.
        modalities: which; None for all of the embedder's kind.
        cache: vectors known already, and where new ones go.
        progress: called as progress(done, all distinct ones that were not known).

    Raises:
        UnknownNameError: no such modality.
        DataError: a modality of another kind than the embedder's; none is of its kind.
        MediaError: a file cannot be decoded.

    >>> from amodal.embed.hashing import HashedWords
    >>> d = Dataset.from_arrays({"note": ["a cough", None, "a cough"]}, modalities={"note": "text"})
    >>> found = embed(d, HashedWords(8))
    >>> found.modalities[0].kind, found.values["note"].data["value"].shape, found.present.tolist()
    ('embedding', (1, 8), [[True], [False], [True]])
    """
    chosen = _chosen(data, modalities, embedder.kind)
    texts = {name: [str(x) for x in data.values[name].data["source"]] for name in chosen}
    every = list(dict.fromkeys(text for some in texts.values() for text in some))
    with naming_rows(data):
        vectors = vectors_of(every, embedder, cache, progress)
    place = {text: k for k, text in enumerate(every)}
    features = tuple(f"{embedder.key[:12]}_{j}" for j in range(embedder.width))
    values = dict(data.values)
    for name in chosen:
        rows = np.array([place[text] for text in texts[name]], dtype=np.int64)
        values[name] = Values({"value": vectors[rows]}, None, data.values[name].index)
    told = {name: {**embedder.facts(), "key": embedder.key} for name in chosen}
    return data.replace(
        modalities=tuple(
            Modality(m.name, "embedding", features) if m.name in chosen else m
            for m in data.modalities
        ),
        values=values,
        provenance={**data.provenance, "embedded": {**_earlier(data), **told}},
    )


def _earlier(data: Dataset) -> dict[str, object]:
    return dict(data.provenance.get("embedded", {}))


def _chosen(data: Dataset, names: Sequence[str] | None, wanted: str) -> tuple[str, ...]:
    kinds = {m.name: m.kind for m in data.modalities}
    if names is None:
        names = [name for name, kind in kinds.items() if kind == wanted]
        if not names:
            raise DataError(
                f"this encoder needs a modality of kind {wanted}; the data set has none; prepare "
                "one with it, or choose another encoder"
            )
    for name in names:
        if name not in kinds:
            raise unknown_name("modality", name, kinds)
        if kinds[name] != wanted:
            raise DataError(
                f"this encoder reads modalities of kind {wanted}; {name!r} is of kind "
                f"{kinds[name]}; leave it out"
            )
    return tuple(names)


def vectors_of(
    texts: Sequence[str],
    embedder: Embedder,
    cache: VectorCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """``Float32[k, width]`` of distinct `texts`: those known to `cache`, and the others embedded.

    A cache knows files of images and audio by their content, wherever they lie, where
    `amodal.data.media.check_media` has noted it.

    >>> from amodal.embed.hashing import HashedWords
    >>> vectors_of(["fever", "cough"], HashedWords(8)).shape
    (2, 8)
    """
    names = {text: text for text in texts}
    if embedder.kind in MEDIA:
        names = {text: Source.parse(text).content for text in texts}
    found = {} if cache is None else cache.get(embedder.key, list(names.values()))
    known = {text: found[name] for text, name in names.items() if name in found}
    new = [text for text in texts if text not in known]
    new.sort(key=len, reverse=True)  # texts of one length together: less padding
    for begin in range(0, len(new), embedder.batch_size):
        some = new[begin : begin + embedder.batch_size]
        found = embedder.embed(some)
        if cache is not None:
            cache.put(embedder.key, [names[text] for text in some], found)
        known.update(zip(some, found, strict=True))
        if progress is not None:
            progress(begin + len(some), len(new))
    out = np.zeros((len(texts), embedder.width), dtype=np.float32)
    for k, text in enumerate(texts):
        out[k] = known[text]
    return out
