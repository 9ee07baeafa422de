"""BigQuery: the same expressions where MIMIC-IV and eICU are published, by SQL that is sent there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from amodal.clinical.engine import arrow_schema, fresh_name, ibis_columns, missing_extra, sql_of
from amodal.clinical.raw_table import RawTable, choose_columns
from amodal.errors import DataError, SettingError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

__all__ = [
    "BigQueryEngine",
    "GoogleWarehouse",
    "Published",
    "Warehouse",
    "check_published",
    "published_table",
]

_KINDS = {"int": "int64", "float": "float64", "text": "string", "time": "timestamp"}


class Warehouse(Protocol):
    """What is asked of BigQuery; all statements of one are of one session."""

    def columns(self, table: str) -> dict[str, str] | None:
        """Column -> type, as BigQuery calls it, of a table "project.data set.table"; None where
        there is no such table."""
        ...

    def run(self, sql: str) -> pa.Table:
        """The result of a statement."""
        ...

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The result of a query, some rows at a time, in the order that it asks for."""
        ...

    def close(self) -> None:
        """Ends the session, and with it its temporary tables."""
        ...


class GoogleWarehouse:
    """BigQuery by Google's own client, with the credentials and the project of its environment.

    Args:
        client: a `google.cloud.bigquery.Client`; None makes one.

    Raises:
        SettingError: the client is not installed, or finds no credentials.
    """

    def __init__(self, client: Any = None) -> None:
        try:
            from google.cloud import bigquery
        except ImportError as error:
            raise missing_extra("bigquery", error) from None
        self._google = bigquery
        if client is None:
            try:
                client = bigquery.Client()
            except Exception as error:
                raise SettingError(
                    f"BigQuery needs credentials and a project ({type(error).__name__}); run "
                    "`gcloud auth application-default login` and set GOOGLE_CLOUD_PROJECT"
                ) from None
        self._client = client
        self._session: str | None = None  # begun by the first statement, when all was checked
        self._columns: dict[str, dict[str, str] | None] = {}

    def columns(self, table: str) -> dict[str, str] | None:
        """As `Warehouse.columns`."""
        from google.api_core.exceptions import Forbidden, NotFound

        if table not in self._columns:
            try:
                with _told(Forbidden, NotFound):
                    schema = self._client.get_table(table).schema
                self._columns[table] = {f.name: f.field_type for f in schema}
            except (Forbidden, NotFound):
                self._columns[table] = None
        return self._columns[table]

    def run(self, sql: str) -> pa.Table:
        """As `Warehouse.run`."""
        with _told():
            return self._query(sql).to_arrow()

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """As `Warehouse.stream`."""
        with _told():
            yield from self._query(sql).result().to_arrow_iterable()

    def close(self) -> None:
        """As `Warehouse.close`."""
        if self._session is None:
            return
        with suppress(SettingError), _told():  # a session that is over need not be ended
            self._query("CALL BQ.ABORT_SESSION()").result()

    def _query(self, sql: str) -> Any:
        if self._session is None:
            config = self._google.QueryJobConfig(create_session=True)
            begun = self._client.query("SELECT 1", job_config=config)
            begun.result()
            self._session = begun.session_info.session_id
        session = self._google.ConnectionProperty("session_id", self._session)
        config = self._google.QueryJobConfig(connection_properties=[session])
        return self._client.query(sql, job_config=config)


@contextmanager
def _told(*expected: type[Exception]) -> Iterator[None]:
    """Turns what BigQuery refuses into one sentence without its text, which may quote cells."""
    from google.api_core.exceptions import GoogleAPICallError

    try:
        yield
    except expected:
        raise
    except GoogleAPICallError as error:
        raise SettingError(
            f"BigQuery must run what it is asked; it refused ({type(error).__name__}, code "
            f"{getattr(error, 'code', None)}); look at the job in its console"
        ) from None


