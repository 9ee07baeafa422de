"""Reads the csv tables of a published database: found, typed, checked, converted to Parquet once.

Every error names table and column, and how many cells break a rule; never what stands in them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from amodal.clinical.duck import DuckEngine, parquet_source, quoted
from amodal.clinical.raw_table import RawTable, choose_columns, repeated_key
from amodal.errors import DataError, StorageError

__all__ = ["convert", "find_table", "header_of"]

_SUFFIXES = (".csv.gz", ".csv")
_SQL = {"int": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMP"}
_BLOCK = 8 * 2**20
"""Bytes that are parsed together; no line may be longer."""
_GROUP = 400_000
"""Lines that are written together."""
_LINE = 2_000_000
"""Bytes of the longest line: a note has a few ten thousand. Buffers are a multiple of it."""
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "time": "a time (YYYY-MM-DD hh:mm:ss)",
}


def find_table(folders: Iterable[Path], name: str) -> Path | None:
    """The file of a table in the first of `folders` that has it, gz before csv.

    Args:
        folders: in order; case of their files' names does not count.
        name: of the table.

    Raises:
        StorageError: a folder cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("lab.csv", "Lab.csv.gz"):
    ...         Path(folder, name).touch()
    ...     find_table((Path(folder),), "lab").name, find_table((Path(folder),), "patient")
    ('Lab.csv.gz', None)
    """
    for folder in folders:
        try:
            files = {p.name.lower(): p for p in sorted(folder.iterdir())}
        except OSError as error:
            raise StorageError(
                f"RAW must be readable; {folder.name} is not ({error.strerror}); "
                "check its permissions"
            ) from None
        for suffix in _SUFFIXES:
            found = files.get(f"{name.lower()}{suffix}")
            if found is not None:
                return found
    return None


def header_of(path: Path) -> list[str]:
    """The names of the columns as they are written in the first line.

    Raises:
        StorageError: the file cannot be read or is truncated.
        DataError: it is empty or has another delimiter than a comma.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "lab.csv").write_text("id, value\\n7,1.5\\n")
    ...     header_of(Path(folder, "lab.csv"))
    ['id', 'value']
    """
    return _first_line(path)[0]


def _first_line(path: Path) -> tuple[list[str], str]:
    """(names of the columns, how lines end, as SQL writes it)"""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _truncated(path) from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path.name} begins with a line of column names; it begins with something else; "
            "fetch it again"
        ) from None
    except OSError as error:
        raise StorageError(f"{path.name} could not be read: {error.strerror}") from None
    names = next(csv.reader([line.strip()]), [])
    if len(names) < 2:
        found = next((d for d in (";", "\t", "|") if line.count(d) > 1), None)
        what = (
            f"{path.name} is separated by {found!r}" if found else f"{path.name} has no such line"
        )
        raise DataError(
            f"tables begin with a line of names separated by commas; {what}; "
            "use the file as it is published"
        )
    return [n.strip() for n in names], r"\r\n" if line.endswith("\r\n") else r"\n"


def _truncated(path: Path) -> StorageError:
    return StorageError(
        f"{path.name} must be a whole gzip file; it ends too early or is damaged; fetch it again"
    )


def convert(
    engine: DuckEngine,
    path: Path,
    table: RawTable,
    folder: Path,
    *,
    only: tuple[str, Collection[Any]] | None = None,
) -> Path:
    """The table as Parquet in `folder`; one that is there already from the same file is kept.

    Args:
        engine: what looks for repeated keys, and for the cells that could not be read.
        path: the csv or csv.gz.
        table: what is read of it.
        folder: where the Parquet file goes, under a name that tells what it was made from.
        only: a column and the values of it that are wanted; other lines are left out.

    Raises:
        DataError: a column is lacking, cells are not of its type, a key occurs twice.
        StorageError: the file cannot be read or is truncated.

    Returns:
        The Parquet file; its columns are those of `table`, null where an optional one is lacking.

    >>> import pyarrow.parquet as pq
    >>> from tempfile import TemporaryDirectory
    >>> table = RawTable("lab", {"id": "int", "value": "float"}, {"unit": "text"})
    >>> with TemporaryDirectory() as folder, DuckEngine(threads=1) as engine:
    ...     _ = Path(folder, "lab.csv").write_text("value,id\\n1.5,7\\n,8\\n")
    ...     made = convert(engine, Path(folder, "lab.csv"), table, Path(folder), only=("id", {8}))
    ...     pq.read_table(made).to_pylist()
    [{'id': 8, 'value': None, 'unit': None}]
    """
    names, _ = _first_line(path)
    chosen = choose_columns(path.name, names, table)
    stat = path.stat()
    wanted = None if only is None else [only[0], sorted(only[1])]
    made_from = [path.name, stat.st_size, stat.st_mtime_ns, names, sorted(chosen.items()), wanted]
    mark = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    target = folder / f"{table.name}.{mark}.parquet"
    if target.exists():
        return target
    part = target.with_name(f"{target.name}.part")
    try:
        _copy(engine, path, table, part, only=only)
        if table.key:
            _check_key(engine, part, table)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _used(table: RawTable, chosen: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(our name, the file's name, type) of the columns that the file has."""
    kinds = {**table.columns, **table.optional}
    return [(name, raw, kinds[name]) for name, raw in chosen.items()]


