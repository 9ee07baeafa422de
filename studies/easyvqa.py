"""easy-VQA: a question about an image; both, either lost, and each lost at random at test.

`python studies/easyvqa.py EASYVQA OUT [METHOD ...]` trains on the folder that `amodal prepare
easyvqa` wrote and prints Markdown; with `ablation` for a method it goes through IMRO's settings,
one switched off at a time. What a method says of a setting goes before `SETTINGS`. What is trained
lies in OUT: the same call after a kill goes on where it stopped, and trains nothing twice. Every
method has the same encoders, from random init, and the same number of epochs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from timing import fitted
from to_markdown import estimate, number, table

from amodal import Dataset, Model
from amodal.metrics import score
from amodal.shifts import make_shift

SETTINGS = (
    "epochs=10:refit=false:dropout=0:lr=4e-3:weight_decay=0.1:lose=0.1:stem=convolution:pool=max"
)
IMRO = "imro:corrupt=0:gated=true:conditioned=true"
METHODS = (
    IMRO,
    f"{IMRO}:weights=uniform",
    "aum",
    "attention",
    "concat",
    "question alone",
)
ABLATION = (
    IMRO,
    f"{IMRO}:seed=1",
    "imro:corrupt=0:conditioned=true",
    "imro:corrupt=0:gated=true",
    f"{IMRO}:stem=linear",
    f"{IMRO}:pool=mean",
    f"{IMRO}:dropout=0.3",
    f"{IMRO}:lose=0.4",
)
RATES = (0.3, 0.5, 0.7)
HEADS = ("both", "no image", "no question", *(f"{rate:g} lost" for rate in RATES))


def views(test: Dataset) -> list[Dataset]:
    """The test rows as they are, without one modality, and with each lost at random.

    The masks are drawn from (seed, row, modality): the same for every method.
    """
    lost = [np.tile([name == other for other in test.names], (len(test), 1)) for name in test.names]
    without = dict(zip(test.names, lost, strict=True))
    ruined = [make_shift("mcar", rate, seed=1)(test) for rate in RATES]
    return [test, test.lose(without["image"]), test.lose(without["question"]), *ruined]


def measure(spec: str, rows: tuple[Dataset, Dataset], out: Path) -> list[list[str]]:
    """A line of each table: accuracy, log loss, and what was relied on."""
    development, test = rows
    if spec == "question alone":
        spec, development = "concat", development.select(["question"])
        out = out / "question"
    folder = out / spec.replace(":", "-")
    model, seconds = fitted(spec, development, folder, settings=SETTINGS)
    accuracy, loss = [], []
    for data in views(test):
        found = model.predict(data.select(development.names)).outputs()
        made = score(
            "multiclass", data.target, found, metrics=["accuracy", "log_loss"], replicates=200
        )
        accuracy.append(estimate(made["accuracy"]))
        loss.append(number(made["log_loss"].value))
    return [accuracy, loss, [*reliance(model, test.select(development.names)), seconds]]


def reliance(model: Model, test: Dataset) -> list[str]:
    """Mean reliance on the image where it and the question are there, and where one was lost."""
    found = model.predict(test).reliance
    if found is None or "image" not in test.names:
        return ["", ""]
    lossy = model.predict(make_shift("mcar", 0.5, seed=1)(test))
    place = test.names.index("image")
    there = lossy.present[:, place]
    return [
        number(float(found[:, place].mean())),
        number(float(lossy.reliance[there, place].mean())),
    ]


def main(folder: str, out: str, specs: list[str]) -> None:
    torch.set_num_threads(1)
    data = Dataset.load(folder)
    rows = data[data.split != "test"], data[data.split == "test"]
    lines: list[list[list[str]]] = [[], [], []]
    for spec in specs:
        for found, line in zip(lines, measure(spec, rows, Path(out)), strict=True):
            found.append([spec if " " in spec else f"`{spec}`", *line])
    last = ["both there", "image there, 0.5 lost", "seconds of training"]
    for head, found in zip((HEADS, HEADS, last), lines, strict=True):
        print(table(["", *head], found), flush=True)


if __name__ == "__main__":
    chosen = sys.argv[3:] or list(METHODS)
    main(sys.argv[1], sys.argv[2], list(ABLATION) if chosen == ["ablation"] else chosen)
