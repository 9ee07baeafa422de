"""Another row's values: a modality swapped in from a row of another group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amodal.data.dataset import Dataset
from amodal.shifts.keyed import string_keys, uniform
from amodal.shifts.noise import ValueShift
from amodal.types import KINDS
from amodal.values import Values

__all__ = ["Swap"]

_TRIES = 8  # places to look ahead for a row of another group


@dataclass(frozen=True)
class Swap(ValueShift):
    """Puts another row's value in the place of a modality's: another patient's blood.

    The rows that have the modality and are chosen stand in a circle, in an order drawn by key; each
    gets the value of the next one that belongs to another group (without groups: of the next).
    Where all the next eight are of its own group, or no other row is chosen, nothing is changed. A
    value is good by itself and wrong for its row, which reliability cannot see and `conflict` can.
    Which rows are chosen is keyed as everything; from whom a row gets its value depends on which
    other rows are there.

    Args:
        rate: the probability that a (row, modality) pair that is present is swapped.
        seed: any integer.
        modalities: names; None for all.

    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]]})
    >>> e = Swap()(d)
    >>> e.values["a"].data["numeric"][e.values["a"].index].tolist()
    [[2.0], [1.0]]
    """

    name: ClassVar[str] = "swap"
    title: ClassVar[str] = "Modalities swapped in from other rows"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    stream: ClassVar[str] = "swap"

    rate: float = 1.0

    def donors(self, data: Dataset, name: str) -> np.ndarray:
        """``Int[n]`` the row from which each row gets its value of modality `name`; -1 for none."""
        there = data.present[:, data.names.index(name)]
        keys = string_keys(data.row_id)
        chosen = uniform(self.seed, keys, [name], f"{self.stream}:chosen")[:, 0] < self.chance
        rows = np.flatnonzero(there & chosen)
        out = np.full(len(data), -1, dtype=np.int64)
        order = uniform(self.seed, keys[rows], [name], f"{self.stream}:order")[:, 0]
        circle = rows[np.lexsort((data.row_id[rows], order))]
        unit = data.row_id if data.group is None else data.group
        for step in range(1, min(_TRIES, len(circle) - 1) + 1):
            other = np.roll(circle, -step)
            use = (out[circle] < 0) & (unit[circle] != unit[other])
            out[circle[use]] = other[use]
        return out

    def touched(self, data: Dataset) -> np.ndarray:
        """``Bool[n, m]``: the pairs that get another row's value."""
        out = np.zeros(data.shape, dtype=bool)
        if self.is_identity:
            return out
        for name in self._changeable(data):
            out[:, data.names.index(name)] = self.donors(data, name) >= 0
        return out

    def _values(self, data: Dataset, reference: Dataset, name: str) -> Values:
        values, donor = data.values[name], self.donors(data, name)
        index = np.where(donor >= 0, values.index[donor], values.index)
        return Values(values.data, values.offsets, index)

    def describe(self) -> str:
        """One sentence in words."""
        return f"The values of {self._which()} come from other rows."
