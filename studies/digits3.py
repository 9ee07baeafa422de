"""IMRO on digits3: voice, image and clue; each alone, lost, and made pure noise at test.

`python studies/digits3.py DIGITS3 [SEED ...]` trains on the folder that `amodal prepare digits3` wrote
and prints Markdown. Noise in training is of another type than at test: Gaussian on log-mel frames
and pixels and exchanged tokens, against white noise in the recording, even pixels and other words.
"""

from __future__ import annotations

import sys

import numpy as np
from to_markdown import estimate, number, table

from amodal import Dataset, Model
from amodal.metrics import score
from amodal.model import make_model
from amodal.shifts import make_shift

SIZES = "epochs=60:image_size=16:patch=8:max_seconds=1"
METHODS = (
    "imro:corrupt=0.3",
    "imro:corrupt=0",
    "imro:corrupt=0.3:entropy=0",
    "imro:corrupt=0.3:information=0",
    "imro:corrupt=0.3:weights=uniform",
    "imro:corrupt=0.3:weights=gate",
    "aum",
    "attention",
    "concat",
)
RATES = (0.0, 0.3, 0.5, 0.7)


def accuracy(model: Model, data: Dataset) -> str:
    found = model.predict(data).outputs()
    made = score(model.task_.kind, data.target, found, metrics=["accuracy"], replicates=500)
    return estimate(made["accuracy"])


def alone(data: Dataset, place: int) -> Dataset:
    """The rows with one modality, the others lost."""
    others = np.arange(data.shape[1]) != place
    return data.lose(np.tile(others, (len(data), 1)))


def lowest(model: Model, data: Dataset, place: int) -> str:
    """Share of rows in which one modality is relied on less than every other."""
    reliance = model.predict(data).reliance
    if reliance is None:
        return ""
    share = reliance.numpy()
    others = np.delete(share, place, axis=1)
    return number(float((share[:, place] < others.min(axis=1)).mean()))


def measure(spec: str, seed: int, rows: tuple[Dataset, Dataset]) -> list[list[str]]:
    """Lines of the three tables: losses, one modality alone, one made noise."""
    development, test = rows
    model = make_model(f"{spec}:{SIZES}", seed=seed).fit(development)
    lost = [test, *(make_shift("mcar", rate, seed=1)(test) for rate in RATES[1:])]
    noisy = [
        make_shift("pure-noise", 1.0, seed=1, modalities=(name,))(test, reference=development)
        for name in test.names
    ]
    places = range(len(test.names))
    return [
        [accuracy(model, x) for x in lost],
        [accuracy(model, alone(test, k)) for k in places],
        [accuracy(model, noisy[k]) for k in places] + [lowest(model, noisy[k], k) for k in places],
    ]


def main(folder: str, seeds: list[int]) -> None:
    data = Dataset.load(folder)
    rows = data[data.split != "test"], data[data.split == "test"]
    names = data.names
    heads = [
        [f"{rate:g} lost" for rate in RATES],
        [f"{name} alone" for name in names],
        [f"noise as {n}" for n in names] + [f"{n} lowest" for n in names],
    ]
    lines: list[list[list[str]]] = [[], [], []]
    for seed in seeds:
        for spec in METHODS:
            for found, line in zip(lines, measure(spec, seed, rows), strict=True):
                found.append([str(seed), f"`{spec}`", *line])
    for head, found in zip(heads, lines, strict=True):
        print(table(["seed", "", *head], found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(x) for x in sys.argv[2:]] or [0])
