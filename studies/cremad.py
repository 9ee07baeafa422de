"""CREMA-D votes: does reliability follow how many people named the emotion from that modality?

`python studies/cremad.py DATA [METHOD ...]` reads what `amodal prepare cremad RAW DATA` wrote and
prints Markdown. Five folds keep actors whole; every clip is tested once, by models that saw none of
its actor. The share of raters who named the intended emotion is read from `shares.csv`, which no
model sees. Beside the methods stands what needs no training: the entropy of the votes.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from to_markdown import number, table

from amodal import Dataset
from amodal.data.splits import folds
from amodal.metrics import score
from amodal.model import make_model

METHODS = (
    "aum",
    "aum:aggregation=paper",
    "aum:variance=constant",
    "imro",
    "imro:weights=uniform",
    "imro:entropy=0",
    "imro:information=0",
    "imro:weights=gate",
    "tmc",
    "qmf",
)
FOLDS = 5
HEAD = ("accuracy", "log loss", "voice", "face", "reliance, of the difference")


def shares(folder: Path, row_id: np.ndarray) -> np.ndarray:
    """``Float[n, 2]``: which share of a row's raters named the intended emotion; NaN: unknown."""
    with (folder / "shares.csv").open(newline="") as file:
        found = {line["row_id"]: line for line in csv.DictReader(file)}
    rows = [found[i] for i in row_id.tolist()]
    return np.array([[float(r[f"share_{m}"] or "nan") for m in ("voice", "face")] for r in rows])


def correlation(a: np.ndarray, b: np.ndarray) -> str:
    """Spearman's, where both are known; empty where one does not vary."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    return number(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else "constant"


def ranks(reliability: np.ndarray, reliance: np.ndarray, truth: np.ndarray) -> list[str]:
    each = [correlation(reliability[:, k], truth[:, k]) for k in (0, 1)]
    return [*each, correlation(reliance[:, 0] - reliance[:, 1], truth[:, 0] - truth[:, 1])]


def untrained(data: Dataset) -> np.ndarray:
    """``Float[n, 2]``: minus the entropy of the votes, in nats; NaN where nobody voted."""
    out = np.full((len(data), 2), np.nan)
    for k, name in enumerate(("voice", "face")):
        values = data.values[name]
        p = values.data["numeric"]
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
        there = values.index >= 0
        out[there, k] = -entropy[values.index[there]]
    return out


def measure(spec: str, data: Dataset, parts: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probability, reliability, reliance) of every row, each from the fold that tests it."""
    probability = np.zeros((len(data), len(data.task.classes)))
    told = {k: np.full((len(data), 2), np.nan) for k in ("reliability", "reliance")}
    for k, (train, test) in enumerate(parts):
        found = make_model(spec, seed=k).fit(data[train]).predict(data[test])
        probability[test] = found.outputs()["probability"]
        for name, values in told.items():
            if getattr(found, name) is not None:
                values[test] = getattr(found, name).numpy()
    return probability, told["reliability"], told["reliance"]


def main(folder: str, *methods: str) -> None:
    data = Dataset.load(folder).select(["voice", "face"])
    data = data[np.flatnonzero(data.labelled)]
    truth = shares(Path(folder), data.row_id)
    parts = folds(data, FOLDS, seed=0)
    surprise = untrained(data)
    lines = [["entropy of the votes, untrained", "", "", *ranks(surprise, surprise, truth)]]
    for spec in methods or METHODS:
        probability, reliability, reliance = measure(spec, data, parts)
        found = score(
            "multiclass",
            data.target,
            {"probability": probability},
            metrics=["accuracy", "log_loss"],
            replicates=0,
        )
        quality = [number(found[m].value) for m in ("accuracy", "log_loss")]
        lines.append([f"`{spec}`", *quality, *ranks(reliability, reliance, truth)])
        print(lines[-1], file=sys.stderr, flush=True)
    print(table(["", *HEAD], lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
