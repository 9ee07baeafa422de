"""What BigQuery is sent, run on DuckDB in its place: nothing connects.

The statements are those that BigQuery would get; sqlglot parses them as its dialect and says them
in DuckDB's. That BigQuery itself accepts them is not tested here.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot

from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.bigquery import BigQueryEngine, Published, published_table
from amodal.clinical.eicu.layout import TABLES as EICU
from amodal.clinical.eicu.layout import published_eicu
from amodal.clinical.engine import sql_of
from amodal.clinical.mimic4.layout import TABLES as MIMIC
from amodal.clinical.mimic4.layout import before_2, published_mimic4
from amodal.clinical.raw import RawTable
from amodal.clinical.simulate import simulate_eicu, simulate_mimic4
from amodal.clinical.workspace import Machine
from amodal.errors import DataError, SettingError

KINDS = {"int": "INTEGER", "float": "FLOAT", "text": "STRING", "time": "DATETIME"}
HERE = {"INTEGER": "BIGINT", "FLOAT": "DOUBLE", "STRING": "VARCHAR", "DATETIME": "TIMESTAMP"}
HERE |= {"DATE": "DATE"}
DATES = {"dod", "chartdate"}  # published as DATE


class Stand:
    """A warehouse that runs what BigQuery would on DuckDB, and remembers it."""

    def __init__(self) -> None:
        self._raw = duckdb.connect(config={"threads": "1"})
        self._raw.execute("""set enable_progress_bar = false;
            create macro ieee_divide(a, b) as cast(a as double) / b; attach ':memory:' as "published" """)
        self.there: dict[str, dict[str, str]] = {}
        self.said: list[str] = []
        self.closed = False

    def publish(self, place: str, path: Path, table: RawTable) -> None:
        """A csv as a published table: names in lower case, dates as dates, empty texts as texts."""
        columns = {**table.columns, **table.optional}
        types = {c: "DATE" if c in DATES else KINDS[kind] for c, kind in columns.items()}
        self.there[f"published.{place}.{table.name.lower()}"] = types
        cells = ", ".join(
            f"coalesce({c}, '') as {c}" if t == "STRING" else f'cast("{c}" as {HERE[t]}) as "{c}"'
            for c, t in types.items()
        )
        self._raw.execute(f'create schema if not exists "published"."{place}"')
        self._raw.execute(
            f'create table "published"."{place}"."{table.name.lower()}" as select {cells} from '
            f"read_csv('{path}', all_varchar=true, header=true, nullstr='')"
        )

    def columns(self, table: str) -> dict[str, str] | None:
        return self.there.get(table)

    def run(self, sql: str) -> pa.Table:
        self.said.append(sql)
        (here,) = sqlglot.transpile(sql, read="bigquery", write="duckdb")
        found = self._raw.execute(here)
        return (
            found.to_arrow_table() if here.lstrip().upper().startswith(("SELECT", "WITH")) else None
        )

    def stream(self, sql: str):
        yield from self.run(sql).to_batches(max_chunksize=1000)

    def close(self) -> None:
        self.closed = True
