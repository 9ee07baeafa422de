"""Spark: the same expressions on several cores or machines, by SQL that is given to a session."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amodal.clinical.engine import arrow_schema, fresh_name, ibis_columns, missing_extra, sql_of
from amodal.errors import SettingError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["LOCAL", "SparkEngine"]

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # times here have no zone: none may be added
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.caseSensitive": "false",
}
"""What the results depend on; set in a session of the engine's own."""

LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
"""Of a Spark that is started here."""


class SparkEngine:
    """Runs Ibis expressions on Spark, in ANSI mode, where a wrong cast or x/0 fails.

    What is kept or fetched passes through Parquet files in `folder`, so that neither Spark nor
    this process holds a large table in memory.

    Args:
        session: a session that there is; it is not changed, and goes on. `folder` must then be a
            place that all its machines see. None takes the one that is active in this process, or
            starts one on this machine.
        threads: of a local Spark.
        memory: of a local Spark's Java process ("2GB").
        folder: where tables wait; None for a temporary one. It holds patient data; what the engine
            wrote there is removed on `close`.

    Raises:
        SettingError: pyspark is not installed, or Spark cannot start.
    """

    def __init__(
        self,
        *,
        session: SparkSession | None = None,
        threads: int = 2,
        memory: str = "2GB",
        folder: str | Path | None = None,
    ) -> None:
        self._started = None
        if session is None:
            session, begun = _start(threads, memory)
            self._started = session if begun else None
        self._session = session.newSession()  # its settings and names are its own
        for key, value in _SETTINGS.items():
            self._session.conf.set(key, value)
        parent = None if folder is None else Path(folder)
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="spark-", dir=parent)).resolve()
        self._views: dict[str, Path | None] = {}  # the folder of those that were written here

    # -- running ----------------------------------------------------------------------------------

    def fetch(self, expr: ibis.Table) -> pa.Table:
        """As `Engine.fetch`."""
        import pyarrow as pa

        return pa.Table.from_batches(self.stream(expr), schema=arrow_schema(expr))

    def stream(self, expr: ibis.Table, *, lines: int = 1 << 18) -> Iterator[pa.RecordBatch]:
        """As `Engine.stream`."""
        import pyarrow.parquet as pq

        schema = arrow_schema(expr)
        folder = self._write(self._frame(expr), "result")
        try:
            # files are numbered in the order of the rows
            for path in sorted(folder.glob("part-*.parquet")):
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(lines):
                        yield batch.select(schema.names).cast(schema)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def count(self, expr: ibis.Table) -> int:
        """As `Engine.count`."""
        return int(self._frame(expr).count())

    # -- tables -----------------------------------------------------------------------------------

    def keep(self, expr: ibis.Table, name: str = "step") -> ibis.Table:
        """As `Engine.keep`."""
        import ibis

        frame = self._frame(expr)
        folder = self._write(frame, name)
        made = folder.name
        self._session.read.schema(frame.schema).parquet(str(folder)).createOrReplaceTempView(made)
        self._views[made] = folder
        return ibis.table(expr.schema(), name=made)

    def drop(self, table: ibis.Table) -> None:
        """As `Engine.drop`."""
        name = table.get_name()
        self._session.catalog.dropTempView(name)
        folder = self._views.pop(name)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def parquet(self, path: str | Path, name: str) -> ibis.Table:
        """As `LocalEngine.parquet`."""
        import ibis
        import pyarrow.parquet as pq

        made = fresh_name(name)
        source = re.sub(r"([*?\[\]{}\\])", r"\\\1", str(Path(path).resolve()))
        self._session.read.parquet(source).createOrReplaceTempView(made)
        self._views[made] = None
        return ibis.table(ibis_columns(pq.read_schema(path)), name=made)

    def arrow(self, table: pa.Table, name: str = "given") -> ibis.Table:
        """As `Engine.arrow`."""
        import pyarrow.parquet as pq

        folder = self._folder / fresh_name(name)
        folder.mkdir()
        pq.write_table(table, folder / "given.parquet")
        made = self.parquet(folder / "given.parquet", name)
        self._views[made.get_name()] = folder
        return made

    # -- ending -----------------------------------------------------------------------------------

    def close(self) -> None:
        """As `Engine.close`; a session that was given goes on."""
        try:
            for name in self._views:
                self._session.catalog.dropTempView(name)
            if self._started is not None:
                self._started.stop()
        finally:  # rows do not stay behind where Spark has died
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _frame(self, expr: ibis.Table) -> DataFrame:
        return self._session.sql(sql_of(expr, "pyspark"))

    def _write(self, frame: DataFrame, name: str) -> Path:
        folder = self._folder / fresh_name(name)
        frame.write.parquet(str(folder))
        return folder


def _start(threads: int, memory: str) -> tuple[SparkSession, bool]:
    """(a Spark on this machine, whether it was begun here): one that runs already is taken."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise missing_extra("spark", error) from None
    running = SparkSession.getActiveSession()
    if running is not None:
        return running, False
    amount = re.fullmatch(r"(\d+) ?([MG])B", memory.strip(), re.IGNORECASE)
    if amount is None or threads < 1:
        raise SettingError(
            f"memory is told as 800MB or 8GB, threads as a number; got {memory!r} and "
            f"{threads!r}; change them"
        )
    builder = SparkSession.builder.master(f"local[{threads}]").appName("amodal")
    builder = builder.config("spark.driver.memory", f"{amount[1]}{amount[2].lower()}")
    builder = builder.config("spark.sql.shuffle.partitions", str(2 * threads))
    for key, value in LOCAL.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate(), True
    except Exception as error:  # Java is lacking, or of another version
        raise SettingError(
            f"Spark could not start ({type(error).__name__}); it needs Java 17 or 21; install it, "
            "or leave out --engine spark"
        ) from None