class BigQueryEngine:
    """Runs Ibis expressions in a session of BigQuery; what is kept is a temporary table there.

    Args:
        warehouse: the session.

    >>> import ibis
    >>> class Said:  # in place of BigQuery
    ...     def run(self, sql):
    ...         print(sql)
    >>> BigQueryEngine(Said()).drop(ibis.table({"row": "int64"}, name="step_1"))
    DROP TABLE `step_1`
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def fetch(self, expr: ibis.Table) -> pa.Table:
        """As `Engine.fetch`."""
        found = self.warehouse.run(sql_of(expr, "bigquery"))
        schema = arrow_schema(expr)
        return found.select(schema.names).cast(schema)

    def stream(self, expr: ibis.Table, *, lines: int = 1 << 18) -> Iterator[pa.RecordBatch]:
        """As `Engine.stream`; BigQuery decides how many rows come together."""
        schema = arrow_schema(expr)
        for batch in self.warehouse.stream(sql_of(expr, "bigquery")):
            yield batch.select(schema.names).cast(schema)

    def count(self, expr: ibis.Table) -> int:
        """As `Engine.count`."""
        return int(self.fetch(expr.aggregate(n=expr.count()))["n"][0].as_py())

    def keep(self, expr: ibis.Table, name: str = "step") -> ibis.Table:
        """As `Engine.keep`."""
        import ibis

        made = fresh_name(name)
        self.warehouse.run(f"CREATE TEMP TABLE `{made}` AS\n{sql_of(expr, 'bigquery')}")
        return ibis.table(expr.schema(), name=made)

    def drop(self, table: ibis.Table) -> None:
        """As `Engine.drop`."""
        self.warehouse.run(f"DROP TABLE `{table.get_name()}`")

    def arrow(self, table: pa.Table, name: str = "given") -> ibis.Table:
        """As `Engine.arrow`: the cells stand in the statement, which may have a million letters."""
        import ibis

        columns = ibis_columns(table.schema)
        made = fresh_name(name)
        kinds = ", ".join(f"`{c}` {_SQL[t]}" for c, t in columns.items())
        self.warehouse.run(f"CREATE TEMP TABLE `{made}` ({kinds})")
        lines = [", ".join(map(_literal, row.values())) for row in table.to_pylist()]
        if lines:
            self.warehouse.run(f"INSERT INTO `{made}` VALUES ({'), ('.join(lines)})")
        return ibis.table(columns, name=made)

    def close(self) -> None:
        """As `Engine.close`."""
        self.warehouse.close()


_SQL = {"int64": "INT64", "float64": "FLOAT64", "string": "STRING"}


def _literal(cell: float | str | None) -> str:
    """A cell as BigQuery writes it.

    >>> print(_literal(None), _literal(2), _literal(0.5), _literal("it's"))
    NULL 2 0.5 'it\\'s'
    """
    from sqlglot import expressions as sg

    if cell is None:
        return "NULL"
    return sg.Literal.string(cell).sql("bigquery") if isinstance(cell, str) else repr(cell)


# -- published tables -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """The tables of a database as they are published on BigQuery.

    Args:
        warehouse: where.
        database: what it is called in messages.
        places: table -> the data sets in which it may be ("physionet-data.eicu_crd").
        tables: name -> what is read of it.

    >>> class Demo:  # in place of BigQuery
    ...     def columns(self, table):
    ...         return {"age": "STRING"} if table == "own.demo.patient" else None
    >>> places = {"patient": ("own.full", "own.demo")}
    >>> Published(Demo(), "eICU-CRD", places, {}).path("patient")
    'own.demo.patient'
    """

    warehouse: Warehouse
    database: str
    places: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, RawTable]

    def path(self, name: str, *, needed: bool = True) -> str | None:
        """The full name of table `name`.

        Raises:
            DataError: there is none and it is `needed`.
        """
        for place in self.places[name]:
            full = f"{place}.{name.lower()}"
            if self.warehouse.columns(full) is not None:
                return full
        if needed:
            places = " and ".join(self.places[name]) or "no data set"
            raise DataError(
                f"{self.database} has a table {name}; {places} has none that can be seen; ask for "
                "access, name another RAW, or leave out the modality that needs it with "
                "--modalities"
            )
        return None

    def columns(self, name: str) -> list[str]:
        """The names of the columns of a table that is there."""
        return list(self.warehouse.columns(self.path(name)) or {})


def check_published(name: str, example: str) -> None:
    """Refuses what is no "project.name"; it enters SQL.

    >>> check_published("physionet-data.eicu_crd", "physionet-data.eicu_crd")
    """
    if re.fullmatch(r"[A-Za-z][\w-]*\.\w+", name, re.ASCII) is None:
        raise SettingError(
            f"with --engine bigquery RAW and NOTES are names as {example}; got {name!r}; name "
            "where the database is published"
        )


def published_table(full: str, columns: Mapping[str, str], table: RawTable) -> ibis.Table:
    """A published table with the columns and types of the csv, so that every rule fits both.

    Empty texts are null, as they are when a csv is read; a column that the version lacks is null.

    Args:
        full: "project.data set.table".
        columns: its columns -> types of BigQuery.
        table: what is read of it.

    Raises:
        DataError: a column is lacking.

    >>> table = RawTable("t", {"race": "text"}, {"flag": "int"})
    >>> print(sql_of(published_table("own.demo.t", {"race": "STRING"}, table), "bigquery"))
    SELECT
      NULLIF(`t0`.`race`, '') AS `race`,
      CAST(NULL AS INT64) AS `flag`
    FROM `own`.`demo`.`t` AS `t0`
    """
    import ibis

    project, place, name = full.split(".")
    found = ibis.table(
        {column: _ibis_type(kind) for column, kind in columns.items()},
        name=name,
        catalog=project,
        database=place,
    )
    chosen = choose_columns(full, list(columns), table)
    cells = {}
    for column, kind in {**table.columns, **table.optional}.items():
        target = _KINDS[kind]
        if column not in chosen:
            cells[column] = ibis.null(target)
            continue
        cell = found[chosen[column]]
        cell = cell if str(cell.type()) == target else cell.cast(target)
        cells[column] = cell.nullif("") if kind == "text" else cell
    return found.select(**cells)


_TYPES = {
    "INTEGER": "int64",
    "INT64": "int64",
    "FLOAT": "float64",
    "FLOAT64": "float64",
    "NUMERIC": "decimal(38, 9)",
    "BIGNUMERIC": "decimal(76, 38)",
    "STRING": "string",
    "DATE": "date",
    "DATETIME": "timestamp",
    "TIMESTAMP": "timestamp('UTC')",
    "BOOLEAN": "boolean",
    "BOOL": "boolean",
}


def _ibis_type(kind: str) -> str:
    """What Ibis calls a type of BigQuery; one that no rule reads counts as text."""
    return _TYPES.get(kind.upper(), "string")
