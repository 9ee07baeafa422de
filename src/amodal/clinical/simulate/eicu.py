"""A synthetic eICU-CRD (2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from amodal.clinical.concepts import Concept, concepts
from amodal.clinical.eicu.cohort import PREDICTION_MINUTE
from amodal.clinical.eicu.layout import APACHE_COLUMNS
from amodal.clinical.simulate.hindsight import (
    CODED,
    HABITS,
    codes_at_the_end,
    habits,
    lactates,
    own_generator,
)
from amodal.clinical.simulate.planted import (
    LABS,
    PANELS,
    VITALS,
    Severity,
    chance,
    code_places,
)
from amodal.clinical.simulate.writer import RawWriter, chunks, writing

__all__ = ["simulate_eicu"]

HOSPITALS, DIAGNOSES, TREATMENTS, DRUGS = 40, 200, 120, 150
_TOLD = (
    "SYNTHETIC DATA in the layout of eICU-CRD 2.0. Nobody in it exists; no row of eICU-CRD was "
    "used. rows {rows}, seed {seed}. What is planted stands in planted.csv.gz."
)
_REGIONS = ("Midwest", "Northeast", "South", "West")
_HEAD = {
    "hospital": "hospitalid,numbedscategory,teachingstatus,region",
    "patient": "patientunitstayid,patienthealthsystemstayid,gender,age,ethnicity,hospitalid,wardid,"
    "apacheadmissiondx,admissionheight,hospitaladmittime24,hospitaladmitoffset,"
    "hospitaladmitsource,hospitaldischargeyear,hospitaldischargetime24,hospitaldischargeoffset,"
    "hospitaldischargelocation,hospitaldischargestatus,unittype,unitadmittime24,unitadmitsource,"
    "unitvisitnumber,unitstaytype,admissionweight,dischargeweight,unitdischargetime24,"
    "unitdischargeoffset,unitdischargelocation,unitdischargestatus,uniquepid",
    "diagnosis": "diagnosisid,patientunitstayid,activeupondischarge,diagnosisoffset,"
    "diagnosisstring,icd9code,diagnosispriority",
    "treatment": "treatmentid,patientunitstayid,treatmentoffset,treatmentstring,"
    "activeupondischarge",
    "medication": "medicationid,patientunitstayid,drugorderoffset,drugstartoffset,drugivadmixture,"
    "drugordercancelled,drugname,drughiclseqno,dosage,routeadmin,frequency,loadingdose,prn,"
    "drugstopoffset,gtc",
    "lab": "labid,patientunitstayid,labresultoffset,labtypeid,labname,labresult,labresulttext,"
    "labmeasurenamesystem,labmeasurenameinterface,labresultrevisedoffset",
    "vitalPeriodic": "vitalperiodicid,patientunitstayid,observationoffset,temperature,sao2,"
    "heartrate,respiration,cvp,etco2,systemicsystolic,systemicdiastolic,systemicmean,pasystolic,"
    "padiastolic,pamean,st1,st2,st3,icp",
    "vitalAperiodic": "vitalaperiodicid,patientunitstayid,observationoffset,noninvasivesystolic,"
    "noninvasivediastolic,noninvasivemean,paop,cardiacoutput,cardiacinput,svr,svri,pvr,pvri",
    "apacheApsVar": "apacheapsvarid,patientunitstayid," + ",".join(APACHE_COLUMNS),
    "apachePatientResult": "apachepatientresultsid,patientunitstayid,apacheversion,"
    "predictedicumortality,actualicumortality,predictedhospitalmortality,actualhospitalmortality",
}


class Stays(NamedTuple):
    """n unit stays of one chunk; `length` in minutes, `died` in the hospital."""

    stay: np.ndarray
    patient: np.ndarray
    length: np.ndarray
    risk: np.ndarray
    died: np.ndarray
    severity: Severity


def simulate_eicu(
    out: str | Path, *, rows: int = 1_000, seed: int = 0, labs_per_row: float = 60.0
) -> Path:
    """Writes a synthetic eICU-CRD of `rows` unit stays into the new folder `out`.

    Beside the official tables lie `SYNTHETIC.txt` and ``planted.csv.gz`` with severity, risk of
    death and noise of every unit stay.

    Args:
        out: a new folder, or a synthetic one that is replaced.
        rows: number of unit stays.
        seed: the same seed gives the same bytes.
        labs_per_row: lab results of a stay, about.

    Raises:
        SettingError: fewer than one row.
        StorageError: the folder holds something else, or cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     one, same = (simulate_eicu(f"{folder}/{k}", rows=2, seed=7) for k in range(2))
    ...     (one / "lab.csv.gz").read_bytes() == (same / "lab.csv.gz").read_bytes()
    True
    """
    parts = chunks(rows, seed)
    first = next(parts)
    with writing(out, _TOLD.format(rows=rows, seed=seed)) as writer:
        _hospitals(writer)
        for number, size, rng in (first, *parts):
            stays = _stays(writer, number, size, rng)
            _codes(writer, stays, rng)
            _labs(writer, stays, rng, labs_per_row)
            _vitals(writer, stays, rng)
            _apache(writer, stays, rng)
            _hindsight(writer, stays, own_generator(seed, number))
    return Path(out)


def _hospitals(writer: RawWriter) -> None:
    """Where they are; nothing else depends on it."""
    number = np.arange(HOSPITALS)
    columns = {
        "hospitalid": number + 1,
        "numbedscategory": np.where(number % 3 == 0, ">= 500", "100 - 249"),
        "teachingstatus": np.where(number % 5 == 0, "t", "f"),
        "region": np.array(_REGIONS)[number % len(_REGIONS)],
    }
    writer.write("hospital", _HEAD["hospital"], columns)


# -- stays ----------------------------------------------------------------------------------------


def _stays(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> Stays:
    """Unit stays; some hospital stays have several, one after the other."""
    hospital_stay = np.cumsum(rng.random(size) < 0.82)
    hospital_stay -= hospital_stay[0]
    first = np.flatnonzero(np.diff(hospital_stay, prepend=-1))
    patient = np.cumsum(rng.random(len(first)) < 0.85)
    patient -= patient[0]
    severity = Severity.draw(rng, patient[hospital_stay])
    z = severity.z
    length = np.clip(np.exp(rng.normal(np.log(2_600), 0.8, size) + 0.2 * z), 60, 40_000)
    length = length.astype(np.int64)
    gap = rng.choice([100, 2_000, 9_000], size)
    elapsed = np.cumsum(length + gap) - (length + gap)
    start = (
        elapsed - elapsed[first][hospital_stay] + rng.integers(0, 600, len(first))[hospital_stay]
    )
    last = np.diff(hospital_stay, append=hospital_stay[-1] + 1) > 0
    risk = chance(-3.0 + 1.3 * z)
    dies = last & (rng.random(size) < risk)
    in_unit = dies & (rng.random(size) < 0.6)
    stay = 100_000 + number * 10_000 + np.arange(size)
    visit = np.arange(size) - first[hospital_stay] + 1
    hospital = rng.integers(1, HOSPITALS + 1, int(patient[-1]) + 1)[patient[hospital_stay]]
    writer.write(
        "patient",
        _HEAD["patient"],
        {
            "patientunitstayid": stay,
            "patienthealthsystemstayid": 500_000 + number * 10_000 + hospital_stay,
            "uniquepid": np.char.add(f"{number:03d}-", patient[hospital_stay].astype(str)),
            "hospitalid": hospital,
            "hospitaladmitoffset": -start,
            "hospitaldischargeoffset": length + 2_000,
            "hospitaldischargestatus": _by_stay(hospital_stay, dies),
            "unittype": rng.choice(["Med-Surg ICU", "MICU", "Cardiac ICU"], size),
            "unitvisitnumber": visit,
            "unitstaytype": np.where(
                rng.random(size) < 0.1, "stepdown/other", np.where(visit > 1, "readmit", "admit")
            ),
            "unitdischargeoffset": length,
            "unitdischargestatus": np.where(in_unit, "Expired", "Alive"),
            **_person(rng, patient[hospital_stay]),
        },
    )
    writer.write(
        "planted",
        "patientunitstayid,severity,risk,noise_codes,noise_labs,noise_vitals",
        {
            "patientunitstayid": stay,
            "severity": np.round(z, 4),
            "risk": np.round(risk, 4),
            **{f"noise_{k}": v for k, v in severity.noise.items()},
        },
    )
    return Stays(stay, patient[hospital_stay], length, risk, dies, severity)


def _by_stay(hospital_stay: np.ndarray, dies: np.ndarray) -> np.ndarray:
    """What happened in the hospital, for every unit stay of it."""
    dead = np.bincount(hospital_stay, weights=dies)[hospital_stay] > 0
    return np.where(dead, "Expired", "Alive")


def _person(rng: np.random.Generator, patient: np.ndarray) -> dict[str, Any]:
    n = int(patient[-1]) + 1
    years = np.clip(rng.normal(64, 16, n), 16, 95).astype(np.int64)
    age = np.where(years > 89, "> 89", years.astype(str))
    return {
        "age": age[patient],
        "gender": np.where(rng.random(n) < 0.46, "Female", "Male")[patient],
        "ethnicity": np.full(len(patient), "Other/Unknown"),
        "admissionheight": np.round(rng.normal(169, 10, n), 1)[patient],
        "admissionweight": np.round(rng.normal(82, 18, n), 1)[patient],
    }


# -- events ---------------------------------------------------------------------------------------


def _lines(
    rng: np.random.Generator, stays: Stays, counts: np.ndarray, *, early: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(row, offset) of as many events as `counts` says, within each stay."""
    row = np.repeat(np.arange(len(counts)), counts)
    offset = -early + rng.random(len(row)) * (stays.length[row] + early)
    return row, offset.astype(np.int64)


