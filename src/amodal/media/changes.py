"""What shifts do to decoded pictures and sounds: pure functions of the array and a record.

A record is a JSON object with the name of the ``change``, its ``severity`` and the ``key`` of its
random numbers. The numbers do not depend on the severity, so that severities are grades of one
damage. `amodal.shifts` writes the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from amodal.errors import unknown_name

__all__ = ["IMAGE_CHANGES", "WAVE_CHANGES", "change_image", "change_wave"]

GREY_LEVELS = 64.0
"""Standard deviation of the noise of severity 1 on a picture, of 255 grey levels."""
DROPOUT_SECONDS = 0.05
_RATE = 16_000

Record = Mapping[str, Any]


def _random(record: Record) -> np.random.Generator:
    """Philox: counter-based, and the same numbers on every machine."""
    return np.random.Generator(np.random.Philox(int(record["key"])))


# -- pictures: Float64[3, h, w] of 0 to 255 -------------------------------------------------------


def _image_noise(x: np.ndarray, record: Record) -> np.ndarray:
    return x + record["severity"] * GREY_LEVELS * _random(record).standard_normal(x.shape)


def _image_blur(x: np.ndarray, record: Record) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = record["severity"] * min(x.shape[1:]) / 32
    return gaussian_filter(x, sigma=(0, sigma, sigma), mode="nearest")


def _image_occlusion(x: np.ndarray, record: Record) -> np.ndarray:
    height, width = x.shape[1:]
    share = min(1.0, record["severity"] / 4) ** 0.5
    down, across = round(share * height), round(share * width)
    middle = _random(record).random(2)  # of what is free to move
    top, left = int(middle[0] * (height - down + 1)), int(middle[1] * (width - across + 1))
    out = x.copy()
    out[:, top : top + down, left : left + across] = 0
    return out


def _image_brightness(x: np.ndarray, record: Record) -> np.ndarray:
    sign = 1 if _random(record).random() < 0.5 else -1
    return x * 2.0 ** (sign * record["severity"])


def _image_pure(x: np.ndarray, record: Record) -> np.ndarray:
    return _random(record).integers(0, 256, x.shape).astype(np.float64)


IMAGE_CHANGES: dict[str, Callable[[np.ndarray, Record], np.ndarray]] = {
    "noise": _image_noise,
    "blur": _image_blur,
    "occlusion": _image_occlusion,
    "brightness": _image_brightness,
    "pure": _image_pure,
}
"""Name -> what it does to a picture; `amodal.shifts.media.ImageNoise` says it in words."""


def change_image(pixels: np.ndarray, changes: Iterable[Record]) -> np.ndarray:
    """``UInt8[3, h, w]`` after `changes`, one after the other; `pixels` stay as they are.

    >>> blank = np.full((3, 4, 4), 100, dtype=np.uint8)
    >>> record = {"change": "occlusion", "severity": 1.0, "key": 0}
    >>> int((change_image(blank, [record]) == 0).sum())
    12
    """
    changes = list(changes)
    if not changes:
        return pixels
    x = pixels.astype(np.float64)
    for record in changes:
        x = np.clip(_pick(IMAGE_CHANGES, record)(x, record), 0, 255)
    return np.round(x).astype(np.uint8)


# -- sound: Float64[s] at 16 kHz ------------------------------------------------------------------


def _level(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) if len(x) else 0.0


def _wave_noise(x: np.ndarray, record: Record) -> np.ndarray:
    return x + record["severity"] * _level(x) * _random(record).standard_normal(len(x))


def _wave_dropout(x: np.ndarray, record: Record) -> np.ndarray:
    step = round(DROPOUT_SECONDS * _RATE)
    gone = _random(record).random(-(-len(x) // step)) < record["severity"]
    return np.where(np.repeat(gone, step)[: len(x)], 0.0, x)


def _wave_clipping(x: np.ndarray, record: Record) -> np.ndarray:
    top = float(np.abs(x).max(initial=0.0)) / (1 + 9 * record["severity"])
    return np.clip(x, -top, top)


def _wave_pure(x: np.ndarray, record: Record) -> np.ndarray:
    return _level(x) * _random(record).standard_normal(len(x))


WAVE_CHANGES: dict[str, Callable[[np.ndarray, Record], np.ndarray]] = {
    "noise": _wave_noise,
    "dropout": _wave_dropout,
    "clipping": _wave_clipping,
    "pure": _wave_pure,
}
"""Name -> what it does to a recording; `amodal.shifts.media.AudioNoise` says it in words."""


def change_wave(wave: np.ndarray, changes: Iterable[Record]) -> np.ndarray:
    """``Float32[s]`` after `changes`, one after the other; `wave` stays as it is.

    >>> record = {"change": "clipping", "severity": 1.0, "key": 0}
    >>> change_wave(np.array([1.0, -0.05], dtype=np.float32), [record]).round(3).tolist()
    [0.10000000149011612, -0.05000000074505806]
    """
    changes = list(changes)
    if not changes:
        return wave
    x = wave.astype(np.float64)
    for record in changes:
        x = _pick(WAVE_CHANGES, record)(x, record)
    return x.astype(np.float32)


def _pick(known: Mapping[str, Any], record: Record) -> Callable[[np.ndarray, Record], np.ndarray]:
    if record.get("change") not in known:
        raise unknown_name("change of media", str(record.get("change")), known)
    return known[record["change"]]
