"""Made-up raw sets in the official layouts, and where the real ones lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HEADER = "Time,Parameter,Value\n"


def stay_text(record: str, lines: str) -> str:
    """The file of one stay: header, its RecordID, and `lines` ("00:10 HR 80; 01:00 HR 90")."""
    rows = [f"00:00,RecordID,{record}"]
    rows += [",".join(line.split()) for line in lines.split(";") if line.strip()]
    return HEADER + "\n".join(rows) + "\n"


@pytest.fixture
def write_raw(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder ``set-a`` of stays ``RecordID -> lines`` and, where given, outcomes."""

    def write(stays: Mapping[str, str], outcomes: str | None = None, name: str = "set-a") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for record, lines in stays.items():
            (folder / f"{record}.txt").write_text(stay_text(record, lines))
        if outcomes is not None:
            head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
            rows = "".join(",".join(line.split()) + "\n" for line in outcomes.split(";"))
            (tmp_path / f"Outcomes-{name[-1]}.txt").write_text(head + rows)
        return folder

    return write


# -- small tables written as text -----------------------------------------------------------------


SPARK = [pytest.mark.slow, pytest.mark.xdist_group("spark")]
"""Of every test that needs Spark: one process has the one session."""


@pytest.fixture(scope="session")
def spark():
    """The one Spark session of all tests; small and quiet, and not compiling code: tables are tiny."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: make test-all installs it")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Java is not there: Spark cannot start")
    from pyspark.sql import SparkSession

    from amodal.clinical.spark import LOCAL

    settings = {
        **LOCAL,
        "spark.driver.memory": "1500m",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.adaptive.enabled": "false",
    }
    builder = SparkSession.builder.master("local[1]").appName("amodal tests")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session", params=["duckdb", pytest.param("spark", marks=SPARK)])
def engine(request):
    """An engine that all tests of table functions share: each rule is tested on each of them."""
    if request.param == "spark":
        from amodal.clinical.spark import SparkEngine

        with SparkEngine(session=request.getfixturevalue("spark")) as made:
            yield made
        return
    from amodal.clinical.duck import DuckEngine

    with DuckEngine(threads=1, memory="300MB") as made:
        yield made


@pytest.fixture(scope="session")
def table(engine):
    """table(text, column=type, ...) -> an Ibis table.

    The first line names the columns, cells stand apart by spaces, "-" is null, "_" in a text is a
    space; a time is written 2150-01-31 or 2150-01-31T10:00. Types are int unless told.
    """
    import pyarrow as pa

    kinds = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "time": None}

    def make(text: str, /, **types: str):
        head, *lines = (line.split() for line in text.strip().splitlines())
        columns = {}
        for k, name in enumerate(head):
            cells = [None if line[k] == "-" else line[k] for line in lines]
            kind = types.get(name, "int")
            columns[name] = pa.array(
                [_cell(c, kind) for c in cells], kinds[kind] or pa.timestamp("us")
            )
        return engine.arrow(pa.table(columns))

    return make


def _cell(text: str | None, kind: str):
    from datetime import datetime

    if text is None:
        return None
    if kind == "time":
        return datetime.fromisoformat(text)
    return {"int": int, "float": float, "text": lambda t: t.replace("_", " ")}[kind](text)


@pytest.fixture(scope="session")
def lines(engine):
    """lines(expr, column, ...) -> the rows as tuples, in order of the columns."""

    def fetch(expr, *columns: str) -> list[tuple]:
        found = engine.fetch(expr.select(*columns)).to_pylist()
        rows = [tuple(line[c] for c in columns) for line in found]
        return sorted(rows, key=lambda row: tuple((x is not None, x) for x in row))

    return fetch