def _codes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    n = len(stays.stay)
    for table, key, size, mean in (
        ("diagnosis", "diagnosis", DIAGNOSES, 6),
        ("treatment", "treatment", TREATMENTS, 8),
    ):
        counts = np.where(rng.random(n) < 0.9, 1 + rng.poisson(mean, n), 0)
        row, offset = _lines(rng, stays, counts)
        offset = offset // 3  # most is entered early
        names = np.array([f"synthetic|{key}|{k:03d}" for k in range(size)])
        columns = {
            f"{key}id": stays.stay.min() * 100 + np.arange(len(row)),
            "patientunitstayid": stays.stay[row],
            f"{key}offset": offset,
            f"{key}string": names[code_places(rng, stays.severity, row, size)],
        }
        writer.write(table, _HEAD[table], columns)
    row, start = _lines(rng, stays, np.where(rng.random(n) < 0.7, rng.poisson(15, n), 0))
    drug = np.array([f"SYNTHETIC DRUG {k:03d}" for k in range(DRUGS)])
    writer.write(
        "medication",
        _HEAD["medication"],
        {
            "medicationid": stays.stay.min() * 100 + np.arange(len(row)),
            "patientunitstayid": stays.stay[row],
            "drugorderoffset": start // 2 + rng.integers(-120, 120, len(row)),
            "drugstartoffset": start // 2,
            "drugordercancelled": np.where(rng.random(len(row)) < 0.05, "Yes", "No"),
            "drugname": drug[code_places(rng, stays.severity, row, DRUGS)],
        },
    )


