"""`embed`: a data set whose texts have become vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from amodal.data.dataset import Dataset
from amodal.embed.cache import VectorCache
from amodal.errors import DataError, unknown_name
from amodal.types import Modality
from amodal.values import Values

__all__ = ["TextEmbedder", "embed", "vectors_of"]


class TextEmbedder(Protocol):
    """What turns texts into vectors, each on its own."""

    key: str
    """Changes with everything that changes a vector."""
    width: int
    batch_size: int
    """How many texts are embedded between two writes to the cache."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``Float32[k, width]``."""
        ...

    def facts(self) -> dict[str, object]:
        """What provenance says of it."""
        ...


def embed(
    data: Dataset,
    embedder: TextEmbedder,
    *,
    modalities: Sequence[str] | None = None,
    cache: VectorCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """`data` with text modalities as embeddings of the same name.

    Each distinct text is encoded once, whatever the number of rows that share it and of fits that
    follow; an absent text never. Every text is encoded alone, so that no row tells of another one
    and test rows may be embedded together with training rows. The dimensions are named after the
    encoder: a model does not take vectors of another one for its own.

    Args:
        data: any; unchanged.
        embedder: `HashedWords` or a checkpoint.
        modalities: which; None for all of kind ``text``.
        cache: vectors known already, and where new ones go.
        progress: called as progress(done, all distinct texts that were not known).

    Raises:
        UnknownNameError: no such modality.
        DataError: a modality that is not text; none is.

    >>> from amodal.embed.hashing import HashedWords
    >>> d = Dataset.from_arrays({"note": ["a cough", None, "a cough"]}, modalities={"note": "text"})
    >>> found = embed(d, HashedWords(8))
    >>> found.modalities[0].kind, found.values["note"].data["value"].shape, found.present.tolist()
    ('embedding', (1, 8), [[True], [False], [True]])
    """
    chosen = _chosen(data, modalities)
    texts = {name: [str(x) for x in data.values[name].data["source"]] for name in chosen}
    every = list(dict.fromkeys(text for some in texts.values() for text in some))
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


def _chosen(data: Dataset, names: Sequence[str] | None) -> tuple[str, ...]:
    kinds = {m.name: m.kind for m in data.modalities}
    if names is None:
        names = [name for name, kind in kinds.items() if kind == "text"]
        if not names:
            raise DataError(
                "embedding needs a modality of kind text; this data set has none; prepare it with "
                "its texts"
            )
    for name in names:
        if name not in kinds:
            raise unknown_name("modality", name, kinds)
        if kinds[name] != "text":
            raise DataError(
                f"texts are embedded; modality {name!r} is of kind {kinds[name]}; leave it out"
            )
    return tuple(names)


def vectors_of(
    texts: Sequence[str],
    embedder: TextEmbedder,
    cache: VectorCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """``Float32[k, width]`` of distinct `texts`: those known to `cache`, and the others embedded.

    >>> from amodal.embed.hashing import HashedWords
    >>> vectors_of(["fever", "cough"], HashedWords(8)).shape
    (2, 8)
    """
    known = {} if cache is None else cache.get(embedder.key, texts)
    new = [text for text in texts if text not in known]
    new.sort(key=len, reverse=True)  # texts of one length together: less padding
    for begin in range(0, len(new), embedder.batch_size):
        some = new[begin : begin + embedder.batch_size]
        found = embedder.embed(some)
        if cache is not None:
            cache.put(embedder.key, some, found)
        known.update(zip(some, found, strict=True))
        if progress is not None:
            progress(begin + len(some), len(new))
    out = np.zeros((len(texts), embedder.width), dtype=np.float32)
    for k, text in enumerate(texts):
        out[k] = known[text]
    return out
