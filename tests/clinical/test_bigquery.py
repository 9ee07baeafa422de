"""What BigQuery is sent, run on DuckDB in its place: nothing connects.

The statements are those that BigQuery would get; sqlglot parses them as its dialect and says them
in DuckDB's. That BigQuery itself accepts them is not tested here.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
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
from amodal.clinical.raw_table import RawTable
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
        self._raw.execute("set enable_progress_bar = false")
        self._raw.execute("create macro ieee_divide(a, b) as cast(a as double) / b")
        self._raw.execute("""attach ':memory:' as "published" """)
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
        if here.startswith(("CREATE", "INSERT", "DROP")):
            self._raw.execute(here)
            return pa.table({})
        return self._raw.sql(here).to_arrow_table()

    def stream(self, sql: str):
        yield from self.run(sql).to_batches(max_chunksize=1000)

    def close(self) -> None:
        self.closed = True


def published(raw: Path, prefix: str, tables: dict[str, RawTable]) -> Stand:
    """Every table of a raw folder, published as PhysioNet names the places."""
    stand = Stand()
    for path in sorted(raw.rglob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        place = prefix if path.parent == raw else f"{prefix}_{path.parent.name}"
        if name in tables:
            stand.publish(place.replace("_3_1_note", "_note"), path, tables[name])
    return stand


@pytest.fixture(scope="module")
def mimic4(tmp_path_factory) -> tuple[Path, Stand]:
    raw = simulate_mimic4(tmp_path_factory.mktemp("m") / "raw", rows=60, seed=3, labs_per_row=10)
    return raw, published(raw, "mimiciv_3_1", MIMIC)


@pytest.fixture(scope="module")
def eicu(tmp_path_factory) -> tuple[Path, Stand]:
    raw = simulate_eicu(tmp_path_factory.mktemp("e") / "raw", rows=60, seed=3, labs_per_row=10)
    return raw, published(raw, "eicu_crd", EICU)


def machine(stand: Stand) -> Machine:
    return Machine(engine="bigquery", session=stand)


ASKED = [
    {"task": "mortality", "protocol": "muse"},
    {"task": "readmission", "protocol": "muse"},
    {"task": "mortality", "protocol": "clean"},
    {"task": "readmission", "protocol": "clean", "predict_at": "coding"},
]


@pytest.mark.slow
@pytest.mark.parametrize("ask", ASKED)
def test_mimic4_as_from_its_files(mimic4, ask):
    raw, stand = mimic4
    choices = mimic4_choices(**ask, notes=True)
    told: list[str] = []
    made = prepare_mimic4(
        "published.mimiciv_3_1",
        choices=choices,
        notes="published.mimiciv_note",
        machine=machine(stand),
        say=told.append,
    )
    expected = prepare_mimic4(raw, choices=choices, notes=raw)
    assert made.data.fingerprint() == expected.data.fingerprint()
    assert made.report == expected.report
    assert made.beside == expected.beside
    assert "reading published.mimiciv_3_1_hosp.labevents" in told
    assert "`published`.`mimiciv_3_1_hosp`.`labevents`" in "".join(stand.said)
    assert stand.closed


@pytest.mark.slow
@pytest.mark.parametrize("ask", ASKED)
def test_eicu_as_from_its_files(eicu, ask):
    raw, stand = eicu
    choices = eicu_choices(task=ask["task"], protocol=ask["protocol"])
    made = prepare_eicu("published.eicu_crd", choices=choices, machine=machine(stand))
    expected = prepare_eicu(raw, choices=choices)
    assert made.data.fingerprint() == expected.data.fingerprint()
    assert made.report == expected.report


def test_types_and_empty_texts_become_those_of_the_files():
    table = RawTable("t", {"id": "int", "at": "time", "x": "float", "s": "text"}, {"more": "text"})
    columns = {"ID": "INTEGER", "at": "DATE", "x": "NUMERIC", "s": "STRING", "other": "GEOGRAPHY"}
    made = published_table("physionet-data.a_1.t", columns, table)
    assert {n: str(t) for n, t in made.schema().items()} == {
        "id": "int64",
        "at": "timestamp",
        "x": "float64",
        "s": "string",
        "more": "string",
    }
    text = " ".join(sql_of(made, "bigquery").split())
    assert "FROM `physionet-data`.`a_1`.`t`" in text
    for part in (
        "CAST(`t0`.`at` AS DATETIME)",
        "CAST(`t0`.`x` AS FLOAT64)",
        "NULLIF(`t0`.`s`, '')",
    ):
        assert part in text
    with pytest.raises(DataError, match=r"table t needs the column x; physionet-data\.a_1\.t has"):
        published_table("physionet-data.a_1.t", {"id": "INTEGER", "at": "DATE"}, table)


def test_tables_from_here_are_sent_as_cells():
    stand = Stand()
    engine = BigQueryEngine(stand)
    given = pa.table({"a": [1, None], "s": ["it's \\ `x`\n", None], "x": [0.1, None]})
    made = engine.arrow(given)
    assert engine.fetch(made).equals(given)
    assert engine.count(made) == 2
    assert engine.count(engine.arrow(given.slice(0, 0))) == 0
    assert [len(b) for b in engine.stream(made.order_by("a"))] == [2]
    engine.drop(made)
    with pytest.raises(duckdb.CatalogException):
        engine.count(made)


def test_a_repeated_key_and_a_missing_table(tmp_path):
    raw = simulate_eicu(tmp_path / "raw", rows=30, seed=0, labs_per_row=2)
    stand = published(raw, "eicu_crd", EICU)
    ask = eicu_choices(task="mortality", modalities=("demographics",))
    del stand.there["published.eicu_crd.lab"]
    with pytest.raises(DataError, match=r"has a table lab; published.eicu_crd has none that can"):
        prepare_eicu(
            "published.eicu_crd", choices=eicu_choices(task="mortality"), machine=machine(stand)
        )
    patient = '"published"."eicu_crd"."patient"'
    stand._raw.execute(f"insert into {patient} select * from {patient} limit 3")
    with pytest.raises(DataError, match=r"each patientunitstayid occurs once .*; 3 lines repeat"):
        prepare_eicu("published.eicu_crd", choices=ask, machine=machine(stand))


def test_versions_and_names():
    stand = Stand()
    stand.there = {
        "p.mimic_core.admissions": {"hadm_id": "INTEGER", "ethnicity": "STRING"},
        "p.mimiciv_3_1_hosp.admissions": {"hadm_id": "INTEGER", "race": "STRING"},
    }
    old, new = (published_mimic4(stand, name) for name in ("p.mimic", "p.mimiciv_3_1"))
    assert (before_2(old), before_2(new)) == (True, False)
    assert old.path("labevents", needed=False) is None
    assert isinstance(new, Published)
    with pytest.raises(DataError, match="no data set has none that can be seen"):
        new.path("discharge")
    for name in ("raw", "/data/mimiciv", "a.b; drop table c", "a.b.c", "a.`b`"):
        with pytest.raises(SettingError, match="with --engine bigquery RAW and NOTES are names as"):
            published_eicu(stand, name)
    assert set(published_eicu(stand, "physionet-data.eicu_crd").places) == set(EICU)


def test_without_googles_client_it_says_what_to_install():
    try:
        import google.cloud.bigquery  # noqa: F401
    except ImportError:
        ask = eicu_choices(task="mortality")
        with pytest.raises(SettingError, match=r"pip install 'amodal\[bigquery\]'"):
            prepare_eicu("physionet-data.eicu_crd", choices=ask, machine=Machine(engine="bigquery"))
    else:
        pytest.skip("google-cloud-bigquery is installed: nothing here may connect")


def test_a_session_begins_with_the_first_statement(monkeypatch):
    """Names and folders are checked before anything is begun, or paid for."""
    import sys
    from types import ModuleType, SimpleNamespace

    from amodal.clinical.bigquery import GoogleWarehouse

    sent: list[str] = []

    def query(sql: str, job_config: object) -> SimpleNamespace:
        sent.append(sql)
        session = SimpleNamespace(session_id="s1")
        return SimpleNamespace(result=lambda: None, session_info=session, to_arrow=lambda: "rows")

    table = SimpleNamespace(schema=[SimpleNamespace(name="a", field_type="STRING")])
    client = SimpleNamespace(query=query, get_table=lambda name: table)
    google = ModuleType("google.cloud.bigquery")
    google.QueryJobConfig = google.ConnectionProperty = lambda *args, **named: (args, named)
    errors = ModuleType("google.api_core.exceptions")
    errors.Forbidden = errors.NotFound = errors.GoogleAPICallError = type("E", (Exception,), {})
    cloud, core = ModuleType("google.cloud"), ModuleType("google.api_core")
    cloud.bigquery, core.exceptions = google, errors
    for module in (ModuleType("google"), cloud, google, core, errors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    warehouse = GoogleWarehouse(client)
    assert warehouse.columns("a.b.c") == {"a": "STRING"}
    with pytest.raises(SettingError, match="with --engine bigquery"):
        published_eicu(warehouse, "/data/eicu")
    warehouse.close()
    assert sent == []
    assert warehouse.run("SELECT 2") == "rows"
    warehouse.close()
    assert sent == ["SELECT 1", "SELECT 2", "CALL BQ.ABORT_SESSION()"]