def _unit(concept: Concept) -> str:
    return {"1": "", "1e9/L": "K/mcL", "1e12/L": "M/mcL"}.get(concept.unit, concept.unit)


def _own_name(concept: Concept) -> str:
    return next(i.item for i in concept.items if i.source == "eicu")


def _labs(writer: RawWriter, stays: Stays, rng: np.random.Generator, per_row: float) -> None:
    known = {c.name: c for c in concepts("labs")}
    n, z = len(stays.stay), stays.severity.z
    measured = rng.random(n) >= chance(-2.5 - 0.8 * z)
    row, offset = _lines(
        rng,
        stays,
        np.where(measured, 1 + rng.poisson(stays.length / 1440 * per_row / 30), 0),
        early=360,
    )
    for panel, (base, slope) in PANELS.items():
        has = rng.random(n) < chance(base + slope * z)
        taken = np.flatnonzero(has[row] & (rng.random(len(row)) < 0.75))
        for measure in LABS[panel]:
            concept = known[measure.concept]
            who, size = row[taken], len(taken)
            writer.write(
                "lab",
                _HEAD["lab"],
                {
                    "labid": stays.stay.min() * 1_000 + np.arange(size),
                    "patientunitstayid": stays.stay[who],
                    "labresultoffset": offset[taken],
                    "labtypeid": np.ones(size, dtype=np.int64),
                    "labname": np.full(size, _own_name(concept)),
                    "labresult": stays.severity.values(rng, measure, who, "labs"),
                    "labmeasurenamesystem": np.full(size, _unit(concept)),
                    "labresultrevisedoffset": offset[taken] + rng.integers(5, 90, size),
                },
            )


