"""All validation of what users hand in. Inside the library, types are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.errors import DataError, SettingError
from amodal.types import LOST, NOT_MEASURED, PRESENT
from amodal.values import RAGGED
from amodal.vocabulary import words_of

if TYPE_CHECKING:
    from amodal.data.dataset import Dataset
    from amodal.types import Modality
    from amodal.values import Values

__all__ = [
    "SPLITS",
    "check_dataset",
    "check_finite",
    "check_fraction",
    "check_length",
    "check_target",
    "check_trainable",
    "check_unique",
]

SPLITS = ("train", "valid", "calibration", "test")


def check_length(what: str, found: int, expected: int) -> None:
    """Every column has one entry per row.

    Raises:
        DataError: they are not equal.

    >>> check_length("weight", 3, 4)
    Traceback (most recent call last):
    amodal.errors.DataError: weight must have one entry per row (4); got 3; hand in arrays of equal ...
    """
    if found != expected:
        raise DataError(
            f"{what} must have one entry per row ({expected}); got {found}; "
            "hand in arrays of equal length"
        )


def check_unique(row_id: np.ndarray) -> None:
    """Row ids are unique: predictions and masks are joined on them.

    Raises:
        DataError: some repeat.

    >>> check_unique(np.array(["p", "q", "p"]))
    Traceback (most recent call last):
    amodal.errors.DataError: row ids must be unique; 1 of them occur more than once; make them ...
    """
    _, counts = np.unique(row_id, return_counts=True)
    repeated = int((counts > 1).sum())
    if repeated:
        raise DataError(
            f"row ids must be unique; {repeated} of them occur more than once; "
            "make them unique or leave them out"
        )


def check_finite(what: str, array: np.ndarray) -> None:
    """Numbers are finite, or NaN where a cell is missing.

    Raises:
        DataError: some are infinite.

    >>> check_finite("age", np.array([1.0, np.nan]))
    >>> check_finite("age", np.array([1.0, np.inf]))
    Traceback (most recent call last):
    amodal.errors.DataError: age must hold finite numbers, or NaN where a cell is missing; got 1 ...
    """
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise DataError(
            f"{what} must hold finite numbers, or NaN where a cell is missing; "
            f"got {int(np.isinf(array).sum())} infinite ones; replace them"
        )


def check_fraction(what: str, value: Any, *, low: float = 0.0, high: float = 1.0) -> float:
    """`value` as a float between `low` and `high`.

    Raises:
        SettingError: it is none.

    >>> check_fraction("the rate", "1")
    1.0
    >>> check_fraction("the rate", 1.1)
    Traceback (most recent call last):
    amodal.errors.SettingError: the rate must lie between 0 and 1; got 1.1; change it
    """
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        raise SettingError(
            f"{what} must lie between {low:g} and {high:g}; got {value!r}; change it"
        )
    return number


def check_dataset(data: Dataset) -> None:
    """The invariants of a `Dataset`, checked once, when it is made.

    Raises:
        DataError: one of them does not hold.

    >>> from amodal.data.dataset import Dataset
    >>> d = Dataset.from_arrays({"a": [[1.0], None]})
    >>> d.replace(absence=np.zeros((2, 1), np.int8))  # row 1 has no value
    Traceback (most recent call last):
    amodal.errors.DataError: a row has a value of modality 'a' exactly where it is present, else ...
    """
    n, m = len(data.row_id), len(data.modalities)
    if m == 0:
        raise DataError("a data set needs at least one modality; got none; name one")
    if len(set(data.names)) != m:
        raise DataError(f"modality names must be unique; got {', '.join(data.names)}; rename one")
    if data.row_id.ndim != 1 or data.absence.shape != (n, m):
        raise DataError(
            f"absence must have one entry per row and modality, {(n, m)}; "
            f"got {data.absence.shape}; hand in arrays of equal length"
        )
    if not np.isin(data.absence, (PRESENT, NOT_MEASURED, LOST)).all():
        raise DataError("absence must be 0 (present), 1 (not measured) or 2 (lost); recode it")
    check_unique(data.row_id)
    for what in ("target", "references", "group", "split", "weight"):
        if (column := getattr(data, what)) is not None:
            check_length(what, len(column), n)
            if what != "target" and column.ndim != 1:
                raise DataError(f"{what} has one entry per row; got shape {column.shape}")
    for name, column in data.facts.items():
        check_length(f"fact {name!r}", len(column), n)
        if not name or column.ndim != 1:
            raise DataError(
                f"a fact has a name and one text per row; got {name!r} of shape {column.shape}; "
                "correct it"
            )
    _check_rows(data)
    if set(data.values) != set(data.names):
        raise DataError(
            f"values must be given for each modality, {', '.join(data.names)}; "
            f"got {', '.join(map(str, data.values)) or 'none'}; make them agree"
        )
    for k, modality in enumerate(data.modalities):
        _check_values(modality, data.values[modality.name], data.absence[:, k])


def _check_rows(data: Dataset) -> None:
    if data.split is not None and not np.isin(data.split, (*SPLITS, "")).all():
        strange = sorted(set(data.split.tolist()) - set(SPLITS) - {""})
        raise DataError(
            f"split must be one of {', '.join(SPLITS)} or empty; "
            f"got {', '.join(strange)[:60]}; rename it"
        )
    if data.weight is not None and not (np.isfinite(data.weight) & (data.weight > 0)).all():
        raise DataError("weights must be positive and finite; some are not; correct them")
    if data.target is not None:
        if data.task is None:
            raise DataError("a target needs a task; got none; name it")
        check_target(data)
    if data.task is not None and data.task.kind == "sequence":
        _check_texts(data)


def check_target(data: Dataset) -> None:
    """A target holds what its task says.

    Raises:
        DataError: another shape, an infinite number, or a class that there is not.

    >>> from amodal.data.dataset import Dataset
    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]]}, [0, 1])
    >>> d.replace(target=np.array([0.0, 2.0]))
    Traceback (most recent call last):
    amodal.errors.DataError: the target of a binary task holds class positions 0 to 1 or NaN; got ...
    """
    task, target = data.task, data.target
    check_finite("the target", target)
    wide = task.kind == "multilabel"
    if target.ndim != (2 if wide else 1) or (wide and target.shape[1] != len(task.classes)):
        raise DataError(
            f"the target of a {task.kind} task must have "
            f"{'one column per label' if wide else 'one number per row'}; "
            f"got shape {target.shape}; reshape it"
        )
    if task.is_classification:
        known = target[~np.isnan(target)]
        top = 2 if task.kind in ("binary", "multilabel") else len(task.classes)
        if not np.isin(known, np.arange(top)).all():
            raise DataError(
                f"the target of a {task.kind} task holds class positions 0 to {top - 1} or NaN; "
                "got other values; encode the classes"
            )


def _check_texts(data: Dataset) -> None:
    """A row of a sequence task has as many references as its target says, all with words."""
    if (data.target is None) != (data.references is None):
        raise DataError(
            "a sequence task has references where it has a target; one of them lacks; hand in texts "
            "by Dataset.from_arrays"
        )
    if data.target is None:
        return
    counts = np.array([len(x) for x in data.references], dtype=np.float64)
    if not np.array_equal(np.where(counts > 0, counts, np.nan), data.target, equal_nan=True):
        raise DataError(
            "the target of a sequence task is the number of a row's references, NaN for none; "
            "they disagree; hand in texts by Dataset.from_arrays"
        )
    empty = sum(any(not words_of(t) for t in x) for x in data.references)
    if empty:
        raise DataError(
            f"a text to be predicted must have words; {empty} rows have an empty one; fill it in, or "
            "make it None"
        )


def check_trainable(data: Dataset) -> None:
    """A data set to fit on has labels, at least two classes of them, and something present.

    Raises:
        DataError: it has not.

    >>> from amodal.data.dataset import Dataset
    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0], [3.0]]}, [0, 1, np.nan])
    >>> check_trainable(d)
    >>> check_trainable(d[1:])
    Traceback (most recent call last):
    amodal.errors.DataError: a binary target needs at least two classes to learn from; all 1 ...
    """
    labelled = data.labelled
    if data.task is None or not labelled.any():
        raise DataError(
            f"rows to train on need labels; none of {len(data)} rows has one; hand in a target"
        )
    known = data.target[labelled]
    if data.task.kind in ("binary", "multiclass") and len(np.unique(known)) < 2:
        raise DataError(
            f"a {data.task.kind} target needs at least two classes to learn from; all "
            f"{int(labelled.sum())} labelled rows have the same one; add rows of another"
        )
    if not (data.present[labelled]).any():
        raise DataError(
            "rows to train on need values; every modality is absent in every labelled row; "
            "check how the data were prepared"
        )


def _check_values(modality: Modality, values: Values, absence: np.ndarray) -> None:
    name, index = modality.name, values.index
    check_length(f"the index of modality {name!r}", len(index), len(absence))
    if ((index >= 0) != (absence == PRESENT)).any() or index.min(initial=-1) < -1:
        raise DataError(
            f"a row has a value of modality {name!r} exactly where it is present, else index -1; "
            "values and absence disagree; make the one from the other"
        )
    steps = _check_offsets(modality, values)
    if len(index) and index.max(initial=-1) >= len(values):
        raise DataError(
            f"the index of modality {name!r} must point at one of its {len(values)} values; "
            "it points past them; correct it"
        )
    for key, array in values.data.items():
        wide = (key == "value" and modality.kind != "codes") or key in ("numeric", "categorical")
        if array.ndim != 1 + wide:
            raise DataError(
                f"{key!r} of modality {name!r} must have {1 + wide} dimensions; "
                f"got shape {array.shape}; reshape it"
            )
        check_length(f"{key!r} of modality {name!r}", len(array), steps)
        check_finite(f"modality {name!r}", array)
    _check_names(modality, values)


def _check_offsets(modality: Modality, values: Values) -> int:
    """The number of entries that each array of the values must have."""
    name, offsets = modality.name, values.offsets
    if (offsets is not None) != (modality.kind in RAGGED):
        raise DataError(
            f"modality {name!r} of kind {modality.kind} has offsets only where values are ragged "
            f"({', '.join(RAGGED)}); correct its kind"
        )
    if offsets is None:
        return len(values)
    if not len(offsets) or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise DataError(
            f"offsets of modality {name!r} must rise from 0, each value having at least one step; "
            "they do not; make a row without steps absent"
        )
    return int(offsets[-1])


def _check_names(modality: Modality, values: Values) -> None:
    """Features, levels and vocabulary are those that the values speak of."""
    name, data, kind = modality.name, values.data, modality.kind
    for what in ("features", "vocabulary", "types"):
        if len(set(getattr(modality, what))) < len(getattr(modality, what)):
            raise DataError(f"{what} of modality {name!r} must be unique; some repeat; rename them")
    value = data.get("value", data.get("numeric"))
    if value is not None and modality.features and value.shape[1] != modality.n_features:
        raise DataError(
            f"modality {name!r} names {modality.n_features} features; "
            f"its values have {value.shape[1]}; name each one"
        )
    if kind == "table" and data["categorical"].shape[1] != len(modality.levels):
        raise DataError(
            f"modality {name!r} names the levels of {len(modality.levels)} columns; its values "
            f"have {data['categorical'].shape[1]} categorical ones; name the levels of each"
        )
    _check_positions(modality, data)


def _check_positions(modality: Modality, data: Mapping[str, np.ndarray]) -> None:
    """Levels, codes and types are positions in the names that the modality gives them."""
    name, positions = modality.name, {}
    if modality.kind == "table":
        levels = modality.levels.items()
        positions = {c: (data["categorical"][:, k], x) for k, (c, x) in enumerate(levels)}
    elif modality.kind == "codes":
        positions = {"code": (data["code"], modality.vocabulary)}
        positions["type"] = (data["type"], modality.types)
    for what, (array, known) in positions.items():
        if array.min(initial=-1) < -1 or array.max(initial=-1) >= len(known):
            raise DataError(
                f"{what!r} of modality {name!r} must hold positions in its {len(known)} names, or "
                "-1 for an unknown one; got others; encode it"
            )
        if len(set(known)) < len(known):
            raise DataError(f"levels of {what!r} of modality {name!r} must be unique; rename them")
