"""What is predicted: the task that a target speaks of, and the target as class positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from amodal.data.cells import (
    factorise,
    is_categorical,
    is_missing,
    names,
    numbers,
    sorted_names,
)
from amodal.errors import DataError
from amodal.types import Task

__all__ = ["encode_references", "encode_target", "infer_task"]

_MOST_CLASSES = 20


def infer_task(target: np.ndarray) -> Task | None:
    """The task of a target that comes without one; None where no row has a label.

    | distinct values | task |
    |---|---|
    | two, or only 0 and 1 | ``binary``, the greater one positive |
    | texts, or at most 20 whole numbers | ``multiclass``, classes sorted |
    | other numbers | ``regression`` |
    | a matrix of 0 and 1 | ``multilabel`` |

    Raises:
        DataError: one text for all rows: nobody can tell what else there is.

    >>> infer_task(np.array([0.0, 1.0, np.nan])).kind, infer_task(np.array(["b", "a"])).classes
    ('binary', ('a', 'b'))
    >>> infer_task(np.array([1, 2, 3])).kind, infer_task(np.array([0.5, 1, 2])).kind
    ('multiclass', 'regression')
    """
    if target.ndim == 2:
        return Task("multilabel", tuple(str(k) for k in range(target.shape[1])))
    if is_categorical("the target", target):
        return _infer_from_names(target)
    values = numbers("the target", target)
    known = np.unique(values[~np.isnan(values)])
    if not len(known):
        return None
    if np.isin(known, (0, 1)).all():
        return Task("binary")
    if len(known) == 2:
        return Task("binary", tuple(names("the target", known)))
    if len(known) > 2 and len(known) <= _MOST_CLASSES and (known == np.round(known)).all():
        return Task("multiclass", tuple(names("the target", known)))
    return Task("regression")


def _infer_from_names(target: np.ndarray) -> Task | None:
    levels = sorted_names({name for name in names("the target", target) if name is not None})
    if not levels:
        return None
    if set(levels) <= {"False", "True"}:
        return Task("binary", ("False", "True"))
    if len(levels) == 1:
        raise DataError(
            "a target of texts needs at least two classes, or a task that names them; got one; "
            "hand in the task"
        )
    return Task("binary" if len(levels) == 2 else "multiclass", levels)


def encode_target(target: Any, task: Task | None = None) -> tuple[Task | None, np.ndarray | None]:
    """The task and the target as it is held in a data set: ``Float64[n]`` or ``[n, L]``.

    A target of classes is read as names where a value of it is the name of a class ("1" and 1.0 are
    the same name), else as positions in the classes. None and NaN are rows without label.

    Args:
        target: one value a row; a matrix of 0 and 1 for several labels; None where there is none.
        task: inferred (see `infer_task`) where it is not given.

    Raises:
        DataError: values that the task does not know; a shape or type that is no target.

    >>> task, y = encode_target(["yes", "no", None])
    >>> task.classes, y.tolist()
    (('no', 'yes'), [1.0, 0.0, nan])
    """
    if target is None:
        return task, None
    if task is not None and task.kind == "sequence":
        return task, encode_references(target)[0]
    array = _as_array(target)
    task = task or infer_task(array)
    if task is None:
        return None, None
    if task.kind == "multilabel":
        return task, _encode_labels(array, task)
    if array.ndim != 1:
        raise DataError(
            f"the target of a {task.kind} task must have one number per row; "
            f"got shape {array.shape}; reshape it"
        )
    if task.kind == "regression":
        return task, numbers("the target", array).astype(np.float64)
    return task, _encode_classes(array, task)


def encode_references(target: Any) -> tuple[np.ndarray, np.ndarray]:
    """The number of texts of each row, and the texts: the target of a sequence task.

    Args:
        target: per row a text, several of them (each a right answer), or None for no label. Blank
            entries among several are left out.

    Raises:
        DataError: neither texts nor lists of them; an empty text.

    >>> counts, texts = encode_references(["a dog", ["a cat", "one cat"], None])
    >>> counts.tolist(), texts.tolist()
    ([1.0, 2.0, nan], [('a dog',), ('a cat', 'one cat'), ()])
    """
    if isinstance(target, str | bytes) or not isinstance(target, Iterable):
        raise DataError(
            f"the target of a sequence task has a text per row; got {type(target).__name__}; "
            "hand in a list"
        )
    found = [_texts(x) for x in target]
    references = np.empty(len(found), dtype=object)
    references[:] = found
    counts = np.array([len(x) or np.nan for x in found], dtype=np.float64)
    return counts, references


def _texts(entry: Any) -> tuple[str, ...]:
    several = isinstance(entry, list | tuple | np.ndarray)
    if not several:
        entry = [entry]
    kept = [x for x in entry if not is_missing(x) and not (several and x == "")]
    if not all(isinstance(x, str) for x in kept):
        raise DataError(
            "the target of a sequence task holds texts, lists of them, or None; got something else; "
            "convert it"
        )
    if not all(x.strip() for x in kept):
        raise DataError(
            "a text to be predicted must have words; got an empty one; fill it in, or make it None"
        )
    return tuple(str(x) for x in kept)


def _as_array(target: Any) -> np.ndarray:
    try:
        array = np.asarray(target)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        array = np.empty(0, dtype="V1")  # ragged
    if array.dtype.kind == "U" and not isinstance(target, np.ndarray):
        array = np.asarray(
            target, dtype=object
        )  # else 1 in [1, "a"] and nan in ["a", nan] are text
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufOUT":
        raise DataError(
            "a target has one number or class name per row; got something else; "
            "hand in a list or an array"
        )
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _encode_labels(array: np.ndarray, task: Task) -> np.ndarray:
    if array.ndim == 1:
        array = array[:, None]
    if array.shape[1] != len(task.classes):
        raise DataError(
            f"the target of a multilabel task has one column per label ({len(task.classes)}); "
            f"got {array.shape[1]}; add the missing ones"
        )
    columns = [numbers("a label", array[:, k]) for k in range(array.shape[1])]
    encoded = np.column_stack(columns).astype(np.float64)
    if not np.isin(encoded[~np.isnan(encoded)], (0, 1)).all():
        raise DataError(
            "labels of a multilabel task are 0, 1 or NaN; got other values; recode them"
        )
    return encoded


def _encode_classes(array: np.ndarray, task: Task) -> np.ndarray:
    positions, found = factorise("the target", array)
    place = {name: k for k, name in enumerate(task.classes)}
    top = len(task.classes)
    if set(found) <= {"False", "True"} and not set(found) <= set(place):
        found = tuple("1" if name == "True" else "0" for name in found)
    if not set(found) & set(place):  # no name among them: positions
        place = {str(k): k for k in range(top)}
    strange = set(found) - set(place)
    if strange:
        raise DataError(
            f"the target of a {task.kind} task holds names of its {top} classes "
            f"({', '.join(task.classes[:6])}{', ...' if top > 6 else ''}) or positions 0 to "
            f"{top - 1}; got {len(strange)} other values; name all classes"
        )
    table = np.array([place[name] for name in found] + [np.nan], dtype=np.float64)
    return table[positions]  # -1, a missing one, picks the last
