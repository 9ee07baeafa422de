"""Where Ibis expressions run: DuckDB inside this process, with bounded threads and memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.errors import AmodalError, SettingError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

__all__ = ["Engine", "sql_of"]

_EXTRA = (
    "clinical sets are prepared by ibis and duckdb; {} is not installed; "
    "pip install 'amodal[clinical]'"
)


class Engine:
    """A DuckDB connection that runs Ibis expressions and spills to disk beyond its memory.

    Args:
        threads: at most so many.
        memory: limit of what DuckDB keeps in memory ("1500MB").
        spill: folder for what does not fit; None for a temporary one. It holds patient data, and
            is removed on `close`.

    Raises:
        SettingError: ibis or duckdb is not installed.

    >>> with Engine() as engine:
    ...     engine.sql("select 40 + 2 as answer").to_pylist()
    [{'answer': 42}]
    """

    def __init__(
        self, *, threads: int = 2, memory: str = "800MB", spill: str | Path | None = None
    ) -> None:
        try:
            import duckdb
            import ibis
        except ImportError as error:
            missing = (error.name or "ibis").split(".")[0]
            raise SettingError(_EXTRA.format(missing)) from None
        self._own = tempfile.mkdtemp(prefix="amodal-spill-") if spill is None else None
        self._ibis = ibis
        config = {"memory_limit": memory, "temp_directory": str(spill or self._own)}
        try:
            self._raw = duckdb.connect(config={"threads": str(threads), **config})
        except duckdb.Error:
            raise SettingError(
                f"memory is told as 800MB or 8GB, threads as a number; got {memory!r} and "
                f"{threads!r}; change them"
            ) from None
        self._raw.execute("set enable_progress_bar = false")
        self._made = 0

    # -- running ----------------------------------------------------------------------------------

    def sql(self, text: str) -> pa.Table:
        """The result of a query in DuckDB's own SQL."""
        return self._raw.sql(text).to_arrow_table()

    def execute(self, text: str) -> None:
        """Runs a statement that has no result."""
        self._raw.execute(text)

    def fetch(self, expr: ibis.Table) -> pa.Table:
        """The rows of an expression, in memory."""
        return self.sql(sql_of(expr))

    def stream(self, expr: ibis.Table, *, lines: int = 1 << 18) -> Iterator[pa.RecordBatch]:
        """The rows of an expression, some at a time."""
        yield from self._raw.sql(sql_of(expr)).to_arrow_reader(lines)

    def count(self, expr: ibis.Table) -> int:
        """The number of rows of an expression."""
        return int(self.sql(f"select count(*) as n from ({sql_of(expr)})")["n"][0].as_py())

    # -- tables -----------------------------------------------------------------------------------

    def keep(self, expr: ibis.Table, name: str = "step") -> ibis.Table:
        """The expression computed once and kept as a temporary table."""
        self._made += 1
        name = f"{name}_{self._made}"
        self.execute(f'create temp table "{name}" as {sql_of(expr)}')
        return self._named(name)

    def drop(self, table: ibis.Table) -> None:
        """Forgets a table that `keep` or `arrow` made, and frees its memory."""
        self.execute(f'drop table "{table.get_name()}"')

    def parquet(self, path: str | Path, name: str) -> ibis.Table:
        """A Parquet file as a table, read when it is asked for."""
        self.execute(f'create or replace view "{name}" as from {parquet_source(path)}')
        return self._named(name)

    def arrow(self, table: pa.Table, name: str = "given") -> ibis.Table:
        """A table in memory as an Ibis table."""
        self._made += 1
        name = f"{name}_{self._made}"
        self._raw.register(f"{name}_in", table)
        self.execute(f'create temp table "{name}" as from "{name}_in"')
        self._raw.unregister(f"{name}_in")
        return self._named(name)

    def _named(self, name: str) -> ibis.Table:
        """The table or view `name` as an Ibis table: its columns and their types."""
        lines = self._raw.sql(f'describe "{name}"').fetchall()
        return self._ibis.table({line[0]: _ibis_type(line[1]) for line in lines}, name=name)

    # -- ending -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the connection and removes what was spilled."""
        self._raw.close()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


_TYPES = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "HUGEINT": "int64",  # sums of whole numbers
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}


def _ibis_type(name: str) -> str:
    """What Ibis calls a type of DuckDB.

    >>> _ibis_type("BIGINT"), _ibis_type("DECIMAL(18,3)")
    ('int64', 'decimal(18,3)')
    """
    return _TYPES.get(name) or name.lower()


def sql_of(expr: Any, dialect: str = "duckdb") -> str:
    """The SQL that an expression becomes: "duckdb", "bigquery" or "pyspark".

    >>> import ibis
    >>> print(sql_of(ibis.table({"a": "int64"}, name="t").filter(ibis._.a > 1), "bigquery"))
    SELECT
      *
    FROM `t` AS `t0`
    WHERE
      `t0`.`a` > 1
    """
    import ibis

    return str(ibis.to_sql(expr, dialect=dialect))


def quoted(text: str | Path) -> str:
    """A text as a literal of SQL.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + str(text).replace("'", "''") + "'"


def parquet_source(path: str | Path) -> str:
    """What a Parquet file is called in a query; characters that name many files are escaped."""
    name = str(path)
    if any(c in name for c in "*?["):
        raise AmodalError(
            f"a path must not hold '*', '?' or '['; {Path(name).name} does; choose another folder"
        )
    return f"read_parquet({quoted(name)})"