def _source(path: Path, types: Mapping[str, str]) -> str:
    """The call that reads the csv with the given types; other columns stay text."""
    names, end = _first_line(path)
    fields = ", ".join(f"{quoted(n)}: {quoted(types.get(n, 'VARCHAR'))}" for n in names)
    return (
        f"read_csv({quoted(path)}, columns={{{fields}}}, header=true, auto_detect=false, "
        f"delim=',', quote='\"', escape='\"', new_line='{end}', max_line_size={_LINE})"
    )


def _copy(
    engine: DuckEngine,
    path: Path,
    table: RawTable,
    part: Path,
    *,
    only: tuple[str, Collection[Any]] | None,
) -> None:
    """Reads the csv block by block and writes its wanted columns and lines."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(c, _arrow(k)) for c, k in {**table.columns, **table.optional}.items()])
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        held: list[pa.RecordBatch] = []
        try:
            for batch in _batches(path, table, schema, only=only):
                held.append(batch)
                if sum(map(len, held)) > _GROUP:
                    writer.write_table(pa.Table.from_batches(held, schema))
                    held = []
        except pa.ArrowInvalid:
            raise _bad_cells(engine, path, table) from None
        except OSError as error:
            if path.suffix == ".gz":
                raise _truncated(path) from None
            raise StorageError(f"{path.name} could not be read: {error.strerror}") from None
        writer.write_table(pa.Table.from_batches(held, schema))


def _batches(
    path: Path, table: RawTable, schema: Any, *, only: tuple[str, Collection[Any]] | None
) -> Iterable[Any]:
    """The wanted lines of a csv, columns under our names; those that it lacks are null."""
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.csv as pc

    chosen = choose_columns(path.name, header_of(path), table)
    convert = pc.ConvertOptions(
        column_types={raw: _arrow(kind) for _, raw, kind in _used(table, chosen)},
        include_columns=list(chosen.values()),
        strings_can_be_null=True,
        null_values=[""],
    )
    values = None if only is None else pa.array(sorted(only[1]), schema.field(only[0]).type)
    packed = "gzip" if path.suffix == ".gz" else None
    with pa.input_stream(str(path), compression=packed) as file:
        reader = pc.open_csv(
            file,
            pc.ReadOptions(block_size=_BLOCK),
            pc.ParseOptions(newlines_in_values=True),
            convert,
        )
        for batch in reader:
            columns = {name: batch[raw] for name, raw in chosen.items()}
            missing = [f for f in schema if f.name not in columns]
            columns |= {f.name: pa.nulls(len(batch), f.type) for f in missing}
            made = pa.RecordBatch.from_arrays([columns[f.name] for f in schema], schema=schema)
            yield made if values is None else made.filter(compute.is_in(made[only[0]], values))


def _arrow(kind: str) -> Any:
    """The Arrow type of "int", "float", "text" or "time"."""
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    return types.get(kind) or pa.timestamp("us")


def _bad_cells(engine: DuckEngine, path: Path, table: RawTable) -> DataError:
    """Which column has cells of another type, and how many: read again, as text."""
    import duckdb

    names = header_of(path)
    used = [u for u in _used(table, choose_columns(path.name, names, table)) if u[2] != "text"]
    counts = [
        f'count(*) filter (try_cast("{raw}" as {_SQL[kind]}) is null and "{raw}" is not null)'
        for _, raw, kind in used
    ]
    try:
        query = f"select {', '.join(counts)} from {_source(path, {})}"
        found = [c[0].as_py() for c in engine.sql(query).columns]
    except duckdb.Error:
        found = []
    for (name, _, kind), count in zip(used, found, strict=False):
        if count:
            return DataError(
                f"each cell of column {name} of table {table.name} is {_WORDS[kind]} or empty; "
                f"{count} are not; fetch {path.name} again or correct them"
            )
    return DataError(
        f"each line of table {table.name} has {len(names)} cells, as its first line has; some "
        f"lines of {path.name} have not; fetch it again"
    )


def _check_key(engine: DuckEngine, part: Path, table: RawTable) -> None:
    key = ", ".join(f'"{k}"' for k in table.key)
    query = f"select count(*) - count(distinct ({key})) as n from {parquet_source(part)}"
    repeated = engine.sql(query)["n"][0].as_py()
    if repeated:
        raise repeated_key(table, repeated)
