"""Noise of the kinds that hold no table of numbers: texts, images, audio, codes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import unknown_name
from amodal.shifts.base import check_positive
from amodal.shifts.grades import change_codes, change_sources, change_texts
from amodal.shifts.noise import ValueShift, value_keys
from amodal.values import Values

__all__ = ["AudioNoise", "CodesNoise", "GradedNoise", "ImageNoise", "TextNoise"]


@dataclass(frozen=True)
class GradedNoise(ValueShift):
    """One of several damages (`how`) to the values of one kind, at a stated severity.

    At one seed the same random numbers serve every severity, each time on the clean values. A value
    that several rows share is keyed by the first of them by row id.

    >>> d = Dataset.from_arrays({"t": ["one two three four"]}, modalities={"t": "text"})
    >>> few, many = (TextNoise(severity=s)(d).values["t"].data["source"][0] for s in (0.4, 0.8))
    >>> set(many.split()) <= set(few.split())  # what is dropped stays dropped
    True
    """

    choices: ClassVar[dict[str, str]]
    """Name of each damage -> what it does, for people; ``{severity}`` stands for the severity."""

    rate: float = 1.0
    severity: float = 1.0
    how: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        severity = check_positive(f"the severity of shift {self.name!r}", self.severity, zero=True)
        self._set("severity", severity)
        if not self.how:
            self._set("how", next(iter(self.choices)))
        if self.how not in self.choices:
            raise unknown_name(f"noise of shift {self.name!r}", self.how, self.choices)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever changed."""
        return self.rate == 0 or self.severity == 0

    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        keys, hit = value_keys(data, name, self.how, self)
        return self._changed(data, name, keys, hit)

    @abstractmethod
    def _changed(self, data: Dataset, name: str, keys: np.ndarray, hit: np.ndarray) -> Values:
        """The values of a modality, those of `hit` changed by the numbers of `keys`."""

    def describe(self) -> str:
        """One sentence in words."""
        told = self.choices[self.how].format(**self._told())
        return f"In {self._which()}, {told}."

    def _told(self) -> dict[str, str]:
        return {"severity": f"{self.severity:g}", "share": f"{min(1.0, self.severity):.0%}"}


@dataclass(frozen=True)
class TextNoise(GradedNoise):
    """Words of texts are dropped or change places, or get typing errors.

    | how | what happens |
    |---|---|
    | ``drop`` | each word goes with probability `severity`; the last one left stays |
    | ``swap`` | each word changes places with the next with probability `severity`; none moves twice |
    | ``typo`` | with probability `severity` a letter of the word is left out, doubled, replaced by another, or changes places with the next |

    Words are what stands between spaces.

    Args:
        rate: the probability that a text that is present is touched at all.
        seed: any integer.
        modalities: names; None for all texts.
        severity: from 0; from 1 on every word is struck.
        how: see above.

    >>> d = Dataset.from_arrays({"t": ["one two three"]}, modalities={"t": "text"})
    >>> TextNoise(severity=1.0)(d).values["t"].data["source"][0] in ("one", "two", "three")
    True
    """  # noqa: E501

    name: ClassVar[str] = "text-noise"
    title: ClassVar[str] = "Words dropped, swapped or mistyped"
    kinds: ClassVar[tuple[str, ...]] = ("text",)
    stream: ClassVar[str] = "text"
    choices: ClassVar[dict[str, str]] = {
        "drop": "each word goes with probability {share}",
        "swap": "each word changes places with the next with probability {share}",
        "typo": "each word gets a typing error with probability {share}",
    }

    severity: float = 0.3

    def _changed(self, data: Dataset, name: str, keys: np.ndarray, hit: np.ndarray) -> Values:
        values = data.values[name]
        texts = values.data["source"].tolist()
        changed = change_texts(texts, keys, hit, self.how, self.severity)
        return Values({"source": changed}, None, values.index)


class _FileNoise(GradedNoise):
    """Noise that is written down beside the file, and made when that is decoded."""

    def _changed(self, data: Dataset, name: str, keys: np.ndarray, hit: np.ndarray) -> Values:
        values = data.values[name]
        changed = change_sources(
            values.data["source"].tolist(), keys, hit, change=self.how, severity=self.severity
        )
        return Values({"source": changed}, None, values.index)


