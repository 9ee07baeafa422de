"""From synthetic raw folders to data sets: nothing later than the prediction enters, and all else."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.simulate import simulate_eicu, simulate_mimic4
from amodal.data.dataset import Dataset
from amodal.errors import AmodalError, SettingError, StorageError

ROWS = 100


@pytest.fixture(scope="module")
def mimic4(tmp_path_factory) -> Path:
    return simulate_mimic4(tmp_path_factory.mktemp("raw") / "mimic4", rows=ROWS, seed=3)


@pytest.fixture(scope="module")
def eicu(tmp_path_factory) -> Path:
    return simulate_eicu(tmp_path_factory.mktemp("raw") / "eicu", rows=ROWS, seed=3)


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, lines: Iterable[dict[str, object]]) -> None:
    """Further lines of a table; cells that are not given stay empty."""
    with gzip.open(path, "rt", newline="") as file:
        text, names = file.read(), None
    names = next(csv.reader([text.splitlines()[0]]))
    with gzip.open(path, "wt", newline="") as file:
        file.write(text)
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writerows(lines)


def content(data: Dataset, rows: set[str]) -> dict[tuple[str, str], list]:
    """(row, modality) -> what stands there, codes and levels by name."""
    found = {}
    for m in data.modalities:
        v = data.values[m.name]
        for k, name in enumerate(data.row_id):
            if name not in rows or v.index[k] < 0:
                continue
            j = v.index[k]
            span = slice(j, j + 1) if v.offsets is None else slice(v.offsets[j], v.offsets[j + 1])
            cells = {key: x[span].tolist() for key, x in v.data.items()}
            if m.kind == "codes":
                cells["code"] = [m.vocabulary[c] for c in cells["code"]]
            if m.kind == "table":
                levels = list(m.levels.values())
                cells["categorical"] = [
                    [levels[c][x] if x >= 0 else None for c, x in enumerate(line)]
                    for line in cells["categorical"]
                ]
            found[name, m.name] = repr(cells)
    return found


# -- nothing later enters -------------------------------------------------------------------------


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def plant_mimic4(raw: Path) -> None:
    """Events that are known a minute after discharge or later, in every table."""
    minute, day = timedelta(minutes=1), timedelta(days=1)
    admissions = read(raw / "hosp" / "admissions.csv.gz")
    last = {a["subject_id"]: a for a in sorted(admissions, key=lambda a: a["dischtime"])}
    by = {"hosp": {}, "icu": {}, "note": {}}
    for name in (
        "labevents",
        "prescriptions",
        "procedures_icd",
        "diagnoses_icd",
        "drgcodes",
        "poe",
    ):
        by["hosp"][name] = []
    by["icu"]["chartevents"], by["note"]["discharge"], by["note"]["radiology"] = [], [], []
    for a in last.values():
        key = {"subject_id": a["subject_id"], "hadm_id": a["hadm_id"]}
        out = time(a["dischtime"])
        events = {**key, "charttime": out - minute, "storetime": out + minute, "valuenum": 99}
        by["hosp"]["labevents"].append({**events, "itemid": 50931, "valueuom": "mg/dL"})
        by["icu"]["chartevents"].append({**events, "itemid": 220045, "valueuom": "bpm"})
        by["hosp"]["prescriptions"].append({**key, "starttime": out + minute, "drug": "LATE DRUG"})
        ordered = {**key, "poe_id": f"late-{a['hadm_id']}", "starttime": out - minute}
        by["hosp"]["prescriptions"].append({**ordered, "drug": "LATE ORDER"})
        by["hosp"]["poe"].append({"poe_id": ordered["poe_id"], "ordertime": out + minute})
        icd = {**key, "icd_code": "P001", "icd_version": 10, "seq_num": 99}
        by["hosp"]["procedures_icd"].append({**icd, "chartdate": out.date()})
        by["hosp"]["diagnoses_icd"].append({**icd, "icd_code": "S001"})
        by["hosp"]["drgcodes"].append(
            {**key, "drg_type": "APR", "drg_code": "9", "description": "L"}
        )
        note = {**key, "charttime": out - minute, "storetime": out + minute, "text": "LATE NOTE"}
        by["note"]["discharge"].append({**note, "note_id": f"l-{a['hadm_id']}"})
        by["note"]["radiology"].append({**note, "note_id": f"r-{a['hadm_id']}"})
    for folder, tables in by.items():
        for name, lines in tables.items():
            append(raw / folder / f"{name}.csv.gz", lines)
    again = [
        {**a, "hadm_id": str(int(a["hadm_id"]) + 5_000_000), "hospital_expire_flag": "0"}
        | {
            "admittime": time(a["dischtime"]) + 400 * day,
            "dischtime": time(a["dischtime"]) + 401 * day,
        }
        | {"discharge_location": "HOME", "deathtime": ""}
        for a in last.values()
        if a["hospital_expire_flag"] == "0"
    ]
    append(raw / "hosp" / "admissions.csv.gz", again)


def plant_eicu(raw: Path) -> None:
    """Events that are known after the last minute of prediction, in every table."""
    stays = read(raw / "patient.csv.gz")
    last = {s["patienthealthsystemstayid"]: s["patientunitstayid"] for s in stays}
    tables: dict[str, list] = {
        k: []
        for k in ("diagnosis", "treatment", "medication", "lab", "vitalPeriodic", "vitalAperiodic")
    }
    for s in stays:
        key = {"patientunitstayid": s["patientunitstayid"]}
        # a stay that is merged with a later one is predicted when that one ends
        late = 1 if last[s["patienthealthsystemstayid"]] == s["patientunitstayid"] else 99_999
        end = max(int(s["unitdischargeoffset"]), 720) + late
        tables["diagnosis"].append({**key, "diagnosisoffset": end, "diagnosisstring": "LATE"})
        tables["treatment"].append({**key, "treatmentoffset": end, "treatmentstring": "LATE"})
        for order, start in ((end, 0), (0, end)):
            drug = {"drugorderoffset": order, "drugstartoffset": start, "drugordercancelled": "No"}
            tables["medication"].append({**key, **drug, "drugname": "LATE"})
        lab = {"labresultoffset": 0, "labresultrevisedoffset": end, "labname": "glucose"}
        tables["lab"].append({**key, **lab, "labresult": 99, "labmeasurenamesystem": "mg/dL"})
        tables["vitalPeriodic"].append({**key, "observationoffset": end, "heartrate": 99})
        tables["vitalAperiodic"].append({**key, "observationoffset": end, "noninvasivemean": 99})
    for name, lines in tables.items():
        append(raw / f"{name}.csv.gz", lines)


def test_mimic4_knows_nothing_later_than_discharge(mimic4, tmp_path):
    task = "mortality"  # the inputs of both tasks are the same
    before = prepare_mimic4(
        mimic4, choices=mimic4_choices(task=task, notes=True), notes=mimic4
    ).data
    raw = Path(shutil.copytree(mimic4, tmp_path / "raw"))
    plant_mimic4(raw)
    after = prepare_mimic4(raw, choices=mimic4_choices(task=task, notes=True), notes=raw).data
    assert len(after) > len(before)
    rows = set(before.row_id)
    assert content(after, rows) == content(before, rows)
    place = {name: k for k, name in enumerate(after.row_id)}
    same = [place[name] for name in before.row_id]
    np.testing.assert_array_equal(after.target[same], before.target)
    np.testing.assert_array_equal(after.absence[same], before.absence)
    assert before.present.all(axis=0).sum() >= 1
    assert before.present.any(axis=0).all()


@pytest.mark.parametrize("task", ["mortality", pytest.param("readmission", marks=pytest.mark.slow)])
def test_eicu_knows_nothing_later_than_the_prediction(eicu, tmp_path, task):
    before = prepare_eicu(eicu, choices=eicu_choices(task=task)).data
    raw = Path(shutil.copytree(eicu, tmp_path / "raw"))
    plant_eicu(raw)
    after = prepare_eicu(raw, choices=eicu_choices(task=task)).data
    assert after.fingerprint() == before.fingerprint()


# -- what is planted is there ---------------------------------------------------------------------


def test_the_same_seed_writes_the_same_bytes(mimic4, tmp_path):
    again = simulate_mimic4(tmp_path / "m", rows=ROWS, seed=3)
    other = simulate_mimic4(tmp_path / "o", rows=ROWS, seed=4)
    files = sorted(p.relative_to(mimic4) for p in mimic4.rglob("*.csv.gz"))
    assert len(files) == 17
    assert all((again / f).read_bytes() == (mimic4 / f).read_bytes() for f in files)
    assert any((other / f).read_bytes() != (mimic4 / f).read_bytes() for f in files)
    assert "SYNTHETIC" in (mimic4 / "SYNTHETIC.txt").read_text()
    assert len(read(mimic4 / "hosp" / "admissions.csv.gz")) == ROWS


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("x")
    with pytest.raises(StorageError, match="holds something else"):
        simulate_eicu(tmp_path / "own", rows=5)
    with pytest.raises(SettingError, match="at least one row"):
        simulate_eicu(tmp_path / "new", rows=0)
    assert [p.name for p in tmp_path.iterdir()] == ["own"]


@pytest.mark.slow
def test_severity_shows_in_the_labels_and_in_what_is_measured(tmp_path):
    raw = simulate_eicu(tmp_path / "e", rows=2_500, seed=0, labs_per_row=20)
    planted = {p["patientunitstayid"]: float(p["severity"]) for p in read(raw / "planted.csv.gz")}
    data = prepare_eicu(
        raw, choices=eicu_choices(task="mortality", modalities=("labs", "demographics"))
    ).data
    z = np.array([planted[r] for r in data.row_id])
    died = data.target == 1
    assert z[died].mean() - z[~died].mean() > 0.6
    labs = data.present[:, 0]
    assert z[labs].mean() - z[~labs].mean() > 0.15
    lactate = data.modality("labs").features.index("lactate")
    v = data.values["labs"]
    has = np.array(
        [
            j >= 0 and not np.isnan(v.data["value"][v.offsets[j] : v.offsets[j + 1], lactate]).all()
            for j in v.index
        ]
    )
    assert z[has].mean() - z[labs & ~has].mean() > 0.5


# -- both databases speak alike -------------------------------------------------------------------


def test_labs_and_vitals_of_both_databases_have_the_same_features(mimic4, eicu):
    names = ("labs", "vitals", "demographics")
    one = prepare_mimic4(mimic4, choices=mimic4_choices(task="mortality", modalities=names)).data
    two = prepare_eicu(eicu, choices=eicu_choices(task="mortality", modalities=names)).data
    for name in ("labs", "vitals"):
        assert one.modality(name).features == two.modality(name).features
        assert one.modality(name).time_unit == two.modality(name).time_unit == "hours"
        columns = [d.values[name].data["value"].T for d in (one, two)]
        pairs = [[x[~np.isnan(x)] for x in pair] for pair in zip(*columns, strict=True)]
        seen = [(np.median(x), np.median(y)) for x, y in pairs if len(x) and len(y)]
        assert len(seen) == {"labs": 21, "vitals": 7}[name]
        np.testing.assert_allclose(*zip(*seen, strict=True), rtol=0.3, atol=0.3)
    shared = set(one.modality("demographics").features) & set(two.modality("demographics").features)
    assert shared == {"age", "over_89"}
    assert one.modality("demographics").levels["sex"] == two.modality("demographics").levels["sex"]


@pytest.mark.parametrize(
    ("name", "protocol"), [("mimic4", "clean"), ("eicu", "muse"), ("eicu", "clean")]
)
def test_a_second_run_writes_the_same_bytes(request, tmp_path, name, protocol):
    """Of MIMIC-IV by the rules of MUSE too, with the real demo."""
    raw, out = request.getfixturevalue(name), tmp_path / "out"
    choose, prepare = {
        "mimic4": (mimic4_choices, prepare_mimic4),
        "eicu": (eicu_choices, prepare_eicu),
    }[name]
    choices = choose(task="mortality", protocol=protocol)
    written = []
    for _ in range(2):
        prepare(raw, out, choices=choices)
        written.append({p.name: p.read_bytes() for p in sorted(out.iterdir())})
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert written[0] == written[1]
    assert {f"{m}.parquet" for m in choices.modalities} < set(written[0])


# -- choices --------------------------------------------------------------------------------------


def test_masked_labels(eicu):
    ask = {"task": "mortality", "protocol": "muse", "modalities": ("demographics",)}
    full = prepare_eicu(eicu, choices=eicu_choices(**ask)).data
    half = prepare_eicu(eicu, choices=eicu_choices(**ask, mask_labels=0.5, seed=1)).data
    assert half.labelled.sum() == full.labelled.sum() - round(0.5 * full.labelled.sum())
    known = half.labelled
    np.testing.assert_array_equal(half.target[known], full.target[known])


@pytest.mark.slow
def test_coding_adds_diagnoses_of_this_stay(mimic4):
    ask = {"task": "mortality", "modalities": ("codes",)}
    early = prepare_mimic4(mimic4, choices=mimic4_choices(**ask)).data
    late = prepare_mimic4(mimic4, choices=mimic4_choices(**ask, predict_at="coding"))
    assert early.modality("codes").types == ("earlier diagnosis", "procedure", "prescription")
    kinds = late.data.modality("codes").types
    seen = set(late.data.values["codes"].data["type"].tolist())
    assert (
        {kinds[k] for k in seen}
        == set(kinds)
        == {*early.modality("codes").types, "diagnosis", "drg"}
    )
    assert any("retrospective" in note for note in late.report["notes"])


@pytest.mark.parametrize(
    ("make", "asked", "told"),
    [
        (mimic4_choices, {"window": 31}, "--window of --task mortality --protocol clean is one of"),
        (mimic4_choices, {"protocol": "muse", "predict_at": "coding"}, "--predict-at"),
        (mimic4_choices, {"modalities": ("labz",)}, "did you mean 'labs'"),
        (mimic4_choices, {"split": "hospital"}, "--split"),
        (eicu_choices, {"outcome": "home"}, "one of hospital, icu"),
        (eicu_choices, {"protocol": "mouse"}, "clean or muse"),
        (eicu_choices, {"mask_labels": 2}, "between 0 and 1"),
    ],
)
def test_choices_that_are_not_offered(make: Callable, asked: dict, told: str):
    with pytest.raises(AmodalError, match=told):
        make(task="mortality", **asked)
