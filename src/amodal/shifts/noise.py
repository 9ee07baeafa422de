"""Values get worse: Gaussian noise, noise in place of the value, cells that go missing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError
from amodal.shifts.base import Shift, align_features, check_positive, check_reference
from amodal.shifts.grades import pure_values
from amodal.shifts.keyed import keyed_normal, keyed_uniform, pair_keys, string_keys, uniform
from amodal.types import KINDS, Modality
from amodal.values import MEDIA, Values

__all__ = ["MissingCells", "Noise", "PureNoise", "ValueShift", "owners", "value_keys"]

_CHUNK = 1 << 20  # random numbers at a time, so that memory stays flat


def owners(row_id: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    """``Int[v]`` the row that each value is keyed by: of those that have it, the first by row id.

    First by id and not by position, so that order changes nothing. (A subset can: where rows share
    a value and the first of them is not in the subset, the next one takes its place.) A value that
    no row has gets -1.

    >>> owners(np.array(["c", "a", "b"]), np.array([0, 0, 1]), 2).tolist()
    [1, 2]
    """
    rows = np.flatnonzero(index >= 0)
    first = np.full(count, -1, dtype=np.int64)
    first[index[rows]] = rows
    if len(rows) > (first >= 0).sum():  # some are shared
        rows = rows[np.argsort(row_id[rows], kind="stable")]
        first[index[rows[::-1]]] = rows[::-1]  # the last one written stays
    return first


class _Entries(NamedTuple):
    """The array of a modality that is changed, and where its random numbers come from."""

    array: np.ndarray  # [s, d]
    keys: np.ndarray  # UInt64[s]
    start: np.ndarray  # Int[s]: position in the stream of the key
    hit: np.ndarray  # Bool[s]: whether the value is changed at all

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Positions of changed entries with their keys and starts, a chunk at a time."""
        rows = np.flatnonzero(self.hit)
        step = max(1, _CHUNK // max(1, self.array.shape[1]))
        for i in range(0, len(rows), step):
            part = rows[i : i + step]
            yield part, self.keys[part], self.start[part]


def value_keys(
    data: Dataset, name: str, salt: str, shift: ValueShift
) -> tuple[np.ndarray, np.ndarray]:
    """(``UInt64[v]`` the key of each value's random numbers, ``Bool[v]`` whether it is changed).

    >>> d = Dataset.from_arrays({"a": [[1.0], [3.0]]}, rows={"row_id": ["p", "q"]})
    >>> keys, hit = value_keys(d, "a", "numeric", Noise(rate=1.0))
    >>> hit.tolist(), bool(value_keys(d[1:], "a", "numeric", Noise(rate=1.0))[0][-1] == keys[1])
    ([True, True], True)
    """
    values = data.values[name]
    row = owners(data.row_id, values.index, len(values))
    rows = string_keys(data.row_id[row])
    keys = pair_keys(shift.seed, rows, [name], f"{shift.stream}:{salt}")[:, 0]
    chosen = uniform(shift.seed, rows, [name], f"{shift.stream}:chosen")[:, 0]
    return keys, (chosen < shift.chance) & (row >= 0)


def _entries(data: Dataset, name: str, key: str, shift: ValueShift) -> _Entries:
    """The entries of array `key` of modality `name`."""
    values = data.values[name]
    keys, hit = value_keys(data, name, key, shift)
    array = values.data[key]
    step = np.zeros(len(values), dtype=np.int64)
    if values.offsets is not None:
        keys, hit = np.repeat(keys, values.lengths), np.repeat(hit, values.lengths)
        step = np.arange(len(array)) - np.repeat(values.offsets[:-1], values.lengths)
    return _Entries(array, keys, step * array.shape[1], hit)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over what is not NaN; NaN where nothing is."""
    count = (known := ~np.isnan(x)).sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(known, x, 0.0).sum(axis=0, dtype=np.float64) / some
    square = np.where(known, x - mean, 0.0) ** 2
    std = np.sqrt(square.sum(axis=0, dtype=np.float64) / some)
    return np.where(count > 0, mean, np.nan), np.where(count > 0, std, np.nan)


def _numeric(values: Values) -> str | None:
    return next((key for key in ("numeric", "value") if key in values.data), None)


@dataclass(frozen=True)
class ValueShift(Shift):
    """Changes values that are present, never which are.

    >>> d = Dataset.from_arrays({"t": ["a text"]}, modalities={"t": "text"})
    >>> MissingCells(0.5)(d)
    Traceback (most recent call last):
    amodal.errors.DataError: shift 'missing-cells' changes modalities of kind table; got 't' of ...
    """

    kinds: ClassVar[tuple[str, ...]] = ("table", "series", "embedding")
    stream: ClassVar[str] = "noise"

    @property
    def chance(self) -> float:
        """The probability that a value is changed at all."""
        return self.rate

    def __call__(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data` with the values changed.

        Raises:
            UnknownNameError: `data` lacks a modality that the settings name.
            DataError: no modality of a kind that can be changed, or one that cannot is named; the
                reference lacks a modality or a feature.
        """
        self.columns(data)  # names are checked whatever the rate
        if self.is_identity or not len(data):
            return data
        reference = data if reference is None else reference
        names = self._changeable(data)
        check_reference(data, reference, names)
        changed = {n: self._values(data, reference, n) for n in names}
        return self.record(data.replace(values={**data.values, **changed}))

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever changed."""
        return self.rate == 0

    def touched(self, data: Dataset) -> np.ndarray:
        """``Bool[n, m]``: the present pairs whose values are changed.

        Rows that share a value share its change.
        """
        out = np.zeros(data.shape, dtype=bool)
        if self.is_identity or not len(data):
            return out
        for name in self._changeable(data):
            hit = np.append(value_keys(data, name, "touched", self)[1], False)
            out[:, data.names.index(name)] = hit[data.values[name].index]  # -1: the last, no value
        return out

    def _changeable(self, data: Dataset) -> list[str]:
        names = [data.names[k] for k in self.columns(data)]
        able = [n for n in names if data.modality(n).kind in self.kinds]
        if not able or (self.modalities is not None and len(able) < len(names)):
            other = next((n for n in names if n not in able), "none")
            raise DataError(
                f"shift {self.name!r} changes modalities of kind {', '.join(self.kinds)}; "
                f"got {other!r} of another kind; name the modalities that it is to change"
            )
        return able

    @abstractmethod
    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        """The changed values of one modality."""

    def _which(self) -> str:
        kinds = f"{', '.join(self.kinds[:-1])} and {self.kinds[-1]}".removeprefix(" and ")
        every = "every modality" if self.kinds == KINDS else f"every modality of kind {kinds}"
        some = ", ".join(self.modalities or ()) or every
        return some if self.chance == 1 else f"{some} (in {self.chance:.0%} of the rows)"


def _reference_moments(
    modality: Modality, x: np.ndarray, reference: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation that the reference has for each column of `x`."""
    values, there = reference.values[modality.name], reference.modality(modality.name)
    known = values.data[_numeric(values)]
    place = align_features(modality, x.shape[1], there, known.shape[1])
    mean, std = (np.append(v, np.nan)[place] for v in _moments(known))  # -1 takes the last
    if (lacking := np.isnan(std) & ~np.isnan(x).all(axis=0)).any():
        raise DataError(
            f"the reference of noise must have values of every feature of modality "
            f"{modality.name!r}; it lacks {int(lacking.sum())}; hand in another reference"
        )
    return mean, std


@dataclass(frozen=True)
class Noise(ValueShift):
    """Adds severity * standard deviation of the feature * a standard normal number to each cell.

    Standard deviations are those of the reference, over the known cells of its values. Missing
    cells stay missing; times and categories stay as they are. At one seed the same normal numbers
    serve every severity, each time on the clean values: noise of severity 2 is exactly twice that
    of severity 1. A value that several rows share is keyed by the first of them by row id.

    Args:
        rate: the probability that a (row, modality) pair that is present gets noise.
        seed: any integer.
        modalities: names; None for all tables, series and embeddings.
        severity: the multiple of the standard deviation, at least 0.

    >>> d = Dataset.from_arrays({"a": [[1.0], [3.0]]})
    >>> one, two = Noise(severity=1.0)(d), Noise(severity=2.0)(d)
    >>> x, y, z = (s.values["a"].data["numeric"] for s in (d, one, two))
    >>> bool(np.allclose(z - x, 2 * (y - x)))
    True
    """

    name: ClassVar[str] = "noise"
    title: ClassVar[str] = "Gaussian noise on values"

    rate: float = 1.0
    severity: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        severity = check_positive(f"the severity of shift {self.name!r}", self.severity, zero=True)
        self._set("severity", severity)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever changed."""
        return self.rate == 0 or self.severity == 0

    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        values, key = data.values[name], _numeric(data.values[name])
        if key is None or not values.data[key].shape[1]:
            return values
        entries, out = _entries(data, name, key, self), np.array(values.data[key])
        mean, std = _reference_moments(data.modality(name), out, reference)
        for part, keys, start in entries.chunks():
            out[part] = self._noisy(out[part], mean, std, keyed_normal(keys, start, out.shape[1]))
        return Values({**values.data, key: out}, values.offsets, values.index)

    def _noisy(self, x: np.ndarray, mean: np.ndarray, std: np.ndarray, z: np.ndarray) -> np.ndarray:
        return x + self.severity * std * z

    def describe(self) -> str:
        """One sentence in words."""
        return f"Gaussian noise of {self._size()} of each feature is added to {self._which()}."

    def _size(self) -> str:
        return f"{self.severity:g} standard deviation{'s' * (self.severity != 1)}"


@dataclass(frozen=True)
class PureNoise(Noise):
    """Replaces values by noise: mean + severity * standard deviation * a standard normal number.

    Means and standard deviations are those of the reference, so that severity 1 looks like the data
    feature by feature and says nothing. Categories are drawn evenly from the levels, codes from the
    vocabulary, the words of a text from the distinct words of the reference; pixels are even
    numbers from 0 to 255, and a recording is white noise as loud as it was. Missing cells stay
    missing, and times, numbers of words and lengths as they are: what was measured, and when, is
    kept.

    Args:
        rate: the probability that the value of a (row, modality) pair that is present is replaced.
        seed: any integer.
        modalities: names; None for all.
        severity: the multiple of the standard deviation; at 0 every number is the mean. Nothing
            but numbers has grades.

    >>> d = Dataset.from_arrays({"a": [[1.0, np.nan], [3.0, 5.0]]})
    >>> PureNoise(severity=0.0)(d).values["a"].data["numeric"].tolist()
    [[2.0, nan], [2.0, 5.0]]
    """

    name: ClassVar[str] = "pure-noise"
    title: ClassVar[str] = "Noise in place of values"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    stream: ClassVar[str] = "pure"

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever changed."""
        return self.rate == 0

    def _noisy(self, x: np.ndarray, mean: np.ndarray, std: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), np.nan, mean + self.severity * std * z)

    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        kind = data.modality(name).kind
        if kind in MEDIA or kind in ("text", "codes"):
            keys, hit = value_keys(data, name, kind, self)
            return pure_values(data, name, keys, hit, words=reference.values[name])
        values = super()._values(data, reference, name)
        if "categorical" not in values.data or not values.data["categorical"].shape[1]:
            return values
        entries = _entries(data, name, "categorical", self)
        out, levels = np.array(entries.array), data.modality(name).levels.values()
        sizes = np.array([len(x) for x in levels])
        for part, keys, start in entries.chunks():
            drawn = np.floor(keyed_uniform(keys, start, out.shape[1]) * sizes).astype(out.dtype)
            out[part] = np.where(out[part] < 0, out[part], drawn)
        return Values({**values.data, "categorical": out}, values.offsets, values.index)

    def describe(self) -> str:
        """One sentence in words."""
        size = f"{self._size()} around the mean of each feature"
        return f"The values of {self._which()} are replaced by noise: numbers by {size}."


