"""One run of a preparation: the engine, and the folder where converted tables wait."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from amodal.clinical.engine import Engine
from amodal.clinical.raw import RawTable, convert
from amodal.errors import StorageError

if TYPE_CHECKING:
    import ibis

__all__ = ["Machine", "Workspace"]


@dataclass(frozen=True)
class Machine:
    """What a preparation may use.

    Args:
        threads: of DuckDB.
        memory: of DuckDB; more is spilled to disk.
        keep_tables: leave the converted tables beside OUT for the next preparation.
    """

    threads: int = 2
    memory: str = "800MB"
    keep_tables: bool = False


class Workspace:
    """Raw tables of one database as Ibis tables, each converted once.

    Beside OUT lies a hidden folder ``.OUT.tables`` with the converted tables: a preparation that
    was stopped goes on from them. It holds patient data, and is removed when the preparation ends
    well.

    Args:
        find: name of a table -> its file.
        tables: name -> what is read of it.
        out: where the data set goes; None for a temporary folder.
        machine: threads, memory.
        say: is told what is being done.
    """

    def __init__(
        self,
        find: Callable[[str], Path | None],
        tables: Mapping[str, RawTable],
        *,
        out: str | Path | None = None,
        machine: Machine | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.machine = machine or Machine()
        self._find, self._tables, self._say = find, tables, say or (lambda line: None)
        self.sources: dict[str, dict[str, Any]] = {}
        self._temporary = out is None
        if out is None:
            self._folder = Path(tempfile.mkdtemp(prefix="amodal-tables-"))
        else:
            out = Path(out).expanduser().resolve()
            self._folder = out.with_name(f".{out.name}.tables")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self._folder} could not be made: {error.strerror}; choose another OUT"
            ) from None
        self.engine = Engine(
            threads=self.machine.threads,
            memory=self.machine.memory,
            spill=self._folder / "spill",
        )

    def table(self, name: str, *, only: tuple[str, Collection[Any]] | None = None) -> ibis.Table:
        """The raw table `name`, or its lines of which a column has `only` some values."""
        path = self._find(name)
        self.say(f"reading {path.name}")
        self.sources[name] = {"file": path.name, "bytes": path.stat().st_size}
        made = convert(self.engine, path, self._tables[name], self._folder, only=only)
        return self.engine.parquet(made, name)

    def say(self, line: str) -> None:
        """Tells what is being done."""
        self._say(line)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()
        shutil.rmtree(self._folder / "spill", ignore_errors=True)
        if self._temporary or (error is None and not self.machine.keep_tables):
            shutil.rmtree(self._folder, ignore_errors=True)
        elif not any(self._folder.iterdir()):
            self._folder.rmdir()
