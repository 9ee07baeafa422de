"""Spark gives the bytes that DuckDB gives; that each rule holds there is tested with the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.simulate import simulate_eicu, simulate_mimic4
from amodal.clinical.workspace import Machine
from amodal.errors import SettingError

GROUP = pytest.mark.xdist_group("spark")
CASES = [
    ("mimic4", "clean", "mortality"),
    ("mimic4", "muse", "readmission"),
    ("eicu", "clean", "readmission"),
    ("eicu", "muse", "mortality"),
]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def both(raw: Path, home: Path, spark, case: tuple[str, str, str], **more) -> list[dict]:
    """What DuckDB and Spark write of the same raw folder."""
    db, protocol, task = case
    choose = mimic4_choices if db == "mimic4" else eicu_choices
    prepare = prepare_mimic4 if db == "mimic4" else prepare_eicu
    choices = choose(task=task, protocol=protocol, **more)
    notes = {"notes": raw} if more.get("notes") else {}
    written = []
    for engine, session in (("duckdb", None), ("spark", spark)):
        out = home / engine
        prepare(raw, out, choices=choices, machine=Machine(engine=engine, session=session), **notes)
        written.append(files(out))
    assert not list(home.glob(".*"))
    return written


@GROUP
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_demos_are_the_same_to_the_byte(real_data, spark, tmp_path, case):
    duck, other = both(real_data / f"{case[0]}_demo", tmp_path, spark, case)
    assert other == duck
    assert {"codes.parquet", "labs.parquet", "rows.parquet", "cohort.parquet"} <= set(duck)


@GROUP
@pytest.mark.slow
@pytest.mark.parametrize("db", ["mimic4", "eicu"])
def test_notes_codes_and_all_that_demos_lack(spark, tmp_path, db):
    make = simulate_mimic4 if db == "mimic4" else simulate_eicu
    raw = make(tmp_path / "raw", rows=60, seed=3, labs_per_row=10)
    case = (db, "clean", "readmission")
    more = {"notes": True, "predict_at": "coding"} if db == "mimic4" else {}
    (tmp_path / "made").mkdir()
    duck, other = both(raw, tmp_path / "made", spark, case, **more)
    assert other == duck
    if db == "mimic4":
        assert {"note.parquet", "vitals.parquet"} <= set(duck)


@GROUP
@pytest.mark.slow
def test_a_session_that_was_given_is_left_as_it_was(spark, tmp_path):
    from amodal.clinical.spark import SparkEngine

    spark.sql("select 1 as one").createOrReplaceTempView("patients")
    spark.conf.set("spark.sql.session.timeZone", "Europe/Vienna")
    raw = simulate_eicu(tmp_path / "raw", rows=30, seed=0, labs_per_row=2)
    ask = eicu_choices(task="mortality", modalities=("demographics",))
    made = prepare_eicu(raw, choices=ask, machine=Machine(engine="spark", session=spark))
    assert made.data.fingerprint() == prepare_eicu(raw, choices=ask).data.fingerprint()
    with SparkEngine(folder=tmp_path / "own") as engine:  # takes the one that runs
        assert engine.count(engine.parquet(*_one(tmp_path))) == 1
    assert spark.conf.get("spark.sql.session.timeZone") == "Europe/Vienna"
    assert spark.sql("show tables").count() == 1
    assert spark.sql("select one from patients where one = 1").count() == 1
    assert not list((tmp_path / "own").iterdir())
    spark.catalog.dropTempView("patients")


def _one(folder: Path) -> tuple[Path, str]:
    """A Parquet file of one line, under a name that Spark could take for many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "a[1]*").mkdir()
    path = folder / "a[1]*" / "one{2}.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    return path, "one"


def test_engines_that_there_are():
    with pytest.raises(SettingError, match="the engine is duckdb, spark or bigquery; got 'dask'"):
        Machine(engine="dask")
