"""Noise of texts, images, audio and codes: keyed, graded, made when a file is decoded."""

from __future__ import annotations

import numpy as np
import pytest

from amodal import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.media import AudioDecoder, ImageDecoder, Source
from amodal.media.changes import IMAGE_CHANGES, WAVE_CHANGES, change_image, change_wave
from amodal.shifts import (
    AudioNoise,
    CodesNoise,
    ImageNoise,
    PureNoise,
    TextNoise,
    make_shift,
    shift_from_json,
)

NOISY = [TextNoise, ImageNoise, AudioNoise, CodesNoise]
EVERY = [cls(how=how, severity=0.4) for cls in NOISY for how in cls.choices] + [PureNoise()]
each = pytest.mark.parametrize("shift", EVERY, ids=lambda s: f"{s.name}-{getattr(s, 'how', '')}")


def make(n=40):
    rng = np.random.default_rng(0)
    words = np.array(
        ["a", "patient", "with", "a", "fever", "of", "unknown", "origin", "and", "some", "cough"]
    )
    texts = [" ".join(rng.choice(words, 8)) for _ in range(n)]
    codes = [
        [("ijkl"[c], "dx", float(t)) for t, c in enumerate(rng.integers(0, 4, 6))] for _ in texts
    ]
    arrays = {
        "t": texts,
        "p": [f"/nowhere/{i}.png" for i in range(n)],
        "w": [f"/nowhere/{i}.wav" for i in range(n)],
        "c": codes,
    }
    arrays = {k: [None if i == 3 else x for i, x in enumerate(v)] for k, v in arrays.items()}
    kinds = {"t": "text", "p": "image", "w": "audio", "c": "codes"}
    return Dataset.from_arrays(
        arrays, modalities=kinds, rows={"row_id": [f"r{i}" for i in range(n)]}
    )


def entries(data):
    """Row id -> modality -> what it has, as plain values."""
    found = {}
    for i, row in enumerate(data.row_id.tolist()):
        found[row] = {}
        for name, v in data.values.items():
            j = v.index[i]
            if j < 0:
                found[row][name] = None
            elif v.offsets is None:
                found[row][name] = v.data["source"][j]
            else:
                part = slice(v.offsets[j], v.offsets[j + 1])
                found[row][name] = [
                    tuple(x) for x in zip(*(a[part] for a in v.data.values()), strict=True)
                ]
    return found


@each
def test_order_and_subset_change_nothing_and_what_is_absent_stays_so(shift):
    data = make()
    before = data.fingerprint()
    whole = entries(shift(data, data))
    part = shift(data[[30, 7, 3, 12]], data)
    assert entries(part) == {k: whole[k] for k in part.row_id.tolist()}
    assert (shift(data).absence == data.absence).all()
    assert data.fingerprint() == before
    assert shift(data).fingerprint() not in (before, type(shift)(seed=1)(data).fingerprint())


@each
def test_a_shift_is_its_json_and_is_recorded(shift):
    assert shift_from_json(shift.to_json()) == shift
    assert shift(make()).provenance["shifts"] == [shift.to_json()]
    assert shift.describe().endswith(".")


@each
def test_only_its_own_kinds_and_the_rows_drawn(shift):
    data = make(200)
    settings = {k: v for k, v in shift.to_json().items() if k != "shift"}
    drawn = type(shift)(**{**settings, "rate": 0.3})
    clean, noisy = entries(data), entries(drawn(data))
    for name, kind in (("t", "text"), ("p", "image"), ("w", "audio"), ("c", "codes")):
        changed = np.mean([clean[r][name] != noisy[r][name] for r in clean])
        if kind not in shift.kinds:
            assert changed == 0
        else:
            assert 0.1 < changed < 0.45


def test_what_is_stored_is_what_was_shifted(tmp_path):
    data = ImageNoise(how="blur")(make())
    data.save(tmp_path / "d")
    assert Dataset.load(tmp_path / "d").fingerprint() == data.fingerprint()


# -- texts ----------------------------------------------------------------------------------------


PLAIN = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def words(shift, n=400):
    text = " ".join(PLAIN)
    data = Dataset.from_arrays({"t": [text + " " * i for i in range(n)]}, modalities={"t": "text"})
    return [str(x).split() for x in shift(data).values["t"].data["source"]]


