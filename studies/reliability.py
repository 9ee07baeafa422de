"""Is reliability real? Learned against planted variance, and what added noise does to it.

`python studies/reliability.py [SEED ...]` trains on `simulate`, whose true variances are known, and
prints Markdown. Beside the methods stand three references: equal weights for every modality, weights
that know how noisy each modality is on average but not in which row, and the oracle, which predicts
from the planted variances.
"""

from __future__ import annotations

import sys

import numpy as np
from to_markdown import number, table

from amodal import Dataset
from amodal.data.simulate import oracle_outputs, simulate, true_variance
from amodal.data.splits import assign_splits
from amodal.metrics import score
from amodal.metrics.reliability import rank_correlation
from amodal.model import make_model
from amodal.shifts import make_shift

ROWS = 6000
SEVERITIES = (0.5, 1.0, 2.0, 4.0)
NOISY = "m1"
METHODS = ("aum", "aum:aggregation=paper", "aum:variance=constant")


def split(seed: int) -> tuple[Dataset, Dataset]:
    """Development and test rows."""
    data = simulate(ROWS, seed=seed)
    rows = assign_splits(data, seed=seed)
    test = data[rows.pop("test")]
    return data[np.sort(np.concatenate(list(rows.values())))], test


def told(x: float) -> str:
    return "undefined" if np.isnan(x) else number(x)


def quality(test: Dataset, outputs: dict[str, np.ndarray]) -> list[str]:
    found = score("binary", test.target, outputs, metrics=["auroc", "log_loss"], replicates=2)
    return [told(found[name].value) for name in ("auroc", "log_loss")]


def references(test: Dataset, truth: np.ndarray) -> list[list[str]]:
    """Average noise of each modality, and the oracle."""
    per_modality = np.where(test.present, truth, np.nan)
    average = np.broadcast_to(np.nanmean(per_modality, axis=0), truth.shape)
    rho = rank_correlation(average, truth, test.present)
    return [
        ["each modality's average noise", told(rho), "", ""],
        ["oracle", told(1.0), *quality(test, oracle_outputs(test))],
    ]


def measure(spec: str, seed: int, rows: tuple[Dataset, Dataset]) -> tuple[list[str], list[str]]:
    """Rank correlation and quality; mean reliability of every modality at each severity."""
    development, test = rows
    model = make_model(spec, seed=seed).fit(development)
    found = model.predict(test)
    reliability = found.reliability.numpy()
    rho = rank_correlation(-reliability, true_variance(test), test.present)
    steps = [mean_reliability(reliability, test.present)]
    for severity in SEVERITIES:
        shift = make_shift("noise", 1.0, seed=1, severity=severity, modalities=(NOISY,))
        noisy = model.predict(shift(test, reference=development)).reliability.numpy()
        steps.append(mean_reliability(noisy, test.present))
    moved = np.array(steps)
    place = test.names.index(NOISY)
    others = np.abs(np.delete(moved - moved[0], place, axis=1)).max()
    return [told(rho), *quality(test, found.outputs())], [*map(told, moved[:, place]), told(others)]


def mean_reliability(reliability: np.ndarray, present: np.ndarray) -> np.ndarray:
    return reliability.sum(0) / present.sum(0)


def main(seeds: list[int]) -> None:
    first, second = [], []
    for seed in seeds:
        rows = split(seed)
        for spec in METHODS:
            ranks, steps = measure(spec, seed, rows)
            first.append([str(seed), f"`{spec}`", *ranks])
            second.append([str(seed), f"`{spec}`", *steps])
        first += [[str(seed), *line] for line in references(rows[1], true_variance(rows[1]))]
    print(table(["seed", "", "rank correlation", "AUROC", "log loss"], first))
    noise = [f"{s:g} sd" for s in SEVERITIES]
    print(table(["seed", "", "as it is", *noise, "largest change of another modality"], second))


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2])
