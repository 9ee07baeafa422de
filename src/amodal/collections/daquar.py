"""DAQUAR: questions about photographs of rooms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amodal.collections.captions import by_file_name
from amodal.collections.raw import Media, RawFiles
from amodal.collections.readers import read_lines
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder
from amodal.errors import DataError, unknown_name
from amodal.metrics.wups import answer_words
from amodal.types import Task

__all__ = ["VERSIONS", "prepare_daquar"]

VERSIONS = ("894", "37")
"""Number of answer words: all, or the reduced set."""

_FILE = re.compile(r"(?:.*/)?qa\.(37|894)\.raw\.(train|test)\.txt")
_PAIRS, _LIST = "all_qa_pairs.txt", "{part}_images_list.txt"
_NAME = re.compile(r"\bimage(\d+)\b")


def prepare_daquar(
    raw: str | Path, out: str | Path, *, version: str = "", unreadable: str = "refuse"
) -> Dataset:
    """A row for each question, with its photograph, which other questions share, and its answer.

    The official layout: ``qa.894.raw.train.txt`` and ``qa.894.raw.test.txt`` (or ``qa.37...``, the
    reduced set), a line with a question that names its photograph ("... in the image3 ?") and a line
    with its answer in turn, and ``image3.png`` in any folder. Also read: ``all_qa_pairs.txt`` with
    ``train_images_list.txt`` and ``test_images_list.txt``.

    Classes are the answers of training questions; an answer of several words ("book, scissor") is a
    class, whatever their order. A test question with another answer has no label: it is in no
    accuracy, and has to be in `amodal.metrics.wups.wups`, which reads the answer from
    `Dataset.references`. In the question's text the photograph's number is left out. A question
    whose photograph is not there stays, its image `NOT_MEASURED`. Questions about one photograph are
    a group.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.
        version: one of `VERSIONS`; left out, 894 where it is there.
        unreadable: "refuse" a photograph that cannot be decoded, or let it be "lost".

    Raises:
        DataError: another layout, a question without answer.
        MediaError: a photograph that cannot be decoded.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another version or choice.

    Reference: Malinowski and Fritz, NeurIPS 2014.
    """
    if version and version not in VERSIONS:
        raise unknown_name("version of DAQUAR", version, VERSIONS)
    folder, files = check_target_folder(out), RawFiles(raw)
    media = Media(folder, files, unreadable=unreadable)
    lines = _lines(files, version)
    pictures = _pictures(files)
    image = media.take("image", [pictures.get(n) for _, _, _, n in lines], "image")
    answers = [", ".join(answer_words(a)) for _, _, a, _ in lines]
    parts = [part for part, _, _, _ in lines]
    classes = _classes(answers, parts)
    known = set(classes)
    references = np.empty(len(lines), dtype=object)
    references[:] = [(a,) for a in answers]
    number = Counter[str]()
    ids = []
    for part in parts:
        ids.append(f"{part or 'free'}-{number[part]}")
        number[part] += 1
    data = Dataset.from_arrays(
        {"question": [_NAME.sub("image", q) for _, q, _, _ in lines], "image": image},
        [a if a in known else None for a in answers],
        modalities={"question": "text", "image": "image"},
        task=Task("multiclass", classes, name="answer"),
        rows={
            "row_id": ids,
            "group": [n or i for (_, _, _, n), i in zip(lines, ids, strict=True)],
            "split": ["test" if part == "test" else "" for part in parts],
        },
        provenance={
            "kind": "daquar",
            "counts": {
                "questions_of_answers_not_trained_on": sum(a not in known for a in answers),
                "questions_without_image": sum(n not in pictures for _, _, _, n in lines),
                "images_without_question": len(pictures.keys() - {n for _, _, _, n in lines}),
                "questions_of_unlisted_images": parts.count(""),
            },
        },
    )
    return media.save(data.replace(references=references))


_Line = tuple[str, str, str, str]
"""Part, question, answer, and name of the photograph, "" where the question names none."""


def _lines(files: RawFiles, version: str) -> list[_Line]:
    found = {m.groups(): n for n in files.names if (m := _FILE.fullmatch(n))}
    wanted = version or next((v for v in VERSIONS if (v, "train") in found), "")
    if not wanted and any(n.endswith(_PAIRS) for n in files.names):
        return _pairs_and_lists(files)
    if (wanted, "train") not in found or (wanted, "test") not in found:
        name = f"qa.{wanted or VERSIONS[0]}.raw"
        raise DataError(
            f"the official layout has {name}.train.txt and {name}.test.txt; {files.path.name} lacks "
            "at least one of them; name the folder or zip of DAQUAR itself"
        )
    return [
        (part, question, answer, _picture(question))
        for part in ("train", "test")
        for question, answer in _pairs(files, found[wanted, part])
    ]


def _pairs_and_lists(files: RawFiles) -> list[_Line]:
    parts: dict[str, str] = {}
    for part in ("train", "test"):
        name = _LIST.format(part=part)
        listed = read_lines(files, f"{files.below(name)}{name}")
        both = sum(parts.setdefault(photograph, part) != part for photograph in listed)
        if both:
            raise DataError(
                f"lists of DAQUAR name a photograph in one part alone; {both} are in two; get them "
                "again"
            )
    found = []
    for question, answer in _pairs(files, f"{files.below(_PAIRS)}{_PAIRS}"):
        picture = _picture(question)
        found.append((parts.get(picture, ""), question, answer, picture))
    return found


def _pairs(files: RawFiles, name: str) -> list[tuple[str, str]]:
    lines = read_lines(files, name)
    wordless = sum(not answer_words(a) for a in lines[1::2])
    if len(lines) % 2 or wordless or not lines:
        raise DataError(
            f"{name} has a line with a question and a line with its answer in turn; it has "
            f"{len(lines)} lines, and {wordless} answers without words; get it again"
        )
    return list(zip(lines[::2], lines[1::2], strict=True))


def _picture(question: str) -> str:
    found = _NAME.findall(question)
    return f"image{int(found[-1])}" if found else ""


def _pictures(files: RawFiles) -> dict[str, str]:
    """Photographs by name without ending."""
    return {
        name.rsplit(".", 1)[0]: place
        for name, place in by_file_name(files).items()
        if _NAME.fullmatch(name.rsplit(".", 1)[0])
    }


def _classes(answers: Sequence[str], parts: Sequence[str]) -> tuple[str, ...]:
    """Answers of training questions, the most frequent first."""
    found = Counter(a for a, part in zip(answers, parts, strict=True) if part != "test")
    if len(found) < 2:
        raise DataError(
            f"there are at least two answers to choose from; training questions have {len(found)}; "
            "get the official files"
        )
    return tuple(sorted(found, key=lambda a: (-found[a], a)))
