"""The modalities of a spec: columns and arrays of files, joined to the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from amodal.data.cells import Coded, factorise, numbers
from amodal.data.columns import Columns
from amodal.data.entries import pack_entries
from amodal.data.file_rows import Rows
from amodal.data.packing import pack_codes, pack_embedding, pack_series, pack_table, pivot
from amodal.data.spec import ModalitySpec
from amodal.errors import DataError, SettingError
from amodal.types import Modality
from amodal.values import MEDIA, Values

__all__ = ["read_modality"]

_SOURCES = ("text", *MEDIA)

Found = tuple[Modality, Values, int]
"""The modality, its values, and how many lines of its file belong to no row."""


def read_modality(m: ModalitySpec, rows: Rows) -> Found:
    """A modality as its section of the spec describes it.

    Raises:
        DataError: the files break a rule.
        SettingError: the spec lacks something.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from amodal.data.file_rows import read_rows
    >>> from amodal.data.spec import parse_spec
    >>> own = {"file": "b.csv", "row_id": "id", "columns": ["ph"]}
    >>> raw = {"rows": {"file": "a.csv", "row_id": "id"}, "modality": {"gas": own}}
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("id\\n7\\n8\\n")
    ...     _ = Path(folder, "b.csv").write_text("id,ph\\n8,7.4\\n9,7.2\\n")
    ...     spec = parse_spec(raw, Path(folder))
    ...     _, values, strangers = read_modality(spec.modalities[0], read_rows(spec))
    >>> values.data["numeric"].tolist(), values.index.tolist(), strangers  # 9 is no row
    ([[7.4]], [-1, 0], 1)
    """
    source = rows.source_of(m)
    if m.array is not None:
        return _read_array(m, rows, source)
    read = {"series": _read_series, "codes": _read_codes, **dict.fromkeys(_SOURCES, _read_sources)}
    return read.get(m.kind, _read_columns)(m, rows, source)


def _columns(m: ModalitySpec, rows: Rows, source: Columns, beside: Sequence[str]) -> list[str]:
    """The columns of a modality: those listed, ``*`` standing for any text, or all others."""
    spec = rows.spec
    outputs = [spec.target] if isinstance(spec.target, str) else list(spec.target or ())
    own = [x for x in (*outputs, spec.row_id) if isinstance(x, str)]
    hidden = {*beside, *(own if source is rows.source else ())}
    if not m.columns:
        if source is rows.source:
            raise SettingError(
                f"[modality.{m.name}] needs `columns` of {source.path.name}; it has none; list them"
            )
        return [c for c in source.names if c not in hidden]
    found = [c for pattern in m.columns for c in _fitting(m, source, pattern, hidden)]
    if set(found) & hidden:
        raise DataError(
            "inputs must not hold the answer or the name of the row; "
            f"[modality.{m.name}] has {sorted(set(found) & hidden)[0]!r}; leave it out"
        )
    return list(dict.fromkeys(found))


def _fitting(m: ModalitySpec, source: Columns, pattern: str, hidden: set[str]) -> list[str]:
    """The columns that `pattern` stands for."""
    if "*" not in pattern:
        source.check(pattern)
        return [pattern]
    fits = [c for c in source.names if fnmatchcase(c, pattern) and c not in hidden]
    if not fits:
        raise DataError(
            f"columns {pattern!r} of [modality.{m.name}] must fit a column of "
            f"{source.path.name}; none fits; correct the spec"
        )
    return fits


def _lines(m: ModalitySpec, rows: Rows, source: Columns) -> tuple[np.ndarray, int]:
    """(the row of each line of the modality's file, the number of lines of no row)."""
    if source is rows.source and m.row_id is None:
        return np.arange(rows.n), 0
    row_id = m.row_id or rows.spec.row_id
    what = f"[modality.{m.name}]"
    if row_id is None:
        return rows.positions(source, "", what)  # raises
    return rows.positions(source, row_id, what)


# -- one line a row -------------------------------------------------------------------------------


def _once(m: ModalitySpec, source: Columns, row: np.ndarray) -> np.ndarray:
    """The lines that belong to a row; each row may have one."""
    used = np.flatnonzero(row >= 0)
    repeated = len(used) - len(np.unique(row[used]))
    if repeated:
        raise DataError(
            f"a {m.kind} has one line a row; {repeated} lines of {source.path.name} repeat a row; "
            "keep one, or make it a series"
        )
    return used


def _read_columns(m: ModalitySpec, rows: Rows, source: Columns) -> Found:
    row_id = m.row_id or rows.spec.row_id
    columns = _columns(m, rows, source, [row_id] if isinstance(row_id, str) else [])
    for name in m.categorical:
        if name not in columns:
            raise SettingError(
                f"`categorical` in [modality.{m.name}] names columns of the modality; {name!r} is "
                "none; add it to `columns`"
            )
    source.load([*columns, *([row_id] if isinstance(row_id, str) and m.file else [])])
    row, strangers = _lines(m, rows, source)
    used = _once(m, source, row)
    cells, levels = {}, {}
    for name in columns:
        found, known = source.cells(name, categorical=name in m.categorical)
        if len(found) != len(row):
            raise DataError(
                f"columns of one modality must be equally long; {name!r} of {source.path.name} has "
                f"{len(found)} entries, not {len(row)}; correct the file"
            )
        cells[name] = _spread(found, used, row, rows.n)
        if known is not None:
            levels[name] = known
    if m.kind == "embedding":
        value = np.column_stack([numbers(f"dimension {c!r}", x) for c, x in cells.items()])
        modality = Modality(m.name, "embedding", features=tuple(columns))
        return modality, pack_embedding(m.name, value), strangers
    return *pack_table(m.name, cells, levels=levels), strangers


def _spread(cells: np.ndarray, used: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    """Cells of lines as cells of rows, missing where a row has no line."""
    if cells.dtype.kind in "iufb" and cells.dtype != np.float32:
        cells = cells.astype(np.float64) if len(used) < n or cells.dtype.kind != "b" else cells
    if len(used) == n and (row[used] == np.arange(n)).all():
        return cells[used]
    numeric = cells.dtype.kind == "f"
    out = np.full(n, np.nan if numeric else None, dtype=cells.dtype if numeric else object)
    out[row[used]] = cells[used]
    return out


def _read_array(m: ModalitySpec, rows: Rows, source: Columns) -> Found:
    if not hasattr(source, "array"):
        raise SettingError(
            f"`array` in [modality.{m.name}] names an array of an .npz file; {source.path.name} is "
            "none; use `columns`"
        )
    joined = m.row_id is not None and source is not rows.source
    if joined:
        row, strangers = rows.positions(source, m.row_id, f"[modality.{m.name}]")
        used = _once(m, source, row)
        value = _join(_matrix(m, _one(m, source, m.array)), used, row, rows.n)
    else:
        row, used, strangers = None, None, 0
        value = _matrix(m, rows.stack(source, m.array, "array"))
    if m.present is not None:
        said = _one(m, source, m.present) if joined else rows.stack(source, m.present, "array")
        here = numbers(f"{m.present!r} of {source.path.name}", said)
        if joined:
            here = _join(here[:, None], used, row, rows.n)[:, 0]
        if not np.isin(here[~np.isnan(here)], (0, 1)).all():
            raise DataError(f"{m.present!r} of {source.path.name} holds 0 and 1; it does not")
        value = np.where((here == 1)[:, None], value, np.nan)
    known, values = pack_entries(Modality(m.name, m.kind, features=m.features), value)
    return known, values, strangers


def _one(m: ModalitySpec, source: Columns, ref: object) -> np.ndarray:
    if not isinstance(ref, str):
        raise SettingError(
            f"[modality.{m.name}] has a row_id, so that its arrays are not by split; name one array"
        )
    return source.array(ref)


def _matrix(m: ModalitySpec, value: np.ndarray) -> np.ndarray:
    """A numeric matrix; float32 stays."""
    value = value[:, None] if value.ndim == 1 else value
    if value.ndim != 2 or value.dtype.kind not in "biuf":
        raise DataError(
            f"the array of [modality.{m.name}] must be numbers of shape (rows, columns); "
            f"got {value.dtype} of shape {value.shape}; reshape it"
        )
    return value if value.dtype == np.float32 else value.astype(np.float64)


def _join(value: np.ndarray, used: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    if len(value) != len(row):
        raise DataError(
            f"an array and its row_id must be equally long; got {len(value)} and {len(row)} "
            "entries; correct the file"
        )
    out = np.full((n, value.shape[1]), np.nan, dtype=np.result_type(value.dtype, np.float32))
    out[row[used]] = value[used]
    return out


# -- texts and files ------------------------------------------------------------------------------


def _read_sources(m: ModalitySpec, rows: Rows, source: Columns) -> Found:
    row_id = m.row_id or rows.spec.row_id
    source.load([m.column, *([row_id] if isinstance(row_id, str) and m.file else [])])
    row, strangers = _lines(m, rows, source)
    used = _once(m, source, row)
    texts = _spread(source.texts(m.column), used, row, rows.n)
    if m.kind in MEDIA:
        folder = m.folder or source.path.parent
        texts = [None if x is None else str(folder / x) for x in texts.tolist()]
    return *pack_entries(Modality(m.name, m.kind), list(texts)), strangers


# -- long tables ----------------------------------------------------------------------------------


def _long(m: ModalitySpec, rows: Rows, source: Columns, columns: Sequence[str]) -> tuple:
    """(rows of the lines that belong to one, which lines these are, the number of others)."""
    if source is rows.source and m.row_id is None:
        row, strangers = np.arange(rows.n), 0
    else:
        row_id = m.row_id or rows.spec.row_id
        source.load([*columns, *([row_id] if isinstance(row_id, str) else [])])
        row, strangers = _lines(m, rows, source)
    used = row >= 0
    return row[used], used, strangers


def _line_column(source: Columns, name: str, how: str, used: np.ndarray) -> Any:
    """A column of the lines `used`: floats, or names each written once."""
    found = getattr(source, how)(name)
    length = len(found.positions if isinstance(found, Coded) else found)
    if length != len(used):
        raise DataError(
            f"columns of {source.path.name} must be equally long; {name!r} has {length} "
            f"entries, not {len(used)}; correct the file"
        )
    return found.pick(used) if isinstance(found, Coded) else found[used]


def _read_series(m: ModalitySpec, rows: Rows, source: Columns) -> Found:
    row_id = m.row_id or rows.spec.row_id
    if m.variable is not None:
        row, used, strangers = _long(m, rows, source, [m.time, m.variable, m.value])
        time = _line_column(source, m.time, "floats", used)
        name = _line_column(source, m.variable, "coded", used)
        amount = _line_column(source, m.value, "floats", used)
        variable, features = _variables(m, name)
        keep = (variable >= 0) & ~np.isnan(amount)
        picked = (x[keep] for x in (row, time, variable, amount))
        row, time, value = pivot(*picked, len(features))
    else:
        columns = _columns(
            m, rows, source, [m.time, *([row_id] if isinstance(row_id, str) else [])]
        )
        row, used, strangers = _long(m, rows, source, [m.time, *columns])
        time = _line_column(source, m.time, "floats", used)
        value = np.column_stack([_line_column(source, c, "floats", used) for c in columns])
        features = tuple(columns)
    modality = Modality(m.name, "series", features=features, time_unit=m.time_unit)
    return modality, pack_series(m.name, row, time, value, rows.n), strangers


def _variables(m: ModalitySpec, name: Coded) -> tuple[np.ndarray, tuple[str, ...]]:
    """(which variable each line is of, -1 for none that is wanted; the variables)."""
    what = f"the variables of [modality.{m.name}]"
    if m.columns:
        wanted = np.array([x in m.columns for x in name.names] + [False])
        kept = Coded(np.where(wanted[name.positions], name.positions, -1), name.names)
        return factorise(what, kept.pick(np.ones(len(name.positions), dtype=bool)), m.columns)
    found = factorise(what, name)
    if not found[1]:
        raise DataError(f"{what} must be named in at least one line; none is; check the file")
    return found


def _read_codes(m: ModalitySpec, rows: Rows, source: Columns) -> Found:
    named = [c for c in (m.code, m.type, m.time) if c is not None]
    row, used, strangers = _long(m, rows, source, named)
    columns = {"code": _line_column(source, m.code, "coded", used)}
    if m.type is not None:
        columns["type"] = _line_column(source, m.type, "coded", used)
    if m.time is not None:
        columns["time"] = _line_column(source, m.time, "floats", used)
    modality, values = pack_codes(Modality(m.name, "codes"), row, columns, rows.n)
    return replace(modality, time_unit=m.time_unit), values, strangers
