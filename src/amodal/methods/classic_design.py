"""`Design`: rows as the matrix that an estimator reads; all that it takes from training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.methods.classic_rows import Examples
from amodal.types import LOST, NOT_MEASURED, PRESENT

__all__ = ["Design", "impute_means"]

_CLIP = 10.0


def impute_means(x: np.ndarray) -> np.ndarray:
    """`x` with its NaN at 0, which is the mean of a standardised column.

    >>> impute_means(np.array([[1.5, np.nan]])).tolist()
    [[1.5, 0.0]]
    """
    return np.where(np.isnan(x), 0.0, x)


@dataclass(frozen=True, eq=False)
class Design:
    """Columns: standardised numbers, missing cells, absent modalities; constant ones left out.

    | columns | content |
    |---|---|
    | numbers | (x - mean) / std over training rows, cut at 10; NaN where unknown |
    | missing cells | 1 where a cell is missing in a modality that is there; equal columns once |
    | absence | 1 where a modality has the code: ``NOT_MEASURED``, ``LOST``, if asked ``PRESENT`` |

    Args:
        columns: ``Int64[a]`` columns of x that vary over the training rows.
        mean: ``Float64[a]``, weighted, of the known cells.
        std: ``Float64[a]``, likewise.
        cells: ``Int64[b]`` columns of x whose missing cells are told.
        codes: ``Int64[c, 2]`` (modality, code) pairs whose occurrence is told.
        modality: ``Int64[f]`` the modality of each column of x.
    """

    columns: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    cells: np.ndarray
    codes: np.ndarray
    modality: np.ndarray

    @classmethod
    def fit(cls, rows: Examples, *, values: bool = True, presence: bool = False) -> Design:
        """Takes means, deviations and the columns that vary from `rows`.

        Args:
            rows: training rows.
            values: use the numbers; else nothing but the codes of absence.
            presence: tell `PRESENT` apart as well.
        """
        x = rows.x if values else rows.x[:, :0]
        mean, std = _moments(x, rows.weight)
        columns = np.flatnonzero(std > 1e-9 * np.maximum(1.0, np.abs(mean)))
        told = (PRESENT, NOT_MEASURED, LOST) if presence else (NOT_MEASURED, LOST)
        pairs = [(k, c) for k in range(rows.absence.shape[1]) for c in told]
        varies = [_varies(rows.absence[:, k] == c) for k, c in pairs]
        return cls(
            columns,
            mean[columns],
            std[columns],
            _distinct(_missing(x, rows.present, rows.modality)),
            np.array(pairs, dtype=np.int64).reshape(-1, 2)[np.array(varies, dtype=bool)],
            rows.modality,
        )

    @property
    def width(self) -> int:
        """Number of columns that `apply` returns."""
        return len(self.columns) + len(self.cells) + len(self.codes)

    def apply(self, x: np.ndarray, absence: np.ndarray) -> np.ndarray:
        """``Float64[n, width]`` of rows ``x`` ``[n, f]`` and ``absence`` ``[n, m]``; NaN stays."""
        scaled = (x[:, self.columns] - self.mean) / self.std
        missing = _missing(x, absence == PRESENT, self.modality, self.cells)
        coded = absence[:, self.codes[:, 0]] == self.codes[:, 1]
        blocks = [np.clip(scaled, -_CLIP, _CLIP), missing, coded]
        return np.concatenate(blocks, axis=1, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {k: getattr(self, k).tolist() for k in (*_WHOLE, *_REAL)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Design:
        """The design that `to_json` wrote."""
        found = {k: np.array(data[k], dtype=np.int64) for k in _WHOLE}
        found["codes"] = found["codes"].reshape(-1, 2)
        return cls(**found, **{k: np.array(data[k], dtype=np.float64) for k in _REAL})


_WHOLE = ("columns", "cells", "codes", "modality")
_REAL = ("mean", "std")


def _moments(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of the known cells of each column; 0 where none is."""
    known = ~np.isnan(x)
    total = weight @ known
    safe = np.where(total > 0, total, 1.0)
    mean = weight @ np.where(known, x, 0.0) / safe
    square = weight @ np.where(known, x - mean, 0.0) ** 2 / safe
    return mean, np.sqrt(square)


def _missing(
    x: np.ndarray, present: np.ndarray, modality: np.ndarray, columns: np.ndarray | None = None
) -> np.ndarray:
    """``Bool[n, b]``: cells missing in a modality that is there."""
    every = np.arange(x.shape[1]) if columns is None else columns
    return np.isnan(x[:, every]) & present[:, modality[every]]


def _varies(column: np.ndarray) -> bool:
    return bool(column.any() and not column.all())


def _distinct(flags: np.ndarray) -> np.ndarray:
    """The first of each set of equal columns, without constant ones."""
    first: dict[bytes, int] = {}
    for j in range(flags.shape[1]):
        if _varies(flags[:, j]):
            first.setdefault(flags[:, j].tobytes(), j)
    return np.array(list(first.values()), dtype=np.int64)
