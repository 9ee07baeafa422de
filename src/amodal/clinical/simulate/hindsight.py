r"""What a leak could exploit in synthetic rows: habits of patients, and what hindsight alone knows.

Drawn by generators of their own, beside everything else:

- **Habits** (a split by row): a patient has three drugs, the same in every stay, from a list of
  1,000 that says nothing about risk. Who knows a patient from training rows knows much of the
  severity, of which the stays of a patient share half.
- **Coded at the end** (diagnoses of this stay): `CODED` is assigned to 40% of those who will die
  and to 3% of the others; in MIMIC-IV after discharge, in eICU somewhere after hour 12.
- **Pending** (when a result is stored): a lactate is taken before the prediction and stored hours
  after it, in 30% of all and in 60% of those who will die, whose value is higher.
- **Afterwards** (events later than the prediction): a lactate is taken in the 20 hours after it
  (eICU: in those still there), likewise.

The clean rules let none of the last three in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amodal.clinical.simulate.writer import CHUNK

__all__ = ["CODED", "HABITS", "Extra", "codes_at_the_end", "habits", "lactates", "own_generator"]

HABITS = 1_000
CODED = "Synthetic diagnosis assigned at the end"
_EACH = 3
_CODED = (0.03, 0.4)
_TAKEN = (0.3, 0.6)
_LACTATE, _HIGHER, _SPREAD = 2.0, 1.5, 0.8


class Extra(NamedTuple):
    """Lactates: row, minutes from the prediction to when they are taken, and to be stored; value."""

    row: np.ndarray
    taken: np.ndarray
    stored: np.ndarray
    value: np.ndarray


def own_generator(seed: int, number: int) -> np.random.Generator:
    """The generator of chunk `number` for what stands here.

    >>> own_generator(0, 1).random() == own_generator(0, 1).random()
    True
    >>> own_generator(0, 1).random() == np.random.default_rng([0, 1]).random()  # that of the chunk
    False
    """
    return np.random.default_rng([seed, number, CHUNK])


def habits(rng: np.random.Generator, patient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, drug) of the habits of each row's patient (``Int[n]``, from 0).

    >>> row, drug = habits(own_generator(0, 0), np.array([0, 0]))
    >>> row.tolist(), bool((drug[:3] == drug[3:]).all())
    ([0, 0, 0, 1, 1, 1], True)
    """
    own = rng.integers(0, HABITS, (int(patient.max(initial=-1)) + 1, _EACH))
    return np.repeat(np.arange(len(patient)), _EACH), own[patient].reshape(-1)


def codes_at_the_end(rng: np.random.Generator, dies: np.ndarray) -> np.ndarray:
    """The rows (of ``Bool[n]`` those who will die) to which `CODED` is assigned.

    >>> dies = np.arange(20_000) < 10_000
    >>> row = codes_at_the_end(own_generator(0, 0), dies)
    >>> [round(float(np.isin(np.flatnonzero(x), row).mean()), 1) for x in (dies, ~dies)]
    [0.4, 0.0]
    """
    return np.flatnonzero(rng.random(len(dies)) < np.where(dies, _CODED[1], _CODED[0]))


def lactates(rng: np.random.Generator, dies: np.ndarray) -> tuple[Extra, Extra]:
    """Those pending at the prediction, and those taken after it.

    Args:
        rng: the generator.
        dies: ``Bool[n]``: who will die.

    >>> pending, after = lactates(own_generator(0, 0), np.zeros(1_000, dtype=bool))
    >>> bool((pending.taken < 0).all() and (pending.stored > 0).all()), bool((after.taken > 0).all())
    (True, True)
    """
    pending = _drawn(rng, dies)
    before = -rng.integers(10, 180, len(pending[0]))
    late = rng.integers(120, 1_200, len(pending[0]))
    after = _drawn(rng, dies)
    time = rng.integers(30, 1_200, len(after[0]))
    return (
        Extra(pending[0], before, late, pending[1]),
        Extra(after[0], time, time + 30, after[1]),
    )


def _drawn(rng: np.random.Generator, dies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row = np.flatnonzero(rng.random(len(dies)) < np.where(dies, _TAKEN[1], _TAKEN[0]))
    mean = _LACTATE + _HIGHER * dies[row]
    return row, np.round(np.maximum(mean + _SPREAD * rng.standard_normal(len(row)), 0.2), 2)
