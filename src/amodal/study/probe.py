"""What a fitted model's reliability is worth: its test rows damaged in known ways.

Every row is changed at one present modality, drawn by key, and everything else stays: noise of
rising severity, another row's values, and, one after the other, each modality taken away. Models
are not fitted again. What is measured is listed in `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.simulate import true_variance
from amodal.metrics import Bootstrap
from amodal.metrics.reliability import attention_entropy, rank_correlation
from amodal.metrics.worth import agreement, detection_auroc, entropy, log_likelihood, mean_change
from amodal.settings import told_spec
from amodal.shifts import Swap, make_shift
from amodal.shifts.keyed import string_keys, uniform
from amodal.study.cells import Fit
from amodal.study.files import put_json
from amodal.study.predictions import Predicted
from amodal.study.reliance import reliance_rows

__all__ = ["MEASURES", "SEVERITIES", "probe", "write_probe"]

MEASURES = {
    "noise_correlation": "rank correlation of the claim's fall with the severity of noise",
    "detection_auroc": "AUROC of a low claim for the pair that got noise, at twice the spread",
    "detection_in_row": "how often the pair that got noise has the lower claim within its row",
    "faithfulness": "agreement of reliance with the drop in log likelihood, within rows",
    "reliability_faithfulness": "the same for reliability",
    "truth_correlation": "rank correlation of low reliability with the planted variance",
    "entropy_change": "mean change of entropy when a modality is taken away, nats",
    "log_loss_change": "mean change of log loss when a modality is taken away, nats",
    "conflict_auroc": "AUROC of a low conflict p-value for rows with a swapped modality",
    "swap_auroc": "AUROC of a low claim for the swapped pair",
    "evenness": "evenness of reliance over present modalities",
    "spread": "standard deviation of reliability between rows, mean over modalities",
}
"""Name -> meaning. The claim is reliability, or reliance where a method has no reliability."""

SEVERITIES = (0.5, 1.0, 2.0, 4.0)
_SHOWN = 2.0  # the severity of the detection measures
_ROWS, _REPLICATES = 2000, 200
_NOISE: Mapping[str, tuple[str, float]] = {
    "table": ("noise", 1.0),
    "series": ("noise", 1.0),
    "embedding": ("noise", 1.0),
    "text": ("text-noise", 0.25),
    "codes": ("codes-noise", 0.25),
    "image": ("image-noise", 1.0),
    "audio": ("audio-noise", 1.0),
}
"""Kind -> the noise it gets, and what a severity is multiplied by (shares of words end at 1)."""

Metric = Callable[..., "float | np.ndarray"]


@dataclass(frozen=True, eq=False)
class _Probed:
    """Test rows, who predicts them, and which pair of each row is damaged."""

    model: Any
    rows: Dataset
    reference: Dataset
    seed: int
    base: Predicted
    struck: np.ndarray  # Int[n], -1 where nothing is present

    def predict(self, rows: Dataset) -> Predicted:
        return Predicted.of(rows, self.model.predict(rows))

    def damaged(self, change: Callable[[str], Dataset]) -> Predicted:
        """The rows, each with its own modality changed by `change`, predicted."""
        parts, order = [], []
        for k, name in enumerate(self.rows.names):
            at = np.flatnonzero(self.struck == k)
            if len(at):
                parts.append(change(name).take(at))
                order.append(at)
        found = [self.predict(part) for part in parts]
        back = np.argsort(np.concatenate(order))
        return _joined(found, back)


def probe(
    model: Any, rows: Dataset, reference: Dataset, *, seed: int = 0, replicates: int = _REPLICATES
) -> dict[str, Any]:
    """What the statements of a fitted model about its modalities are worth.

    Args:
        model: fitted.
        rows: labelled test rows; of more than 2,000 a part drawn by key.
        reference: from which standard deviations of noise are learned: the development rows.
        seed: of what is damaged: the same for all methods.
        replicates: of the bootstrap by group, at most 200.

    Returns:
        ``claims``: which statements the method makes; ``measures``: name -> interval, see
        `MEASURES`; ``noise``, ``removal`` and ``reliance``: rows of tables.
    """
    rows = rows[rows.present.any(axis=1)]
    if len(rows) > _ROWS:
        drawn = uniform(seed, rows.row_id, ["rows"], "probe")[:, 0]
        rows = rows.take(np.sort(np.argsort(drawn)[:_ROWS]))
    chance = uniform(seed, string_keys(rows.row_id), rows.names, "probe")
    struck = np.where(rows.present, chance, -1.0).argmax(axis=1)
    base = Predicted.of(rows, model.predict(rows))
    one = _Probed(model, rows, reference, seed, base, struck)
    metrics: dict[str, Metric] = {}
    noise = _noise(one, metrics)
    removal = _removal(one, metrics)
    _swaps(one, metrics)
    _claims(one, metrics)
    draws = Bootstrap(len(rows), group=rows.group, replicates=min(replicates, _REPLICATES))
    found = draws.intervals(metrics, np.zeros(len(rows)), None)
    kinds = [k for k in ("reliability", "reliance", "conflict") if getattr(base, k) is not None]
    return {
        "claims": kinds,
        "rows": len(rows),
        "measures": {k: v.to_json() for k, v in found.items() if not np.isnan(v.value)},
        "noise": noise,
        "removal": removal,
        "reliance": reliance_rows(rows, base),
    }


def write_probe(path: Path, fit: Fit, found: Mapping[str, Any]) -> Path:
    """Writes what `probe` found, with the fit that it is of."""
    head = {
        "format": "amodal-probe",
        "version": 1,
        "fit": fit.id,
        "method": told_spec(fit.method),
        "seed": fit.seed,
        "fold": fit.fold,
        "data": fit.data,
        "package": fit.version,
    }
    return put_json(path, {**head, **found})


def _claim(p: Predicted) -> np.ndarray | None:
    return p.reliability if p.reliability is not None else p.reliance


def _metric(function: Callable[..., Any], *arrays: np.ndarray) -> Metric:
    """A metric of the rows that `Bootstrap` weighs: the arrays are fixed."""
    return lambda y, outputs, *, weight=None: function(*arrays, weight=weight)


def _noise(one: _Probed, metrics: dict[str, Metric]) -> list[dict[str, Any]]:
    """Noise at rising severity: the claim of the struck pairs, and whether it finds them."""
    claim = _claim(one.base)
    if claim is None:
        return []
    n, at = len(one.rows), np.arange(len(one.rows))
    bad = np.zeros(one.rows.shape, dtype=bool)
    bad[at, one.struck] = True
    columns, told = [claim[at, one.struck]], [_noise_row(0.0, claim, bad, one)]
    for severity in SEVERITIES:
        p = one.damaged(lambda name, s=severity: _noisy(one, name, s))
        found = _claim(p)
        columns.append(found[at, one.struck])
        told.append(_noise_row(severity, found, bad, one))
        if severity == _SHOWN:
            present = one.rows.present
            metrics["detection_auroc"] = _metric(detection_auroc, -found, bad, present)
            metrics["detection_in_row"] = _metric(agreement, -found, bad.astype(float), present)
    levels = np.broadcast_to([0.0, *SEVERITIES], (n, 1 + len(SEVERITIES)))
    every = np.ones(levels.shape, dtype=bool)
    falls = _metric(rank_correlation, -np.column_stack(columns), levels, every)
    metrics["noise_correlation"] = falls
    return told


def _noisy(one: _Probed, name: str, severity: float) -> Dataset:
    kind, factor = _NOISE[one.rows.modality(name).kind]
    shift = make_shift(kind, 1.0, one.seed, modalities=(name,), severity=severity * factor)
    return shift(one.rows, one.reference)


def _noise_row(severity: float, claim: np.ndarray, bad: np.ndarray, one: _Probed) -> dict[str, Any]:
    there = one.rows.present
    return {
        "severity": severity,
        "struck": float(claim[bad].mean()),
        "others": float(claim[there & ~bad].mean()) if (there & ~bad).any() else None,
        "detection_auroc": _or_none(detection_auroc(-claim, bad, there)),
    }


def _removal(one: _Probed, metrics: dict[str, Metric]) -> list[dict[str, Any]]:
    """Each modality taken away in turn: what that costs, and whether reliance knew."""
    rows, base, m = one.rows, one.base, one.rows.shape[1]
    labels = rows.task.kind == "multilabel"
    before, spread = log_likelihood(base.target, base.outputs), entropy(base.outputs, labels=labels)
    drop, wider = np.zeros(rows.shape), np.zeros(rows.shape)
    told = []
    for k in range(m):
        lost = np.zeros(rows.shape, dtype=bool)
        lost[:, k] = rows.present[:, k]
        if not lost.any():
            continue
        p = one.predict(rows.lose(lost))
        drop[:, k] = before - log_likelihood(base.target, p.outputs)
        wider[:, k] = entropy(p.outputs, labels=labels) - spread
        has = rows.present[:, k]
        head = {"modality": rows.names[k], "rows": int(has.sum())}
        costs = {"log_loss_change": float(drop[has, k].mean())}
        costs["entropy_change"] = float(wider[has, k].mean())
        told.append({**head, **costs, "surer": float((wider[has, k] < 0).mean())})
    metrics["log_loss_change"] = _metric(mean_change, drop, rows.present)
    metrics["entropy_change"] = _metric(mean_change, wider, rows.present)
    for name, claim in (
        ("faithfulness", base.reliance),
        ("reliability_faithfulness", base.reliability),
    ):
        if claim is not None:
            metrics[name] = _metric(agreement, claim, drop, rows.present)
    return told


def _swaps(one: _Probed, metrics: dict[str, Metric]) -> None:
    """Another row's values in half of the rows that have two modalities: does conflict tell?"""
    rows, claim = one.rows, _claim(one.base)
    if one.base.conflict is None and claim is None:
        return
    at = np.arange(len(rows))
    half = uniform(one.seed, string_keys(rows.row_id), ["swap"], "probe")[:, 0] < 0.5
    swaps = {n: Swap(1.0, one.seed, (n,)) for n in rows.names}
    able = np.zeros(rows.shape, dtype=bool)
    for k, name in enumerate(rows.names):
        able[:, k] = swaps[name].touched(rows)[:, k] if rows.present[:, k].any() else False
    changed = half & able[at, one.struck] & (rows.present.sum(axis=1) >= 2)
    p = one.damaged(lambda name: swaps[name](rows))
    if one.base.conflict is not None:
        conflict = np.where(changed, p.conflict, one.base.conflict)
        known = ~np.isnan(conflict)
        column = np.where(known, 1.0 - conflict, 0.0)[:, None]
        metrics["conflict_auroc"] = _metric(
            detection_auroc, column, changed[:, None], known[:, None]
        )
    if claim is not None:
        found = np.where(changed[:, None], _claim(p), claim)
        bad = np.zeros(rows.shape, dtype=bool)
        bad[at[changed], one.struck[changed]] = True
        metrics["swap_auroc"] = _metric(detection_auroc, -found, bad, rows.present)


