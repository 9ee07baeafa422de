"""Loss at random given what is always there: other modalities, or single covariates of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.features import tabulate
from amodal.errors import DataError, SettingError, unknown_name
from amodal.shifts.base import check_reference
from amodal.shifts.mnar import ByScore, Score
from amodal.shifts.pattern import LossPattern
from amodal.shifts.scores import LEVELS, OwnValueScore, standardise

__all__ = ["GivenScore", "Mar"]

_INSIDE = "/"  # between a modality and one of its columns


def _modality(entry: str) -> str:
    return entry.partition(_INSIDE)[0]


class GivenScore:
    """How high, or how extreme, the values of given modalities or columns are: one score a row.

    A modality counts by its `OwnValueScore`, a column by (x - mean) / standard deviation (or the
    absolute value of that); a row's score is the mean of those that it has, standardised to mean 0
    and standard deviation 1 over the reference. A row with none of them has NaN.

    Args:
        reference: the rows from which it is learned.
        given: modalities ("labs"), or columns of them as `tabulate` names them ("static/age").
        by: one of `LEVELS`.

    Raises:
        UnknownNameError: a modality or a column that the reference lacks.
        DataError: a modality of a kind whose values are not numbers here.
    """

    def __init__(self, reference: Dataset, given: Sequence[str], by: str = "level") -> None:
        self._given, self._by = tuple(given), by
        whole = [g for g in given if _INSIDE not in g]
        self._whole = whole and OwnValueScore(reference, whole, by)
        self._columns = {g: _column(reference, g) for g in given if _INSIDE in g}
        self._raw = self._mean(reference)
        self.facts: dict[str, Any] = {"given": list(given), "score": by}

    def _mean(self, data: Dataset) -> np.ndarray:
        parts = []
        if self._whole:
            names = [g for g in self._given if _INSIDE not in g]
            parts.append(self._whole(data, names))
        for entry, known in self._columns.items():
            z = standardise(_column(data, entry), known)
            parts.append((np.abs(z) if self._by == "extreme" else z)[:, None])
        each = np.hstack(parts)
        there = ~np.isnan(each)
        total, count = np.where(there, each, 0.0).sum(axis=1), there.sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def __call__(self, data: Dataset, names: Sequence[str]) -> np.ndarray:
        """``Float64[n, 1]`` the scores of the rows of `data`; NaN where a row has none."""
        return standardise(self._mean(data), self._raw)[:, None]


def _column(data: Dataset, entry: str) -> np.ndarray:
    """``Float64[n]`` a column of a modality; NaN where it is not known."""
    modality, _, column = entry.partition(_INSIDE)
    data.modality(modality)
    table = tabulate(data.select([modality]))
    known = [name.partition(":")[2] for name in table.names[:-2]]  # two of absence come last
    if column not in known:
        raise unknown_name(f"column of modality {modality!r}", column, known)
    return table.x[:, known.index(column)]


@dataclass(frozen=True)
class Mar(ByScore):
    r"""Lost at random given others: by the values of modalities that are themselves never lost.

    P(lost) = sigmoid(b + log(odds_ratio) * score), the score being `GivenScore` of the modalities
    or columns `given`. What the loss depends on stays, so that given it a loss tells nothing of
    what was lost: missing at random in the sense of Rubin (1976). The rate is that of the
    modalities that can be lost. A row that lacks all of `given` is neutral: it loses with the rate
    asked for.

    Args:
        rate, seed, modalities, keep_one, rates: see `AbsenceShift`.
        odds_ratio: by which the odds of loss grow per standard deviation of the score.
        given: a modality ("labs"), a column of one ("static/age"; names as in `tabulate`), or a
            sequence of them; empty: the modality that most rows of the reference have, of those
            whose values are numbers (the first of equals).
        by: "level" (how high the values are) or "extreme" (how far from the middle).

    >>> print(Mar(0.3, given="static/age").describe().replace(", ", ",\n"))
    Lost at random given others: each modality but static of each row with mean probability 0.3,
    the odds times 3 per standard deviation by which static/age lies higher.
    """

    name: ClassVar[str] = "mar"
    title: ClassVar[str] = "Modalities lost by the values of others"
    kind: ClassVar[str] = "at random given others"

    given: tuple[str, ...] | str = ()
    by: str = "level"

    def __post_init__(self) -> None:
        super().__post_init__()
        entries = (self.given,) if isinstance(self.given, str) else self.given
        if not all(isinstance(g, str) for g in entries):
            raise SettingError(f"given must name modalities; got {self.given!r}; name them")
        self._set("given", tuple(g for g in entries if g))
        if self.by not in LEVELS:
            raise unknown_name("score of a modality's values", self.by, LEVELS)
        for name in self._never():
            if name in (self.modalities or ()) or name in dict(self.rates):
                raise SettingError(
                    f"what a loss at random depends on is never lost; {name!r} is given and is to "
                    "be lost; name another"
                )

    def _never(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_modality(g) for g in self.given))

    def columns(self, data: Dataset) -> np.ndarray:
        """``Int[c]`` positions of the modalities that can be lost.

        Raises:
            UnknownNameError: `data` lacks a modality that is named.
            DataError: none is left that could be lost.
        """
        for name in self._never():
            data.modality(name)
        kept = [data.names.index(name) for name in self._never()]
        columns = np.setdiff1d(super().columns(data), kept)
        if not len(columns):
            raise DataError(
                "loss at random given others needs a modality that can be lost beside those given; "
                "the data have none; name fewer in given, or use 'mcar'"
            )
        return columns

    def fixed(self, reference: Dataset) -> Mar:
        """The same with what is given named, as `reference` decides where it is not."""
        if self.given:
            return self
        able = [
            k
            for k, m in enumerate(reference.modalities)
            if m.kind not in ("image", "audio")
            and m.name not in (self.modalities or ())
            and m.name not in dict(self.rates)
        ]
        if not able:
            raise DataError(
                "loss at random given others needs a modality with numbers that is never lost; "
                "the data have none; use 'mcar'"
            )
        share = reference.present.mean(axis=0) if len(reference) else np.ones(reference.shape[1])
        return replace(self, given=reference.names[max(able, key=lambda k: (share[k], -k))])

    def draw(self, data: Dataset, reference: Dataset | None = None) -> LossPattern:
        """As `AbsenceShift.draw`; the pattern's spec names what was given."""
        fixed = self.fixed(data if reference is None else reference)
        return super(Mar, fixed).draw(data, reference)

    def score(self, reference: Dataset, names: Sequence[str]) -> Score:
        """By what is given."""
        check_reference(reference, reference, self._never())
        return GivenScore(reference, self.given, self.by)

    def _where(self) -> str:
        if self.modalities is None and self.given:
            return f"each modality but {', '.join(self._never())}"
        return super()._where()

    def describe(self) -> str:
        """One sentence in words."""
        lie = "higher" if self.by == "level" else "further from the middle"
        what = ", ".join(self.given) or "the modality that most rows have"
        verb = "lie" if len(self.given) > 1 else "lies"
        return self._sentence(
            f"the odds times {self.odds_ratio:g} per standard deviation by which {what} {verb} "
            f"{lie}"
        )
