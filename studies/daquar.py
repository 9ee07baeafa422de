"""DAQUAR: questions about photographs of rooms; accuracy and WUPS, both there and without either.

`python studies/daquar.py DAQUAR OUT [METHOD ...]` trains on the folder that `amodal prepare daquar`
wrote and prints Markdown. What is trained lies in OUT and is not trained twice. Every test question
counts, also one whose answer no training question has: that is a miss for accuracy, and for WUPS
what its words say. Without the files of WordNet the columns of WUPS are empty. "words counted" is a
logistic regression on counts of the words, pairs and triples of words of the question that at least
two training questions have; its C is chosen on validation rows, other photographs, and the last fit
sees all rows.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from timing import fitted
from to_markdown import number, table

from amodal import Dataset
from amodal.data import split_development
from amodal.errors import SettingError
from amodal.metrics.wups import answer_words, wordnet_similarity, wups_scores

SETTINGS = (
    "epochs=8:batch_size=64:width=64:depth=1:lr=2e-3:weight_decay=0.3:lose=0.1:calibrate=none"
)
METHODS = ("imro:corrupt=0:conditioned=true", "concat", "question alone", "words counted")
STRENGTHS = (0.1, 0.3, 1.0)  # C of the logistic regression
STEPS = 60  # of L-BFGS; 917 answers make one a second long
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


def counted(rows: Dataset, strength: float) -> Pipeline:
    """The logistic regression on counted words after `STEPS` steps, which is not to convergence."""
    words = CountVectorizer(ngram_range=(1, 3), min_df=2)
    model = make_pipeline(words, LogisticRegression(C=strength, max_iter=STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(questions(rows), rows.target.astype(int))


def questions(rows: Dataset) -> list[str]:
    """The question of every row."""
    values = rows.values["question"]
    return [str(x) for x in values.data["source"][values.index]]


def measure_counted(rows: tuple[Dataset, Dataset]) -> list[str]:
    """The line of counted words; the C of the most right answers to validation questions."""
    development, test = rows
    development = development[development.labelled]
    begin = time.process_time()
    part = split_development(development, seed=0, calibration=0.0)
    train, valid = development[part["train"]], development[part["valid"]]
    right = [
        float((counted(train, c).predict(questions(valid)) == valid.target).mean())
        for c in STRENGTHS
    ]
    best = STRENGTHS[int(np.argmax(right))]
    model = counted(development, best)
    seconds = f"{time.process_time() - begin:.0f}"
    said = named(test, model.predict(questions(test)))
    truth = [x[0] for x in test.references]
    title = f"words counted (C = {best:g})"
    return [title, "", *line(said, truth, test.labelled), seconds]


def named(rows: Dataset, classes: Sequence[int]) -> list[str]:
    """The answers that numbers of classes stand for."""
    return [rows.task.classes[int(k)] for k in classes]


def measure(spec: str, rows: tuple[Dataset, Dataset], out: Path) -> list[list[str]]:
    """A line of the table for the test rows as they are, and one without each modality."""
    if spec == "words counted":
        return [measure_counted(rows)]
    development, test = rows
    right = [x[0] for x in test.references]
    name, folder = spec, out / spec.replace(":", "-").replace(" ", "-")
    if spec == "question alone":
        spec, development = "concat", development.select(["question"])
        test = test.select(["question"])
    model, seconds = fitted(spec, development, folder, settings=SETTINGS)
    views = {"": test}
    if len(test.names) > 1:
        for k, lost in enumerate(test.names):
            views[f"no {lost}"] = test.lose(np.tile(np.arange(2) == k, (len(test), 1)))
    found = []
    for what, data in views.items():
        answers = named(test, model.predict_proba(data).argmax(1))
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
