"""Statistics of predictions beyond the metrics of a plan, on resamples that all methods share.

As in `pooling`: out-of-fold predictions of a seed are put together, a statistic is averaged over
seeds, and groups are resampled. Finished tables are kept in ``summary/`` of the study's folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from amodal.analysis.pooling import Pool, concatenate
from amodal.errors import StorageError
from amodal.metrics import Bootstrap, Interval
from amodal.study.files import digest, put_json, read_json
from amodal.study.predictions import Predicted
from amodal.study.results import At, Cell

__all__ = ["REPLICATES", "Sample", "ends", "kept_rows", "sample_of"]

REPLICATES = 200
"""Most bootstrap replicates of a statistic here: ends of intervals, not tails of p-values."""
_KEPT = 2**23  # entries of weights that are kept for another statistic: 64 MB
_FORM = 2  # of the kept tables; another number makes them anew

Statistic = Callable[[Predicted, np.ndarray | None], np.ndarray]
"""(predictions, weights None or [B, n]) -> [k] or [B, k]."""


class Sample:
    """The predictions of one method at one point, seed by seed, with resamples of their groups.

    Args:
        pool: of the study; its members are what is resampled.
        cells: of one method at one point.
        keep: which rows of a seed's predictions count; None for all.
        by_row: rows are resampled, not groups: where all belong to one group.
    """

    def __init__(
        self,
        pool: Pool,
        cells: Sequence[Cell],
        *,
        keep: Callable[[Predicted], np.ndarray] | None = None,
        by_row: bool = False,
    ) -> None:
        by_seed: dict[int, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_seed[cell.unit[0]].append(cell)
        every = [concatenate(found) for _, found in sorted(by_seed.items())]
        if keep is not None:
            every = [rows_of(p, keep(p)) for p in every]
        self.parts = every
        self._by_row = by_row
        self.members = pool.members
        if by_row:
            self.members = np.unique(np.concatenate([p.row_id for p in every]))
        self.replicates = min(pool.replicates, REPLICATES)
        self._known: list[list[np.ndarray]] | None = None

    @property
    def rows(self) -> int:
        """Test rows, over all seeds."""
        return sum(len(p) for p in self.parts)

    @property
    def fewest(self) -> int:
        """Test rows of the seed with the fewest: what a count of people is about."""
        return min((len(p) for p in self.parts), default=0)

    def values(
        self, statistic: Statistic, *, weight: Callable[[Predicted], np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The statistic ``[k]``, mean over seeds, and its replicates ``[B, k]``.

        Args:
            statistic: of one seed's predictions under weights.
            weight: further weights of a seed's rows, that multiply those of data and resample.
        """
        own = [_weights(p, weight) for p in self.parts]
        value = np.mean([statistic(p, w) for p, w in zip(self.parts, own, strict=True)], axis=0)
        blocks = []
        for drawn in self._drawn():
            each = [
                statistic(p, d if w is None else d * w)
                for p, d, w in zip(self.parts, drawn, own, strict=True)
            ]
            blocks.append(np.mean(each, axis=0))
        return value, np.concatenate(blocks)

    def _drawn(self) -> Iterable[list[np.ndarray]]:
        """How often each row of each part was drawn, ``[b, n]``, block by block."""
        if self._known is None and self.rows * self.replicates <= _KEPT:
            self._known = list(self._draw())
        return self._draw() if self._known is None else self._known

    def _draw(self) -> Iterator[list[np.ndarray]]:
        unit = [p.row_id if self._by_row else p.unit for p in self.parts]
        member = [np.searchsorted(self.members, x) for x in unit]
        draws = Bootstrap(len(self.members), replicates=self.replicates)
        for block in draws.weights():
            yield [block[:, m] for m in member]


def _weights(p: Predicted, weight: Callable[[Predicted], np.ndarray] | None) -> np.ndarray | None:
    if weight is None:
        return p.weight
    return weight(p) * (1.0 if p.weight is None else p.weight)


def rows_of(p: Predicted, rows: np.ndarray) -> Predicted:
    """Some of the rows."""

    def pick(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else x[rows]

    names = ("row_id", "target", "absence", "group", "weight", "reliability", "reliance")
    arrays = {name: pick(getattr(p, name)) for name in (*names, "conflict")}
    outputs = {k: v[rows] for k, v in p.outputs.items()}
    return Predicted(task=p.task, names=p.names, outputs=outputs, **arrays)


def sample_of(pool: Pool, method: str, at: At) -> Sample | None:
    """All predictions of a method at a point; None where there are none."""
    cells = pool.results.group(method, at)
    return Sample(pool, cells) if cells else None


def ends(
    value: np.ndarray, samples: np.ndarray, *, kinds: Sequence[str] | None = None
) -> list[Interval]:
    """Intervals of k statistics from ``[k]`` and ``[B, k]``."""
    told = kinds or ["percentile"] * len(value)
    return [Interval.of_samples(float(v), samples[:, k], kind=told[k]) for k, v in enumerate(value)]


def kept_rows(
    pool: Pool, name: str, compute: Callable[[], list[dict[str, Any]]], *, about: Any = None
) -> list[dict[str, Any]]:
    """Rows of a table: as kept for these cells, or computed and kept.

    Args:
        pool: of the study.
        name: of the table.
        compute: makes it.
        about: what else it depends on (JSON).
    """
    results = pool.results
    made = {
        "cells": [(c.record["id"], c.record["finished"]) for c in results.cells],
        "plan": [results.plan.focus, results.plan.margin, results.metrics, results.plan.reference],
        "replicates": pool.replicates,
        "about": about,
        "form": _FORM,
    }
    path = results.folder / "summary" / f"{name}-{digest(made, 16)}.json"
    if path.exists():
        try:
            return read_json(path, "a kept table")["rows"]
        except (StorageError, KeyError):
            path.unlink(missing_ok=True)  # computed anew: nothing is lost
    rows = compute()
    put_json(path, {"rows": rows})
    return read_json(path, "a kept table")["rows"]  # NaN has become null, as on a second call
