"""Writes tables of a synthetic raw folder: csv.gz, the same bytes for the same content."""

from __future__ import annotations

import gzip
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from amodal.errors import SettingError, StorageError

__all__ = ["CHUNK", "RawWriter", "chunks", "simulate", "stamp", "writing"]

MARK = "SYNTHETIC.txt"
CHUNK = 4096
"""Rows that are drawn together, with a generator of their own: memory does not grow with rows."""


def chunks(rows: int, seed: int) -> Iterator[tuple[int, int, np.random.Generator]]:
    """(number, rows, generator) of each chunk.

    Raises:
        SettingError: fewer than one row.

    >>> [(number, size) for number, size, _ in chunks(CHUNK + 1, seed=0)]
    [(0, 4096), (1, 1)]
    """
    if rows < 1:
        raise SettingError(f"a synthetic database has at least one row; got {rows}; ask for more")
    for k, begin in enumerate(range(0, rows, CHUNK)):
        yield k, min(CHUNK, rows - begin), np.random.default_rng([seed, k])


def stamp(minutes: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Minutes (``Int[n]``) since 2110-01-01 as times; null where `missing` (``Bool[n]``).

    >>> stamp(np.array([0, 1_441]), np.array([True, False])).to_pylist()
    [None, datetime.datetime(2110, 1, 2, 0, 1)]
    """
    epoch = np.datetime64("2110-01-01T00:00", "s")
    times = epoch + minutes.astype(np.int64) * np.timedelta64(60, "s")
    return pa.array(times, type=pa.timestamp("s"), mask=missing)


class RawWriter:
    """Appends lines to the tables of one folder.

    Args:
        folder: where; tables are named "hosp/labevents".

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with ExitStack() as stack:
    ...         RawWriter(Path(folder), stack).write("hosp/t", "id,flag", {"id": [7]})
    ...     gzip.decompress(Path(folder, "hosp", "t.csv.gz").read_bytes())
    b'id,flag\\n7,\\n'
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._open: dict[str, pc.CSVWriter] = {}

    def write(self, table: str, header: str, columns: Mapping[str, Any]) -> None:
        """Appends lines; columns of the `header` that are not given stay empty."""
        size = len(next(iter(columns.values())))
        names = header.split(",")
        arrays = [
            columns[n]
            if isinstance(columns.get(n), pa.Array)
            else pa.array(columns[n])
            if n in columns
            else pa.nulls(size, pa.string())
            for n in names
        ]
        part = pa.table(dict(zip(names, arrays, strict=True)))
        if table not in self._open:
            self._open[table] = self._start(table, part.schema)
        self._open[table].write_table(part)

    def _start(self, table: str, schema: pa.Schema) -> pc.CSVWriter:
        path = self._folder / f"{table}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = self._stack.enter_context(path.open("wb"))
        packed = self._stack.enter_context(
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0)
        )
        # pyarrow quotes the names of columns too, which the official files do not
        packed.write((",".join(schema.names) + "\n").encode())
        options = pc.WriteOptions(include_header=False, quoting_style="needed")
        return self._stack.enter_context(pc.CSVWriter(packed, schema, write_options=options))


@contextmanager
def writing(out: str | Path, told: str) -> Iterator[RawWriter]:
    """A writer into a new folder, which gets its name when all tables are whole.

    Args:
        out: a new or empty folder, or an earlier synthetic one, which is replaced.
        told: what `SYNTHETIC.txt` says.

    Raises:
        StorageError: the folder holds something else, or cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with writing(Path(folder, "raw"), "made up") as writer:
    ...         writer.write("patients", "id,age", {"id": [7], "age": [40]})
    ...         Path(folder, "raw").exists()
    ...     sorted(p.name for p in Path(folder, "raw").iterdir())
    False
    ['SYNTHETIC.txt', 'patients.csv.gz']
    """
    out = Path(out).expanduser().resolve()
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise StorageError(
            f"a synthetic database is written into a new folder, or replaces another one; {out} "
            "holds something else; choose another folder"
        )
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        with ExitStack() as stack:
            yield RawWriter(part, stack)
        (part / MARK).write_text(told + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.rename(part, out)
    except OSError as error:
        reason = error.strerror or "error of the system"
        raise StorageError(f"{out} could not be written: {reason}; choose another place") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def simulate(
    out: str | Path,
    told: str,
    *,
    rows: int,
    seed: int,
    begin: Callable[[RawWriter], None],
    chunk: Callable[[RawWriter, int, int, np.random.Generator], None],
) -> Path:
    """Writes a raw folder: `begin` what stands once, then `chunk` after `chunk` of its rows.

    Args:
        out: see `writing`.
        told: what `SYNTHETIC.txt` says, with places for {rows} and {seed}.
        rows: of the database, see `chunks`.
        seed: of everything drawn.
        begin: writes tables that do not depend on rows.
        chunk: (writer, number, rows, generator) writes one part of the rows.

    Raises:
        SettingError: fewer than one row.
        StorageError: see `writing`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     raw = simulate(Path(folder, "raw"), "{rows} made up", rows=2, seed=0,
    ...         begin=lambda writer: None,
    ...         chunk=lambda writer, number, size, rng: writer.write("t", "id", {"id": range(size)}))
    ...     (raw / MARK).read_text(), gzip.decompress((raw / "t.csv.gz").read_bytes())
    ('2 made up\\n', b'id\\n0\\n1\\n')
    """
    parts = chunks(rows, seed)
    first = next(parts)  # refuses too few rows before the folder is touched
    with writing(out, told.format(rows=rows, seed=seed)) as writer:
        begin(writer)
        for part in chain([first], parts):
            chunk(writer, *part)
    return Path(out)
