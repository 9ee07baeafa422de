"""Texts and codes that get worse by keyed random numbers, and noise in place of any value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from amodal.data.dataset import Dataset
from amodal.media.source import Source
from amodal.shifts.keyed import keyed_uniform
from amodal.values import MEDIA, Values

__all__ = [
    "TEXT_CHANGES",
    "change_codes",
    "change_sources",
    "change_texts",
    "pure_values",
]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PER_WORD = 4  # numbers that a word can use


def _draws(key: np.uint64, words: int) -> np.ndarray:
    """``Float64[words, 4]`` uniform in [0, 1): the same for a word whatever comes behind it."""
    start = np.arange(words, dtype=np.int64) * _PER_WORD
    return keyed_uniform(np.repeat(key, words), start, _PER_WORD)


def _drop(words: list[str], u: np.ndarray, severity: float) -> list[str]:
    kept = u[:, 0] >= severity
    kept[u[:, 0].argmax()] = True  # a text that is present says something
    return [word for word, keep in zip(words, kept, strict=True) if keep]


def _swap(words: list[str], u: np.ndarray, severity: float) -> list[str]:
    out, j = list(words), 0
    while j < len(out) - 1:
        if u[j, 0] < severity:
            out[j], out[j + 1] = out[j + 1], out[j]
            j += 1
        j += 1
    return out


def _typo(words: list[str], u: np.ndarray, severity: float) -> list[str]:
    return [
        _mistyped(word, draw) if draw[0] < severity else word
        for word, draw in zip(words, u, strict=True)
    ]


def _mistyped(word: str, draw: np.ndarray) -> str:
    """One letter left out, doubled, replaced, or changed with the next, each as likely."""
    how, place = int(draw[1] * 4), int(draw[2] * len(word))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    if how == 0 and len(word) > 1:
        return before + after
    if how == 1:
        return before + letter * 2 + after
    if how == 2 and after:
        return before + after[0] + letter + after[1:]
    others = [x for x in _LETTERS if x != letter.lower()]
    return before + others[int(draw[3] * len(others))] + after


TEXT_CHANGES: dict[str, Callable[[list[str], np.ndarray, float], list[str]]] = {
    "drop": _drop,
    "swap": _swap,
    "typo": _typo,
}
"""Name -> what it does to the words of a text; `amodal.shifts.media.TextNoise` says it in words."""


def change_texts(
    texts: Sequence[str], keys: np.ndarray, hit: np.ndarray, how: str, severity: float
) -> np.ndarray:
    """The texts, those of `hit` changed; words are what stands between spaces.

    >>> change_texts(["a b"], np.zeros(1, np.uint64), np.array([True]), "swap", 1.0).tolist()
    ['b a']
    """
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    for j in np.flatnonzero(hit):
        words = str(texts[j]).split()
        if words:
            out[j] = " ".join(TEXT_CHANGES[how](words, _draws(keys[j], len(words)), severity))
    return out


def change_sources(
    sources: Sequence[str], keys: np.ndarray, hit: np.ndarray, **change: object
) -> np.ndarray:
    """The sources, those of `hit` with a record of one more change.

    >>> hit = np.array([True, False])
    >>> made = change_sources(["a.png", "b.png"], np.zeros(2, np.uint64), hit, change="pure")
    >>> made[0] != "a.png", made[1]
    (True, 'b.png')
    """
    out = np.empty(len(sources), dtype=object)
    out[:] = sources
    for j in np.flatnonzero(hit):
        out[j] = str(Source.parse(sources[j]).changed(**change, key=int(keys[j])))
    return out


def change_codes(
    values: Values, keys: np.ndarray, hit: np.ndarray, how: str, severity: float, codes: int
) -> Values:
    """Events dropped (one of each value stays), or their codes replaced by one of `codes`.

    Args:
        values: of a modality of kind codes.
        keys: ``UInt64[v]`` of their random numbers.
        hit: ``Bool[v]`` which are changed.
        how: "drop" or "replace".
        severity: the probability that an event is struck, from 0; from 1 on every one is.
        codes: size of the vocabulary.

    >>> events = {"code": np.array([4, 5, 6, 7]), "time": np.arange(4.0)}
    >>> values = Values(events, np.array([0, 3, 4]), np.array([0, 1]))
    >>> hit = np.array([True, False])
    >>> made = change_codes(values, np.zeros(2, np.uint64), hit, "drop", 1.0, 8)
    >>> made.offsets.tolist(), int(made.data["code"][-1])
    ([0, 1, 2], 7)
    """
    lengths = values.lengths
    owner = np.repeat(np.arange(len(values)), lengths)
    step = np.arange(len(owner)) - np.repeat(values.offsets[:-1], lengths)
    u = keyed_uniform(keys[owner], step * 2, 2)
    struck = hit[owner] & (u[:, 0] < severity)
    if how == "replace":
        drawn = np.floor(u[:, 1] * codes).astype(np.int64)
        code = np.where(struck, drawn if codes else -1, values.data["code"])
        return Values({**values.data, "code": code}, values.offsets, values.index)
    top = np.maximum.reduceat(u[:, 0], values.offsets[:-1]) if len(values) else u[:, 0]
    kept = ~struck | (u[:, 0] == top[owner])
    counts = np.bincount(owner[kept], minlength=len(values))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Values({k: x[kept] for k, x in values.data.items()}, offsets, values.index)


def pure_values(
    data: Dataset, name: str, keys: np.ndarray, hit: np.ndarray, *, words: Values
) -> Values:
    """Noise in place of the sources, words or codes of a modality; see `PureNoise`.

    Args:
        data: whose values are changed.
        name: of the modality.
        keys: ``UInt64[v]`` of their random numbers.
        hit: ``Bool[v]`` which are changed.
        words: the texts whose words are drawn.

    >>> d = Dataset.from_arrays({"t": ["one two", "three"]}, modalities={"t": "text"})
    >>> hit, words = np.array([True, False]), d.values["t"]
    >>> texts = pure_values(d, "t", np.zeros(2, np.uint64), hit, words=words).data["source"]
    >>> len(texts[0].split()), set(texts[0].split()) <= {"one", "two", "three"}, texts[1]
    (2, True, 'three')
    """
    modality, values = data.modality(name), data.values[name]
    if modality.kind == "codes":
        return change_codes(values, keys, hit, "replace", 1.0, len(modality.vocabulary))
    sources = values.data["source"].tolist()
    if modality.kind in MEDIA:
        changed = change_sources(sources, keys, hit, change="pure")
    else:
        changed = _random_words(sources, keys, hit, words.data["source"].tolist())
    return Values({"source": changed}, None, values.index)


def _random_words(
    texts: Sequence[str], keys: np.ndarray, hit: np.ndarray, known: Sequence[str]
) -> np.ndarray:
    """As many words as each text has, drawn evenly from the distinct ones of `known`."""
    every = sorted({word for text in known for word in str(text).split()})
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    for j in np.flatnonzero(hit):
        count = len(str(texts[j]).split())
        if count and every:
            which = (_draws(keys[j], count)[:, 0] * len(every)).astype(np.int64)
            out[j] = " ".join(every[k] for k in which)
    return out
