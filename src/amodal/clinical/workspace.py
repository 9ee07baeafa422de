"""One run of a preparation: the engine, and where raw tables come from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from amodal.clinical.bigquery import BigQueryEngine, GoogleWarehouse, Published, published_table
from amodal.clinical.duck import DuckEngine
from amodal.clinical.engine import ENGINES, is_of_engine
from amodal.clinical.raw import convert
from amodal.clinical.raw_table import RawTable, repeated_key
from amodal.clinical.spark import SparkEngine
from amodal.errors import DataError, SettingError, StorageError

if TYPE_CHECKING:
    import ibis

__all__ = ["Machine", "Tables", "Workspace"]


@dataclass(frozen=True)
class Machine:
    """What a preparation may use.

    Args:
        threads: of DuckDB, and of a local Spark.
        memory: of DuckDB (800MB by default; more is spilled to disk), and of a local Spark (2GB).
        keep_tables: leave the converted tables beside OUT for the next preparation.
        engine: one of `ENGINES`.
        session: a SparkSession, or a BigQuery client, that there is; None makes one.

    Raises:
        SettingError: the engine is none of `ENGINES`.

    >>> Machine(engine="mysql")
    Traceback (most recent call last):
    amodal.errors.SettingError: the engine is duckdb, spark or bigquery; got 'mysql'; choose one ...
    """

    threads: int = 2
    memory: str | None = None
    keep_tables: bool = False
    engine: str = "duckdb"
    session: Any = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise SettingError(
                f"the engine is {', '.join(ENGINES[:-1])} or {ENGINES[-1]}; got {self.engine!r}; "
                "choose one of these"
            )

    def warehouse(self) -> Any:
        """BigQuery, as `session` or by a client of its own."""
        ready = hasattr(self.session, "columns")
        return self.session if ready else GoogleWarehouse(self.session)


class Tables(Protocol):
    """Where the tables of one copy of a database are: in folders, or published."""

    def path(self, name: str, *, needed: bool = True) -> Any:
        """The file or the full name of a table; an error, or None, where there is none."""
        ...


class Workspace:
    """Raw tables of one database as Ibis tables, and the engine that they live in.

    Files are converted to Parquet once, by Arrow and checked by DuckDB, whichever engine reads them
    then. Beside OUT lies a hidden folder ``.OUT.tables`` with the converted tables: a preparation
    that was stopped goes on from them. It holds patient data, and is removed when the preparation
    ends well.

    Args:
        found: where the tables are.
        tables: name -> what is read of it.
        out: where the data set goes; None for a temporary folder.
        machine: engine, threads, memory.
        say: is told what is being done.

    >>> from types import SimpleNamespace
    >>> table = RawTable("t", {"age": "int"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "t.csv").write_text("id,age\\n1,40\\n")
    ...     found = SimpleNamespace(path=lambda name, needed=True: Path(folder, "t.csv"))
    ...     with Workspace(found, {"t": table}, say=print) as work:
    ...         work.engine.fetch(work.table("t")).to_pylist()
    reading t.csv
    [{'age': 40}]
    """

    def __init__(
        self,
        found: Tables,
        tables: Mapping[str, RawTable],
        *,
        out: str | Path | None = None,
        machine: Machine | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.machine = machine or Machine()
        self._found, self._tables, self._say = found, tables, say or (lambda line: None)
        self.sources: dict[str, dict[str, Any]] = {}
        self._doing = ""
        self._temporary = out is None
        if isinstance(found, Published):
            self.engine: Any = BigQueryEngine(found.warehouse)
        else:
            self._folder = _beside(out)
            try:
                self._local()
            except BaseException:
                self._tidy(keep=any(self._folder.iterdir()) and not self._temporary)
                raise

    def _local(self) -> None:
        """DuckDB, which reads the files, and Spark where that runs the rules."""
        ask, spill = self.machine, self._folder / "spill"
        spark = ask.engine == "spark"
        memory = "800MB" if spark else ask.memory or "800MB"
        self._reader = DuckEngine(threads=ask.threads, memory=memory, spill=spill)
        self.engine = self._reader
        if not spark:
            return
        try:
            self.engine = SparkEngine(
                session=ask.session, threads=ask.threads, memory=ask.memory or "2GB", folder=spill
            )
        except BaseException:
            self._reader.close()
            raise

    def has(self, name: str) -> bool:
        """Whether there is a table `name`."""
        return self._found.path(name, needed=False) is not None

    def table(self, name: str, *, only: tuple[str, Collection[Any]] | None = None) -> ibis.Table:
        """The raw table `name`, or its lines of which a column has `only` some values."""
        source = self._found.path(name)
        if isinstance(self._found, Published):
            return self._published(source, self._tables[name], only)
        self.say(f"reading {source.name}")
        self.sources[name] = {"file": source.name, "bytes": source.stat().st_size}
        made = convert(self._reader, source, self._tables[name], self._folder, only=only)
        return self.engine.parquet(made, name)

    def _published(
        self, full: str, table: RawTable, only: tuple[str, Collection[Any]] | None
    ) -> ibis.Table:
        self.say(f"reading {full}")
        self.sources[table.name] = {"table": full}
        columns = self._found.warehouse.columns(full)
        t = published_table(full, columns, table)
        if table.key:
            repeated = self.engine.count(t) - self.engine.count(t.select(*table.key).distinct())
            if repeated:
                raise repeated_key(table, repeated)
        return t if only is None else t.filter(t[only[0]].isin(sorted(only[1])))

    def say(self, line: str) -> None:
        """Tells what is being done."""
        self._doing = line
        self._say(line)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns what an engine refuses into one sentence without its text, which may quote cells.

        Raises:
            DataError: in place of any error of an engine.
        """
        try:
            yield
        except Exception as error:
            if not is_of_engine(error):
                raise
            raise DataError(
                f"each cell must have a meaning; while {self._doing or 'beginning'}, "
                f"{self.machine.engine} could not compute ({type(error).__name__}), after it had "
                f"read {', '.join(self.sources) or 'nothing'}; look there for numbers or times "
                "that cannot be, or fetch the tables again"
            ) from None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *raised: object) -> None:
        if isinstance(self._found, Published):
            self.engine.close()
            return
        try:
            self.engine.close()
        finally:  # what holds rows goes even if an engine cannot be closed any more
            if self.engine is not self._reader:
                self._reader.close()
            done = raised[1] is None and not self.machine.keep_tables
            self._tidy(keep=not (self._temporary or done))

    def _tidy(self, *, keep: bool) -> None:
        """Removes what was spilled, and the converted tables unless they are kept."""
        shutil.rmtree(self._folder / "spill", ignore_errors=True)
        if not keep:
            shutil.rmtree(self._folder, ignore_errors=True)


def _beside(out: str | Path | None) -> Path:
    """The folder beside OUT where tables wait; a temporary one where there is no OUT."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="amodal-tables-"))
    out = Path(out).expanduser().resolve()
    folder = out.with_name(f".{out.name}.tables")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be made: {error.strerror}; choose another OUT"
        ) from None
    return folder
