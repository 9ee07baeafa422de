"""Recordings of every rate and number of channels become the same frames."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from scipy.signal import resample_poly

from amodal.errors import SettingError
from amodal.media import AudioDecoder, UnreadableError, log_mel, read_wave
from amodal.media.audio import RATE, mel_filters

soundfile = pytest.importorskip("soundfile")


def content(wave, rate=RATE, kind="WAV", **settings):
    file = BytesIO()
    soundfile.write(file, wave, rate, format=kind, **settings)
    return file.getvalue()


def tone(hz, seconds=0.5, rate=RATE, size=0.5):
    return size * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def test_frames_are_the_formula_by_a_loop():
    wave = np.random.default_rng(0).normal(size=900)
    expected = []
    for begin in range(0, 900 - 400 + 1, 160):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
        padded = np.concatenate([wave[begin : begin + 400] * window, np.zeros(112)])
        power = np.abs(np.fft.fft(padded)[:257]) ** 2
        expected.append(np.log(np.maximum(mel_filters(8).T @ power, 1e-10)))
    np.testing.assert_allclose(log_mel(wave, 8), expected, rtol=1e-5)


def test_frames_agree_with_transformers():
    audio = pytest.importorskip("transformers.audio_utils")
    filters = audio.mel_filter_bank(257, 64, 20, 8000, RATE)
    np.testing.assert_allclose(mel_filters(64), filters, atol=1e-12)
    wave = np.random.default_rng(0).normal(size=5000)
    theirs = audio.spectrogram(
        wave, np.hanning(401)[:-1], 400, 160, 512, power=2.0, center=False, mel_filters=filters,
        log_mel="log",
    )  # fmt: skip
    np.testing.assert_allclose(log_mel(wave), theirs.T, atol=1e-5)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (400, 1), (559, 1), (560, 2)])
def test_number_of_frames(samples, frames):
    assert log_mel(np.zeros(samples)).shape == (frames, 64)


def test_silence_is_the_floor():
    np.testing.assert_allclose(log_mel(np.zeros(800)), np.log(1e-10), rtol=1e-6)


def test_a_tone_is_loudest_in_its_band():
    hz = 1000.0
    mel = 2595 * np.log10(1 + np.array([20.0, hz, 8000.0]) / 700)
    band = round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 65) - 1
    assert (log_mel(tone(hz)).argmax(1) == band).all()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_is_resampled_to_one(rate):
    found = read_wave(content(tone(440, rate=rate), rate, subtype="FLOAT"))
    assert abs(len(found) - RATE // 2) <= 1
    middle = slice(1000, 7000)
    np.testing.assert_allclose(found[middle], tone(440)[: len(found)][middle], atol=5e-3)
    common = np.gcd(rate, RATE)
    theirs = resample_poly(tone(440, rate=rate), RATE // common, rate // common)
    np.testing.assert_allclose(found, theirs, atol=1e-5)


def test_channels_are_averaged():
    both = np.column_stack([tone(300), tone(900)])
    found = read_wave(content(both, subtype="FLOAT"))
    np.testing.assert_allclose(found, (tone(300) + tone(900)) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_formats(kind):
    found = read_wave(content(tone(440), kind=kind))
    np.testing.assert_allclose(found, tone(440), atol=0.05 if kind == "OGG" else 1e-4)


def test_only_the_beginning_is_read(tmp_path):
    decoder = AudioDecoder(mels=16, seconds=0.25)
    (tmp_path / "a.wav").write_bytes(content(np.r_[tone(440, 0.25), tone(2000, 2.0)]))
    (tmp_path / "b.wav").write_bytes(content(tone(440, 0.25)))
    long, short = (decoder.decode(str(tmp_path / x)) for x in ("a.wav", "b.wav"))
    assert len(long) == decoder.frames
    np.testing.assert_allclose(long, short, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"just a text", "wrong kind"),
        (content(tone(440))[:-100], "truncated"),
        (content(tone(440), kind="FLAC")[:-900], "truncated"),
        (content(np.zeros(0)), "empty"),
        (content(np.array([0.0, np.nan]), subtype="FLOAT"), "not finite"),
    ],
    ids=["text", "cut WAV", "cut FLAC", "no samples", "NaN"],
)
def test_what_cannot_be_decoded_says_why(file, reason):
    with pytest.raises(UnreadableError, match=reason):
        read_wave(file)


def test_a_recording_that_was_written_to_a_pipe_is_read():
    file = bytearray(content(tone(440)))
    at = file.index(b"data") + 4
    file[at : at + 4] = b"\xff\xff\xff\xff"
    np.testing.assert_allclose(read_wave(bytes(file)), tone(440), atol=1e-4)


def test_wrong_settings_are_one_sentence():
    with pytest.raises(SettingError, match="at least one band"):
        AudioDecoder(mels=0)
    with pytest.raises(SettingError, match="at least one band"):
        AudioDecoder(seconds=0)