def _vitals(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    names = {c.name: _own_name(c).split(".")[1] for c in concepts("vitals")}
    has = rng.random(len(stays.stay)) < 0.95
    counts = np.where(has, np.minimum(stays.length // 15, 192), 0)  # every 15 minutes, 2 days
    row = np.repeat(np.arange(len(counts)), counts)
    at = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    line = rng.random(len(stays.stay)) < chance(-0.5 + 0.8 * stays.severity.z)
    columns: dict[str, Any] = {
        "vitalperiodicid": stays.stay.min() * 1_000 + np.arange(len(row)),
        "patientunitstayid": stays.stay[row],
        "observationoffset": at * 15,
    }
    cuff: dict[str, Any] = {}
    hourly = at % 4 == 0
    for measure in VITALS:
        x = stays.severity.values(rng, measure, row, "vitals")
        name = names[measure.concept]
        systemic = name.startswith("systemic")
        columns[name] = pa.array(x, mask=~line[row]) if systemic else x
        if systemic:
            cuff[name.replace("systemic", "noninvasive")] = x[hourly]
    writer.write("vitalPeriodic", _HEAD["vitalPeriodic"], columns)
    columns = {
        "vitalaperiodicid": stays.stay.min() * 1_000 + np.arange(int(hourly.sum())),
        "patientunitstayid": stays.stay[row][hourly],
        "observationoffset": at[hourly] * 15 + 3,
        **cuff,
    }
    writer.write("vitalAperiodic", _HEAD["vitalAperiodic"], columns)


_SCORES = {"eyes": 4, "motor": 6, "verbal": 5}
_FLAGS = ("intubated", "vent", "dialysis", "meds")


def _apache(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    has = np.flatnonzero(rng.random(len(stays.stay)) < 0.87)
    z, n = stays.severity.z[has], len(has)
    cells: dict[str, Any] = {}
    for name in APACHE_COLUMNS:
        if name in _SCORES:
            top = _SCORES[name]
            cells[name] = np.clip(np.round(top - chance(z - 2) * top), 1, top).astype(np.int64)
        elif name in _FLAGS:
            cells[name] = (rng.random(n) < chance(z - 2)).astype(np.int64)
        else:
            x = np.round(np.maximum(50 + 10 * (0.4 * z + rng.standard_normal(n)), 0.1), 2)
            cells[name] = np.where(rng.random(n) < 0.35, -1.0, x)
    key = {"apacheapsvarid": stays.stay[has], "patientunitstayid": stays.stay[has]}
    writer.write("apacheApsVar", _HEAD["apacheApsVar"], {**key, **cells})
    own = np.round(chance(np.log(stays.risk / (1 - stays.risk))[has] + 0.5 * rng.normal(size=n)), 4)
    writer.write(
        "apachePatientResult",
        _HEAD["apachePatientResult"],
        {
            "apachepatientresultsid": stays.stay[has],
            "patientunitstayid": stays.stay[has],
            "apacheversion": np.full(n, "IVa"),
            "predictedicumortality": own,
            "predictedhospitalmortality": own,
        },
    )


# -- what a leak could exploit ----------------------------------------------------------------------


def _hindsight(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """See `hindsight`; predicted is at hour 12, and only who is there then can have later events."""
    row, drug = habits(rng, stays.patient)
    writer.write(
        "medication",
        _HEAD["medication"],
        {
            "medicationid": stays.stay[row],
            "patientunitstayid": stays.stay[row],
            "drugorderoffset": np.full(len(row), 20),
            "drugstartoffset": np.full(len(row), 30),
            "drugordercancelled": np.full(len(row), "No"),
            "drugname": np.array([f"SYNTHETIC HOME DRUG {k:03d}" for k in range(HABITS)])[drug],
        },
    )
    left = stays.length - PREDICTION_MINUTE
    row = codes_at_the_end(rng, stays.died)
    row = row[left[row] > 60]
    at = PREDICTION_MINUTE + 1 + (rng.random(len(row)) * (left[row] - 1)).astype(np.int64)
    columns = {"diagnosisid": stays.stay[row], "patientunitstayid": stays.stay[row]}
    columns |= {"diagnosisoffset": at, "diagnosisstring": np.full(len(row), CODED)}
    writer.write("diagnosis", _HEAD["diagnosis"], columns)
    lactate = next(c for c in concepts("labs") if c.name == "lactate")
    for extra in lactates(rng, stays.died):
        there = extra.stored < left[extra.row]
        row, n = extra.row[there], int(there.sum())
        writer.write(
            "lab",
            _HEAD["lab"],
            {
                "labid": stays.stay[row],
                "patientunitstayid": stays.stay[row],
                "labresultoffset": PREDICTION_MINUTE + extra.taken[there],
                "labtypeid": np.ones(n, dtype=np.int64),
                "labname": np.full(n, _own_name(lactate)),
                "labresult": extra.value[there],
                "labmeasurenamesystem": np.full(n, _unit(lactate)),
                "labresultrevisedoffset": PREDICTION_MINUTE + extra.stored[there],
            },
        )
