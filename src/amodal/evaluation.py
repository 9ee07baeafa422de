"""How good a fitted model is on a data set, as it is or under a shift."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, unknown_name
from amodal.metrics import Interval, score, select
from amodal.shifts import LossRates, Shift
from amodal.types import Task

if TYPE_CHECKING:
    from amodal.batch import Prediction
    from amodal.model import Model

__all__ = [
    "ROWS",
    "Evaluation",
    "align_target",
    "digest_ids",
    "evaluate",
]

ROWS = ("test", "all")
"""Which rows are evaluated."""
_FITTED = ("train", "valid", "calibration")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a model is on some rows.

    Args:
        task: what is predicted.
        metrics: name -> value with its 95% bootstrap interval.
        rows: "test": those set aside when the model was trained; "all": every labelled row.
        n: labelled rows evaluated.
        groups: distinct groups among them, by which intervals are resampled; None without groups.
        modalities: of the data.
        fitted: rows among them that the model was fitted or chosen on.
        same: the data are those that the model was trained on: by their content ("content"), by
            their row ids alone ("row ids"), or not at all ("").
        data: fingerprint of the data, before the shift.
        shift: what was done to the rows (`Shift.to_json`), with what it learned; None for nothing.
        describe: the same in a sentence.
        rates: what loss was asked for and what came out; None where the shift loses nothing.
        diagnostics: whether the method works as it is meant to (AUM: variance collapse, attention
            entropy, KL); empty where it has none.
    """

    task: Task
    metrics: Mapping[str, Interval]
    rows: str
    n: int
    groups: int | None
    modalities: int
    fitted: int
    same: str
    data: str
    shift: Mapping[str, Any] | None = None
    describe: str = ""
    rates: LossRates | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the exact counts, for one's own eyes; NaN becomes null."""
        shift = None
        if self.shift is not None:
            rates = None if self.rates is None else self.rates.to_json()
            shift = {**_finite(self.shift), "rates": rates}
        return {
            "metrics": {name: interval.to_json() for name, interval in self.metrics.items()},
            "rows": self.rows,
            "n": self.n,
            "groups": self.groups,
            "modalities": self.modalities,
            "task": self.task.to_json(),
            "same_data": self.same or None,
            "shift": shift,
            "diagnostics": dict(self.diagnostics),
            "fingerprints": {"data": self.data},
        }


def evaluate(
    model: Model,
    data: Dataset,
    *,
    rows: str | None = None,
    shift: Shift | None = None,
    metrics: Sequence[str] | None = None,
    replicates: int = 1000,
    trained_on: Mapping[str, Any] | None = None,
) -> Evaluation:
    """How good `model` is on `data`.

    A shift that learns from data (MNAR, noise) learns from the training rows where `data` are those
    that the model was trained on, else from `data` itself.

    Args:
        model: fitted.
        data: rows with a target of the model's task.
        rows: "test" or "all"; None: "test" on the data that the model was trained on, else "all".
        shift: done to the rows before they are predicted.
        metrics: names; None for those of the task, without those that need what is not installed
            (`amodal.metrics.left_out`).
        replicates: of the bootstrap; 0 gives values without intervals.
        trained_on: ``fingerprint`` and ``row_ids`` (`digest_ids`) of the data trained on.

    Raises:
        DataError: no outcomes, or outcomes of another task.
        SettingError: a metric of another task; test rows of data that the model never saw.
        UnknownNameError: an unknown metric, kind of rows or modality.
    """
    if rows not in (None, *ROWS):
        raise unknown_name("rows", rows, ROWS)
    chosen = list(select(model.task_.kind, metrics))
    target = align_target(data, model.task_)
    fingerprint = data.fingerprint()
    same = _same(model, data, fingerprint, trained_on or {})
    data = data.replace(task=model.task_, target=target)
    rows = rows or ("test" if same and "test" in model.rows_ else "all")
    used = _rows(model, data, rows, same=same)
    reference = data[np.isin(data.row_id, model.rows_["train"])] if same else None
    known = np.concatenate([model.rows_.get(name, data.row_id[:0]) for name in _FITTED])
    shifted, facts = _shifted(used, shift, reference)
    prediction = model.predict(shifted)
    answers, outputs = _judged(prediction, used)
    found = score(
        model.task_.kind,
        answers,
        outputs,
        metrics=chosen,
        weight=used.weight,
        group=used.group,
        replicates=replicates,
    )
    return Evaluation(
        model.task_,
        found,
        rows,
        n=len(used),
        groups=None if used.group is None else len(np.unique(used.group)),
        modalities=data.shape[1],
        fitted=int(np.isin(used.row_id, known).sum()),
        same=same,
        data=fingerprint,
        diagnostics=model.diagnostics(prediction),
        **facts,
    )


