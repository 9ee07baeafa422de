"""digits3 and easy-VQA from made-up files in their official layouts."""

from __future__ import annotations

import csv
import json
import zipfile
from io import BytesIO

import numpy as np
import pytest

from amodal import Dataset
from amodal.collections import prepare_digits3, prepare_easyvqa
from amodal.collections.digits3 import CLUES
from amodal.data.media import check_media
from amodal.errors import DataError, StorageError, UnknownNameError
from amodal.media import Source
from amodal.types import NOT_MEASURED

Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")


@pytest.fixture
def fsdd(tmp_path):
    """12 takes by three speakers of four digits, as a zip."""
    with zipfile.ZipFile(tmp_path / "fsdd.zip", "w") as file:
        for digit in range(4):
            for number, speaker in enumerate(("ann", "bob", "cid")):
                for take in range(12):
                    sound = BytesIO()
                    tone = np.sin(np.arange(400) * (1 + digit + number + take))
                    soundfile.write(sound, tone, 8000, format="WAV")
                    file.writestr(f"recordings/{digit}_{speaker}_{take}.wav", sound.getvalue())
    return tmp_path / "fsdd.zip"


def clue_of(sentence):
    return next(left for clue, left in CLUES.items() if sentence.endswith(f" {clue}"))


def test_every_digit_has_clues_and_every_clue_two_to_four_digits():
    assert all(2 <= len(left) <= 4 for left in CLUES.values())
    for digit in range(10):
        assert sum(digit in left for left in CLUES.values()) >= 3


def test_digits3(fsdd, tmp_path):
    data = prepare_digits3(fsdd, tmp_path / "out", seed=1)
    assert data.shape == (144, 3)
    takes = np.array([int(r.split("_")[2]) for r in data.row_id])
    assert ((data.split == "test") == (takes < 5)).all()
    digits = np.array([int(r[0]) for r in data.row_id])
    assert (data.target == digits).all()
    test = data.split == "test"
    assert not set(data.group[test]) & set(data.group[~test])
    clues = data.values["clue"]
    excluded = [
        d not in clue_of(clues.data["source"][j]) for d, j in zip(digits, clues.index, strict=True)
    ]
    assert np.mean(excluded) == pytest.approx(0.1, abs=0.02)
    with open(tmp_path / "out" / "clues.csv") as file:
        told = {line["row_id"]: line["wrong"] == "1" for line in csv.DictReader(file)}
    assert [told[r] for r in data.row_id] == excluded
    check_media(data)
    assert prepare_digits3(fsdd, tmp_path / "again", seed=1).fingerprint() == data.fingerprint()
    assert prepare_digits3(fsdd, tmp_path / "other", seed=2).fingerprint() != data.fingerprint()


def test_images_are_of_the_class_and_move_with_the_folder(fsdd, tmp_path):
    from sklearn.datasets import load_digits

    prepare_digits3(fsdd, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    data, known = Dataset.load(tmp_path / "moved"), load_digits()
    for i in range(0, len(data), 17):
        number = int(data.group[i].split("-")[1])
        assert known.target[number] == data.target[i]
        path = Source.parse(data.values["image"].data["source"][data.values["image"].index[i]]).path
        pixels = np.asarray(Image.open(path))
        np.testing.assert_allclose(pixels, known.images[number] * 255 / 16, atol=0.51)


def test_digits3_by_speaker(fsdd, tmp_path):
    data = prepare_digits3(fsdd, tmp_path / "out", split="speaker")
    speakers = np.array([r.split("_")[1] for r in data.row_id])
    assert set(speakers[data.split == "test"]) == {"bob", "cid"}
    assert set(speakers[data.split == ""]) == {"ann"}


def test_digits3_refuses_what_it_cannot_read(fsdd, tmp_path):
    with pytest.raises(UnknownNameError, match="'speaker'"):
        prepare_digits3(fsdd, tmp_path / "out", split="speakr")
    with pytest.raises(StorageError, match="a folder or a zip"):
        prepare_digits3(tmp_path / "none.zip", tmp_path / "out")
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="raw has none"):
        prepare_digits3(tmp_path / "raw", tmp_path / "out")
    (tmp_path / "raw" / "3_ann_0.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"3_ann_0\.wav is not: the file ends too early"):
        prepare_digits3(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def vqa(tmp_path):
    home = tmp_path / "vqa"
    for part, images in (("train", 3), ("test", 1)):
        (home / part / "images").mkdir(parents=True)
        for k in range(images):
            Image.new("RGB", (8, 8), (60 * k, 0, 0)).save(home / part / "images" / f"{k}.png")
    (home / "answers.txt").write_text("yes\nno\nred\n")
    train = [["is it red?", "no", 0], ["what?", "red", 0], ["blue?", "no", 2], ["odd?", "hm", 7]]
    (home / "train" / "questions.json").write_text(json.dumps(train))
    (home / "test" / "questions.json").write_text(json.dumps([["red?", "yes", 0]]))
    return home


def test_easyvqa(vqa, tmp_path):
    data = prepare_easyvqa(vqa, tmp_path / "out")
    assert data.row_id.tolist() == ["train-0", "train-1", "train-2", "train-3", "test-0"]
    assert data.task.classes == ("yes", "no", "red")
    np.testing.assert_array_equal(data.target, [1, 2, 1, np.nan, 0])
    assert data.split.tolist() == ["", "", "", "", "test"]
    assert data.group[0] == data.group[1] != data.group[4]  # train image 0 is not test image 0
    index = data.values["image"].index
    assert index[0] == index[1] != index[4]
    assert data.absence[3].tolist() == [0, NOT_MEASURED]
    assert data.provenance["unknown_answers"] == 1
    check_media(data)


def test_easyvqa_as_a_zip_is_the_same(vqa, tmp_path):
    with zipfile.ZipFile(tmp_path / "vqa.zip", "w") as file:
        for path in vqa.rglob("*.*"):
            file.write(path, f"data/{path.relative_to(vqa).as_posix()}")
    one = prepare_easyvqa(tmp_path / "vqa.zip", tmp_path / "a")
    assert one.fingerprint() == prepare_easyvqa(vqa, tmp_path / "b").fingerprint()


def test_easyvqa_refuses_another_layout(vqa, tmp_path):
    (vqa / "test" / "questions.json").write_text('[{"question": 1}]')
    with pytest.raises(DataError, match="must be a list of"):
        prepare_easyvqa(vqa, tmp_path / "out")
    kept = (vqa / "train" / "questions.json").read_text()
    for part in ("train", "test"):
        (vqa / part / "questions.json").write_text("[]")
    with pytest.raises(DataError, match=r"both questions\.json hold none"):
        prepare_easyvqa(vqa, tmp_path / "out")
    (vqa / "train" / "questions.json").write_text(kept)
    (vqa / "test" / "questions.json").unlink()
    with pytest.raises(StorageError, match=r"test/questions\.json of vqa cannot be read"):
        prepare_easyvqa(vqa, tmp_path / "out")
    (vqa / "answers.txt").write_text("yes\nyes\n")
    with pytest.raises(DataError, match="each once"):
        prepare_easyvqa(vqa, tmp_path / "out")
    (vqa / "answers.txt").unlink()
    with pytest.raises(DataError, match=r"one file answers\.txt; vqa has 0"):
        prepare_easyvqa(vqa, tmp_path / "out")
