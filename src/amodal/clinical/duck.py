"""DuckDB inside this process, with bounded threads and memory: the engine of one machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.clinical.engine import missing_extra, sql_of
from amodal.errors import AmodalError, SettingError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

__all__ = ["DuckEngine", "parquet_source", "quoted", "tried"]


class DuckEngine:
    """A DuckDB connection that runs Ibis expressions and spills to disk beyond its memory.

    Args:
        threads: at most so many.
        memory: limit of what DuckDB keeps in memory ("1500MB").
        spill: folder for what does not fit; None for a temporary one. It holds patient data, and
            is removed on `close`.

    Raises:
        SettingError: ibis or duckdb is not installed.

    >>> with DuckEngine() as engine:
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
            raise missing_extra("clinical", error) from None
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
        """As `Engine.fetch`."""
        return self.sql(sql_of(expr))

    def stream(self, expr: ibis.Table, *, lines: int = 1 << 18) -> Iterator[pa.RecordBatch]:
        """As `Engine.stream`."""
        yield from self._raw.sql(sql_of(expr)).to_arrow_reader(lines)

    def count(self, expr: ibis.Table) -> int:
        """As `Engine.count`."""
        return int(self.sql(f"select count(*) as n from ({sql_of(expr)})")["n"][0].as_py())

    # -- tables -----------------------------------------------------------------------------------

    def keep(self, expr: ibis.Table, name: str = "step") -> ibis.Table:
        """As `Engine.keep`."""
        self._made += 1
        name = f"{name}_{self._made}"
        self.execute(f'create temp table "{name}" as {sql_of(expr)}')
        return self._named(name)

    def drop(self, table: ibis.Table) -> None:
        """As `Engine.drop`."""
        self.execute(f'drop table "{table.get_name()}"')

    def parquet(self, path: str | Path, name: str) -> ibis.Table:
        """As `LocalEngine.parquet`."""
        self.execute(f'create or replace view "{name}" as from {parquet_source(path)}')
        return self._named(name)

    def arrow(self, table: pa.Table, name: str = "given") -> ibis.Table:
        """As `Engine.arrow`."""
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
        """As `Engine.close`; removes what was spilled."""
        self._raw.close()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> DuckEngine:
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


def quoted(text: str | Path) -> str:
    """A text as a literal of SQL.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + str(text).replace("'", "''") + "'"


def parquet_source(path: str | Path) -> str:
    """What a Parquet file is called in a query; a name that stands for many files is refused.

    >>> parquet_source("labs.parquet")
    "read_parquet('labs.parquet')"
    """
    name = str(path)
    if any(c in name for c in "*?["):
        raise AmodalError(
            f"a path must not hold '*', '?' or '['; {Path(name).name} does; choose another folder"
        )
    return f"read_parquet({quoted(name)})"


def tried(
    rule: Callable[..., ibis.Table], *tables: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """What a rule makes of small tables, given as columns: its lines, in order.

    >>> tried(lambda t: t.filter(t.age >= 18), {"age": [17, 18, 40]})
    [{'age': 18}, {'age': 40}]
    """
    import pyarrow as pa

    with DuckEngine(threads=1) as engine:
        made = rule(*(engine.arrow(pa.table(dict(t))) for t in tables))
        return engine.fetch(made.order_by(list(made.columns))).to_pylist()
