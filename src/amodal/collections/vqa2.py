"""VQA v2: questions about COCO pictures, each with the answers of ten people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amodal.collections.captions import by_file_name
from amodal.collections.raw import Media, RawFiles
from amodal.collections.readers import read_json, records
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder
from amodal.errors import DataError, SettingError
from amodal.metrics.vqa import normalise_answer
from amodal.types import Task

__all__ = ["ANSWERS", "prepare_vqa2"]

ANSWERS = 3129
"""As many answers as are usually kept: those that occur at least nine times."""

_QUESTIONS = "v2_OpenEnded_mscoco_{part}2014_questions.json"
_ANNOTATIONS = "v2_mscoco_{part}2014_annotations.json"
_ANSWER = re.compile(r"v2_mscoco_(train|val)2014_annotations\.json")


@dataclass(frozen=True)
class _Question:
    """A question, the number of its picture, its part, its most frequent answer and all ten."""

    text: str
    image: int
    part: str
    answer: str | None
    people: tuple[str, ...]


def prepare_vqa2(
    raw: str | Path,
    out: str | Path,
    *,
    answers: int = ANSWERS,
    unreadable: str = "refuse",
    in_place: bool = False,
) -> Dataset:
    """A row for each question, with its picture, which other questions share, and its answer.

    The official layout: ``v2_OpenEnded_mscoco_train2014_questions.json``,
    ``v2_mscoco_train2014_annotations.json``, the same of ``val2014``, and the pictures
    ``COCO_train2014_000000000009.jpg``, each in any folder. Test questions, whose answers are not
    public, are not read: the official validation part is the test part here.

    The target is the answer that most people gave, normalised (`amodal.metrics.vqa`); the classes are
    the `answers` most frequent ones of training questions. A question with another answer has no
    label: it is in no accuracy, and has to be in `amodal.metrics.vqa.vqa_accuracy`, which reads what
    the ten people answered from `Dataset.references`.

    A question whose picture is not there stays, its image `NOT_MEASURED`; one without answers has no
    label. Pictures without question and answers without question are counted. Questions about one
    picture are a group.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.
        answers: number of classes at most.
        unreadable: "refuse" a picture that cannot be decoded, or let it be "lost".
        in_place: leave pictures where they are, instead of copying them into the folder.

    Raises:
        DataError: another layout, JSON with missing keys, answers about another picture.
        MediaError: a picture that cannot be decoded.
        SettingError: fewer than two answers; pictures of a zip in place.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another choice for what is unreadable.

    Reference: Goyal, Khot, Summers-Stay, Batra and Parikh, CVPR 2017.
    """
    if answers < 2:
        raise SettingError(
            f"there are at least two answers to choose from; got {answers}; raise it"
        )
    folder, files = check_target_folder(out), RawFiles(raw)
    media = Media(folder, files, unreadable=unreadable, in_place=in_place)
    questions, lacking = _all_questions(files)
    classes = _classes(list(questions.values()), answers)
    known = list(questions.values())
    pictures = by_file_name(files)
    names = [f"COCO_{q.part}2014_{q.image:012d}.jpg" for q in known]
    image = media.take("image", [pictures.get(n) for n in names], "image")
    place = set(classes)
    # by name, for "2" is an answer and not the third class
    target = [q.answer if q.answer in place else None for q in known]
    data = Dataset.from_arrays(
        {"question": [q.text.strip() for q in known], "image": image},
        target,
        modalities={"question": "text", "image": "image"},
        task=Task("multiclass", classes, name="answer"),
        rows={
            "row_id": [str(k) for k in questions],
            "group": [str(q.image) for q in known],
            "split": ["test" if q.part == "val" else "" for q in known],
        },
        provenance={
            "kind": "vqa2",
            "counts": {
                **lacking,
                "questions_without_image": sum(n not in pictures for n in names),
                "images_without_question": _unasked(pictures, names),
                "questions_without_words": sum(not q.text.strip() for q in known),
                "questions_of_rarer_answers": sum(q.answer not in place for q in known)
                - lacking["questions_without_answers"],
            },
        },
    )
    return media.save(data.replace(references=_references(known)))


def _all_questions(files: RawFiles) -> tuple[dict[int, _Question], dict[str, int]]:
    """Number -> question, of all parts; what has no counterpart."""
    parts = sorted({m[1] for n in files.names if (m := _ANSWER.fullmatch(n.rsplit("/", 1)[-1]))})
    if not parts:
        raise DataError(
            f"the official layout has {_ANNOTATIONS.format(part='train')} and the same of val2014; "
            f"{files.path.name} has neither; name the folder or zip of VQA v2 itself"
        )
    found: dict[int, _Question] = {}
    lacking: Counter[str] = Counter(questions_without_answers=0, answers_without_question=0)
    for part in parts:
        own, without = _questions(files, part)
        twice = len(found.keys() & own.keys())
        if twice:
            raise DataError(
                f"each question of VQA v2 has a number of its own; {twice} of {part}2014 are in "
                "another part too; get them again"
            )
        found |= own
        lacking += without
    return found, {k: lacking[k] for k in ("questions_without_answers", "answers_without_question")}


def _questions(files: RawFiles, part: str) -> tuple[dict[int, _Question], Counter[str]]:
    asked, answered = (
        f"{files.below(name)}{name}"
        for name in (_QUESTIONS.format(part=part), _ANNOTATIONS.format(part=part))
    )
    fields = {"question_id": int, "image_id": int}
    questions = records(asked, read_json(files, asked), "questions", {**fields, "question": str})
    lines = records(
        answered,
        read_json(files, answered),
        "annotations",
        {**fields, "multiple_choice_answer": str, "answers": list},
    )
    known = {x["question_id"]: x for x in lines}
    twice = len(lines) - len(known) + len(questions) - len({x["question_id"] for x in questions})
    other = sum(known.get(q["question_id"], q)["image_id"] != q["image_id"] for q in questions)
    if twice or other:
        raise DataError(
            f"each question of {part}2014 has one number and one picture, in both files; {twice} "
            f"numbers repeat and {other} pictures differ; get both files again"
        )
    made = {
        q["question_id"]: _question(answered, part, q, known.get(q["question_id"]))
        for q in sorted(questions, key=lambda q: q["question_id"])
    }
    without = sum(q.answer is None for q in made.values())
    return made, Counter(
        questions_without_answers=without,
        answers_without_question=len(known) - len(made) + without,
    )


def _question(
    name: str, part: str, asked: dict[str, Any], answered: dict[str, Any] | None
) -> _Question:
    if answered is None:
        return _Question(asked["question"], asked["image_id"], part, None, ())
    people = records(name, answered, "answers", {"answer": str})
    return _Question(
        asked["question"],
        asked["image_id"],
        part,
        normalise_answer(answered["multiple_choice_answer"]),
        tuple(x["answer"] for x in people),
    )


def _classes(questions: Sequence[_Question], most: int) -> tuple[str, ...]:
    """The most frequent answers of training questions, the most frequent first."""
    train = [q for q in questions if q.part == "train"] or questions
    found = Counter(q.answer for q in train if q.answer)
    if len(found) < 2:
        raise DataError(
            f"there are at least two answers to choose from; the questions have {len(found)}; get "
            "the official files"
        )
    ranked = sorted(found, key=lambda a: (-found[a], a))
    return tuple(ranked[:most])


def _unasked(pictures: dict[str, str], names: Sequence[str]) -> int:
    """How many of the pictures of COCO no question is about."""
    return sum(n.startswith("COCO_") for n in pictures.keys() - set(names))


def _references(questions: Sequence[_Question]) -> np.ndarray:
    found = np.empty(len(questions), dtype=object)
    found[:] = [q.people for q in questions]
    return found
