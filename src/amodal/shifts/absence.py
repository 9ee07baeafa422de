"""Whole modalities get lost: what all mechanisms share, and loss completely at random."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import SettingError, unknown_name
from amodal.shifts.base import Shift
from amodal.shifts.keyed import string_keys, uniform
from amodal.shifts.pattern import LossPattern
from amodal.shifts.rates import check_rates

__all__ = ["AbsenceShift", "Chances", "Mcar"]


class Chances(NamedTuple):
    """With which probability each pair is lost, which pairs are neutral, what was learned."""

    probability: np.ndarray
    neutral: np.ndarray
    learned: dict[str, Any]


@dataclass(frozen=True)
class AbsenceShift(Shift):
    """Makes (row, modality) pairs `LOST`, measured or not.

    A pair is lost where its keyed uniform number lies below its probability. So at one seed all
    mechanisms and rates use the same numbers: what MCAR loses at 0.3 it also loses at 0.5.

    Args:
        rate: the mean probability that one (row, modality) pair, measured or not, is lost.
        seed: any integer.
        modalities: names of the modalities concerned; None for all.
        keep_one: a row that has something present and would lose all of it keeps one modality,
            chosen at random; the rate that comes out is then below the one asked for.
        rates: rates of single modalities that replace `rate` there: a mapping, or its text
            ("labs=0.7/notes=0.1").

    >>> d = Dataset.from_arrays({"a": np.zeros((100, 1))})
    >>> few, many = (Mcar(rate).draw(d).lost for rate in (0.3, 0.5))
    >>> bool((few <= many).all())
    True
    >>> Mcar(1.0, keep_one=True)(d).present.all(axis=0).tolist()
    [True]
    """

    keep_one: bool = False
    rates: Mapping[str, float] | tuple[tuple[str, float], ...] | str = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.keep_one, bool | np.bool_):
            raise SettingError(f"keep_one must be true or false; got {self.keep_one!r}; change it")
        self._set("keep_one", bool(self.keep_one))
        self._set("rates", check_rates(self.rates))
        for name, _ in self.rates:
            if self.modalities is not None and name not in self.modalities:
                raise unknown_name("modality with a rate of its own", name, self.modalities)

    def per_column(self, data: Dataset, columns: np.ndarray) -> np.ndarray:
        """``Float64[c]`` the rate asked for of each of `columns`.

        Raises:
            UnknownNameError: `data` lacks a modality that has a rate of its own.
        """
        own = dict(self.rates)
        for name in own:
            data.modality(name)
        return np.array([own.get(data.names[k], self.rate) for k in columns], dtype=np.float64)

    def hits(
        self, data: Dataset, rows: np.ndarray, columns: np.ndarray, chances: Chances
    ) -> np.ndarray:
        """``Bool[n, c]``: the pairs of `columns` that are lost; `rows` are the keys of the rows."""
        drawn = uniform(self.seed, rows, data.names, "absence")
        return drawn[:, columns] < chances.probability

    @abstractmethod
    def chances(self, data: Dataset, reference: Dataset, columns: np.ndarray) -> Chances:
        """The probability of loss of each pair of `columns`: ``Float64[n, c]``, and more."""

    def draw(self, data: Dataset, reference: Dataset | None = None) -> LossPattern:
        """The pattern of loss for `data`, to be applied, saved and replayed.

        Args:
            data: n rows.
            reference: what the shift learns from (MCAR: nothing); `data` if left out.

        Raises:
            UnknownNameError: `data` lacks a modality that the settings name.
            DataError: the reference does not have what the mechanism needs.
        """
        columns = self.columns(data)
        chances = self.chances(data, data if reference is None else reference, columns)
        rows = string_keys(data.row_id)
        lost = np.zeros(data.shape, dtype=bool)
        lost[:, columns] = self.hits(data, rows, columns, chances)
        kept = np.zeros(len(data), dtype=bool)
        if self.keep_one:
            kept = data.present.any(axis=1) & ~(data.present & ~lost).any(axis=1)
            choice = np.where(data.present, uniform(self.seed, rows, data.names, "keep"), -1)
            lost[kept, choice[kept].argmax(axis=1)] = False
        return LossPattern.measure(
            data,
            lost,
            requested=self._requested(data, columns),
            probability=chances.probability,
            columns=columns,
            neutral=chances.neutral,
            kept=kept,
            spec=self.to_json() | ({"learned": chances.learned} if chances.learned else {}),
        )

    def _requested(self, data: Dataset, columns: np.ndarray) -> float:
        if not self.rates:
            return self.rate
        return round(float(self.per_column(data, columns).mean()), 12)

    def realise(
        self, data: Dataset, reference: Dataset | None = None
    ) -> tuple[Dataset, LossPattern]:
        """(`data` with the pairs of `draw` lost, the pattern)."""
        drawn = self.draw(data, reference)
        return drawn.apply(data), drawn

    def __call__(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data` with the pairs of `draw` lost."""
        self.columns(data)  # names are checked whatever the rate
        if self.is_identity:
            return data
        return self.record(data.lose(self.draw(data, reference).lost))

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever lost."""
        return self.rate == 0 and not any(rate for _, rate in self.rates)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `shift_from_json` reads."""
        return super().to_json() | {"rates": dict(self.rates)}

    def _own(self) -> str:
        return "".join(f", {name} with {rate:g}" for name, rate in self.rates)

    def _kept(self) -> str:
        return ", but no row loses all that it has" if self.keep_one else ""


@dataclass(frozen=True)
class Mcar(AbsenceShift):
    """Lost completely at random: each pair with the same probability, whatever it holds.

    Args:
        rate: the probability that one (row, modality) pair, measured or not, is lost.
        seed: any integer.
        modalities: names of the modalities concerned; None for all.
        keep_one: see `AbsenceShift`.
        rates: rates of single modalities; see `AbsenceShift`.

    >>> print(Mcar(0.5).describe())
    Lost completely at random: each modality of each row, measured or not, with probability 0.5.
    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]], "b": [[3.0], [4.0]]})
    >>> Mcar(1.0, modalities="b")(d).present.tolist()
    [[True, False], [True, False]]
    """

    name: ClassVar[str] = "mcar"
    title: ClassVar[str] = "Modalities lost completely at random"

    def chances(self, data: Dataset, reference: Dataset, columns: np.ndarray) -> Chances:
        """The same for all rows."""
        shape = (len(data), len(columns))
        probability = np.broadcast_to(self.per_column(data, columns), shape)
        return Chances(probability, np.zeros(shape, dtype=bool), {})

    def describe(self) -> str:
        """One sentence in words."""
        return (
            f"Lost completely at random: {self._where()} of each row, measured or not, with "
            f"probability {self.rate:g}{self._own()}{self._kept()}."
        )
