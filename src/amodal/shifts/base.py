"""`Shift`: a pure change of a data set, stated as settings that are kept as JSON."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from amodal.checks import check_fraction
from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError
from amodal.types import Modality

__all__ = ["NoShift", "Shift", "align_features", "check_positive", "check_reference"]


@dataclass(frozen=True)
class Shift(ABC):
    """Takes a data set and returns a changed one; its input stays as it is.

    Every number that a shift draws is keyed by (seed, row id, modality): order, subset and worker
    change nothing. A `reference` is the data set from which a shift learns what it has to learn
    (standard deviations, a severity model); it is the data set itself unless another is handed in,
    for instance the training rows when test rows are changed.

    Args:
        rate: the probability that one (row, modality) pair is changed.
        seed: any integer.
        modalities: names of the modalities concerned; None for all.

    Raises:
        SettingError: a rate outside [0, 1], a seed that is no integer, names that are none.

    >>> NoShift(modalities="labs", seed=3).to_json()
    {'shift': 'none', 'rate': 0.0, 'seed': 3, 'modalities': ['labs']}
    """

    name: ClassVar[str]
    title: ClassVar[str]

    rate: float
    seed: int = 0
    modalities: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self._set("rate", check_fraction(f"the rate of shift {self.name!r}", self.rate))
        try:
            self._set("seed", operator.index(self.seed))
        except TypeError:
            raise SettingError(
                f"a seed must be an integer; got {self.seed!r}; hand in one"
            ) from None
        if self.modalities is not None:
            names = (self.modalities,) if isinstance(self.modalities, str) else self.modalities
            if not isinstance(names, Iterable) or not all(isinstance(n, str) for n in names):
                raise SettingError(
                    f"modalities must be a sequence of names; got {names!r}; name them"
                )
            self._set("modalities", tuple(names))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    @abstractmethod
    def __call__(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data`, changed. What the shift learns, it learns from `reference` (default: `data`)."""

    @abstractmethod
    def describe(self) -> str:
        """One sentence in words, for reports."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `shift_from_json` reads: the shift's name and all settings."""
        out: dict[str, Any] = {"shift": self.name}
        for f in fields(self):
            value = getattr(self, f.name)
            out[f.name] = list(value) if isinstance(value, tuple) else value
        return out

    def columns(self, data: Dataset) -> np.ndarray:
        """``Int[c]`` positions of the modalities concerned, in the order of `data`.

        Raises:
            UnknownNameError: `data` lacks one of them.
        """
        if self.modalities is None:
            return np.arange(data.shape[1])
        for name in self.modalities:
            data.modality(name)
        return np.array([k for k, n in enumerate(data.names) if n in self.modalities], dtype=int)

    def record(self, data: Dataset) -> Dataset:
        """`data` with this shift added to the ``shifts`` of its provenance."""
        done = [*data.provenance.get("shifts", ()), self.to_json()]
        return data.replace(provenance={**data.provenance, "shifts": done})

    def _where(self) -> str:
        """Of what `describe` speaks."""
        if self.modalities is None:
            return "each modality"
        if len(self.modalities) == 1:
            return f"modality {self.modalities[0]}"
        return f"each of the modalities {', '.join(self.modalities)}"


@dataclass(frozen=True)
class NoShift(Shift):
    """Changes nothing: the data as they are.

    >>> NoShift().describe()
    'The data as they are.'
    """

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "No shift"

    rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate != 0:
            raise SettingError(
                f"shift 'none' changes nothing, so its rate is 0; got {self.rate:g}; "
                "name another shift"
            )

    def __call__(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data` itself."""
        return data

    def describe(self) -> str:
        """One sentence in words."""
        return "The data as they are."


def check_positive(what: str, value: Any, *, zero: bool = False) -> float:
    """`value` as a finite float above 0 (or at least 0).

    Raises:
        SettingError: it is none.

    >>> check_positive("the severity", 0, zero=True)
    0.0
    >>> check_positive("the odds ratio", 0)
    Traceback (most recent call last):
    amodal.errors.SettingError: the odds ratio must be finite and above 0; got 0; change it
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (0 <= number < np.inf) or (number == 0 and not zero):
        raise SettingError(
            f"{what} must be finite and {'at least' if zero else 'above'} 0; "
            f"got {value!r}; change it"
        )
    return number


def check_reference(data: Dataset, reference: Dataset, names: Sequence[str]) -> None:
    """A reference has the modalities that are to be changed, of the same kinds.

    Raises:
        DataError: it lacks one, or has it as another kind.

    >>> d = Dataset.from_arrays({"a": [[1.0]]})
    >>> check_reference(d, Dataset.from_arrays({"b": [[1.0]]}), ["a"])
    Traceback (most recent call last):
    amodal.errors.DataError: the reference of a shift must have every modality that is changed; it ...
    """
    for name in names:
        if name not in reference.names:
            raise DataError(
                f"the reference of a shift must have every modality that is changed; "
                f"it lacks {name!r}; hand in a reference of the same schema"
            )
        kind, other = data.modality(name).kind, reference.modality(name).kind
        if kind != other:
            raise DataError(
                f"modality {name!r} must be of one kind in the data and in the reference; "
                f"got {kind} and {other}; hand in a reference of the same schema"
            )


def align_features(modality: Modality, width: int, reference: Modality, known: int) -> np.ndarray:
    """``Int[width]``: for each feature of `modality` its position in `reference`, by name.

    A feature that `reference` lacks gets -1. Without names the positions are the same.

    Args:
        modality: the modality in the data.
        width: its number of features.
        reference: the modality in the reference.
        known: the number of features there.

    Raises:
        DataError: no names, and another number of features.

    >>> align_features(Modality("a", "table", ("x", "y")), 2, Modality("a", "table", ("y",)), 1)
    array([-1,  0])
    """
    if modality.features and reference.features:
        place = {name: j for j, name in enumerate(reference.features)}
        return np.array([place.get(name, -1) for name in modality.features], dtype=int)
    if width != known:
        raise DataError(
            f"modality {modality.name!r} must have as many features as in the reference "
            f"({known}); got {width}; name the features or hand in another reference"
        )
    return np.arange(width)
