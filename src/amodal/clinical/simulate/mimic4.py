"""A synthetic MIMIC-IV (2.2) with its notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from amodal.clinical.concepts import Concept, concepts
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
from amodal.clinical.simulate.writer import RawWriter, chunks, stamp, writing

__all__ = ["simulate_mimic4"]

DAY = 1_440
DIAGNOSES, PROCEDURES, DRUGS = 300, 80, 200
_TOLD = (
    "SYNTHETIC DATA in the layout of MIMIC-IV 2.2 and MIMIC-IV-Note. Nobody in it exists; no row "
    "of MIMIC-IV was used. rows {rows}, seed {seed}. What is planted stands in planted.csv.gz."
)
_TYPES = np.array(["EW EMER.", "URGENT", "OBSERVATION ADMIT", "ELECTIVE"])
_PLACES = np.array(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "HOSPICE"])

_HEAD = {
    "patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,"
    "admit_provider_id,admission_location,discharge_location,insurance,language,marital_status,"
    "race,edregtime,edouttime,hospital_expire_flag",
    "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "procedures_icd": "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version",
    "prescriptions": "subject_id,hadm_id,pharmacy_id,poe_id,poe_seq,order_provider_id,starttime,"
    "stoptime,drug_type,drug,formulary_drug_cd,gsn,ndc,prod_strength,form_rx,dose_val_rx,"
    "dose_unit_rx,form_val_disp,form_unit_disp,doses_per_24_hrs,route",
    "poe": "poe_id,poe_seq,subject_id,hadm_id,ordertime,order_type,order_subtype,transaction_type,"
    "discontinue_of_poe_id,discontinued_by_poe_id,order_provider_id,order_status",
    "labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,"
    "storetime,value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
    "chartevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,"
    "valuenum,valueuom,warning",
    "icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "drgcodes": "subject_id,hadm_id,drg_type,drg_code,description,drg_severity,drg_mortality",
    "note": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
}


class Stays(NamedTuple):
    """n admissions of one chunk, by time within each patient; times in minutes.

    `died` in the hospital; `soon`: within 90 days of a last discharge.
    """

    subject: np.ndarray
    hadm: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    died: np.ndarray
    soon: np.ndarray
    severity: Severity


def simulate_mimic4(
    out: str | Path, *, rows: int = 1_000, seed: int = 0, labs_per_row: float = 75.0
) -> Path:
    """Writes a synthetic MIMIC-IV of `rows` admissions into the new folder `out`.

    The folder has hosp, icu and note, as the official ones have, `SYNTHETIC.txt`, and
    ``planted.csv.gz`` with severity, risk of death and noise of every admission.

    Args:
        out: a new folder, or a synthetic one that is replaced.
        rows: number of admissions.
        seed: the same seed gives the same bytes.
        labs_per_row: lab events of an admission, about.

    Raises:
        SettingError: fewer than one row.
        StorageError: the folder holds something else, or cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     raw = simulate_mimic4(f"{folder}/raw", rows=2)
    ...     sorted(p.name for p in raw.iterdir())
    ['SYNTHETIC.txt', 'hosp', 'icu', 'note', 'planted.csv.gz']
    """
    told = _TOLD.format(rows=rows, seed=seed)
    parts = chunks(rows, seed)
    first = next(parts)
    with writing(out, told) as writer:
        _dictionaries(writer)
        for number, size, rng in (first, *parts):
            stays = _write_chunk(writer, number, size, rng, labs_per_row)
            _hindsight(writer, stays, own_generator(seed, number))
    return Path(out)


def _write_chunk(
    writer: RawWriter, number: int, size: int, rng: np.random.Generator, labs_per_row: float
) -> Stays:
    stays = _stays(writer, number, size, rng)
    _codes(writer, stays, rng)
    _labs(writer, stays, rng, labs_per_row)
    _vitals(writer, stays, rng)
    _notes(writer, stays, rng)
    return stays


# -- patients and admissions ----------------------------------------------------------------------


def _stays(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> Stays:
    patient = np.cumsum(rng.random(size) < 0.6)  # admissions of a patient stand together
    patient -= patient[0]
    severity = Severity.draw(rng, patient)
    z = severity.z
    length = np.exp(rng.normal(np.log(3.2 * DAY), 0.7, size) + 0.2 * z)
    length = np.clip(length, 240, 60 * DAY).astype(np.int64)
    gap = np.exp(rng.normal(np.log(90 * DAY), 1.3, size) - 0.5 * z).astype(np.int64) + 60
    start = rng.integers(0, 60 * 365 * DAY, int(patient[-1]) + 1)
    first = np.flatnonzero(np.diff(patient, prepend=-1))
    elapsed = np.cumsum(length + gap) - (length + gap)
    begin = start[patient] + elapsed - elapsed[first][patient]
    last = np.diff(patient, append=patient[-1] + 1) > 0
    died = last & (rng.random(size) < chance(-4.5 + 1.2 * z))
    subject = 10_000_000 + number * 10_000 + patient
    hadm = 20_000_000 + number * 10_000 + rng.permutation(size)
    stays = Stays(subject, hadm, begin, begin + length, died, np.zeros_like(died), severity)
    risk = chance(-2.6 + 1.3 * z)
    ends = np.flatnonzero(last)
    stays.soon[ends] = _write_patients(writer, stays, ends, risk, rng)
    _write_admissions(writer, stays, rng)
    writer.write(
        "planted",
        "hadm_id,severity,risk,noise_codes,noise_labs,noise_vitals",
        {
            "hadm_id": hadm,
            "severity": np.round(z, 4),
            "risk": np.round(risk, 4),
            **{f"noise_{k}": v for k, v in severity.noise.items()},
        },
    )
    return stays


def _write_patients(
    writer: RawWriter, stays: Stays, last: np.ndarray, risk: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One line a patient, who may die in the 90 days after the last admission: who does."""
    n = len(last)
    soon = rng.random(n) < risk[last]
    later = ~soon & (rng.random(n) < 0.15)
    days = np.where(soon, rng.integers(0, 91, n), rng.integers(91, 365, n))
    dod = stays.end[last] // DAY + np.where(stays.died[last], 0, days)
    known = stays.died[last] | soon | later
    year = 2110 + stays.begin[last] // (365 * DAY)
    writer.write(
        "hosp/patients",
        _HEAD["patients"],
        {
            "subject_id": stays.subject[last],
            "gender": np.where(rng.random(n) < 0.52, "F", "M"),
            "anchor_age": np.clip(rng.normal(61, 17, n), 16, 91).astype(np.int64),
            "anchor_year": year,
            "anchor_year_group": np.full(n, "2011 - 2013"),
            "dod": pa.array(np.datetime64("2110-01-01") + dod, type=pa.date32(), mask=~known),
        },
    )
    return soon


