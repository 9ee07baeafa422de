"""CSV, Parquet and npz files as `Columns`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.cells import Coded, numbers
from amodal.data.cells import names as cell_names
from amodal.data.columns import Cells, Columns, code_column, object_array, reading, tidy
from amodal.data.frames import Frame
from amodal.errors import DataError, SettingError, StorageError

__all__ = ["open_columns"]

_BLOCK = 1 << 24  # bytes: a line must fit into it


def open_columns(path: Path, *, missing: Sequence[str] = (), delimiter: str = "") -> Columns:
    """The columns of a file, by its name: .csv, .tsv (also .gz), .parquet or .npz.

    Raises:
        StorageError: it cannot be read.
        SettingError: its name has none of these endings.
        DataError: it is not of the format that its name says.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("age,sex\\n40, f\\n-9,m\\n")
    ...     found = open_columns(Path(folder, "a.csv"), missing=("-9",))
    ...     found.names, found.floats("age").tolist(), found.texts("sex").tolist()
    (('age', 'sex'), [40.0, nan], ['f', 'm'])
    """
    name = path.name.lower()
    for suffix in (".gz", ".bz2", ".zst"):
        name = name.removesuffix(suffix)
    if not path.is_file():
        raise StorageError(f"{path} could not be read: there is no such file; check the spec")
    with reading(path):
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
        with reading(self.path):
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
        return object_array(self._loaded[name].to_pylist())

    def coded(self, name: str) -> Coded:
        self.load([name])
        return code_column(self._loaded[name], list)

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
        return object_array([tidy(x) for x in self.texts(name)]), None

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
        with reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
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
            return code_column(column, self._clean)
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
        with reading(self.path), _open_npz(self.path) as file:
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
