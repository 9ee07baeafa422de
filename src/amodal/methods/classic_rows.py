"""What the classic methods learn from: labelled rows as numbers, and losses to practise on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.features import Table, tabulate
from amodal.errors import DataError
from amodal.types import LOST, PRESENT

__all__ = ["Examples", "Sample", "gather", "numbers", "selection_pairs"]

_ENOUGH = 100.0


@dataclass(frozen=True, eq=False)
class Examples:
    """n rows as f numbers with what is to be learned from them.

    Args:
        x: ``Float64[n, f]``, NaN where unknown.
        absence: ``Int8[n, m]``.
        target: ``Float64[n]`` or ``[n, L]``, NaN where unlabelled.
        weight: ``Float64[n]``, mean 1.
        group: ``Int64[n]``: rows with the same number stay together.
        held: ``Bool[n]``: validation rows.
        modality: ``Int64[f]``: the modality of each column of `x`; not one entry a row.
    """

    x: np.ndarray
    absence: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    held: np.ndarray
    modality: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @property
    def present(self) -> np.ndarray:
        """``Bool[n, m]`` where a modality is there."""
        return self.absence == PRESENT

    def take(self, rows: np.ndarray) -> Examples:
        """The rows at `rows` (positions or ``Bool[n]``)."""
        return replace(self, **{k: getattr(self, k)[rows] for k in _PER_ROW})

    def join(self, other: Examples) -> Examples:
        """These rows, then those of `other`."""
        both = {k: np.concatenate([getattr(self, k), getattr(other, k)]) for k in _PER_ROW}
        return replace(self, **both)

    def label(self, number: int) -> Examples:
        """The rows whose label `number` is known, with it alone as the target."""
        target = self.target if self.target.ndim == 1 else self.target[:, number]
        known = ~np.isnan(target)
        return replace(self, target=target).take(known)

    def with_losses(self, seed: int) -> Examples:
        """These rows, and a copy of each with random losses, where that leaves something.

        A copy draws its share of losses u ~ Uniform(0, 1), as `LOST` has it: with the share r that
        is lost already, each pair goes with probability max(0, (u - r) / (1 - r)), so that copies
        cover all rates and rows that lack much do not lose everything.
        """
        rng = np.random.default_rng([seed, 29])
        already = float((self.absence == LOST).mean()) if self.absence.size else 0.0
        rate = (rng.random((len(self), 1)) - already) / max(1.0 - already, 1e-12)
        lost = rng.random(self.absence.shape) < rate
        left = (self.present & ~lost).any(axis=1)
        copy, lost = self.take(left), lost[left]
        x = np.where(lost[:, self.modality], np.nan, copy.x)
        absence = np.where(lost, np.int8(LOST), copy.absence).astype(np.int8)
        return self.join(replace(copy, x=x, absence=absence))


_PER_ROW = tuple(f.name for f in fields(Examples) if f.name != "modality")


def numbers(data: Dataset, *, values: bool = True) -> Table:
    """`tabulate` without its last columns, the two indicators of absence of each modality.

    Without `values` it has no columns, and no file of an image or recording is read.

    >>> d = Dataset.from_arrays({"a": [[1.0, 2.0], [3.0, 4.0]]})
    >>> numbers(d).x.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    if not values:
        return Table(np.zeros((len(data), 0)), (), np.zeros(0, dtype=np.int64))
    table = tabulate(data)
    width = len(table.names) - 2 * len(data.modalities)
    return Table(table.x[:, :width], table.names[:width], table.modality[:width])


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows as an estimator reads them: ``x [n, d]``, ``y [n]`` and ``weight [n]``.

    The weight is None where all are equal: estimators take other ways then, boosting a far faster
    one.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None


def gather(train: Dataset, valid: Dataset | None, *, values: bool = True) -> Examples:
    """The rows of both data sets as `Examples`; those of `valid` are `held`.

    Args:
        train: training rows.
        valid: validation rows.
        values: read the numbers; else only what is absent.

    Raises:
        DataError: no targets; the two differ in their columns.
    """
    parts = [train] if valid is None or len(valid) == 0 else [train, valid]
    tables = [numbers(part, values=values) for part in parts]
    if any(part.target is None for part in parts):
        raise DataError("training needs rows with a known target; got none; add the targets")
    if len({(part.names, table.names) for part, table in zip(parts, tables, strict=True)}) > 1:
        raise DataError(
            "training and validation rows must have the same columns; they differ; "
            "scale both with the scaler of the training rows"
        )
    weight = [np.ones(len(p)) if p.weight is None else p.weight for p in parts]
    names = np.concatenate([_groups(p) for p in parts])
    joined = np.concatenate(weight)
    return Examples(
        x=np.concatenate([t.x for t in tables]),
        absence=np.concatenate([p.absence for p in parts]),
        target=np.concatenate([p.target for p in parts]).astype(np.float64),
        weight=joined / max(joined.mean(), 1e-300) if len(joined) else joined,
        group=np.unique(names, return_inverse=True)[1].reshape(-1),
        held=np.repeat(np.arange(len(parts)) == 1, [len(p) for p in parts]),
        modality=tables[0].modality,
    )


def _groups(data: Dataset) -> np.ndarray:
    return np.asarray(data.row_id if data.group is None else data.group, dtype=str)


def selection_pairs(
    rows: Examples, *, classes: bool, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (rows to fit on, rows to score on) by which settings are chosen.

    Validation rows do where they tell enough: n min(1, 2 (1 - sum p_c^2)) of at least 100, with
    the shares p_c of the classes (a rare event tells little). Else training and validation rows
    together are cut into `folds` parts, groups whole and targets spread evenly: a choice by a
    handful of rows would be chance. Fewer than two groups give no pair.

    Returns:
        list of (``Bool[n]``, ``Bool[n]``).
    """
    told = float(rows.held.sum())
    if classes and told:
        share = np.unique(rows.target[rows.held], return_counts=True)[1] / told
        told *= min(1.0, 2.0 * (1.0 - float((share**2).sum())))
    if told >= _ENOUGH and not rows.held.all():
        return [(~rows.held, rows.held)]
    names, position = np.unique(rows.group, return_inverse=True)
    k = min(folds, len(names))
    if k < 2:
        return []
    mean = np.bincount(position, rows.target) / np.bincount(position)
    order = np.random.default_rng([seed, 31]).permutation(len(names))
    order = order[np.argsort(mean[order], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    fold[order] = np.arange(len(names)) % k
    return [(fold[position] != f, fold[position] == f) for f in range(k)]
