"""Raw folders that are not as they should be: one sentence, nothing half-written, no values told."""

from __future__ import annotations

import gzip
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.simulate import simulate_eicu, simulate_mimic4
from amodal.clinical.workspace import Machine, Workspace
from amodal.data.dataset import Dataset
from amodal.errors import AmodalError, DataError, SettingError, StorageError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("raw")
    simulate_mimic4(home / "mimic4", rows=40, seed=1, labs_per_row=5)
    simulate_eicu(home / "eicu", rows=40, seed=1, labs_per_row=5)
    return home


@pytest.fixture
def raw(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole / "mimic4", tmp_path / "raw"))


def change(path: Path, edit: Callable[[str], str]) -> None:
    """Rewrites a csv.gz."""
    with gzip.open(path, "rt", newline="") as file:
        text = file.read()
    with gzip.open(path, "wt", newline="") as file:
        file.write(edit(text))


def prepare(raw: Path, out: Path | None = None, **asked) -> Dataset:
    ask = {"task": "mortality", "modalities": ("labs", "demographics")} | asked
    return prepare_mimic4(raw, out, choices=mimic4_choices(**ask)).data


def second_line(text: str, edit: Callable[[list[str]], list[str]]) -> str:
    """The text with the cells of its first row changed."""
    head, line, *rest = text.split("\n")
    return "\n".join([head, ",".join(edit(line.split(","))), *rest])


def names(table: str) -> Callable[[Path], Path]:
    return lambda raw: raw / "hosp" / f"{table}.csv.gz"


