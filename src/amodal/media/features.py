"""Texts, images and recordings as a few plain numbers, for methods that read nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amodal.media.audio import RATE, AudioDecoder
from amodal.media.decode import decode_many
from amodal.media.image import ImageDecoder

__all__ = ["FEATURES", "audio_numbers", "feature_names", "hashed_words", "image_numbers"]

_WORDS, _SIDE, _MELS, _SECONDS = 256, 8, 64, 30.0


def hashed_words(texts: Sequence[str], width: int = _WORDS) -> np.ndarray:
    """``Float32[k, width]``: signed counts of hashed words and pairs of them, of unit length.

    Component j is ``sign(c_j) log(1 + |c_j|)`` with c_j the sum of the signs of the words that hash
    to j; 0 for a text without words. Nothing is learned.

    Reference: Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.

    >>> bool((hashed_words(["No fever."]) == hashed_words(["no fever"])).all())
    True
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    if not len(texts):
        return np.zeros((0, width), dtype=np.float32)
    counts = HashingVectorizer(
        n_features=width, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", norm=None
    )
    found = counts.transform(texts).toarray()
    return normalize(np.sign(found) * np.log1p(np.abs(found))).astype(np.float32)


def image_numbers(sources: Sequence[str]) -> np.ndarray:
    """``Float64[k, 192]``: means of red, green and blue, 0 to 1, in 8 x 8 fields of each image.

    Raises:
        MediaError: a file cannot be decoded.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (16, 8), (255, 0, 51)).save(Path(folder, "x.png"))
    ...     found = image_numbers([f"{folder}/x.png"])[0]
    >>> found[[0, 64, 128]].round(3).tolist()  # the first field, in red, green and blue
    [1.0, 0.0, 0.2]
    """
    found = decode_many(ImageDecoder(_SIDE, fit="stretch"), sources)
    pixels = np.array(found, dtype=np.float64).reshape(len(found), 3 * _SIDE**2)
    return pixels / 255


def audio_numbers(sources: Sequence[str]) -> np.ndarray:
    """``Float64[k, 129]``: mean and deviation of each log-mel band over time, log of the seconds.

    Of the first 30 seconds; see `amodal.media.log_mel`.

    Raises:
        MediaError: a file cannot be decoded.

    >>> import soundfile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/x.wav", np.zeros(16_000), 16_000)  # a second of silence
    ...     found = audio_numbers([f"{folder}/x.wav"])[0]
    >>> found[[0, 64, 128]].round(3).tolist()  # log 1e-10, no deviation, log 0.995
    [-23.026, 0.0, -0.005]
    """
    found = decode_many(AudioDecoder(_MELS, _SECONDS), sources)
    out = np.zeros((len(found), 2 * _MELS + 1))
    for j, x in enumerate(found):
        x = x.astype(np.float64)
        seconds = (400 + 160 * (len(x) - 1)) / RATE
        out[j] = np.concatenate([x.mean(axis=0), x.std(axis=0), [np.log(seconds)]])
    return out


def feature_names(kind: str) -> list[str]:
    """What the numbers of a kind are called.

    >>> [len(feature_names(kind)) for kind in FEATURES]
    [256, 192, 129]
    """
    if kind == "text":
        return [f"word{j}" for j in range(_WORDS)]
    if kind == "image":
        fields = [f"{y}-{x}" for y in range(_SIDE) for x in range(_SIDE)]
        return [f"{colour}:{field}" for colour in ("red", "green", "blue") for field in fields]
    bands = [f"{what}:band{j}" for what in ("mean", "std") for j in range(_MELS)]
    return [*bands, "log_seconds"]


FEATURES = {"text": hashed_words, "image": image_numbers, "audio": audio_numbers}
"""Kind -> what makes ``Float[k, f]`` of k sources."""
