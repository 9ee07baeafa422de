"""VQA v2 from made-up files in its official layout."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal import Dataset
from amodal.collections import prepare_vqa2
from amodal.data.media import check_media
from amodal.errors import DataError, MediaError, SettingError
from amodal.metrics.vqa import vqa_accuracy
from amodal.types import LOST, NOT_MEASURED

ASKED = {
    "train": [
        (90, 9, "What colour?"),
        (91, 9, "How many?"),
        (20, 2, "Is it red?"),
        (70, 7, "Why?"),
    ],
    "val": [(41, 4, "What colour?"), (40, 4, " ")],
}
ANSWERED = {
    "train": {90: "Red", 91: "two", 20: "yes", 11: "no"},
    "val": {41: "red", 40: "purple"},
}


def write(home, part, asked=None, answered=None):
    asked = ASKED[part] if asked is None else asked
    answered = ANSWERED[part] if answered is None else answered
    pictures = {q: i for q, i, _ in asked}
    questions = [{"question_id": q, "image_id": i, "question": t} for q, i, t in asked]
    lines = [
        {
            "question_id": q,
            "image_id": pictures.get(q, 1),
            "question_type": "none of the above",
            "answer_type": "other",
            "multiple_choice_answer": a,
            "answers": [
                {"answer": a.lower(), "answer_confidence": "yes", "answer_id": k}
                for k in range(1, 11)
            ],
        }
        for q, a in answered.items()
    ]
    home.mkdir(exist_ok=True)
    name = f"v2_OpenEnded_mscoco_{part}2014_questions.json"
    (home / name).write_text(json.dumps({"info": {}, "questions": questions}))
    name = f"v2_mscoco_{part}2014_annotations.json"
    (home / name).write_text(json.dumps({"info": {}, "annotations": lines}))


@pytest.fixture
def vqa(tmp_path, picture):
    home = tmp_path / "vqa"
    for part in ASKED:
        write(home, part)
    for part, k in (("train", 9), ("train", 2), ("train", 3), ("val", 4)):
        path = home / f"{part}2014" / f"COCO_{part}2014_{k:012d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture((20 * k, 0, 0)))
    return home


def test_vqa2(vqa, tmp_path):
    data = prepare_vqa2(vqa, tmp_path / "out")
    assert data.row_id.tolist() == ["20", "70", "90", "91", "40", "41"]
    assert data.split.tolist() == ["", "", "", "", "test", "test"]
    assert data.group.tolist() == ["2", "7", "9", "9", "4", "4"]
    assert data.task.classes == ("2", "red", "yes")  # each once: by the alphabet
    np.testing.assert_array_equal(data.target, [2, np.nan, 1, 0, np.nan, 1])
    index = data.values["image"].index
    assert index[2] == index[3] >= 0  # one picture, read once
    assert data.absence[:, 1].tolist() == [0, NOT_MEASURED, 0, 0, 0, 0]
    assert data.absence[4, 0] == NOT_MEASURED  # an empty question
    assert data.provenance["counts"] == {
        "questions_without_answers": 1,
        "answers_without_question": 1,
        "questions_without_image": 1,
        "images_without_question": 1,
        "questions_without_words": 1,
        "questions_of_rarer_answers": 1,
    }
    check_media(data)


def test_the_ten_answers_are_kept_and_scored(vqa, tmp_path):
    prepare_vqa2(vqa, tmp_path / "out")
    data = Dataset.load(tmp_path / "out")
    assert data.references[2] == ("red",) * 10
    assert data.references[1] == ()
    test = data[np.flatnonzero(data.split == "test")]
    assert vqa_accuracy(["purple", "blue"], test.references) == 0.5


def test_the_most_frequent_answers_are_the_classes(vqa, tmp_path):
    answered = {90: "yes", 91: "no", 20: "yes", 70: "maybe"}
    write(vqa, "train", answered=answered)
    data = prepare_vqa2(vqa, tmp_path / "out", answers=2)
    assert data.task.classes == ("yes", "maybe")
    assert data.provenance["counts"]["questions_of_rarer_answers"] == 3
    with pytest.raises(SettingError, match="at least two answers"):
        prepare_vqa2(vqa, tmp_path / "out", answers=1)


def test_the_same_bytes_from_a_zip_and_again(vqa, tmp_path, zipped, same_bytes):
    prepare_vqa2(vqa, tmp_path / "a")
    prepare_vqa2(vqa, tmp_path / "b")
    prepare_vqa2(zipped(vqa), tmp_path / "c")
    assert same_bytes(tmp_path / "a", tmp_path / "b")
    assert same_bytes(tmp_path / "a", tmp_path / "c")
    there = prepare_vqa2(vqa, tmp_path / "d", in_place=True)
    assert there.fingerprint() == Dataset.load(tmp_path / "a").fingerprint()


def test_a_damaged_picture_is_named_by_row_or_lost(vqa, tmp_path):
    path = vqa / "train2014" / "COCO_train2014_000000000009.jpg"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MediaError, match=r"row 2 .* \(and of 1 row more\) is not"):
        prepare_vqa2(vqa, tmp_path / "out")
    data = prepare_vqa2(vqa, tmp_path / "out", unreadable="lost")
    assert data.absence[2:4, 1].tolist() == [LOST, LOST]


def test_another_layout_is_refused(vqa, tmp_path):
    questions = vqa / "v2_OpenEnded_mscoco_train2014_questions.json"
    asked = json.loads(questions.read_text())

    def refused(found, message):
        questions.write_text(found if isinstance(found, str) else json.dumps(found))
        with pytest.raises(DataError, match=message):
            prepare_vqa2(vqa, tmp_path / "out")

    lacking = [{k: v for k, v in x.items() if k != "image_id"} for x in asked["questions"]]
    refused({"questions": lacking}, "4 of 4 have not, .* lacks 'image_id'")
    refused({"question": []}, "list 'questions'; it has none")
    refused("[1,", "must be JSON")
    refused({"questions": asked["questions"] * 2}, "4 numbers repeat and 0 pictures differ")
    moved = [{**x, "image_id": 5} for x in asked["questions"]]
    refused({"questions": moved}, "0 numbers repeat and 3 pictures differ")
    questions.unlink()
    with pytest.raises(DataError, match=r"one file v2_OpenEnded_mscoco_train2014_questions\.json"):
        prepare_vqa2(vqa, tmp_path / "out")
    for path in vqa.glob("*annotations.json"):
        path.unlink()
    with pytest.raises(DataError, match="vqa has neither"):
        prepare_vqa2(vqa, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_answers_that_are_no_records_are_refused(vqa, tmp_path):
    path = vqa / "v2_mscoco_val2014_annotations.json"
    found = json.loads(path.read_text())
    found["annotations"][0]["answers"] = ["red"] * 10
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match="10 of 10 have not"):
        prepare_vqa2(vqa, tmp_path / "out")
