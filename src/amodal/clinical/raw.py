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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from amodal.clinical.engine import Engine, parquet_source, quoted
from amodal.errors import DataError, StorageError

__all__ = ["RawTable", "convert", "find_table", "header_of"]

_SUFFIXES = (".csv.gz", ".csv")
_SQL = {"int": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMP"}
_LINE = 2_000_000
"""Bytes of the longest line: a note has a few ten thousand. Buffers are a multiple of it."""
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "time": "a time (YYYY-MM-DD hh:mm:ss)",
}


@dataclass(frozen=True)
class RawTable:
    """What is read of one table.

    Args:
        name: of the file, without suffix; case does not count.
        columns: column -> "int", "float", "text" or "time"; all of them are needed.
        optional: the same of columns that some versions lack: null there.
        key: columns that together occur once.
        since: which version has the table, for error texts.
        aliases: column -> a name that it has in other versions.
    """

    name: str
    columns: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    since: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)


def find_table(folders: Iterable[Path], name: str) -> Path | None:
    """The file of a table in the first of `folders` that has it, gz before csv."""
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
    engine: Engine, path: Path, table: RawTable, folder: Path, *, where: str = "true"
) -> Path:
    """The table as Parquet in `folder`; one that is there already from the same file is kept.

    Args:
        engine: what reads.
        path: the csv or csv.gz.
        table: what is read of it.
        folder: where the Parquet file goes, under a name that tells what it was made from.
        where: condition in SQL; rows that do not meet it are left out.

    Raises:
        DataError: a column is lacking, cells are not of its type, a key occurs twice.
        StorageError: the file cannot be read or is truncated.
    """
    names, _ = _first_line(path)
    chosen = _choose(path, names, table)
    stat = path.stat()
    made_from = [path.name, stat.st_size, stat.st_mtime_ns, names, sorted(chosen.items()), where]
    mark = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    target = folder / f"{table.name}.{mark}.parquet"
    if target.exists():
        return target
    part = target.with_name(f"{target.name}.part")
    source = _source(path, {raw: _SQL[kind] for _, raw, kind in _used(table, chosen)})
    columns = [f'"{raw}" as "{name}"' for name, raw, _ in _used(table, chosen)]
    columns += [
        f'cast(null as {_SQL[kind]}) as "{name}"'
        for name, kind in table.optional.items()
        if name not in chosen
    ]
    query = f"select {', '.join(columns)} from {source}"
    _copy(engine, f"select * from ({query}) where {where}", part, path=path, table=table)
    if table.key:
        _check_key(engine, part, table)
    os.replace(part, target)
    return target


def _used(table: RawTable, chosen: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(our name, the file's name, type) of the columns that the file has."""
    kinds = {**table.columns, **table.optional}
    return [(name, raw, kinds[name]) for name, raw in chosen.items()]


def _choose(path: Path, names: list[str], table: RawTable) -> dict[str, str]:
    """Our name of a column -> the file's."""
    there = {n.lower(): n for n in names}
    chosen: dict[str, str] = {}
    for name in (*table.columns, *table.optional):
        raw = there.get(name) or there.get(table.aliases.get(name, name))
        if raw is not None:
            chosen[name] = raw
        elif name in table.columns:
            since = f" ({table.since} has it)" if table.since else ""
            raise DataError(
                f"table {table.name} needs the column {name}{since}; {path.name} has "
                f"{', '.join(names)[:120]}; use the file as it is published"
            )
    return chosen


def _source(path: Path, types: Mapping[str, str]) -> str:
    """The call that reads the csv with the given types; other columns stay text."""
    names, end = _first_line(path)
    fields = ", ".join(f"{quoted(n)}: {quoted(types.get(n, 'VARCHAR'))}" for n in names)
    return (
        f"read_csv({quoted(path)}, columns={{{fields}}}, header=true, auto_detect=false, "
        f"delim=',', quote='\"', escape='\"', new_line='{end}', max_line_size={_LINE})"
    )


def _copy(engine: Engine, query: str, part: Path, *, path: Path, table: RawTable) -> None:
    import duckdb

    to = f"{quoted(part)} (format parquet, compression zstd)"
    try:
        engine.execute(f"copy ({query}) to {to}")
    except duckdb.IOException as error:
        part.unlink(missing_ok=True)
        if "gzip" in str(error).lower():
            raise _truncated(path) from None
        raise StorageError(f"{path.name} could not be read or converted") from None
    except (duckdb.ConversionException, duckdb.InvalidInputException):
        part.unlink(missing_ok=True)
        raise _bad_cells(engine, path, table) from None


def _bad_cells(engine: Engine, path: Path, table: RawTable) -> DataError:
    """Which column has cells of another type, and how many: read again, as text."""
    import duckdb

    names = header_of(path)
    used = [u for u in _used(table, _choose(path, names, table)) if u[2] != "text"]
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


def _check_key(engine: Engine, part: Path, table: RawTable) -> None:
    key = ", ".join(f'"{k}"' for k in table.key)
    query = f"select count(*) - count(distinct ({key})) as n from {parquet_source(part)}"
    repeated = engine.sql(query)["n"][0].as_py()
    if repeated:
        part.unlink()
        raise DataError(
            f"each {' and '.join(table.key)} occurs once in table {table.name}; {repeated} lines "
            "repeat one; keep one of them"
        )
