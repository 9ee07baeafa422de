"""The rows of a spec: their names, target, groups, split and weights, and joining to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.columns import Columns
from amodal.data.formats import open_columns
from amodal.data.spec import MISSING, ModalitySpec, Ref, RowsSpec, Spec
from amodal.errors import DataError, SettingError

__all__ = ["Rows", "read_rows"]


class Rows:
    """The n rows that modalities are joined to.

    Args:
        spec: section ``[rows]``.
    """

    def __init__(self, spec: RowsSpec) -> None:
        self.spec = spec
        self._open: dict[Any, Columns] = {}
        self.source = self.open(spec.file, spec.missing, spec.delimiter)
        self.parts = _parts(spec)
        self.sizes = self._part_sizes()
        self.n = sum(self.sizes.values()) if self.parts else self._count()
        self.row_id = self._row_id()
        self.place = {name: i for i, name in enumerate(self.row_id)}
        self.columns: dict[str, Any] = {}

    # -- files --------------------------------------------------------------------------------

    @property
    def paths(self) -> list[Path]:
        """All files that were opened."""
        return list(dict.fromkeys(source.path for source in self._open.values()))

    def open(self, path: Path, missing: Sequence[str], delimiter: str) -> Columns:
        """The columns of a file, opened once."""
        key = (path, tuple(missing), delimiter)
        if key not in self._open:
            self._open[key] = open_columns(path, missing=missing, delimiter=delimiter)
        return self._open[key]

    def source_of(self, m: ModalitySpec) -> Columns:
        """The file of a modality: its own, or that of the rows."""
        path = m.file or self.spec.file
        same = path == self.spec.file
        missing = self.spec.missing if same else MISSING
        delimiter = self.spec.delimiter if same else ""
        return self.open(path, m.missing or missing, m.delimiter or delimiter)

    # -- rows ---------------------------------------------------------------------------------

    def _part_sizes(self) -> dict[str, int]:
        ref = self.spec.target if isinstance(self.spec.target, Mapping) else self.spec.row_id
        if not self.parts:
            return {}
        return {part: len(self.array(self.source, ref[part])) for part in self.parts}

    def _count(self) -> int:
        """The number of lines, from the first column that the spec names."""
        spec = self.spec
        targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or ())
        named = [x for x in (spec.row_id, *targets, spec.group, spec.weight) if isinstance(x, str)]
        name = named[0] if named else next(iter(self.source.names), None)
        if name is None:
            raise DataError(f"{spec.file.name} needs at least one column; it has none; check it")
        return len(self.array(self.source, name))

    def _row_id(self) -> list[str]:
        if self.spec.row_id is None:
            return [str(i) for i in range(self.n)]
        found = self.stack(self.source, self.spec.row_id, "texts")
        unknown = sum(x is None for x in found)
        if unknown:
            raise DataError(
                f"each row of {self.spec.file.name} needs a name in {_show(self.spec.row_id)}; "
                f"{unknown} have none; fill it in"
            )
        if len(set(found)) < len(found):
            raise DataError(
                f"row ids must be unique; {len(found) - len(set(found))} lines of "
                f"{self.spec.file.name} repeat one; keep one line a row, or name another column"
            )
        return list(found)

    # -- columns ------------------------------------------------------------------------------

    @staticmethod
    def array(source: Columns, name: str) -> np.ndarray:
        """A column, or an array with one entry per row."""
        read = getattr(source, "array", None)
        found = read(name) if read else source.texts(name)
        if not found.ndim:
            raise DataError(
                f"{name!r} of {source.path.name} must have one entry per row; got a single value; "
                "name another"
            )
        return found

    def stack(self, source: Columns, ref: Ref, how: str) -> np.ndarray:
        """A column read by the method `how`; where `ref` names one a split, all, in order.

        Rows of a split that `ref` does not name are missing.
        """
        if isinstance(ref, str):
            return self._column(source, ref, how, self.n)
        if not self.parts:
            raise SettingError(
                f"arrays by split ({_show(ref)}) need a target by split; it has none; "
                "write target = {train = ..., test = ...}"
            )
        for part in ref:
            if part not in self.sizes:
                raise SettingError(
                    f"arrays by split have the splits of the target, {', '.join(self.sizes)}; "
                    f"got {part!r}; correct the spec"
                )
        blocks = []
        for part, size in self.sizes.items():
            blocks.append(self._column(source, ref[part], how, size) if part in ref else None)
        return _concatenate(blocks, list(self.sizes.values()))

    @staticmethod
    def _column(source: Columns, name: str, how: str, size: int) -> np.ndarray:
        found = getattr(source, how)(name)
        found = found[0] if isinstance(found, tuple) else found
        if not found.ndim or len(found) != size:
            raise DataError(
                f"{name!r} of {source.path.name} must have one entry per row ({size}); "
                f"got shape {found.shape}; correct the file"
            )
        return found

    def positions(self, source: Columns, row_id: Ref, what: str) -> tuple[np.ndarray, int]:
        """(``Int[s]`` the row of each line, -1 where it is of none; how many are of none)."""
        if self.spec.row_id is None:
            raise SettingError(
                f"{what} lies in another file, so that [rows] needs a row_id; it has none; name it"
            )
        if not isinstance(row_id, str):
            raise SettingError(f"row_id of {what} is one column; got {_show(row_id)}; name it")
        lines = source.coded(row_id)
        place = [self.place.get(x, -1) for x in lines.names]
        found = np.array([*place, -1], dtype=np.int64)[lines.positions]
        if len(found) and (found < 0).all():
            raise DataError(
                f"lines of {source.path.name} belong to rows by {row_id!r}; none of its "
                f"{len(found)} lines belongs to a row of {self.spec.file.name}; check both row ids"
            )
        return found, int((found < 0).sum())


def _show(ref: Any) -> str:
    return ", ".join(ref.values()) if isinstance(ref, Mapping) else repr(ref)


def _parts(spec: RowsSpec) -> tuple[str, ...]:
    by_split = [x for x in (spec.target, spec.row_id) if isinstance(x, Mapping)]
    if not by_split:
        return ()
    if spec.split is not None:
        raise SettingError(
            "[rows] has either a target by split or a `split`; it has both; leave `split` out"
        )
    return tuple(by_split[0])


def _concatenate(blocks: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray:
    """Blocks one after the other; None is a block of missing entries."""
    known = [b for b in blocks if b is not None]
    shapes = {b.shape[1:] for b in known}
    if len(shapes) > 1:
        raise DataError("arrays by split must have equally many columns; they do not; correct them")
    shape = shapes.pop()
    plain = all(b.dtype.kind in "biuf" for b in known)
    dtype = np.result_type(*known, np.float32) if plain else object
    filled = [
        np.full((size, *shape), np.nan if plain else None, dtype=dtype) if b is None else b
        for b, size in zip(blocks, sizes, strict=True)
    ]
    return np.concatenate([b.astype(dtype) for b in filled])


# -- columns of the rows --------------------------------------------------------------------------


def read_rows(spec: Spec) -> Rows:
    """The rows of a spec, with their groups, weights and split.

    Raises:
        DataError: no rows, repeated row ids, a split that is not one.

    >>> from tempfile import TemporaryDirectory
    >>> from amodal.data.spec import parse_spec
    >>> rows = {"file": "a.csv", "row_id": "id", "group": "patient"}
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("id,patient\\n7,p\\n8,q\\n")
    ...     found = read_rows(parse_spec({"rows": rows, "modality": {"x": {}}}, Path(folder)))
    >>> found.n, found.row_id, found.columns["group"].tolist()
    (2, ['7', '8'], ['p', 'q'])
    """
    rows = Rows(spec.rows)
    if not rows.n:
        raise DataError(f"a data set needs rows; {spec.rows.file.name} has none; check it")
    if spec.rows.group is not None:
        rows.columns["group"] = rows.stack(rows.source, spec.rows.group, "texts")
    if spec.rows.weight is not None:
        rows.columns["weight"] = rows.stack(rows.source, spec.rows.weight, "floats")
    if spec.rows.facts:
        facts = {c: rows.stack(rows.source, c, "texts") for c in spec.rows.facts}
        rows.columns["facts"] = facts
    split = _split(spec.rows, rows)
    if split is not None:
        rows.columns["split"] = split
    return rows


def _split(spec: RowsSpec, rows: Rows) -> np.ndarray | None:
    if rows.parts:
        return np.repeat(np.array(rows.parts, dtype=object), list(rows.sizes.values()))
    if spec.split is None:
        return None
    if isinstance(spec.split, Mapping):
        return _split_by_index(spec.split, rows)
    found = rows.stack(rows.source, spec.split, "texts")
    return np.array(["" if x is None else spec.split_names.get(x, x) for x in found], dtype=object)


def _split_by_index(ref: Mapping[str, str], rows: Rows) -> np.ndarray:
    """The split from one array of row positions (or of truth values) a split."""
    split = np.full(rows.n, "", dtype=object)
    for part, name in ref.items():
        index = rows.array(rows.source, name)
        if index.dtype.kind == "b" and index.shape == (rows.n,):
            index = np.flatnonzero(index)
        whole = index.ndim == 1 and index.dtype.kind in "iu"
        if not whole or (len(index) and not (index.min() >= 0 and index.max() < rows.n)):
            raise DataError(
                f"{name!r} of {rows.source.path.name} must hold row positions from 0 to "
                f"{rows.n - 1}; it holds something else; correct the file"
            )
        if (split[index] != "").any() or len(np.unique(index)) < len(index):
            raise DataError(
                f"a row is in one split; rows of {name!r} in {rows.source.path.name} are in two; "
                "correct the file"
            )
        split[index] = part
    return split