@dataclass(frozen=True)
class MissingCells(ValueShift):
    """Single cells of tables go missing; the modality stays present, even with no cell left.

    Args:
        rate: the probability that one cell, known or not, goes missing.
        seed: any integer.
        modalities: names of tables; None for all.

    >>> d = MissingCells(1.0)(Dataset.from_arrays({"a": [[1.0], [3.0]]}))
    >>> d.values["a"].data["numeric"].tolist(), d.present.tolist()
    ([[nan], [nan]], [[True], [True]])
    """

    name: ClassVar[str] = "missing-cells"
    title: ClassVar[str] = "Missing cells in tables"
    kinds: ClassVar[tuple[str, ...]] = ("table",)
    stream: ClassVar[str] = "cells"

    @property
    def chance(self) -> float:
        """Every value can lose cells."""
        return 1.0

    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        values = data.values[name]
        changed: dict[str, Any] = {}
        for key, gap in (("numeric", np.nan), ("categorical", -1)):
            if key not in values.data:
                continue
            entries = _entries(data, name, key, self)
            changed[key] = out = np.array(entries.array)
            for part, keys, start in entries.chunks():
                gone = keyed_uniform(keys, start, out.shape[1]) < self.rate
                out[part] = np.where(gone, gap, out[part])
        return Values({**values.data, **changed}, values.offsets, values.index)

    def describe(self) -> str:
        """One sentence in words."""
        return f"Each cell of {self._which()} goes missing with probability {self.rate:g}."
