"""Metrics as pure functions of arrays, with bootstrap intervals.

`score` is the front door; the functions themselves are in `discrimination`, `calibration`,
`decomposition`, `regression`, `selective`, `multilabel`, `sequence`, `text` and `reliability`. For
clinical use: `decision`, `sample_size`, `tipping`, and `random_effects` over sites.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError
from amodal.metrics.intervals import (
    Bootstrap,
    Difference,
    Interval,
    bootstrap,
    paired_bootstrap,
)
from amodal.metrics.meta import RandomEffects, random_effects
from amodal.metrics.metric import KINDS, Metric
from amodal.metrics.registry import METRICS, default_metrics, left_out, select

__all__ = [
    "KINDS",
    "METRICS",
    "Bootstrap",
    "Difference",
    "Interval",
    "Metric",
    "RandomEffects",
    "bootstrap",
    "compare",
    "default_metrics",
    "left_out",
    "paired_bootstrap",
    "random_effects",
    "score",
    "select",
]


def score(
    kind: str,
    y: ArrayLike,
    outputs: Mapping[str, ArrayLike],
    *,
    metrics: str | Iterable[str] | None = None,
    weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Metrics of predictions with 95% bootstrap intervals, all from the same resamples.

    Args:
        kind: "binary", "multiclass", "multilabel", "regression" or "sequence".
        y: [n] target (0/1, class index, number), [n, L] of 0/1 (multilabel), or [n] lists of
            references (sequence); without NaN.
        outputs: {"probability": [n] (binary), [n, C] (multiclass) or [n, L] (multilabel)}, or
            {"mean": [n], "std": [n]} (regression), or {"text": [n], "reference_log_prob": [n],
            "reference_tokens": [n]}, as far as the metrics read them (sequence).
        metrics: names; None: `default_metrics(kind)`.
        weight: [n] weights of the rows.
        group: [n] ids that are resampled together, for example patients.
        replicates: number of resamples; 0: values only.
        seed: of the resamples.

    Returns:
        name -> Interval. That of `ece_of_perfect` is the range of its simulation.

    Raises:
        DataError: arrays break the rules of shape, range and finiteness.
        UnknownNameError, SettingError: see `select`.

    >>> scores = score("binary", [0, 1], {"probability": [0.25, 0.5]}, metrics=["auroc", "brier"])
    >>> scores["auroc"].value, scores["brier"].value
    (1.0, 0.15625)
    """
    chosen = select(kind, metrics)
    _check_kind(kind, y, outputs)
    if kind == "sequence":
        y = _rows_of_texts(y)
    resamples = Bootstrap(len(y), group=group, weight=weight, replicates=replicates, seed=seed)
    found = resamples.intervals(
        {name: metric for name, metric in chosen.items() if metric.samples is None}, y, outputs
    )
    for name, metric in chosen.items():
        if metric.samples is not None:
            draws = metric.samples(y, outputs, weight=weight)
            found[name] = Interval.of_samples(draws.mean(), draws)
    return {name: found[name] for name in chosen}


def compare(
    kind: str,
    y: ArrayLike,
    outputs_a: Mapping[str, ArrayLike],
    outputs_b: Mapping[str, ArrayLike],
    *,
    resamples: Bootstrap,
    metrics: str | Iterable[str] | None = None,
) -> dict[str, Difference]:
    """Differences a - b of metrics between two methods, on the same resamples.

    Args:
        kind: as in `score`.
        y: as in `score`.
        outputs_a: of the first method, as in `score`.
        outputs_b: of the second.
        resamples: for the rows of y; one set serves any number of comparisons.
        metrics: names; None: `default_metrics(kind)`. Simulated ones are left out.

    Raises:
        DataError: arrays break the rules of shape, range and finiteness.
        UnknownNameError, SettingError: see `select`.

    >>> a, b = {"probability": [0.2, 0.6]}, {"probability": [0.7, 0.8]}
    >>> found = compare("binary", [0, 1], a, b, resamples=Bootstrap(2), metrics="accuracy")
    >>> found["accuracy"].value
    0.5
    """
    chosen = {n: m for n, m in select(kind, metrics).items() if m.samples is None}
    for outputs in (outputs_a, outputs_b):
        _check_kind(kind, y, outputs)
    if kind == "sequence":
        y = _rows_of_texts(y)
    return resamples.differences(chosen, y, outputs_a, outputs_b=outputs_b)


def _rows_of_texts(y: ArrayLike) -> np.ndarray:
    """References as an array of n rows, however many each has."""
    found = np.empty(len(y), dtype=object)
    found[:] = [tuple(x) for x in y]
    return found


def _check_kind(kind: str, y: ArrayLike, outputs: Mapping[str, ArrayLike]) -> None:
    """Functions tell the kinds apart by shape: a shape of another kind would be mistaken."""
    if kind == "sequence":
        return
    needed = ("mean", "std") if kind == "regression" else ("probability",)
    if not set(needed) <= set(outputs):
        raise DataError(
            f"outputs of a {kind} task hold {' and '.join(needed)}; found {sorted(outputs)}. "
            "Pass the predictions under these names."
        )
    columns = {"multiclass": "classes", "multilabel": "labels"}.get(kind)
    shape, target = np.shape(outputs[needed[0]]), np.shape(y)
    if len(shape) != (2 if columns else 1) or len(target) != (2 if kind == "multilabel" else 1):
        expected = f"[n, {columns}]" if columns else "[n]"
        raise DataError(
            f"a {kind} task has {needed[0]} of shape {expected} and y of shape "
            f"{'[n, labels]' if kind == 'multilabel' else '[n]'}; found {list(shape)} and "
            f"{list(target)}. Check the kind of the task."
        )