def test_words_go_at_their_rate_and_more_with_severity():
    low, high = (words(TextNoise(severity=s)) for s in (0.2, 0.6))
    assert np.mean([len(x) for x in low]) == pytest.approx(8 * 0.8, abs=0.2)
    assert np.mean([len(x) for x in high]) == pytest.approx(8 * 0.4, abs=0.2)
    assert all(set(h) <= set(lo) for h, lo in zip(high, low, strict=True))
    assert all(len(x) == 1 for x in words(TextNoise(severity=1.0)))


def test_swaps_keep_the_words():
    found = words(TextNoise(severity=0.3, how="swap"))
    assert all(sorted(x) == sorted(PLAIN) for x in found)
    assert words(TextNoise(severity=1.0, how="swap"), n=1)[0][:4] == ["two", "one", "four", "three"]


def test_typing_errors_are_one_letter_away():
    found = words(TextNoise(severity=0.5, how="typo"))
    wrong = [(w, x) for some in found for w, x in zip(PLAIN, some, strict=True) if w != x]
    assert len(wrong) / (400 * 8) == pytest.approx(0.5, abs=0.06)
    for word, typed in wrong:
        assert abs(len(word) - len(typed)) <= 1
        assert len(set(word) ^ set(typed)) <= 2
    assert {len(x) - len(w) for w, x in wrong} == {-1, 0, 1}


def test_short_and_blank_texts_are_no_trouble():
    data = Dataset.from_arrays({"t": ["a", " ", "\U0001f321"]}, modalities={"t": "text"})
    for how in TextNoise.choices:
        found = TextNoise(severity=1.0, how=how)(data).values["t"].data["source"]
        assert found[1] == " "
        assert all(found)


def test_pure_noise_of_texts_is_words_of_the_reference():
    data, other = make(), Dataset.from_arrays({"t": ["x y", "z"]}, modalities={"t": "text"})
    found = entries(PureNoise(modalities="t")(data, other))
    for row, had in entries(data).items():
        if had["t"] is not None:
            assert len(found[row]["t"].split()) == len(had["t"].split())
            assert set(found[row]["t"].split()) <= {"x", "y", "z"}


# -- codes ----------------------------------------------------------------------------------------


def test_codes_go_or_are_replaced_at_their_rate():
    data = make(300)
    events = len(data.values["c"].data["code"])
    dropped = CodesNoise(severity=0.3)(data).values["c"]
    assert len(dropped.data["code"]) / events == pytest.approx(0.7, abs=0.03)
    replaced = CodesNoise(severity=0.4, how="replace")(data).values["c"]
    same = (replaced.data["code"] == data.values["c"].data["code"]).mean()
    assert same == pytest.approx(0.6 + 0.4 / 4, abs=0.03)
    assert (replaced.data["time"] == data.values["c"].data["time"]).all()
    pure = PureNoise(modalities="c")(data).values["c"].data["code"]
    assert (pure == data.values["c"].data["code"]).mean() == pytest.approx(0.25, abs=0.04)


def test_no_rows_and_one_event():
    data = make()
    assert len(CodesNoise(severity=1.0)(data[:0])) == 0
    one = Dataset.from_arrays({"c": [["a"]]})
    assert CodesNoise(severity=1.0)(one).values["c"].lengths.tolist() == [1]


# -- pictures and sound ---------------------------------------------------------------------------


def record(change, severity, key=7):
    return [{"change": change, "severity": severity, "key": key}]


def test_noise_of_pictures_is_a_multiple_of_64_grey_levels():
    grey = np.full((3, 40, 40), 128, dtype=np.uint8)
    one, two = (change_image(grey, record("noise", s)).astype(float) - 128 for s in (0.2, 0.4))
    assert one.std() == pytest.approx(12.8, rel=0.05)
    np.testing.assert_allclose(two, 2 * one, atol=1.1)  # rounded
    assert (grey == 128).all()


def test_blur_keeps_the_mean_and_evens_out():
    board = np.zeros((3, 32, 32), dtype=np.uint8)
    board[:, ::2] = 200
    found = change_image(board, record("blur", 3.0))
    assert found.mean() == pytest.approx(100, abs=2)
    assert found[:, 8:-8, 8:-8].std() < 5