@dataclass(frozen=True)
class ImageNoise(_FileNoise):
    """Images get noisy, blurred, covered in part, brighter or darker, when they are decoded.

    On the decoded image, of the size that an encoder asks for, pixels 0 to 255:

    | how | what happens at severity s |
    |---|---|
    | ``noise`` | Gaussian noise of standard deviation 64 s |
    | ``blur`` | a Gaussian blur of standard deviation s / 32 of the shorter side |
    | ``occlusion`` | a black field of the image's shape covers min(1, s / 4) of it |
    | ``brightness`` | pixels times 2^s or 2^-s |

    Args:
        rate: the probability that an image that is present is touched at all.
        seed: any integer.
        modalities: names; None for all images.
        severity: at least 0.
        how: see above.

    >>> ImageNoise(severity=0.5, how="blur").describe()
    'In every modality of kind image, pixels are blurred with severity 0.5.'
    """

    name: ClassVar[str] = "image-noise"
    title: ClassVar[str] = "Noisy, blurred, covered, brighter or darker images"
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    stream: ClassVar[str] = "image"
    choices: ClassVar[dict[str, str]] = {
        "noise": "pixels get Gaussian noise of severity {severity}",
        "blur": "pixels are blurred with severity {severity}",
        "occlusion": "a black field covers a part, severity {severity}",
        "brightness": "pixels get brighter or darker by 2 to the power of {severity}",
    }


@dataclass(frozen=True)
class AudioNoise(_FileNoise):
    """Recordings get noisy, interrupted or clipped, when they are decoded.

    On the samples, mono at 16 kHz:

    | how | what happens at severity s |
    |---|---|
    | ``noise`` | white noise of s times the level (root mean square) of the recording: a signal-to-noise ratio of -20 log10 s decibels |
    | ``dropout`` | each stretch of 50 ms is silent with probability s |
    | ``clipping`` | what is beyond 1 / (1 + 9 s) of the loudest sample is cut off |

    Args:
        rate: the probability that a recording that is present is touched at all.
        seed: any integer.
        modalities: names; None for all audio.
        severity: at least 0.
        how: see above.

    >>> AudioNoise(severity=0.1).describe()
    'In every modality of kind audio, white noise is added, 20 dB below the signal.'
    """  # noqa: E501

    name: ClassVar[str] = "audio-noise"
    title: ClassVar[str] = "Noisy, interrupted or clipped audio"
    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    stream: ClassVar[str] = "audio"
    choices: ClassVar[dict[str, str]] = {
        "noise": "white noise is added, {ratio}",
        "dropout": "each stretch of 50 ms is silent with probability {share}",
        "clipping": "samples beyond {top} of the loudest are cut off",
    }

    def _told(self) -> dict[str, str]:
        decibels = -20 * np.log10(self.severity) if self.severity else np.inf
        side = "below" if decibels >= 0 else "above"
        ratio = f"{abs(decibels):.3g} dB {side} the signal"
        return {**super()._told(), "ratio": ratio, "top": f"{1 / (1 + 9 * self.severity):.0%}"}


@dataclass(frozen=True)
class CodesNoise(GradedNoise):
    """Events of codes get lost, or their codes are replaced by random ones of the vocabulary.

    | how | what happens |
    |---|---|
    | ``drop`` | each event goes with probability `severity`; the last one left stays |
    | ``replace`` | each code becomes one drawn evenly from the vocabulary with probability `severity`; types and times stay |

    Args:
        rate: the probability that the events of a row are touched at all.
        seed: any integer.
        modalities: names; None for all codes.
        severity: from 0; from 1 on every event is struck.
        how: see above.

    >>> d = Dataset.from_arrays({"c": [["a", "b", "c"]]})
    >>> len(CodesNoise(severity=1.0)(d).values["c"].data["code"])
    1
    """  # noqa: E501

    name: ClassVar[str] = "codes-noise"
    title: ClassVar[str] = "Codes dropped or replaced"
    kinds: ClassVar[tuple[str, ...]] = ("codes",)
    stream: ClassVar[str] = "codes"
    choices: ClassVar[dict[str, str]] = {
        "drop": "each event goes with probability {share}",
        "replace": "each code is replaced by a random one with probability {share}",
    }

    severity: float = 0.3

    def _changed(self, data: Dataset, name: str, keys: np.ndarray, hit: np.ndarray) -> Values:
        codes = len(data.modality(name).vocabulary)
        return change_codes(data.values[name], keys, hit, self.how, self.severity, codes)