def _write_admissions(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    n = len(stays.hadm)
    z = stays.severity.z
    kind = _TYPES[np.clip((chance(1.2 - z + rng.normal(size=n)) * 4).astype(int), 0, 3)]
    place = _PLACES[np.clip((chance(z - 1.5 + rng.normal(size=n)) * 4).astype(int), 0, 3)]
    writer.write(
        "hosp/admissions",
        _HEAD["admissions"],
        {
            "subject_id": stays.subject,
            "hadm_id": stays.hadm,
            "admittime": stamp(stays.begin),
            "dischtime": stamp(stays.end),
            "deathtime": stamp(stays.end, ~stays.died),
            "admission_type": kind,
            "discharge_location": np.where(stays.died, "DIED", place),
            "insurance": np.where(rng.random(n) < 0.45, "Medicare", "Other"),
            "race": np.full(n, "UNKNOWN"),
            "hospital_expire_flag": stays.died.astype(np.int64),
        },
    )


# -- codes ----------------------------------------------------------------------------------------


def _repeated(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row of each line, number of the line within its row)"""
    row = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    return row, np.arange(len(row)) - begin[row]


def _names(letter: str, size: int) -> np.ndarray:
    return np.array([f"{letter}{k:03d}" for k in range(size)])


def _codes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    n = len(stays.hadm)
    days = (stays.end - stays.begin) / DAY
    row, place = _repeated(3 + rng.poisson(7, n))
    code = code_places(rng, stays.severity, row, DIAGNOSES)
    who = {"subject_id": stays.subject[row], "hadm_id": stays.hadm[row]}
    ten = np.full(len(row), 10)
    icd = {"icd_code": _names("S", DIAGNOSES)[code], "icd_version": ten}
    writer.write("hosp/diagnoses_icd", _HEAD["diagnoses_icd"], {**who, "seq_num": place + 1, **icd})
    drg = np.flatnonzero(rng.random(n) < 0.9)
    writer.write(
        "hosp/drgcodes",
        _HEAD["drgcodes"],
        {
            "subject_id": stays.subject[drg],
            "hadm_id": stays.hadm[drg],
            "drg_type": np.full(len(drg), "APR"),
            "drg_code": _names("G", 20)[code_places(rng, stays.severity, drg, 20)],
            "description": np.full(len(drg), "SYNTHETIC GROUP"),
        },
    )
    row, place = _repeated(np.where(rng.random(n) < 0.6, 1 + rng.poisson(1.0, n), 0))
    within = (rng.random(len(row)) * days[row]).astype(np.int64)
    day = stays.begin[row] // DAY + within
    writer.write(
        "hosp/procedures_icd",
        _HEAD["procedures_icd"],
        {
            "subject_id": stays.subject[row],
            "hadm_id": stays.hadm[row],
            "seq_num": place + 1,
            "chartdate": pa.array(np.datetime64("2110-01-01") + day, type=pa.date32()),
            "icd_code": _names("P", PROCEDURES)[code_places(rng, stays.severity, row, PROCEDURES)],
            "icd_version": np.full(len(row), 10),
        },
    )
    _prescriptions(writer, stays, rng)


def _prescriptions(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    n = len(stays.hadm)
    minutes = stays.end - stays.begin
    row, place = _repeated(
        np.where(rng.random(n) < 0.88, rng.poisson(6 + 5 * np.sqrt(minutes / DAY)), 0)
    )
    start = stays.begin[row] + (rng.random(len(row)) * minutes[row]).astype(np.int64)
    who = {"subject_id": stays.subject[row], "hadm_id": stays.hadm[row]}
    poe = np.char.add(
        np.char.add(stays.subject[row].astype(str), "-"), (row * 1000 + place).astype(str)
    )
    drug = code_places(rng, stays.severity, row, DRUGS)
    writer.write(
        "hosp/prescriptions",
        _HEAD["prescriptions"],
        {
            **who,
            "poe_id": poe,
            "starttime": stamp(start),
            "stoptime": stamp(start + DAY),
            "drug_type": np.full(len(row), "MAIN"),
            "drug": np.array([f"Synthetic drug {k:03d}" for k in range(DRUGS)])[drug],
        },
    )
    ordered = start + rng.integers(-300, 30, len(row))
    writer.write("hosp/poe", _HEAD["poe"], {**who, "poe_id": poe, "ordertime": stamp(ordered)})


# -- measurements ---------------------------------------------------------------------------------


def _first_item(concept: Concept) -> tuple[int, str]:
    """(itemid, unit) with which a concept is written."""
    item = next(i for i in concept.items if i.source == "mimic4")
    return int(item.item), concept.unit


def _labs(writer: RawWriter, stays: Stays, rng: np.random.Generator, per_row: float) -> None:
    known = {c.name: c for c in concepts("labs")}
    n, z = len(stays.hadm), stays.severity.z
    measured = rng.random(n) >= chance(-2.5 - 0.8 * z)  # the healthier are not measured at all
    days = (stays.end - stays.begin) / DAY
    draws = np.where(measured, 1 + rng.poisson(days * per_row / 55), 0)
    row, _ = _repeated(draws)
    span = (stays.end - stays.begin)[row] + 360
    time = stays.begin[row] - 360 + (rng.random(len(row)) * span).astype(np.int64)
    parts: list[dict[str, Any]] = []
    for panel, (base, slope) in PANELS.items():
        has = rng.random(n) < chance(base + slope * z)
        taken = np.flatnonzero(has[row] & (rng.random(len(row)) < 0.75))
        for measure in LABS[panel]:
            item, unit = _first_item(known[measure.concept])
            x = stays.severity.values(rng, measure, row[taken], "labs")
            odd = np.abs(x - measure.mean) > 2 * measure.sd
            parts.append({"at": taken, "x": x, "odd": odd, "item": item, "unit": unit})
    _write_labs(writer, stays, rng, (row, time, parts))


def _write_labs(
    writer: RawWriter, stays: Stays, rng: np.random.Generator, drawn: tuple[Any, ...]
) -> None:
    row, time, parts = drawn
    sizes = [len(p["at"]) for p in parts]
    at = np.concatenate([p["at"] for p in parts])
    n, x = len(at), np.concatenate([p["x"] for p in parts])
    late = rng.exponential(60, len(time)).astype(np.int64)  # a specimen is stored as a whole
    unknown = rng.random(len(time)) < 0.01
    stored = time[at] + late[at]
    who = row[at]
    outside = (time[at] < stays.begin[who]) | (rng.random(n) < 0.15)
    units = pa.array([p["unit"] for p in parts])
    writer.write(
        "hosp/labevents",
        _HEAD["labevents"],
        {
            "labevent_id": stays.hadm.min() * 1_000 + np.arange(n),
            "subject_id": stays.subject[who],
            "hadm_id": pa.array(stays.hadm[who], mask=outside),
            "itemid": np.repeat([p["item"] for p in parts], sizes),
            "charttime": stamp(time[at]),
            "storetime": stamp(stored, unknown[at]),
            "value": x,
            "valuenum": x,
            "valueuom": units.take(pa.array(np.repeat(np.arange(len(parts)), sizes))),
            "flag": pa.array(
                np.full(n, "abnormal"), mask=~np.concatenate([p["odd"] for p in parts])
            ),
        },
    )


def _vitals(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    known = {c.name: c for c in concepts("vitals")}
    z = stays.severity.z
    icu = np.flatnonzero(rng.random(len(z)) < chance(-0.8 + 0.8 * z))
    hours = np.minimum((stays.end - stays.begin)[icu] // 60, 48)
    at, hour = _repeated(hours)
    row = icu[at]
    time = stays.begin[row] + hour * 60 + rng.integers(0, 60, len(row))
    stay = 30_000_000 + stays.hadm
    for measure in VITALS:
        item, unit = _first_item(known[measure.concept])
        x = stays.severity.values(rng, measure, row, "vitals")
        if measure.concept == "temperature":
            x = np.round(x * 1.8 + 32, 1)
            unit = "°F"
        writer.write(
            "icu/chartevents",
            _HEAD["chartevents"],
            {
                "subject_id": stays.subject[row],
                "hadm_id": stays.hadm[row],
                "stay_id": stay[row],
                "charttime": stamp(time),
                "storetime": stamp(time + 20),
                "itemid": np.full(len(row), item),
                "value": x,
                "valuenum": x,
                "valueuom": np.full(len(row), unit),
            },
        )
    writer.write(
        "icu/icustays",
        _HEAD["icustays"],
        {
            "subject_id": stays.subject[icu],
            "hadm_id": stays.hadm[icu],
            "stay_id": stay[icu],
            "intime": stamp(stays.begin[icu]),
            "outtime": stamp(stays.begin[icu] + hours * 60),
        },
    )


# -- what a leak could exploit ----------------------------------------------------------------------


def _hindsight(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """See `hindsight`; predicted is at discharge."""
    _, patient = np.unique(stays.subject, return_inverse=True)
    row, drug = habits(rng, patient)
    writer.write(
        "hosp/prescriptions",
        _HEAD["prescriptions"],
        {
            "subject_id": stays.subject[row],
            "hadm_id": stays.hadm[row],
            "starttime": stamp(stays.begin[row] + 60),
            "drug_type": np.full(len(row), "MAIN"),
            "drug": np.array([f"Synthetic home drug {k:03d}" for k in range(HABITS)])[drug],
        },
    )
    row = codes_at_the_end(rng, stays.soon)
    writer.write(
        "hosp/diagnoses_icd",
        _HEAD["diagnoses_icd"],
        {
            "subject_id": stays.subject[row],
            "hadm_id": stays.hadm[row],
            "seq_num": np.full(len(row), 99),
            "icd_code": np.full(len(row), "SEND"),
            "icd_version": np.full(len(row), 10),
        },
    )
    item, unit = _first_item(next(c for c in concepts("labs") if c.name == "lactate"))
    for extra in lactates(rng, stays.soon):
        row, n = extra.row, len(extra.row)
        writer.write(
            "hosp/labevents",
            _HEAD["labevents"],
            {
                "labevent_id": stays.hadm[row],
                "subject_id": stays.subject[row],
                "hadm_id": pa.array(stays.hadm[row], mask=extra.taken > 0),
                "itemid": np.full(n, item),
                "charttime": stamp(stays.end[row] + extra.taken),
                "storetime": stamp(stays.end[row] + extra.stored),
                "value": extra.value,
                "valuenum": extra.value,
                "valueuom": np.full(n, unit),
                "flag": pa.nulls(n, pa.string()),
            },
        )


# -- notes and dictionaries -----------------------------------------------------------------------


def _notes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    words = np.array(["well", "stable", "guarded", "unwell", "critical"])
    for table, share, delay in (("note/discharge", 0.7, 600), ("note/radiology", 0.5, -600)):
        has = np.flatnonzero(rng.random(len(stays.hadm)) < share)
        word = words[code_places(rng, stays.severity, has, len(words))]
        letter = "DS" if "discharge" in table else "RR"
        time = np.maximum(
            stays.end[has] + rng.integers(-60, 60, len(has)) + delay, stays.begin[has]
        )
        writer.write(
            table,
            _HEAD["note"],
            {
                "note_id": [
                    f"{s}-{letter}-{h}"
                    for s, h in zip(stays.subject[has], stays.hadm[has], strict=True)
                ],
                "subject_id": stays.subject[has],
                "hadm_id": stays.hadm[has],
                "note_type": np.full(len(has), letter),
                "note_seq": np.arange(len(has)),
                "charttime": stamp(time),
                "storetime": stamp(time + 30),
                "text": [
                    'Synthetic note, "made up".\nBrief Hospital Course:\n'
                    f"The patient was {w} on discharge.\nMedications on Admission:\nnone"
                    for w in word
                ],
            },
        )


def _dictionaries(writer: RawWriter) -> None:
    for table, letter, size, what in (
        ("hosp/d_icd_diagnoses", "S", DIAGNOSES, "diagnosis"),
        ("hosp/d_icd_procedures", "P", PROCEDURES, "procedure"),
    ):
        titles = [f"Synthetic {what} {k:03d}" for k in range(size)]
        codes = _names(letter, size).tolist()
        if what == "diagnosis":
            titles, codes = [*titles, CODED], [*codes, "SEND"]
        columns = {"icd_code": codes, "icd_version": np.full(len(codes), 10)}
        writer.write(table, "icd_code,icd_version,long_title", {**columns, "long_title": titles})
    labs = _items("labs")
    writer.write(
        "hosp/d_labitems",
        "itemid,label,fluid,category",
        {
            "itemid": [i for i, _, _ in labs],
            "label": [label for _, label, _ in labs],
            "fluid": [fluid for _, _, fluid in labs],
            "category": ["Synthetic"] * len(labs),
        },
    )
    vitals = _items("vitals")
    writer.write(
        "icu/d_items",
        "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,"
        "highnormalvalue",
        {
            "itemid": [i for i, _, _ in vitals],
            "label": [label for _, label, _ in vitals],
            "linksto": ["chartevents"] * len(vitals),
        },
    )


def _items(modality: str) -> Sequence[tuple[int, str, str]]:
    return sorted(
        (int(item.item), item.label, concept.fluid)
        for concept in concepts(modality)
        for item in concept.items
        if item.source == "mimic4"
    )