def _judged(prediction: Prediction, data: Dataset) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """What metrics compare: the target, and what was predicted."""
    if data.task.kind != "sequence":
        return data.target, prediction.outputs()
    tokens = prediction.text_head.tokens(data.references)
    return data.references, prediction.outputs(tokens)


def _shifted(
    data: Dataset, shift: Shift | None, reference: Dataset | None
) -> tuple[Dataset, dict[str, Any]]:
    if shift is None:
        return data, {}
    told = {"describe": shift.describe()}
    if not hasattr(shift, "draw"):
        return shift(data, reference), {**told, "shift": shift.to_json()}
    shifted, drawn = shift.realise(data, reference)
    return shifted, {**told, "shift": dict(drawn.spec), "rates": drawn.rates}


def digest_ids(row_id: np.ndarray) -> str:
    """A hash of row ids, whatever their order: 16 hex digits.

    >>> digest_ids(np.array(["a", "b"])) == digest_ids(np.array(["b", "a"]))
    True
    """
    return hashlib.sha256("\0".join(sorted(row_id.tolist())).encode()).hexdigest()[:16]


def _same(model: Model, data: Dataset, fingerprint: str, trained_on: Mapping[str, Any]) -> str:
    """Whether `data` are those that the model was trained on, and by what that is known."""
    if trained_on.get("fingerprint") == fingerprint:
        return "content"
    known = np.unique(np.concatenate([*model.rows_.values(), data.row_id[:0]]))
    digest = trained_on.get("row_ids") or digest_ids(known)
    return "row ids" if digest == digest_ids(data.row_id) else ""


def _rows(model: Model, data: Dataset, rows: str, *, same: str) -> Dataset:
    """The labelled rows to evaluate."""
    if rows == "test":
        if not same or "test" not in model.rows_:
            raise SettingError(
                "test rows are those of the data trained on, set aside by `amodal train`; these "
                "data are others; use --rows all"
            )
        data = data[np.isin(data.row_id, model.rows_["test"])]
    known = data[data.labelled]
    if not len(known):
        raise DataError(
            f"rows are evaluated by their outcomes; none of the {rows} rows has one; hand in data "
            "with outcomes, or use `amodal predict`"
        )
    return known


def align_target(data: Dataset, task: Task) -> np.ndarray:
    """The target of `data` in the classes of `task`, matched by their names.

    Raises:
        DataError: no target, one of another kind, or a class that `task` does not know.

    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]]}, ["yes", "no"])
    >>> align_target(d, Task("multiclass", ("maybe", "no", "yes"))).tolist()
    [2.0, 1.0]
    """
    if data.task is None or data.target is None:
        raise DataError(
            "rows are evaluated by their outcomes; these data have none; hand in data with "
            "outcomes, or use `amodal predict`"
        )
    kinds = {data.task.kind, task.kind}
    if len(kinds) > 1 and not kinds <= {"binary", "multiclass"}:
        raise DataError(
            f"outcomes must be of the model's task, {task.kind}; those of the data are "
            f"{data.task.kind}; hand in others"
        )
    if task.kind in ("regression", "sequence") or data.task.classes == task.classes:
        return data.target
    place = {name: k for k, name in enumerate(task.classes)}
    if task.kind == "multilabel":
        _known_classes(task.classes, data.task.classes, "labels of the data")
        return data.target[:, [data.task.classes.index(c) for c in task.classes]]
    known = data.target[data.labelled].astype(int)
    used = [data.task.classes[k] for k in np.unique(known)]
    _known_classes(used, task.classes, "classes that the model was trained on")
    mapped = np.array([place.get(name, np.nan) for name in data.task.classes])
    target = np.full(len(data), np.nan)
    target[data.labelled] = mapped[known]
    return target


def _known_classes(wanted: Sequence[str], known: Sequence[str], what: str) -> None:
    missing = [c for c in wanted if c not in known]
    if missing:
        raise DataError(
            f"outcomes are matched by the names of their classes; {missing[0]!r} is not among the "
            f"{what} ({', '.join(known[:8])}{', ...' * (len(known) > 8)}); rename them"
        )


def _finite(value: Any) -> Any:
    """`value` with what JSON lacks (NaN, infinities, numpy's numbers) replaced."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
