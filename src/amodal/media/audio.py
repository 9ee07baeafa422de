"""`AudioDecoder`: a recording as log-mel frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np

from amodal.errors import SettingError
from amodal.media.changes import change_wave
from amodal.media.source import Source, UnreadableError

__all__ = ["HOP", "RATE", "WINDOW", "AudioDecoder", "log_mel", "mel_filters", "read_wave"]

RATE = 16_000
"""Samples per second of what is analysed."""
WINDOW, HOP, _FFT = 400, 160, 512
_FLOOR = 1e-10
_LOW_HZ = 20.0


@dataclass(frozen=True)
class AudioDecoder:
    """A sound file as ``Float32[frames, mels]``, natural logarithms of mel-band powers.

    The mean of the channels, resampled to 16 kHz by a polyphase filter
    (`scipy.signal.resample_poly`), cut behind `seconds`, changed as shifts ask
    (`amodal.media.changes.change_wave`), then `log_mel`. Formats are those of libsndfile: WAV,
    FLAC, OGG, MP3 and more.

    Args:
        mels: number of bands.
        seconds: what comes later is not read.

    Raises:
        SettingError: no bands, or no time.

    >>> AudioDecoder(seconds=1.0).frames
    98
    """

    mels: int = 64
    seconds: float = 4.0

    kind = "audio"

    def __post_init__(self) -> None:
        if self.mels < 1 or not self.seconds > 0:
            raise SettingError(
                f"a recording is read in at least one band and for some time; got {self.mels} "
                f"bands and {self.seconds} seconds; raise them"
            )

    @property
    def frames(self) -> int:
        """The most frames that there can be."""
        return _frames(round(self.seconds * RATE))

    def decode(self, source: str) -> np.ndarray:
        """The frames of the file.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        found = Source.parse(source)
        return log_mel(change_wave(self.wave(found.read()), found.changes), self.mels)

    def wave(self, content: bytes) -> np.ndarray:
        """The samples of the content of a file, without changes."""
        return read_wave(content)[: round(self.seconds * RATE)]


def read_wave(content: bytes) -> np.ndarray:
    """``Float32[s]``, mono at 16 kHz, full scale 1, of the content of a sound file.

    Raises:
        UnreadableError: no sound file, a damaged one, or one without samples.

    >>> import soundfile
    >>> file = BytesIO()
    >>> soundfile.write(file, np.array([[0.5, 0.0]]), 16_000, format="WAV")  # two channels
    >>> read_wave(file.getvalue()).tolist()
    [0.25]
    >>> read_wave(b"no sound")
    Traceback (most recent call last):
    amodal.media.source.UnreadableError: wrong kind
    """
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            rate, told = file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        raise UnreadableError("truncated" if _looks_like_sound(content) else "wrong kind") from None
    if len(samples) < told or _cut_short(content):
        raise UnreadableError("truncated")
    if not len(samples):
        raise UnreadableError("empty")
    if not np.isfinite(samples).all():
        raise UnreadableError("not finite")
    return _resampled(samples.mean(axis=1), rate)


def _resampled(wave: np.ndarray, rate: int) -> np.ndarray:
    if rate == RATE:
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(rate, RATE)
    up, down = RATE // common, rate // common
    return resample_poly(wave, up, down, window=_low_pass(max(up, down))).astype(np.float32)


@lru_cache
def _low_pass(ratio: int) -> np.ndarray:
    """The filter that `resample_poly` designs by default, once and not for every file."""
    from scipy.signal import firwin

    return firwin(20 * ratio + 1, 1 / ratio, window=("kaiser", 5.0)).astype(np.float32)


def _looks_like_sound(content: bytes) -> bool:
    return content[:4] in (b"RIFF", b"fLaC", b"OggS", b"FORM", b"RF64", b"ID3\x03", b"ID3\x04")


def _cut_short(content: bytes) -> bool:
    """True for a WAV file whose data chunk says that it is longer than the file."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            # written to a pipe: nobody went back to fill the size in
            return size not in (0, 0xFFFFFFFF) and at + 8 + size > len(content)
        at += 8 + size + size % 2
    return False


def _frames(samples: int) -> int:
    return 1 + (max(samples, WINDOW) - WINDOW) // HOP


def log_mel(wave: np.ndarray, mels: int = 64) -> np.ndarray:
    r"""``Float32[t, mels]``: ``log max(sum_f M_bf |X_tf|^2, 1e-10)``.

    X_t is the discrete Fourier transform, zero-padded to 512 points, of the t-th window of 400
    samples (25 ms) under a periodic Hann window; windows are 160 samples (10 ms) apart, and there
    are ``1 + (max(s, 400) - 400) // 160`` of them: a shorter recording is filled up with zeros, a
    rest at the end is left out. M are triangles of height 1 between `mels` + 2 points that lie
    evenly on the mel scale ``2595 log10(1 + f / 700)`` from 20 Hz to 8 kHz.

    Args:
        wave: ``Float[s]`` at 16 kHz.
        mels: number of bands.

    >>> log_mel(np.zeros(800, dtype=np.float32), 4).shape
    (3, 4)
    """
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows * _hann(), _FFT)) ** 2
    return np.log(np.maximum(power @ mel_filters(mels), _FLOOR)).astype(np.float32)


@lru_cache
def _hann() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@lru_cache
def mel_filters(mels: int) -> np.ndarray:
    """``Float64[257, mels]``: the weight of each frequency in each band; see `log_mel`.

    >>> filters = mel_filters(4)
    >>> filters.shape, bool((filters >= 0).all()), bool(filters.max() <= 1)
    ((257, 4), True, True)
    """
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOW_HZ, RATE / 2))
    points = 700 * (10 ** (np.linspace(low, high, mels + 2) / 2595) - 1)
    hz = np.linspace(0, RATE / 2, _FFT // 2 + 1)[:, None]
    rise = (hz - points[:-2]) / np.diff(points)[:-1]
    fall = (points[2:] - hz) / np.diff(points)[1:]
    return np.maximum(0, np.minimum(rise, fall))
