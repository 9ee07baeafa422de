"""What loss depends on where it is not at random: a modality's own values, or the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, unknown_name
from amodal.shifts.base import align_features
from amodal.types import Modality, Task
from amodal.values import Values

__all__ = [
    "LEVELS",
    "OwnValueScore",
    "TargetScore",
    "labelled_outcome",
    "marked_class",
    "outcome",
    "standardise",
]

LEVELS = ("level", "extreme")
"""How far up the values lie, or how far from the middle."""
_CLIP = 8.0  # a slip of the keyboard must not be the only value that the score sees
_SCORED = ("table", "series", "codes", "embedding", "text")


def standardise(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(score - mean) / standard deviation, both of the finite entries of `reference`.

    NaN stays NaN; where `reference` has no spread nothing can depend on it: all NaN.

    >>> standardise(np.array([3.0, np.nan]), np.array([0.0, 2.0]))
    array([ 2., nan])
    """
    known = reference[np.isfinite(reference)]
    spread = known.std() if len(known) else 0.0
    if not spread > 1e-12 * max(1.0, float(np.abs(known).max(initial=0.0))):
        return np.full(score.shape, np.nan)
    return (score - known.mean()) / spread


# -- a modality's own values -------------------------------------------------------------------


def _numbers(modality: Modality, values: Values) -> np.ndarray:
    """``Float64[v, d]`` what each value says in numbers, NaN where it says nothing.

    Tables and embeddings as they are; a series by the mean of each variable; codes and text by the
    log of one plus their length.
    """
    if modality.kind == "codes":
        return np.log1p(values.lengths.astype(np.float64))[:, None]
    if modality.kind == "text":
        lengths = [len(text) for text in values.data["source"]]
        return np.log1p(np.array(lengths, dtype=np.float64))[:, None]
    if modality.kind != "series":
        x = values.data.get("value", values.data.get("numeric"))
        return np.zeros((len(values), 0)) if x is None else np.asarray(x, dtype=np.float64)
    x = np.asarray(values.data["value"], dtype=np.float64)
    owner, seen = np.repeat(np.arange(len(values)), values.lengths), ~np.isnan(x)
    total, count = np.zeros((len(values), x.shape[1])), np.zeros((len(values), x.shape[1]))
    np.add.at(total, owner, np.where(seen, x, 0.0))
    np.add.at(count, owner, seen)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _level_counts(modality: Modality, values: Values) -> dict[str, dict[str, int]]:
    """Categorical column -> level -> how many values have it."""
    codes = values.data.get("categorical")
    out = {}
    for j, (column, levels) in enumerate(modality.levels.items() if codes is not None else ()):
        seen = np.bincount(codes[codes[:, j] >= 0, j], minlength=len(levels))
        out[column] = dict(zip(levels, seen.tolist(), strict=True))
    return out


def _rarity(modality: Modality, values: Values, counts: Mapping[str, Any]) -> np.ndarray:
    """``Float64[v, c]`` -log of the share (add one) that each category has in the reference."""
    codes = values.data.get("categorical")
    columns = [np.zeros((len(values), 0))]
    for j, (column, levels) in enumerate(modality.levels.items() if codes is not None else ()):
        known = counts.get(column)
        if known is None:
            columns.append(np.full((len(values), 1), np.nan))
            continue
        total = sum(known.values()) + len(known) + 1
        surprise = -np.log([(known.get(level, 0) + 1) / total for level in levels] + [np.nan])
        columns.append(surprise[codes[:, j]][:, None])  # -1, a missing cell, takes the last
    return np.hstack(columns)


