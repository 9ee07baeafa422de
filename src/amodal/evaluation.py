"""What a fitted model says of a data set, as a table; and how good it is there, under a shift."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, StorageError, unknown_name
from amodal.metrics import Interval, score, select
from amodal.shifts import LossRates, Shift
from amodal.training.checkpoint import write_atomic
from amodal.types import LOST, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from amodal.model import Model

__all__ = [
    "ROWS",
    "Evaluation",
    "align_target",
    "check_table_path",
    "digest_ids",
    "evaluate",
    "prediction_table",
    "write_table",
]

ROWS = ("test", "all")
"""Which rows are evaluated."""
_ENDINGS = (".parquet", ".csv")
_FITTED = ("train", "valid", "calibration")


# -- predictions as a table -----------------------------------------------------------------------


def prediction_table(model: Model, data: Dataset) -> pa.Table:
    """What `model` says of the rows of `data`, one line a row, in their order.

    | column | values |
    |---|---|
    | ``row_id`` | of the data |
    | ``probability`` | of the second class (binary) |
    | ``probability_<class>`` | of each class or label |
    | ``mean``, ``std`` | of a real value, in its units |
    | ``reliability_<modality>`` | in [0, 1], 0 where absent; null where the method has none |
    | ``reliance_<modality>`` | as reliability; adds up to at most 1 |
    | ``absence_<modality>`` | 0 present, 1 not measured, 2 lost (or not among the data) |
    | ``conflict`` | p-value of "the modalities agree"; null where fewer than two are present |

    Args:
        model: fitted.
        data: rows with modalities that the model knows; needs no target.

    Raises:
        UnknownNameError: a modality that the model does not know.
        NotFittedError: the model was not fitted.
    """
    import pyarrow as pa

    found = model.predict(data)
    names = [m.name for m in model.modalities_]
    columns: dict[str, pa.Array] = {"row_id": pa.array(data.row_id.tolist(), pa.string())}
    outputs = found.outputs()
    for output, titles in _output_names(model.task_).items():
        columns |= _columns(titles, outputs[output])
    for kind in ("reliability", "reliance"):
        values = getattr(found, kind)
        columns |= _columns([f"{kind}_{n}" for n in names], values, rows=len(data))
    absence = _absence(data, names)
    columns |= {f"absence_{n}": pa.array(absence[:, k]) for k, n in enumerate(names)}
    columns |= _columns(["conflict"], found.conflict, rows=len(data))
    facts = {
        "format": "amodal-predictions",
        "version": 1,
        "method": model.method,
        "task": model.task_.to_json(),
        "data": data.fingerprint(),
        "absence": {"0": "present", "1": "not measured", "2": "lost"},
    }
    return pa.table(columns).replace_schema_metadata({"amodal": json.dumps(facts)})


def _output_names(task: Task) -> dict[str, list[str]]:
    """Output of a prediction -> names of its columns."""
    if task.kind == "regression":
        return {"mean": ["mean"], "std": ["std"]}
    several = task.kind != "binary"
    return {
        "probability": [f"probability_{c}" for c in task.classes] if several else ["probability"]
    }


def _columns(names: Sequence[str], values: Any, *, rows: int = 0) -> dict[str, pa.Array]:
    """Float64 columns of ``[n]`` or ``[n, c]``; NaN, and a method that has none, become null."""
    import pyarrow as pa

    if values is None:
        return {name: pa.nulls(rows, pa.float64()) for name in names}
    array = np.asarray(values, dtype=np.float64)
    wide = array if array.ndim == 2 else array[:, None]
    return {n: pa.array(wide[:, k], from_pandas=True) for k, n in enumerate(names)}


def _absence(data: Dataset, names: Sequence[str]) -> np.ndarray:
    """``Int8[n, m]`` in the order of `names`; a modality that the data lack is lost in all rows."""
    absence = np.full((len(data), len(names)), LOST, dtype=np.int8)
    for k, name in enumerate(names):
        if name in data.names:
            absence[:, k] = data.absence[:, data.names.index(name)]
    return absence


def check_table_path(path: str | Path) -> Path:
    """`path`, if a table may be written there.

    Raises:
        SettingError: it does not end in .parquet or .csv.
        StorageError: it is a folder.

    >>> check_table_path("p.csv").name
    'p.csv'
    """
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise SettingError(
            f"predictions are written to a file that ends in {' or '.join(_ENDINGS)}; "
            f"got {path.name!r}; rename it"
        )
    if path.is_dir():
        raise StorageError(f"predictions are one file; {path} is a folder; name a file")
    return path


def write_table(table: pa.Table, path: str | Path) -> Path:
    """Writes `table` as Parquet or CSV, by the ending of `path`: whole or not at all.

    Raises:
        SettingError, StorageError: see `check_table_path`; or it cannot be written.
    """
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    path, buffer = check_table_path(path), io.BytesIO()
    if path.suffix.lower() == ".csv":
        csv.write_csv(table, buffer)
    else:
        pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())
    return path


# -- evaluation -----------------------------------------------------------------------------------


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
        metrics: names; None for those of the task.
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
    found = score(
        model.task_.kind,
        used.target,
        model.predict(shifted).outputs(),
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
        **facts,
    )


def _shifted(
    data: Dataset, shift: Shift | None, reference: Dataset | None
) -> tuple[Dataset, dict[str, Any]]:
    if shift is None:
        return data, {}
    told = {"describe": shift.describe()}
    if not hasattr(shift, "draw"):
        return shift(data, reference), {**told, "shift": shift.to_json()}
    drawn = shift.draw(data, reference)
    return drawn.apply(data), {**told, "shift": dict(drawn.spec), "rates": drawn.rates}


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
    if task.kind == "regression" or data.task.classes == task.classes:
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
