"""DAQUAR: questions about photographs of rooms; accuracy and WUPS, both there and without either.

`python studies/daquar.py DAQUAR OUT [METHOD ...]` trains on the folder that `amodal prepare daquar`
wrote and prints Markdown. What is trained lies in OUT and is not trained twice. Every test question
counts, also one whose answer no training question has: that is a miss for accuracy, and for WUPS
what its words say. Without the files of WordNet the columns of WUPS are empty.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from timing import fitted
from to_markdown import number, table

from amodal import Dataset
from amodal.errors import SettingError
from amodal.metrics.wups import answer_words, wordnet_similarity, wups_scores

SETTINGS = (
    "epochs=8:batch_size=64:width=64:depth=1:lr=2e-3:weight_decay=0.3:lose=0.1:calibrate=none"
)
METHODS = ("imro:corrupt=0:conditioned=true", "concat", "question alone")
THRESHOLDS = (0.9, 0.0)


def similarity():
    try:
        return wordnet_similarity()
    except SettingError:
        return None


def line(answers: list[str], right: list[str], known: np.ndarray) -> list[str]:
    """Accuracy of all questions and of those with a known answer, and WUPS at both thresholds."""
    hit = np.array(
        [answer_words(a) == answer_words(t) for a, t in zip(answers, right, strict=True)]
    )
    error = float(hit.std() / len(hit) ** 0.5)
    found = [f"{number(float(hit.mean()))} ({number(error)})", number(float(hit[known].mean()))]
    near = similarity()
    for threshold in THRESHOLDS:
        scores = near and wups_scores(answers, right, threshold=threshold, similarity=near)
        found.append("" if scores is None else number(float(scores.mean())))
    return found


def measure(spec: str, rows: tuple[Dataset, Dataset], out: Path) -> list[list[str]]:
    """A line of the table for the test rows as they are, and one without each modality."""
    development, test = rows
    right = [x[0] for x in test.references]
    name, folder = spec, out / spec.replace(":", "-").replace(" ", "-")
    if spec == "question alone":
        spec, development = "concat", development.select(["question"])
        test = test.select(["question"])
    model, seconds = fitted(f"{spec}:{SETTINGS}", development, folder)
    views = {"": test}
    if len(test.names) > 1:
        for k, lost in enumerate(test.names):
            views[f"no {lost}"] = test.lose(np.tile(np.arange(2) == k, (len(test), 1)))
    found = []
    for what, data in views.items():
        best = model.predict_proba(data).argmax(1)
        answers = [test.task.classes[int(k)] for k in best]
        title = name if " " in name else f"`{name}`"
        found.append(
            [title, what, *line(answers, right, test.labelled), seconds if what == "" else ""]
        )
    return found


def main(folder: str, out: str, specs: list[str]) -> None:
    torch.set_num_threads(1)
    data = Dataset.load(folder)
    rows = data[data.split != "test"], data[data.split == "test"]
    lines = [x for spec in specs for x in measure(spec, rows, Path(out))]
    head = ["", "", "accuracy (standard error)", "where the answer is known"]
    head += [f"WUPS at {threshold:.1f}" for threshold in THRESHOLDS] + ["seconds of training"]
    print(table(head, lines), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:] or list(METHODS))