def _claims(one: _Probed, metrics: dict[str, Metric]) -> None:
    """What the statements look like on the rows as they are, and against a known truth."""
    base, there = one.base, one.rows.present
    if base.reliance is not None:
        metrics["evenness"] = _metric(attention_entropy, base.reliance, there)
    if base.reliability is None:
        return
    metrics["spread"] = _metric(_spread, base.reliability, there)
    if "simulate" in one.rows.provenance:
        truth = np.where(there, true_variance(one.rows), 0.0)
        metrics["truth_correlation"] = _metric(rank_correlation, -base.reliability, truth, there)


def _spread(claim: np.ndarray, there: np.ndarray, *, weight: np.ndarray | None) -> Any:
    """Mean over modalities of the standard deviation between the rows that have them."""
    weights = np.ones((1, len(there))) if weight is None else np.atleast_2d(weight)
    each = []
    for k in range(there.shape[1]):
        w, x = weights[:, there[:, k]], claim[there[:, k], k]
        if len(x) > 1:
            total = np.maximum(w.sum(axis=1), 1e-12)
            mean = w @ x / total
            each.append(np.sqrt(np.maximum(w @ x**2 / total - mean**2, 0.0)))
    found = np.mean(each, axis=0) if each else np.full(len(weights), np.nan)
    return float(found[0]) if np.ndim(weight) < 2 else found


def _joined(parts: list[Predicted], back: np.ndarray) -> Predicted:
    first = parts[0]

    def join(name: str) -> Any:
        found = [getattr(p, name) for p in parts]
        return None if found[0] is None else np.concatenate(found)[back]

    outputs = {k: np.concatenate([p.outputs[k] for p in parts])[back] for k in first.outputs}
    names = ("row_id", "target", "absence", "group", "weight", "reliability", "reliance")
    arrays = {name: join(name) for name in (*names, "conflict")}
    return Predicted(task=first.task, names=first.names, outputs=outputs, **arrays)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