def _centre_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and IQR / 1.349 (else standard deviation) of each column; NaN where there is none."""
    centre, scale = np.full(x.shape[1], np.nan), np.full(x.shape[1], np.nan)
    for j in range(x.shape[1]):
        known = x[~np.isnan(x[:, j]), j]
        if not len(known):
            continue
        low, centre[j], high = np.quantile(known, (0.25, 0.5, 0.75))
        spread = (high - low) / 1.349 or known.std()
        scale[j] = spread if spread > 1e-12 * max(1.0, np.abs(known).max()) else np.nan
    return centre, scale


def _mean_known(z: np.ndarray) -> np.ndarray:
    """The mean of each row over what is not NaN; NaN where nothing is."""
    known = ~np.isnan(z)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, z, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What is learned of one modality."""

    modality: Modality
    centre: np.ndarray
    scale: np.ndarray
    levels: Mapping[str, Mapping[str, int]]
    numbers: int
    score: str

    @classmethod
    def fit(cls, modality: Modality, values: Values, score: str) -> _Fitted:
        levels = _level_counts(modality, values)
        x = _numbers(modality, values)
        both = np.hstack([x, _rarity(modality, values, levels)])
        return cls(modality, *_centre_and_scale(both), levels, x.shape[1], score)

    def of(self, modality: Modality, values: Values) -> np.ndarray:
        """``Float64[n]`` not yet standardised; NaN where absent or nothing is known."""
        x = _numbers(modality, values)
        place = np.arange(x.shape[1])
        if modality.kind not in ("codes", "text"):
            place = align_features(modality, x.shape[1], self.modality, self.numbers)
        rarity = _rarity(modality, values, self.levels)
        columns = [*self.levels]
        extra = [
            self.numbers + columns.index(c) if c in columns else -1
            for c in list(modality.levels)[: rarity.shape[1]]
        ]
        place = np.concatenate([place, np.array(extra, dtype=int)])
        known = place >= 0
        at = place[known]
        z = (np.hstack([x, rarity])[:, known] - self.centre[at]) / self.scale[at]
        z = np.clip(z, -_CLIP, _CLIP)
        per_value = _mean_known(np.abs(z) if self.score == "extreme" else z)
        return np.append(per_value, np.nan)[values.index]


class OwnValueScore:
    """How high, or how extreme, the values of a modality are: one score a (row, modality).

    Each feature becomes z = (x - median) / (IQR / 1.349), clipped to [-8, 8] (standard deviation
    where the IQR is 0; constant features are left out); a value's score is the mean of z over its
    known features (``level``) or of |z| (``extreme``), standardised to mean 0 and standard
    deviation 1 over the present rows of the reference. A series enters by the mean of each
    variable, codes and text by log(1 + length), a category by -log of its share. Absent: NaN.

    Args:
        reference: the rows that medians, scales, shares, means and deviations are learned from.
        names: the modalities.
        score: one of `LEVELS`.

    Raises:
        DataError: a modality of a kind whose values are not numbers here (image, audio).

    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0], [3.0], None]})
    >>> OwnValueScore(d, ["a"])(d, ["a"]).ravel().round(2).tolist()
    [-1.22, 0.0, 1.22, nan]
    >>> OwnValueScore(d, ["a"], "extreme")(d, ["a"]).ravel().round(2).tolist()
    [0.71, -1.41, 0.71, nan]
    """

    def __init__(self, reference: Dataset, names: Sequence[str], score: str = "level") -> None:
        if score not in LEVELS:
            raise unknown_name("score of a modality's values", score, LEVELS)
        for name in names:
            if (kind := reference.modality(name).kind) not in _SCORED:
                raise DataError(
                    f"loss by a modality's own values needs values of kind {', '.join(_SCORED)}; "
                    f"{name!r} is of kind {kind}; name other modalities or use 'mnar-severity'"
                )
        self._fitted = {
            n: _Fitted.fit(reference.modality(n), reference.values[n], score) for n in names
        }
        self._raw = {n: f.of(f.modality, reference.values[n]) for n, f in self._fitted.items()}
        self.facts: dict[str, Any] = {"score": score}

    def __call__(self, data: Dataset, names: Sequence[str]) -> np.ndarray:
        """``Float64[n, c]`` the scores of `data`; NaN where a pair has none."""
        columns = [np.zeros((len(data), 0))]
        for name in names:
            raw = self._fitted[name].of(data.modality(name), data.values[name])
            columns.append(standardise(raw, self._raw[name])[:, None])
        return np.hstack(columns)


# -- the target ---------------------------------------------------------------------------------


def marked_class(data: Dataset, positive: str | None) -> int:
    """The position of the class that counts as the severe one.

    `positive` where it is named; else the second class of a binary task, and the rarest labelled
    class of a multiclass one (the later one among equals).

    Raises:
        UnknownNameError: `positive` is no class of the task.

    >>> task = Task("multiclass", ("mild", "severe", "fatal"))
    >>> d = Dataset.from_arrays({"a": np.zeros((4, 1))}, [0, 0, 1, 2], task=task)
    >>> marked_class(d, None), marked_class(d, "mild")  # 1 and 2 are as rare
    (2, 0)
    """
    classes = data.task.classes
    if positive is not None:
        if positive not in classes:
            raise unknown_name("class", positive, classes)
        return classes.index(positive)
    if data.task.kind == "binary":
        return 1
    counts = np.bincount(data.target[data.labelled].astype(int), minlength=len(classes))
    seen = np.where(counts > 0, counts, counts.max(initial=0) + 1)
    return int(len(seen) - 1 - np.argmin(seen[::-1]))