CASES: dict[str, tuple[str, Callable[[str], str] | None, str]] = {
    "no table": ("labevents", None, "table labevents .*RAW has no labevents.csv"),
    "no column": (
        "labevents",
        lambda t: t.replace("storetime", "stored", 1),
        "labevents needs the column storetime .*every version since 1.0",
    ),
    "semicolons": (
        "admissions",
        lambda t: t.replace(",", ";"),
        "separated by commas; admissions.csv.gz is separated by ';'",
    ),
    "a time": (
        "admissions",
        lambda t: second_line(t, lambda c: [*c[:2], "31/12/2150 10:00", *c[3:]]),
        "column admittime of table admissions is a time .*; 1 are not",
    ),
    "a number": (
        "labevents",
        lambda t: second_line(t, lambda c: [*c[:9], "high", *c[10:]]),
        "column valuenum of table labevents is a number or empty; 1 are not",
    ),
    "a short line": (
        "patients",
        lambda t: second_line(t, lambda c: c[:3]),
        "each line of table patients has 6 cells",
    ),
    "a repeated key": (
        "patients",
        lambda t: t + t.split("\n")[1] + "\n",
        "each subject_id occurs once in table patients; 1 lines repeat one",
    ),
    "empty": ("patients", lambda t: "", "patients.csv.gz has no such line"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(raw, tmp_path, case):
    table, edit, told = CASES[case]
    path = raw / "hosp" / f"{table}.csv.gz"
    path.unlink() if edit is None else change(path, edit)
    with pytest.raises(AmodalError, match=told) as error:
        prepare(raw, tmp_path / "out")
    text = str(error.value)
    assert "\n" not in text
    assert not any(word in text for word in ("31/12/2150", "high", "10000000"))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out.tables/*.part"))


EICU: dict[str, tuple[str, Callable[[str], str] | None, str]] = {
    "no table": ("lab", None, "eICU-CRD has a table lab .*2.0.*RAW has no lab.csv"),
    "no column": (
        "lab",
        lambda t: t.replace("labresultrevisedoffset", "revised", 1),
        "lab needs the column labresultrevisedoffset .eICU-CRD 2.0 has it",
    ),
    "no column of stays": (
        "patient",
        lambda t: t.replace("unitdischargeoffset", "left", 1),
        "patient needs the column unitdischargeoffset .eICU-CRD 2.0 has it",
    ),
    "tabs": (
        "patient",
        lambda t: t.replace(",", "\t"),
        r"separated by commas; patient.csv.gz is separated by '\\t'",
    ),
    "a time": (
        "lab",
        lambda t: second_line(t, lambda c: [*c[:2], "10:45 h", *c[3:]]),
        "column labresultoffset of table lab is a whole number or empty; 1 are not",
    ),
    "a number": (
        "lab",
        lambda t: second_line(t, lambda c: [*c[:5], "high", *c[6:]]),
        "column labresult of table lab is a number or empty; 1 are not",
    ),
    "a short line": (
        "lab",
        lambda t: second_line(t, lambda c: c[:3]),
        "each line of table lab has 10 cells",
    ),
    "a repeated key": (
        "patient",
        lambda t: t + t.split("\n")[1] + "\n",
        "each patientunitstayid occurs once in table patient; 1 lines repeat one",
    ),
    "empty": ("patient", lambda t: "", "patient.csv.gz has no such line"),
    "dates the wrong way round": (
        "patient",
        lambda t: backwards(t),
        "a unit stay ends after it begins; in 40 of 40 unitdischargeoffset lies before",
    ),
}


def backwards(text: str) -> str:
    """Every unit stay of a table patient ends before it begins."""
    head, *lines = text.strip().split("\n")
    place = head.split(",").index("unitdischargeoffset")
    cells = [line.split(",") for line in lines]
    changed = [",".join([*c[:place], "-5", *c[place + 1 :]]) for c in cells]
    return "\n".join([head, *changed]) + "\n"


@pytest.mark.parametrize("case", EICU)
def test_one_sentence_of_eicu_too(whole, tmp_path, case):
    raw = Path(shutil.copytree(whole / "eicu", tmp_path / "raw"))
    table, edit, told = EICU[case]
    path = raw / f"{table}.csv.gz"
    path.unlink() if edit is None else change(path, edit)
    ask = eicu_choices(task="mortality", modalities=("labs", "demographics"))
    with pytest.raises(AmodalError, match=told) as error:
        prepare_eicu(raw, tmp_path / "out", choices=ask)
    text = str(error.value)
    assert "\n" not in text
    assert not any(word in text for word in ("10:45", "high", "100000"))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out.tables/*.part"))


def test_a_truncated_gz_of_eicu(whole, tmp_path):
    raw = Path(shutil.copytree(whole / "eicu", tmp_path / "raw"))
    path = raw / "patient.csv.gz"
    os.truncate(path, path.stat().st_size // 2)
    ask = eicu_choices(task="readmission", modalities=("demographics",))
    with pytest.raises(StorageError, match=r"patient.csv.gz must be a whole gzip file"):
        prepare_eicu(raw, tmp_path / "out", choices=ask)
    assert not (tmp_path / "out").exists()


HUGE = str(2**63 - 1)


@pytest.mark.parametrize("name", ["mimic4", "eicu"])
def test_what_an_engine_says_of_a_cell_is_not_repeated(whole, tmp_path, name):
    """A number that every type holds and no sum: DuckDB's own words would quote it."""
    raw = Path(shutil.copytree(whole / name, tmp_path / "raw"))
    if name == "mimic4":  # the year of an admission minus the anchor year
        path, cells, choose, make = "hosp/patients", {3: f"-{HUGE}"}, mimic4_choices, prepare_mimic4
    else:  # a discharge minus the minute at which the hospital stay began
        path, cells, choose, make = "patient", {10: "-5", 25: HUGE}, eicu_choices, prepare_eicu
    change(
        raw / f"{path}.csv.gz",
        lambda t: second_line(t, lambda c: [cells.get(k, x) for k, x in enumerate(c)]),
    )
    ask = choose(task="readmission", modalities=("demographics",))
    with pytest.raises(DataError, match=r"duckdb could not compute \(\w+\), after it had") as error:
        make(raw, tmp_path / "out", choices=ask)
    shown = "".join(traceback.format_exception(error.value))
    assert HUGE not in shown
    assert "patient" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_mistake_of_our_own_stays_one(whole, tmp_path, monkeypatch):
    from amodal.clinical.mimic4 import prepare as module

    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(module, "_cohort", broken)
    with pytest.raises(KeyError, match="a bug"):
        prepare(whole / "mimic4", modalities=("demographics",))


def test_a_truncated_gz(raw, tmp_path):
    path = raw / "hosp" / "labevents.csv.gz"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StorageError, match=r"labevents.csv.gz must be a whole gzip file"):
        prepare(raw, tmp_path / "out")
    os.truncate(path, 3)
    with pytest.raises(StorageError, match="whole gzip file"):
        prepare(raw, tmp_path / "out")


def test_impossible_dates(raw):
    def swap(text: str) -> str:
        head, *lines = text.strip().split("\n")
        cells = [line.split(",") for line in lines]
        changed = [",".join([*c[:2], c[3], c[2], *c[4:]]) for c in cells]
        return "\n".join([head, *changed]) + "\n"

    change(raw / "hosp" / "admissions.csv.gz", swap)
    with pytest.raises(DataError, match="in 40 of 40 dischtime lies before admittime"):
        prepare(raw)


def test_versions_below_2_cannot_tell_deaths(raw, tmp_path):
    core = raw / "core"
    core.mkdir()
    for name in ("patients", "admissions"):
        (raw / "hosp" / f"{name}.csv.gz").rename(core / f"{name}.csv.gz")
    with pytest.raises(DataError, match=r"known from MIMIC-IV 2.0 on; RAW is an earlier version"):
        prepare(raw, tmp_path / "out")
    with pytest.raises(DataError, match=r"2\.0 or later"):
        prepare(raw, protocol="muse", modalities=("codes",))
    assert len(prepare(raw, task="readmission", modalities=("demographics",))) > 30


def test_csv_upper_case_folders_and_other_line_ends_are_read(whole, raw):
    expected = prepare(whole / "mimic4").fingerprint()
    (raw / "hosp").rename(raw / "HOSP")
    for name in ("patients", "labevents"):
        path = raw / "HOSP" / f"{name}.csv.gz"
        with gzip.open(path, "rt", newline="") as file:
            text = file.read()
        head, rest = text.split("\n", 1)
        path.with_suffix("").write_bytes(f"{head.upper()}\n{rest}".replace("\n", "\r\n").encode())
        path.unlink()
    assert prepare(raw).fingerprint() == expected


def test_the_wrong_database_and_the_wrong_folder(whole, tmp_path):
    ask = mimic4_choices(task="mortality")
    with pytest.raises(DataError, match="it looks like eICU"):
        prepare_mimic4(whole / "eicu", choices=ask)
    with pytest.raises(DataError, match="it looks like MIMIC-IV"):
        prepare_eicu(whole / "mimic4", choices=eicu_choices(task="mortality"))
    with pytest.raises(DataError, match="name the folder that holds hosp and icu"):
        prepare_mimic4(tmp_path, choices=ask)
    with pytest.raises(StorageError, match=r"RAW must be a folder; .* is not there"):
        prepare_mimic4(tmp_path / "none", choices=ask)
    with pytest.raises(DataError, match="NOTES holds the table discharge"):
        prepare_mimic4(whole / "mimic4", choices=ask, notes=whole / "eicu")


def test_another_edition_than_announced(whole):
    ask = mimic4_choices(task="mortality", modalities=("demographics",))
    with pytest.raises(DataError, match="the full MIMIC-IV was announced"):
        prepare_mimic4(whole / "mimic4", choices=ask, edition="full")
    with pytest.raises(DataError, match="the demo was announced"):
        prepare_mimic4(whole / "mimic4", choices=ask, edition="demo")
    ask = eicu_choices(task="mortality", modalities=("demographics",))
    with pytest.raises(DataError, match="the full eICU-CRD was announced; RAW holds 40"):
        prepare_eicu(whole / "eicu", choices=ask, edition="full")


def test_a_stopped_preparation_goes_on_from_its_tables(raw, tmp_path):
    labs = raw / "hosp" / "labevents.csv.gz"
    kept = labs.read_bytes()
    labs.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(StorageError):
        prepare(raw, tmp_path / "out")
    made = {
        p.name.split(".")[0]: p.stat().st_mtime_ns for p in (tmp_path / ".out.tables").iterdir()
    }
    assert {"patients", "admissions"} <= set(made)
    assert "labevents" not in made
    labs.write_bytes(kept)
    ask = mimic4_choices(task="mortality", modalities=("labs", "demographics"))
    prepare_mimic4(raw, tmp_path / "out", choices=ask, machine=Machine(keep_tables=True))
    again = {
        p.name.split(".")[0]: p.stat().st_mtime_ns for p in (tmp_path / ".out.tables").iterdir()
    }
    assert {k: again[k] for k in made} == made
    prepare(raw, tmp_path / "out")  # replaces the data set, and clears up
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "raw"]


def test_no_rows(raw):
    change(raw / "hosp" / "admissions.csv.gz", lambda t: t.split("\n")[0] + "\n")
    with pytest.raises(DataError, match="the rules of the cohort leave none"):
        prepare(raw, modalities=("demographics",))


def test_a_folder_of_something_else_is_kept(raw, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("x")
    with pytest.raises(StorageError, match="holds something else"):
        prepare(raw, tmp_path / "own")
    assert not (tmp_path / ".own.tables").exists()


def test_an_engine_that_cannot_start_leaves_nothing(tmp_path):
    for bad in ({"memory": "lots"}, {"threads": 0}):
        with pytest.raises(SettingError):
            Workspace(object(), {}, out=tmp_path / "out", machine=Machine(**bad))
    assert not list(tmp_path.iterdir())


def test_spilled_rows_go_when_an_engine_cannot_be_closed(tmp_path):
    work = Workspace(object(), {}, out=tmp_path / "out")
    close = work.engine.close

    def failing():
        close()
        raise ConnectionRefusedError

    work.engine.close = failing
    with pytest.raises(ConnectionRefusedError), work:
        (tmp_path / ".out.tables" / "spill").mkdir(exist_ok=True)
    assert not list(tmp_path.iterdir())
