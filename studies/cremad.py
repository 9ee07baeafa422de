"""CREMA-D votes: does reliability follow how many people named the emotion from that modality?

`python studies/cremad.py DATA [METHOD ...]` reads what `amodal prepare cremad RAW DATA` wrote and
prints Markdown. Five folds keep actors whole; every clip is tested once, by models that saw none of
its actor. The share of raters who named the intended emotion is read from `shares.csv`, which no
model sees. Beside the methods stand what needs no training, the entropy of the votes, and what a
logistic regression of each modality by itself tells of the emotion.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from to_markdown import estimate, number, table

from amodal import Dataset
from amodal.data.splits import folds
from amodal.metrics import score
from amodal.model import make_model
from amodal.shifts import make_shift

METHODS = (
    "aum",
    "aum:aggregation=paper",
    "imro",
    "imro:temperature=1",
    "imro:weights=uniform",
    "concat",
    "attention",
    "logistic",
    "boosting",
    "imro:information=0",
)
METRICS = ("accuracy", "log_loss")
RATES = (0.0, 0.3, 0.5, 0.7)
FOLDS = 5
HEAD = ("voice", "face", "reliance, of the difference")


def shares(folder: Path, row_id: np.ndarray) -> np.ndarray:
    """``Float[n, 2]``: which share of a row's raters named the intended emotion; NaN: unknown."""
    with (folder / "shares.csv").open(newline="") as file:
        found = {line["row_id"]: line for line in csv.DictReader(file)}
    rows = [found[i] for i in row_id.tolist()]
    return np.array([[float(r[f"share_{m}"] or "nan") for m in ("voice", "face")] for r in rows])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, where both are known; NaN where one does not vary."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    varied = len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
    return float(spearmanr(a, b).statistic) if varied else float("nan")


def ranks(reliability: np.ndarray, reliance: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of one model's rows: the voice, the face, and reliance with the difference of the shares."""
    each = [correlation(reliability[:, k], truth[:, k]) for k in (0, 1)]
    return [*each, correlation(reliance[:, 0] - reliance[:, 1], truth[:, 0] - truth[:, 1])]


def over_folds(
    reliability: np.ndarray, reliance: np.ndarray, truth: np.ndarray, parts
) -> list[str]:
    """Means of `ranks` over folds: models differ in the scale of what they say."""
    each = [ranks(reliability[test], reliance[test], truth[test]) for _, test in parts]
    return [number(x) if np.isfinite(x) else "constant" for x in np.mean(each, axis=0)]


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


def alone(data: Dataset, parts: list) -> np.ndarray:
    """``Float[n, 2]``: KL from the base rates of a logistic regression of one modality, in nats."""
    from sklearn.linear_model import LogisticRegression

    out = np.full((len(data), 2), np.nan)
    for k, name in enumerate(("voice", "face")):
        values = data.values[name]
        for train, test in parts:
            train, test = (rows[values.index[rows] >= 0] for rows in (train, test))
            x, y = values.data["numeric"], data.target.astype(int)
            prior = np.bincount(y[train]) / len(train)
            model = LogisticRegression(C=10, max_iter=1000).fit(x[values.index[train]], y[train])
            q = model.predict_proba(x[values.index[test]])
            out[test, k] = (q * np.log(q / prior)).sum(axis=1)
    return out


def measure(
    spec: str, lost: list[Dataset], parts: list
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """(probability under each loss, reliability, reliance) of every row by the fold that tests it."""
    data = lost[0]
    probability = [np.zeros((len(data), len(data.task.classes))) for _ in lost]
    told = {k: np.full((len(data), 2), np.nan) for k in ("reliability", "reliance")}
    for k, (train, test) in enumerate(parts):
        model = make_model(spec, seed=k).fit(data[train])
        for out, rows in zip(probability, lost, strict=True):
            out[test] = model.predict(rows[test]).outputs()["probability"]
        found = model.predict(data[test])
        for name, values in told.items():
            if getattr(found, name) is not None:
                values[test] = getattr(found, name).numpy()
    return probability, told["reliability"], told["reliance"]


def quality(data: Dataset, probability: np.ndarray, metric: str) -> str:
    made = score(
        "multiclass",
        data.target,
        {"probability": probability},
        metrics=[metric],
        group=data.group,
        replicates=500,
    )[metric]
    return estimate(made)


def main(folder: str, *methods: str) -> None:
    data = Dataset.load(folder).select(["voice", "face"])
    data = data[np.flatnonzero(data.labelled)]
    truth = shares(Path(folder), data.row_id)
    parts = folds(data, FOLDS, seed=0)
    lost = [data, *(make_shift("mcar", rate, seed=1)(data) for rate in RATES[1:])]
    surprise, own = untrained(data), alone(data, parts)
    lines = [
        ["entropy of the votes, untrained", *over_folds(surprise, surprise, truth, parts)],
        ["information of each alone, logistic regression", *over_folds(own, own, truth, parts)],
    ]
    absent = {metric: [] for metric in METRICS}
    for spec in methods or METHODS:
        probability, reliability, reliance = measure(spec, lost, parts)
        if np.isfinite(reliance).any():
            found = over_folds(reliability, reliance, truth, parts)
            lines.append([f"`{spec}`", *(x if x != "constant" else "" for x in found)])
        for metric, rows in absent.items():
            rows.append([f"`{spec}`", *(quality(data, p, metric) for p in probability)])
        print(spec, lines[-1], [rows[-1] for rows in absent.values()], file=sys.stderr, flush=True)
    print(table(["", *HEAD], lines))
    for metric, rows in absent.items():
        print(table([metric, *(f"{rate:g} lost" for rate in RATES)], rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
