"""easy-VQA: questions about images of one coloured shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from amodal.collections.raw import Media, RawFiles
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder, save_dataset
from amodal.errors import DataError
from amodal.types import Task

__all__ = ["prepare_easyvqa"]


def prepare_easyvqa(raw: str | Path, out: str | Path) -> Dataset:
    """A row for each question, with its image, which other questions share, and its answer.

    The official layout: ``answers.txt`` (one answer a line: the classes), and for each of ``train``
    and ``test`` a ``questions.json`` of [question, answer, number of the image] and
    ``images/<number>.png``. The official test part is the test part here; questions about one image
    are a group. A question about an image that is not there stays, its image `NOT_MEASURED`; an
    answer that is not in the list is unknown.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.

    Raises:
        DataError: another layout, or an image that cannot be decoded.
        StorageError: `raw` cannot be read, or `out` cannot be written.

    Reference: Zhou, easy-VQA, 2019.
    """
    folder, files = check_target_folder(out), RawFiles(raw)
    home = files.below("answers.txt")
    answers = tuple(files.read(f"{home}answers.txt").decode("utf-8-sig").split())
    if len(set(answers)) < max(2, len(answers)):
        raise DataError(
            "answers.txt holds at least two answers, each once; this one does not; get it again"
        )
    media = Media(folder)
    there = set(files.names)
    rows: dict[str, list[Any]] = {k: [] for k in ("id", "question", "image", "y", "group", "split")}
    for part in ("train", "test"):
        known: dict[str, str | None] = {}
        for k, (question, answer, image) in enumerate(_questions(files, f"{home}{part}/")):
            if image not in known:
                path, name = f"{home}{part}/images/{image}.png", f"{part}-{image}.png"
                known[image] = media.add(name, files.read(path), "image") if path in there else None
            rows["id"].append(f"{part}-{k}")
            rows["question"].append(question)
            rows["image"].append(known[image])
            rows["y"].append(answers.index(answer) if answer in answers else np.nan)
            rows["group"].append(f"{part}-{image}")
            rows["split"].append("test" if part == "test" else "")
    if not rows["id"]:
        raise DataError("easy-VQA has questions; both questions.json hold none; get them again")
    unknown = int(np.isnan(rows["y"]).sum())
    data = Dataset.from_arrays(
        {"question": rows["question"], "image": rows["image"]},
        np.array(rows["y"], dtype=np.float64),
        modalities={"question": "text", "image": "image"},
        task=Task("multiclass", answers, name="answer"),
        rows={"row_id": rows["id"], "group": rows["group"], "split": rows["split"]},
        provenance={"kind": "easyvqa", "unknown_answers": unknown},
    )
    save_dataset(data, folder, beside=media.beside)
    return Dataset.load(folder)


def _questions(files: RawFiles, home: str) -> list[tuple[str, str, str]]:
    """(question, answer, number of the image) of a part."""
    name = f"{home}questions.json"
    try:
        found = json.loads(files.read(name))
        return [(str(q), str(a), str(int(i))) for q, a, i in found]
    except (TypeError, ValueError):
        raise DataError(
            f"{name} must be a list of [question, answer, number of the image]; it is not; get it "
            "again"
        ) from None