def test_occlusion_covers_its_share_and_brightness_its_power():
    white = np.full((3, 40, 40), 200, dtype=np.uint8)
    for severity, share in ((1.0, 0.25), (4.0, 1.0), (9.0, 1.0)):
        assert (change_image(white, record("occlusion", severity)) == 0).mean() == share
    grey = np.full((3, 2, 2), 100, dtype=np.uint8)
    seen = {int(change_image(grey, record("brightness", 1.0, key=k)).max()) for k in range(20)}
    assert seen == {50, 200}


def test_noise_of_sound_has_the_ratio_stated():
    wave = np.sin(np.arange(20_000) / 5).astype(np.float32)
    for severity in (0.1, 1.0):
        noise = change_wave(wave, record("noise", severity)) - wave
        ratio = 20 * np.log10(wave.std() / noise.std())
        assert ratio == pytest.approx(-20 * np.log10(severity), abs=0.3)
    assert (change_wave(np.zeros(10, np.float32), record("noise", 1.0)) == 0).all()


def test_gaps_and_clipping():
    wave = np.ones(160_000, dtype=np.float32)
    found = change_wave(wave, record("dropout", 0.3)).reshape(-1, 800)
    assert ((found == 0).all(1) | (found == 1).all(1)).all()
    assert found.mean() == pytest.approx(0.7, abs=0.08)
    clipped = change_wave(np.array([1.0, -1.0, 0.05], np.float32), record("clipping", 1.0))
    np.testing.assert_allclose(clipped, [0.1, -0.1, 0.05], atol=1e-6)
    assert len(change_wave(np.zeros(0, np.float32), record("dropout", 1.0))) == 0


def test_pure_noise_says_nothing_of_what_was_there():
    black, white = np.zeros((3, 9, 9), np.uint8), np.full((3, 9, 9), 255, np.uint8)
    assert (change_image(black, record("pure", 0)) == change_image(white, record("pure", 0))).all()
    one, two = np.sin(np.arange(900.0)), np.cos(np.arange(900.0) * 3)
    a, b = (change_wave(x.astype(np.float32), record("pure", 0)) for x in (one, two))
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(1.0)  # the same noise at both levels


def test_a_decoder_makes_the_change(tmp_path):
    image = pytest.importorskip("PIL.Image")
    soundfile = pytest.importorskip("soundfile")
    picture = image.new("RGB", (8, 8), (90, 90, 90))
    picture.paste((9, 9, 9), (0, 0, 4, 8))
    picture.save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(4000) / 9), 16000)
    arrays = {"p": [str(tmp_path / "a.png")], "w": [str(tmp_path / "a.wav")]}
    data = Dataset.from_arrays(arrays, modalities={"p": "image", "w": "audio"})
    for cls, decoder, name in (
        (ImageNoise, ImageDecoder(64), "p"),
        (AudioNoise, AudioDecoder(), "w"),
    ):
        clean = decoder.decode(data.values[name].data["source"][0])
        for how in cls.choices:
            source = cls(how=how, severity=0.8)(data).values[name].data["source"][0]
            assert (decoder.decode(source) != clean).any()
            assert (decoder.decode(source) == decoder.decode(source)).all()
        both = AudioNoise()(ImageNoise()(data))
        assert len(Source.parse(both.values[name].data["source"][0]).changes) == 1


def test_every_change_has_a_name_in_a_shift():
    assert set(IMAGE_CHANGES) == {*ImageNoise.choices, "pure"}
    assert set(WAVE_CHANGES) == {*AudioNoise.choices, "pure"}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: TextNoise(how="typos"), UnknownNameError, "'typo'"),
        (lambda: ImageNoise(severity=-1.0), SettingError, "at least 0"),
        (lambda: make_shift("image_noise", 2.0), SettingError, "between 0 and 1"),
        (lambda: ImageNoise(modalities="t")(make()), DataError, "of kind image; got 't'"),
        (lambda: AudioNoise()(make().select(["t"])), DataError, "of kind audio"),
        (lambda: change_image(np.zeros((3, 1, 1), np.uint8), [{"change": "x"}]), SettingError, "x"),
    ],
)
def test_bad_input_is_one_sentence(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)
