"""IMRO on digits3: voice, image and clue; each alone, lost, and made pure noise at test.

`python studies/digits3.py DIGITS3 OUT [METHOD ...]` trains on the folder that `amodal prepare
digits3` wrote and prints Markdown: means over seeds. What is trained lies in OUT and is not trained
twice. Noise in training is of another type than at test: Gaussian on log-mel frames and pixels and
exchanged tokens, against white noise in the recording, even pixels and other words.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from timing import fitted
from to_markdown import table, with_ends

from amodal import Dataset, Model
from amodal.metrics import score
from amodal.shifts import make_shift

SETTINGS = "epochs=60:image_size=16:patch=8:max_seconds=1"
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
SEEDS = (0, 1, 2)
RATES = (0.0, 0.3, 0.5, 0.7)


def accuracy(model: Model, data: Dataset) -> float:
    found = model.predict(data).outputs()
    made = score(model.task_.kind, data.target, found, metrics=["accuracy"], replicates=0)
    return made["accuracy"].value


def alone(data: Dataset, place: int) -> Dataset:
    """The rows with one modality, the others lost."""
    others = np.arange(data.shape[1]) != place
    return data.lose(np.tile(others, (len(data), 1)))


def lowest(model: Model, data: Dataset, place: int) -> float:
    """Share of rows in which one modality is relied on less than every other; NaN if none is told."""
    reliance = model.predict(data).reliance
    if reliance is None:
        return float("nan")
    share = reliance.numpy()
    others = np.delete(share, place, axis=1)
    return float((share[:, place] < others.min(axis=1)).mean())


def measure(model: Model, development: Dataset, test: Dataset) -> list[list[float]]:
    """Numbers of the three tables: losses, one modality alone, one made noise."""
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


def over_seeds(values: np.ndarray) -> str:
    """Mean, lowest and highest over seeds.

    >>> over_seeds(np.array([0.25, 0.5, 0.75]))
    '.500 [.250, .750]'
    """
    if np.isnan(values).any():
        return ""
    return with_ends(values.mean(), values.min(), values.max())


def main(folder: str, out: str, specs: list[str]) -> None:
    torch.set_num_threads(1)
    data = Dataset.load(folder)
    development, test = data[data.split != "test"], data[data.split == "test"]
    names = data.names
    heads = [
        [f"{rate:g} lost" for rate in RATES],
        [f"{name} alone" for name in names],
        [f"noise as {n}" for n in names] + [f"{n} lowest" for n in names],
    ]
    lines: list[list[list[str]]] = [[], [], []]
    for spec in specs:
        found = []
        for seed in SEEDS:
            place = Path(out) / f"{spec.replace(':', '-')}-{seed}"
            model, _ = fitted(f"{spec}:seed={seed}", development, place, settings=SETTINGS)
            found.append(measure(model, development, test))
        for rows, of_seeds in zip(lines, zip(*found, strict=True), strict=True):
            cells = [over_seeds(np.array(x)) for x in zip(*of_seeds, strict=True)]
            rows.append([f"`{spec}`", *cells])
    for head, rows in zip(heads, lines, strict=True):
        print(table(["", *head], rows), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:] or list(METHODS))
