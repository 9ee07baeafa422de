"""`Dataset`: immutable rows of several modalities, some of them absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from amodal.checks import check_dataset
from amodal.data.freeze import freeze_column, freeze_values, hash_array
from amodal.errors import DataError, unknown_name
from amodal.media.source import contents
from amodal.types import LOST, PRESENT, Modality, Task
from amodal.values import MEDIA, Values

__all__ = ["Dataset"]

_COLUMNS = ("row_id", "absence", "target", "references", "group", "split", "weight")


@dataclass(frozen=True, eq=False)
class Dataset:
    """n rows of m modalities with targets, groups, splits and weights.

    Immutable: every change returns another data set. `len`, `shape` and indexing by integers,
    slices and boolean arrays let scikit-learn slice it. Build one with `from_arrays`, `from_frame`
    or `load`. Its arrays are read-only; columns of the rows are copied, the arrays of `values` are
    not: who makes `Values` by hand leaves them alone afterwards.

    Args:
        modalities: the m modalities, in the order of the columns of `absence`.
        values: modality name -> `Values` with numpy arrays.
        absence: ``Int8[n, m]`` of `PRESENT`, `NOT_MEASURED`, `LOST`.
        row_id: ``str[n]``, unique.
        task: what is predicted; None where there is no target.
        target: ``Float64[n]`` (``multilabel``: ``[n, L]``): class positions, 0/1 or real values;
            NaN where a row has no label; None where no row has. ``sequence``: the number of
            references.
        group: ``str[n]`` (a patient): rows of one group stay on one side of every split.
        split: ``str[n]`` a published split: "train", "valid", "calibration", "test" or "" (free).
        weight: ``Float64[n]`` sample weights, positive.
        provenance: where the data came from and how they were made (JSON).
        references: ``object[n]`` a tuple of texts per row, each of them a right answer; empty where a
            row has none. What a ``sequence`` task predicts.
        facts: name -> ``str[n]``: what is known of the rows beside the modalities (sex, hospital),
            "" where unknown. No method reads them; studies report by them.

    Raises:
        DataError: lengths differ, row ids repeat, infinities, an index out of range.

    >>> d = Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[0.0], [2.0]]}, [0, 1])
    >>> len(d), d.present.tolist()
    (2, [[True, True], [False, True]])
    """

    modalities: tuple[Modality, ...]
    values: Mapping[str, Values]
    absence: np.ndarray
    row_id: np.ndarray
    task: Task | None = None
    target: np.ndarray | None = None
    group: np.ndarray | None = None
    split: np.ndarray | None = None
    weight: np.ndarray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    references: np.ndarray | None = None
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            object.__setattr__(self, name, freeze_column(name, getattr(self, name)))
        facts = {str(k): freeze_column("facts", x) for k, x in self.facts.items()}
        object.__setattr__(self, "facts", facts)
        object.__setattr__(self, "modalities", tuple(self.modalities))
        values = {k: freeze_values(self._kind(k), v) for k, v in self.values.items()}
        object.__setattr__(self, "values", values)
        check_dataset(self)

    def _kind(self, name: str) -> str | None:
        return next((m.kind for m in self.modalities if m.name == name), None)

    def _is_media(self, name: str) -> bool:
        return self._kind(name) in MEDIA

    # -- size and selection -------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.row_id)

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, number of modalities)."""
        return self.absence.shape

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(m.name for m in self.modalities)

    @property
    def present(self) -> np.ndarray:
        """``Bool[n, m]`` where a modality is there."""
        return self.absence == PRESENT

    @property
    def labelled(self) -> np.ndarray:
        """``Bool[n]`` where the target is known."""
        if self.target is None:
            return np.zeros(len(self), dtype=bool)
        known = ~np.isnan(self.target)
        return known if known.ndim == 1 else known.all(axis=1)

    def __getitem__(self, rows: Any) -> Dataset:
        if isinstance(rows, tuple):  # scikit-learn asks for X[rows, ...]
            whole = all(k is Ellipsis or k == slice(None) for k in rows[1:])
            if not rows or not whole:
                raise DataError(
                    "a data set is indexed by rows alone; got an index of modalities too; "
                    "use select(names)"
                )
            rows = rows[0]
        return self.take(np.atleast_1d(np.arange(len(self))[rows]))

    def take(self, rows: np.ndarray) -> Dataset:
        """The rows at integer positions `rows` (or where a boolean array is true), in that order.

        Raises:
            DataError: a row occurs twice: row ids are unique; `resample` renames the copies.
        """
        rows = self._positions(rows)
        if len(np.unique(rows)) < len(rows):
            raise DataError(
                "rows are taken once, for row ids are unique; some positions repeat; "
                "use resample(rows), which renames the copies"
            )
        return self._pick(rows, self.row_id[rows])

    def resample(self, rows: np.ndarray) -> Dataset:
        """The rows at `rows`, which may repeat; the k-th copy gets "#k" behind its row id.

        >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]]})
        >>> d.resample([1, 1, 0]).row_id.tolist()
        ['1', '1#1', '0']
        """
        rows = self._positions(rows)
        taken = set(self.row_id[rows].tolist())  # so that no copy of "a" is called like row "a#1"
        copies: dict[int, int] = {}
        ids = []
        for row in rows.tolist():
            copy = copies.get(row, -1) + 1
            name = str(self.row_id[row])
            while copy and f"{name}#{copy}" in taken:
                copy += 1
            copies[row] = copy
            ids.append(f"{name}#{copy}" if copy else name)
            taken.add(ids[-1])
        return self._pick(rows, np.array(ids, dtype=str))

    def _positions(self, rows: Any) -> np.ndarray:
        """Row positions from 0 on, from integers (negative ones count from the end) or booleans."""
        rows = np.asarray(rows)
        return np.arange(len(self))[rows if rows.size else rows.astype(np.int64)]

    def _pick(self, rows: np.ndarray, row_id: np.ndarray) -> Dataset:
        columns = {
            name: None if (x := getattr(self, name)) is None else x[rows] for name in _COLUMNS[1:]
        }
        values = {name: v.take(rows) for name, v in self.values.items()}
        facts = {name: x[rows] for name, x in self.facts.items()}
        return replace(self, values=values, row_id=row_id, facts=facts, **columns)

    def modality(self, name: str) -> Modality:
        """The modality called `name`.

        Raises:
            UnknownNameError: there is none.
        """
        for m in self.modalities:
            if m.name == name:
                return m
        raise unknown_name("modality", name, self.names)

    def select(self, names: Sequence[str]) -> Dataset:
        """Only the modalities `names`, in that order."""
        modalities = tuple(self.modality(n) for n in names)
        columns = [self.names.index(n) for n in names]
        values = {n: self.values[n] for n in names}
        return replace(self, modalities=modalities, values=values, absence=self.absence[:, columns])

    def replace(self, **changes: Any) -> Dataset:
        """The same data set with some fields changed."""
        return replace(self, **changes)

    # -- absence ------------------------------------------------------------------------------

    def lose(self, lost: np.ndarray) -> Dataset:
        """The same with the pairs of `lost` (``Bool[n, m]``) `LOST` and their values gone.

        `LOST` overwrites `NOT_MEASURED`, else it would tell that a modality was measured.
        """
        lost = np.asarray(lost, dtype=bool)
        if lost.shape != self.shape:
            raise DataError(
                f"a pattern of loss has one entry per row and modality, {self.shape}; "
                f"got {lost.shape}; draw it for this data set"
            )
        absence = np.where(lost, np.int8(LOST), self.absence).astype(np.int8)
        values = {
            n: v.without(lost[:, k]) if lost[:, k].any() else v
            for k, (n, v) in enumerate((n, self.values[n]) for n in self.names)
        }
        return replace(self, values=values, absence=absence)

    # -- identity -----------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """A hash of schema, values and all columns of the rows (not provenance): 16 hex digits.

        Equal for equal contents, whatever the width of the integers, floats and texts, and wherever
        files lie whose contents `amodal.data.media.check_media` has noted.
        """
        digest = hashlib.sha256()
        schema = [m.to_json() for m in self.modalities], self.task and self.task.to_json()
        digest.update(json.dumps(schema).encode())
        for name in _COLUMNS:
            if name != "references" or self.references is not None:
                hash_array(digest, name, getattr(self, name))
        for name, column in sorted(self.facts.items()):
            hash_array(digest, f"fact:{name}", column)
        for name in self.names:
            v = self.values[name]
            data = {k: contents(x) for k, x in v.data.items()} if self._is_media(name) else v.data
            for key, array in {**data, "offsets": v.offsets, "index": v.index}.items():
                hash_array(digest, f"{name}/{key}", array)
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        kinds = ", ".join(f"{m.name}: {m.kind}" for m in self.modalities)
        return f"Dataset({len(self)} rows; {kinds})"

    # -- making and storing -------------------------------------------------------------------

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        target: Any = None,
        *,
        modalities: Sequence[Modality] | Mapping[str, str] = (),
        task: Task | None = None,
        rows: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """A data set from a dict of arrays or sequences, one entry a modality.

        See `amodal.data.arrays.dataset_from_arrays` for the forms that are read.
        """
        from amodal.data.arrays import dataset_from_arrays

        return dataset_from_arrays(
            arrays, target, modalities=modalities, task=task, rows=rows, provenance=provenance
        )

    @classmethod
    def from_frame(
        cls, frame: Any, modalities: Mapping[str, Sequence[str]], **columns: Any
    ) -> Dataset:
        """A data set from a pandas or polars DataFrame whose columns the caller groups.

        See `amodal.data.frames.dataset_from_frame`.
        """
        from amodal.data.frames import dataset_from_frame

        return dataset_from_frame(frame, modalities, **columns)

    def save(self, folder: str | Path) -> Path:
        """Writes the data set into `folder` (Parquet per modality and a manifest)."""
        from amodal.data.store import save_dataset

        return save_dataset(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """The data set stored in `folder`, or a built-in one ("builtin:digits")."""
        from amodal.data.source import open_dataset

        return open_dataset(folder)
