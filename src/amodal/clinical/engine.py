"""Where Ibis expressions run: what the rules need of an engine, and the SQL that each is given.

| engine | where | file |
|---|---|---|
| DuckDB | inside this process | `duck` |
| Spark | local, or a session that there is | `spark` |
| BigQuery | where the databases are published | `bigquery` |

The rules are the same expressions on each of them. They use what all three understand alike: long
tables and no arrays, sums of whole numbers, no division that could be by 0, orders without ties,
nulls last, texts compared by their bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from amodal.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    import ibis
    import pyarrow as pa

__all__ = [
    "ENGINES",
    "Engine",
    "LocalEngine",
    "arrow_schema",
    "fresh_name",
    "ibis_columns",
    "is_of_engine",
    "missing_extra",
    "sql_of",
]

ENGINES = ("duckdb", "spark", "bigquery")


_OF_ENGINES = {"duckdb", "pyarrow", "pyspark", "py4j", "google", "ibis", "sqlglot"}


class Engine(Protocol):
    """What runs Ibis expressions; rows come in no order but the one that is asked for."""

    def fetch(self, expr: ibis.Table) -> pa.Table:
        """The rows of an expression, in memory."""
        ...

    def stream(self, expr: ibis.Table, *, lines: int = ...) -> Iterator[pa.RecordBatch]:
        """The rows of an expression, some at a time."""
        ...

    def count(self, expr: ibis.Table) -> int:
        """The number of rows of an expression."""
        ...

    def keep(self, expr: ibis.Table, name: str = "step") -> ibis.Table:
        """The expression computed once and kept as a temporary table."""
        ...

    def drop(self, table: ibis.Table) -> None:
        """Forgets a table that `keep` or `arrow` made, and frees its memory."""
        ...

    def arrow(self, table: pa.Table, name: str = "given") -> ibis.Table:
        """A small table in memory as an Ibis table."""
        ...

    def close(self) -> None:
        """Ends what was begun."""
        ...


class LocalEngine(Engine, Protocol):
    """An engine that reads files."""

    def parquet(self, path: str | Path, name: str) -> ibis.Table:
        """A Parquet file as a table, read when it is asked for."""
        ...


def fresh_name(name: str) -> str:
    """A name that no other table, view or folder has.

    >>> fresh_name("rows") != fresh_name("rows")
    True
    """
    return f"{name}_{uuid.uuid4().hex[:12]}"


def is_of_engine(error: BaseException) -> bool:
    """Whether an error comes from an engine, so that its text may quote cells.

    >>> import pyarrow
    >>> is_of_engine(pyarrow.ArrowInvalid("4711 is no time")), is_of_engine(ValueError("a bug"))
    (True, False)
    """
    packages = {c.__module__.split(".")[0].lstrip("_") for c in type(error).__mro__}
    return bool(packages & _OF_ENGINES)


def missing_extra(extra: str, error: ImportError) -> SettingError:
    """What to install, for a package that could not be imported.

    >>> print(missing_extra("spark", ImportError(name="pyspark.sql")))
    clinical sets are prepared by engines that are extras; pyspark is not installed; pip install
    'amodal[spark]'
    """
    package = (error.name or "ibis").split(".")[0]
    package = {"google": "google-cloud-bigquery"}.get(package, package)
    return SettingError(
        f"clinical sets are prepared by engines that are extras; {package} is not installed; "
        f"pip install 'amodal[{extra}]'"
    )


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
    return _compiled(expr.op(), dialect)


@lru_cache(maxsize=512)
def _compiled(node: Any, dialect: str) -> str:
    """The SQL of an expression's node: compiling takes longer than running it on small tables, and
    the same preparation made again asks for the same."""
    import ibis

    if dialect == "pyspark" and ibis.options.pyspark is None:
        ibis.options.pyspark = _spark_options()
    return str(ibis.to_sql(node.to_expr(), dialect=dialect))


@cache
def _spark_options() -> Any:
    """What ibis reads when it compiles for Spark, which its own backend would set: NaN is no null,
    as on the other engines."""
    from ibis.config import Config

    class Spark(Config):
        treat_nan_as_null: bool = False

    return Spark()


def arrow_schema(expr: ibis.Table) -> pa.Schema:
    """The columns of an expression and their Arrow types, the same whatever an engine returns.

    >>> import ibis
    >>> arrow_schema(ibis.table({"at": "timestamp", "n": "int8"}, name="t"))
    at: timestamp[us]
    n: int8
    """
    import pyarrow as pa

    special = {"timestamp": pa.timestamp("us"), "date": pa.date32(), "boolean": pa.bool_()}
    return pa.schema(
        [(name, special.get(str(t)) or getattr(pa, str(t))()) for name, t in expr.schema().items()]
    )


def ibis_columns(schema: pa.Schema) -> dict[str, str]:
    """What Ibis calls the types of Arrow columns.

    >>> import pyarrow as pa
    >>> ibis_columns(pa.schema([("at", pa.timestamp("us")), ("value", pa.float64())]))
    {'at': 'timestamp', 'value': 'float64'}
    """
    special = {"double": "float64", "float": "float32", "bool": "boolean", "date32[day]": "date"}
    found = {f.name: special.get(str(f.type), str(f.type)) for f in schema}
    return {name: t.split("[")[0] for name, t in found.items()}
