"""Loss by patterns that occur: which modalities are absent together, learned from a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError
from amodal.shifts.absence import AbsenceShift, Chances
from amodal.shifts.keyed import uniform
from amodal.shifts.rates import last_part

__all__ = ["Natural", "Patterns", "natural_rate", "tilted"]

_SHOWN = 20  # patterns whose shares are kept in the record


class Patterns(NamedTuple):
    """The patterns of absence of a data set.

    Args:
        absent: ``Bool[p, c]``, distinct, those with less absent first.
        share: ``Float64[p]`` of the rows that have each.
    """

    absent: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, data: Dataset, columns: np.ndarray) -> Patterns:
        """Those of the modalities `columns` of `data`.

        >>> d = Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[1.0], [2.0]]})
        >>> Patterns.of(d, np.array([0, 1])).absent.tolist()
        [[False, False], [True, False]]
        """
        found, counts = np.unique(~data.present[:, columns], axis=0, return_counts=True)
        order = np.argsort(found.sum(axis=1), kind="stable")
        return cls(found[order], counts[order] / max(len(data), 1))


def natural_rate(data: Dataset) -> float:
    """The share of pairs of `data` that are absent: the rate at which `Natural` copies it.

    >>> natural_rate(Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[1.0], [2.0]]}))
    0.25
    """
    return float((~data.present).mean())


def tilted(share: np.ndarray, size: np.ndarray, rate: float) -> np.ndarray:
    """The distribution nearest to `share` whose mean of `size` is `rate`.

    w_p proportional to share_p exp(t size_p), with t such that sum_p w_p size_p = rate: of all
    distributions over the same patterns with that mean the one with the least KL divergence from
    `share` (Csiszar 1975). At the mean of `share` itself t = 0 and nothing changes.

    Args:
        share: ``Float64[p]``, sums to 1.
        size: ``Float64[p]`` share of modalities that each pattern lacks.
        rate: between the least and the greatest of `size`.

    Raises:
        DataError: it lies outside.

    >>> tilted(np.array([0.5, 0.5]), np.array([0.0, 1.0]), 0.25).round(6).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import brentq

    low, high = float(size.min()), float(size.max())
    if not low <= rate <= high:
        raise DataError(
            f"patterns that occur lack between {low:.3g} and {high:.3g} of the modalities; got a "
            f"rate of {rate:g}; ask for one between, or use 'mcar'"
        )
    if rate in (low, high):
        kept = np.where(size == rate, share, 0.0)
        return kept / kept.sum()

    def weights(t: float) -> np.ndarray:
        w = np.log(share) + t * size
        w = np.exp(w - w.max())
        return w / w.sum()

    def error(t: float) -> float:
        return float(weights(t) @ size) - rate

    if abs(error(0.0)) < 1e-12:
        return share
    reach = 1.0
    while error(-reach) > 0 or error(reach) < 0:
        reach *= 2
    return weights(brentq(error, -reach, reach, xtol=1e-12))


@dataclass(frozen=True)
class Natural(AbsenceShift):
    """Lost by the patterns in which modalities are absent in a data set.

    Each row gets the absence of a pattern that occurs, drawn by how often it occurs (`Patterns`):
    modalities that are absent together there are lost together here. At the rate `natural_rate`
    the shares are those that were found; at another rate they are tilted towards patterns with more
    or fewer absences (`tilted`). Patterns are learned from `source`, else from the reference.

    Args:
        rate, seed, modalities, keep_one: see `AbsenceShift`.
        rates: not for this mechanism.
        source: a prepared folder or ``builtin:NAME`` with the same modalities.

    >>> d = Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[1.0], [np.nan]]})
    >>> lost = Natural(0.5, seed=3).draw(d).lost
    >>> bool((lost[:, 0] == lost[:, 1]).all())  # both or none
    True
    """

    name: ClassVar[str] = "natural"
    title: ClassVar[str] = "Modalities lost by the patterns that occur"

    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rates:
            raise SettingError(
                "patterns that occur say by themselves how often each modality is lost; got rates "
                "of single modalities; use 'mcar' for these"
            )

    def _patterns(self, data: Dataset, reference: Dataset, columns: np.ndarray) -> Patterns:
        names = [data.names[k] for k in columns]
        known = reference
        if self.source:
            from amodal.data.source import open_dataset

            known = open_dataset(self.source)
        for name in names:
            known.modality(name)
        if not len(known):
            raise DataError("patterns are learned from rows; the reference has none; use another")
        return Patterns.of(known, np.array([known.names.index(n) for n in names], dtype=int))

    def chances(self, data: Dataset, reference: Dataset, columns: np.ndarray) -> Chances:
        """What each pattern's share makes of each modality, the same for all rows."""
        shape = (len(data), len(columns))
        if self.rate == 0:
            none = np.zeros((1, len(columns)), dtype=bool)
            return _Drawn(np.zeros(shape), np.zeros(shape, dtype=bool), {}, none, np.ones(1))
        found = self._patterns(data, reference, columns)
        share = tilted(found.share, found.absent.mean(axis=1), self.rate)
        top = np.argsort(-share, kind="stable")[:_SHOWN]
        names = [data.names[k] for k in columns]
        learned = {
            "absent": [
                [n for n, gone in zip(names, found.absent[p], strict=True) if gone] for p in top
            ],
            "share": [round(float(share[p]), 6) for p in top],
            "patterns": len(share),
            "natural_rate": round(float(found.share @ found.absent.mean(axis=1)), 12),
        }
        probability = np.broadcast_to(share @ found.absent, shape)
        return _Drawn(probability, np.zeros(shape, dtype=bool), learned, found.absent, share)

    def hits(
        self, data: Dataset, rows: np.ndarray, columns: np.ndarray, chances: Chances
    ) -> np.ndarray:
        """One pattern a row; at one seed a greater rate gives a row no pattern with less absent."""
        u = uniform(self.seed, rows, ["pattern"], "natural")[:, 0]
        which = np.searchsorted(np.cumsum(chances.share)[:-1], u, side="right")
        return chances.absent[which]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `shift_from_json` reads; of a folder it keeps the last part."""
        return super().to_json() | {"source": last_part(self.source)}

    def describe(self) -> str:
        """One sentence in words."""
        source = " of another data set" if self.source else ""
        return (
            f"Lost by the patterns that occur{source}: {self._where()} of each row with mean "
            f"probability {self.rate:g}, together with those that are absent with it{self._kept()}."
        )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """`Chances` with the patterns behind them."""

    probability: np.ndarray
    neutral: np.ndarray
    learned: dict[str, Any]
    absent: np.ndarray
    share: np.ndarray
