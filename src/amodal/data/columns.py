"""Columns of CSV, Parquet and npz files, whatever the file."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.cells import Coded, factorise, numbers
from amodal.data.cells import names as cell_names
from amodal.data.frames import Frame
from amodal.errors import AmodalError, DataError, SettingError, StorageError, unknown_name

__all__ = ["Columns", "open_columns"]

_BLOCK = 1 << 24  # bytes: a line must fit into it
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")

Cells = tuple[np.ndarray, tuple[str, ...] | None]


class Columns:
    """The columns (or arrays) of a file.

    Args:
        path: the file.
        missing: texts that stand for a missing cell.
    """

    def __init__(self, path: Path, missing: Sequence[str] = ()) -> None:
        self.path, self.missing = path, frozenset(missing)
        self.names: tuple[str, ...] = ()

    def check(self, name: str) -> None:
        """Raises UnknownNameError where there is no column `name`."""
        if name not in self.names:
            raise unknown_name(f"column of {self.path.name}:", name, self.names)

    def load(self, columns: Sequence[str]) -> None:
        """Reads several columns at once, for later use."""
        for name in columns:
            self.check(name)

    def texts(self, name: str) -> np.ndarray:
        """A column as texts, None where missing (numbers as short as they go)."""
        raise NotImplementedError

    def coded(self, name: str) -> Coded:
        """A column as texts, each written once: what long tables are read as."""
        return Coded(*factorise(self._what(name), self.texts(name)))

    def floats(self, name: str) -> np.ndarray:
        """A column as floats, NaN where missing."""
        raise NotImplementedError

    def cells(self, name: str, *, categorical: bool = False) -> Cells:
        """(a column as floats, or as names where it is categorical; its levels where it has some).

        Raises:
            DataError: text in a column of numbers.
        """
        raise NotImplementedError

    def target(self, name: str) -> Cells:
        """A column as numbers where all of its cells are numbers, else as names."""
        return self.cells(name)

    def _what(self, name: str) -> str:
        return f"column {name!r} of {self.path.name}"

    def _clean(self, found: Sequence[str | None]) -> np.ndarray:
        array = np.empty(len(found), dtype=object)
        array[:] = [None if x is None or x.strip() in self.missing else x.strip() for x in found]
        return array


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what readers raise into one sentence (theirs may quote cells)."""
    import pyarrow as pa

    try:
        yield
    except AmodalError:
        raise
    except (OSError, zlib.error, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise StorageError(f"{path} could not be read: {reason}; check the file") from error
    except (pa.ArrowException, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError) as e:
        utf8 = "UTF8" in str(e)
        raise DataError(
            f"{path} cannot be read: it is truncated, damaged, or not "
            f"{'encoded as UTF-8' if utf8 else 'of the format that its name says'}; "
            f"{'save it as UTF-8' if utf8 else 'check the file and its delimiter'}"
        ) from e


def open_columns(path: Path, *, missing: Sequence[str] = (), delimiter: str = "") -> Columns:
    """The columns of a file, by its name: .csv, .tsv (also .gz), .parquet or .npz.

    Raises:
        StorageError: it cannot be read.
        SettingError: its name has none of these endings.
        DataError: it is not of the format that its name says.
    """
    name = path.name.lower()
    for suffix in (".gz", ".bz2", ".zst"):
        name = name.removesuffix(suffix)
    if not path.is_file():
        raise StorageError(f"{path} could not be read: there is no such file; check the spec")
    with _reading(path):
        if name.endswith((".csv", ".tsv", ".txt")):
            tab = "," if name.endswith(".csv") else "\t"
            return _Csv(path, missing, delimiter or tab)
        if path.name.lower().endswith((".parquet", ".pq")):
            return _Parquet(path, missing)
        if path.name.lower().endswith(".npz"):
            return _Npz(path, missing)
    raise SettingError(
        f"a file must be .csv, .tsv, .csv.gz, .parquet or .npz; got {path.name!r}; convert it"
    )


class _Csv(Columns):
    """CSV: cells are texts until a column is asked for, so that late text cannot surprise."""

    def __init__(self, path: Path, missing: Sequence[str], delimiter: str) -> None:
        import pyarrow.csv as pacsv

        super().__init__(path, missing)
        self._parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        self._read = pacsv.ReadOptions(block_size=_BLOCK)
        with pacsv.open_csv(
            str(path), read_options=self._read, parse_options=self._parse
        ) as reader:
            self.names = tuple(reader.schema.names)
        if len(set(self.names)) < len(self.names):
            repeated = next(n for n in self.names if self.names.count(n) > 1)
            raise DataError(
                f"columns of {path.name} must have unique names; {repeated!r} repeats; rename it"
            )
        self._loaded: dict[str, Any] = {}

    def load(self, columns: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.csv as pacsv

        super().load(columns)
        wanted = [c for c in dict.fromkeys(columns) if c not in self._loaded]
        if not wanted:
            return
        convert = pacsv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
        )
        with _reading(self.path):
            table = pacsv.read_csv(
                str(self.path),
                read_options=self._read,
                parse_options=self._parse,
                convert_options=convert,
            )
        for name in wanted:
            self._loaded[name] = self._trim(table.column(name))

    def _trim(self, column: Any) -> Any:
        """The column without blanks around its texts, null where a cell is missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = pc.utf8_trim_whitespace(column)
        gone = pc.is_in(column, value_set=pa.array(sorted(self.missing), type=pa.string()))
        return pc.if_else(gone, pa.scalar(None, pa.string()), column)

    def texts(self, name: str) -> np.ndarray:
        self.load([name])
        return _object_array(self._loaded[name].to_pylist())

    def coded(self, name: str) -> Coded:
        self.load([name])
        return _coded(self._loaded[name], list)

    def floats(self, name: str) -> np.ndarray:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.load([name])
        try:
            found = pc.cast(self._loaded[name], pa.float64())
        except pa.ArrowInvalid:
            raise DataError(
                f"{self._what(name)} must hold numbers; some cells hold text; name the text under "
                "`missing`, or the column under `categorical`"
            ) from None
        return found.to_numpy()

    def cells(self, name: str, *, categorical: bool = False) -> Cells:
        if not categorical:
            return self.floats(name), None
        return _object_array([_tidy(x) for x in self.texts(name)]), None

    def target(self, name: str) -> Cells:
        try:
            return self.floats(name), None
        except DataError:
            return self.cells(name, categorical=True)


class _Parquet(Columns):
    """Parquet: columns have types."""

    def __init__(self, path: Path, missing: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        super().__init__(path, missing)
        with pq.ParquetFile(path, memory_map=True) as file:
            self.names = tuple(file.schema_arrow.names)

    def _read(self, columns: Sequence[str]) -> Any:
        import pyarrow.parquet as pq

        super().load(columns)
        with _reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
            return file.read(columns=list(columns))

    def _column(self, name: str) -> Cells:
        return Frame(self._read([name])).column(name)

    def texts(self, name: str) -> np.ndarray:
        return self._clean(cell_names(self._what(name), self._column(name)[0]))

    def coded(self, name: str) -> Coded:
        import pyarrow as pa

        column = self._read([name]).column(name)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _coded(column, self._clean)
        return super().coded(name)

    def floats(self, name: str) -> np.ndarray:
        return numbers(self._what(name), self._column(name)[0])

    def cells(self, name: str, *, categorical: bool = False) -> Cells:
        found, levels = self._column(name)
        if found.dtype.kind == "O" and any(isinstance(x, str) for x in found):
            return self._clean([None if x is None else str(x) for x in found]), levels
        return (self.texts(name), levels) if categorical and levels is None else (found, levels)


@contextmanager
def _open_npz(path: Path) -> Iterator[Any]:
    with open(path, "rb") as raw:  # numpy leaves a file open that it cannot read
        file = np.load(raw, allow_pickle=False)
        if not hasattr(file, "files"):
            raise ValueError("one array alone")
        with file:
            yield file


class _Npz(Columns):
    """npz: named arrays; one-dimensional ones are columns."""

    def __init__(self, path: Path, missing: Sequence[str]) -> None:
        super().__init__(path, missing)
        with _open_npz(path) as file:
            self.names = tuple(file.files)

    def array(self, name: str) -> np.ndarray:
        """The array `name`, of any shape."""
        self.check(name)
        with _reading(self.path), _open_npz(self.path) as file:
            return file[name]

    def _column(self, name: str) -> np.ndarray:
        found = self.array(name)
        if found.ndim != 1:
            raise DataError(
                f"array {name!r} of {self.path.name} must have one entry per row; "
                f"got shape {found.shape}; name another"
            )
        return found

    def texts(self, name: str) -> np.ndarray:
        return self._clean(cell_names(self._what(name), self._column(name)))

    def floats(self, name: str) -> np.ndarray:
        return numbers(self._what(name), self._column(name))

    def cells(self, name: str, *, categorical: bool = False) -> Cells:
        found = self._column(name)
        if categorical or found.dtype.kind in "UT":
            return self.texts(name), None
        return found, None


def _coded(column: Any, clean: Callable[[list], Sequence[str | None]]) -> Coded:
    """An arrow column of texts, its distinct ones cleaned; those that become equal are one."""
    import pyarrow as pa

    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    distinct = np.empty(len(array.dictionary), dtype=object)
    distinct[:] = list(clean(array.dictionary.to_pylist()))
    positions, names = factorise("a column", distinct)
    indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Coded(np.append(positions, -1)[indices], list(names))


def _object_array(found: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _tidy(text: str | None) -> str | None:
    """ "1.0" as "1": a column of whole numbers that once had gaps is the same column."""
    whole = _WHOLE.fullmatch(text) if text else None
    return whole[1] if whole else text
