"""DAQUAR from made-up files in its official layouts, and the real one."""

from __future__ import annotations

import numpy as np
import pytest

from amodal import Dataset
from amodal.collections import prepare_daquar
from amodal.data.media import check_media
from amodal.errors import DataError, MediaError, UnknownNameError
from amodal.types import NOT_MEASURED

TRAIN = [
    ("what is on the desk in the image3 ?", "scissor, book"),
    ("how many chairs are in the image3 ?", "2"),
    ("what is near the book in the image7 ?", "book, scissor"),
    ("what is under the table ?", "chair"),
]
TEST = [("what is on the table in the image1 ?", "book"), ("how many in the image1 ?", "2")]


def text(pairs):
    return "".join(f"{q}\n{a}\n" for q, a in pairs)


@pytest.fixture
def daquar(tmp_path, picture):
    home = tmp_path / "daquar"
    (home / "nyu_depth_images").mkdir(parents=True)
    for k in (1, 3, 9):
        (home / "nyu_depth_images" / f"image{k}.png").write_bytes(picture((20 * k, 0, 0)))
    (home / "qa.894.raw.train.txt").write_text(text(TRAIN))
    (home / "qa.894.raw.test.txt").write_text(text(TEST))
    return home


def test_daquar(daquar, tmp_path):
    data = prepare_daquar(daquar, tmp_path / "out")
    assert data.row_id.tolist() == [*(f"train-{k}" for k in range(4)), "test-0", "test-1"]
    assert data.split.tolist() == [""] * 4 + ["test"] * 2
    assert data.task.classes == ("book, scissor", "2", "chair")
    np.testing.assert_array_equal(data.target, [0, 1, 0, 2, np.nan, 1])
    assert data.references.tolist()[4:] == [("book",), ("2",)]
    assert data.group.tolist() == ["image3", "image3", "image7", "train-3", "image1", "image1"]
    assert data.absence[:, 1].tolist() == [0, 0, NOT_MEASURED, NOT_MEASURED, 0, 0]
    asked = data.values["question"]
    assert asked.data["source"][asked.index[0]] == "what is on the desk in the image ?"
    assert data.provenance["counts"] == {
        "questions_of_answers_not_trained_on": 1,
        "questions_without_image": 2,
        "images_without_question": 1,
        "questions_of_unlisted_images": 0,
    }
    check_media(data)


def test_the_same_bytes_from_a_zip_and_again(daquar, tmp_path, zipped, same_bytes):
    prepare_daquar(daquar, tmp_path / "a")
    prepare_daquar(daquar, tmp_path / "b")
    prepare_daquar(zipped(daquar), tmp_path / "c")
    assert same_bytes(tmp_path / "a", tmp_path / "b")
    assert same_bytes(tmp_path / "a", tmp_path / "c")


def test_the_reduced_set_is_read_where_it_is_asked_for(daquar, tmp_path):
    with pytest.raises(DataError, match=r"qa\.37\.raw\.train\.txt and .* lacks at least one"):
        prepare_daquar(daquar, tmp_path / "out", version="37")
    for part, pairs in (("train", TRAIN[:2]), ("test", TEST[1:])):
        (daquar / f"qa.37.raw.{part}.txt").write_text(text(pairs))
    assert len(prepare_daquar(daquar, tmp_path / "out", version="37")) == 3
    assert len(prepare_daquar(daquar, tmp_path / "out")) == 6
    with pytest.raises(UnknownNameError, match="'894'"):
        prepare_daquar(daquar, tmp_path / "out", version="984")


def test_one_file_of_pairs_with_lists_of_images(daquar, tmp_path):
    for part in ("train", "test"):
        (daquar / f"qa.894.raw.{part}.txt").unlink()
    (daquar / "all_qa_pairs.txt").write_text(text(TRAIN + TEST))
    (daquar / "train_images_list.txt").write_text("image3\n")
    (daquar / "test_images_list.txt").write_text("image1\n")
    data = prepare_daquar(daquar, tmp_path / "out")
    assert data.row_id.tolist() == ["train-0", "train-1", "free-0", "free-1", "test-0", "test-1"]
    assert data.provenance["counts"]["questions_of_unlisted_images"] == 2
    (daquar / "test_images_list.txt").write_text("image1\nimage3\n")
    with pytest.raises(DataError, match="1 are in two"):
        prepare_daquar(daquar, tmp_path / "out")


def test_questions_without_answers_are_refused(daquar, tmp_path):
    (daquar / "qa.894.raw.test.txt").write_text(f"{text(TEST)}why ?\n")
    with pytest.raises(DataError, match="it has 5 lines, and 0 answers without words"):
        prepare_daquar(daquar, tmp_path / "out")
    (daquar / "qa.894.raw.test.txt").write_text("why in the image1 ?\n,\n")
    with pytest.raises(DataError, match="2 lines, and 1 answers without words"):
        prepare_daquar(daquar, tmp_path / "out")


def test_a_photograph_of_another_kind_is_named_by_row(daquar, tmp_path):
    (daquar / "nyu_depth_images" / "image1.png").write_bytes(b"no picture at all")
    with pytest.raises(MediaError, match=r"row 4 .* \(and of 1 row more\) is not: the file is of"):
        prepare_daquar(daquar, tmp_path / "out")
    lost = prepare_daquar(daquar, tmp_path / "out", unreadable="lost")
    assert lost.provenance["unreadable"] == {"image": {"wrong kind": 2}}


@pytest.mark.slow
def test_real_daquar(real_data, tmp_path):
    prepare_daquar(real_data / "daquar_160px.zip", tmp_path / "out")
    data = Dataset.load(tmp_path / "out")
    assert len(data) == 12468
    assert dict(zip(*np.unique(data.split, return_counts=True), strict=True)) == {
        "": 6795,
        "test": 5673,
    }
    assert data.present.all()
    assert len(data.values["image"]) == 1447