def outcome(data: Dataset, task: Task, positive: int | None) -> np.ndarray:
    """``Float64[n]`` the target as one number: 1 for the class `positive`, the number of labels, or
    the value itself; NaN where a row has no label.

    Raises:
        DataError: the task of `data` is of another kind than `task`, or has other classes.

    >>> d = Dataset.from_arrays({"a": np.zeros((3, 1))}, [0, 1, np.nan])
    >>> outcome(d, d.task, 0).tolist()
    [1.0, 0.0, nan]
    """
    if data.target is None:
        return np.full(len(data), np.nan)
    if data.task is None or data.task.kind != task.kind or data.task.classes != task.classes:
        raise DataError(
            "the data and the reference of a shift must have the same task; they differ; "
            "hand in a reference with the same classes"
        )
    target = data.target
    if task.kind == "multilabel":
        return target.sum(axis=1)  # NaN if any label is unknown
    if task.kind == "regression":
        return target
    return np.where(np.isnan(target), np.nan, (target == positive).astype(np.float64))


def labelled_outcome(reference: Dataset, positive: str | None) -> tuple[np.ndarray, int | None]:
    """The outcome of the reference, and the class that it marks.

    Raises:
        DataError: no row is labelled, or all labels are the same.
        SettingError: a class is named for a task without classes to choose from.

    >>> d = Dataset.from_arrays({"a": np.zeros((3, 1))}, [0, 1, np.nan])
    >>> y, marked = labelled_outcome(d, None)
    >>> y.tolist(), marked
    ([0.0, 1.0, nan], 1)
    """
    if reference.task is None or not reference.labelled.any():
        raise DataError(
            "loss by severity or target needs labelled rows in the reference; got none; "
            "hand in labelled training rows as reference or use 'mcar' or 'mnar'"
        )
    if reference.task.kind == "sequence":
        raise DataError(
            "loss by severity or target needs an outcome that is a class or a number; the task is a "
            "sequence; use 'mcar' or 'mnar'"
        )
    chosen = reference.task.kind in ("binary", "multiclass")
    if positive is not None and not chosen:
        raise SettingError(
            f"'positive' names a class of a binary or multiclass task; the task is "
            f"{reference.task.kind}; leave it out"
        )
    marked = marked_class(reference, positive) if chosen else None
    y = outcome(reference, reference.task, marked)
    if np.nanmin(y) == np.nanmax(y):
        raise DataError(
            "loss by severity or target needs at least two different outcomes in the reference; "
            "all labelled rows have the same; hand in other rows as reference or use 'mcar'"
        )
    return y, marked


class TargetScore:
    """The target itself as the score of a row: a stress test that puts the label into the pattern.

    Classification: 1 for the marked class, else 0; regression and multilabel: the value, or the
    number of labels, standardised over the reference. Unlabelled: NaN.

    Args:
        reference: labelled rows.
        positive: the class that is marked; see `marked_class`.

    >>> d = Dataset.from_arrays({"a": np.zeros((3, 1))}, [0, 1, np.nan])
    >>> TargetScore(d)(d, ["a"]).ravel().tolist()
    [0.0, 1.0, nan]
    >>> d = Dataset.from_arrays({"a": np.zeros((2, 1))}, [10.0, 30.0], task=Task("regression"))
    >>> TargetScore(d)(d, ["a"]).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, reference: Dataset, positive: str | None = None) -> None:
        self._y, self._marked = labelled_outcome(reference, positive)
        self._task = reference.task
        self.facts: dict[str, Any] = {"outcome": self._task.name}
        if self._marked is not None:
            self.facts["positive"] = self._task.classes[self._marked]

    def __call__(self, data: Dataset, names: Sequence[str]) -> np.ndarray:
        """``Float64[n, 1]`` the scores of the rows of `data`; NaN where unlabelled."""
        y = outcome(data, self._task, self._marked)
        return (y if self._marked is not None else standardise(y, self._y))[:, None]
