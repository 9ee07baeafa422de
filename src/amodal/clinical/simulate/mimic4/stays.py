"""Patients and admissions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from amodal.clinical.simulate.mimic4.tables import DAY, HEAD, Stays
from amodal.clinical.simulate.planted import Severity, chance
from amodal.clinical.simulate.writer import RawWriter, stamp

__all__ = ["draw_stays"]

_TYPES = np.array(["EW EMER.", "URGENT", "OBSERVATION ADMIT", "ELECTIVE"])

_PLACES = np.array(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "HOSPICE"])


def draw_stays(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> Stays:
    """Draws and writes patients, admissions and what is planted in them."""
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
        HEAD["patients"],
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
        HEAD["admissions"],
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
