"""Codes, drugs, lab results, vital signs and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from amodal.clinical.concepts import concepts
from amodal.clinical.eicu.layout import APACHE_COLUMNS
from amodal.clinical.simulate.eicu.tables import (
    DIAGNOSES,
    DRUGS,
    HEAD,
    TREATMENTS,
    Stays,
    name_of,
    unit_of,
)
from amodal.clinical.simulate.planted import LABS, PANELS, VITALS, chance, code_places
from amodal.clinical.simulate.writer import RawWriter

__all__ = ["write_apache", "write_codes", "write_labs", "write_vitals"]


def _lines(
    rng: np.random.Generator, stays: Stays, counts: np.ndarray, *, early: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(row, offset) of as many events as `counts` says, within each stay."""
    row = np.repeat(np.arange(len(counts)), counts)
    offset = -early + rng.random(len(row)) * (stays.length[row] + early)
    return row, offset.astype(np.int64)


def write_codes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes diagnoses, treatments and drugs that tell of severity."""
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
        writer.write(table, HEAD[table], columns)
    row, start = _lines(rng, stays, np.where(rng.random(n) < 0.7, rng.poisson(15, n), 0))
    drug = np.array([f"SYNTHETIC DRUG {k:03d}" for k in range(DRUGS)])
    writer.write(
        "medication",
        HEAD["medication"],
        {
            "medicationid": stays.stay.min() * 100 + np.arange(len(row)),
            "patientunitstayid": stays.stay[row],
            "drugorderoffset": start // 2 + rng.integers(-120, 120, len(row)),
            "drugstartoffset": start // 2,
            "drugordercancelled": np.where(rng.random(len(row)) < 0.05, "Yes", "No"),
            "drugname": drug[code_places(rng, stays.severity, row, DRUGS)],
        },
    )


def write_labs(writer: RawWriter, stays: Stays, rng: np.random.Generator, per_row: float) -> None:
    """Writes lab results in panels; the sicker are measured more often."""
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
                HEAD["lab"],
                {
                    "labid": stays.stay.min() * 1_000 + np.arange(size),
                    "patientunitstayid": stays.stay[who],
                    "labresultoffset": offset[taken],
                    "labtypeid": np.ones(size, dtype=np.int64),
                    "labname": np.full(size, name_of(concept)),
                    "labresult": stays.severity.values(rng, measure, who, "labs"),
                    "labmeasurenamesystem": np.full(size, unit_of(concept)),
                    "labresultrevisedoffset": offset[taken] + rng.integers(5, 90, size),
                },
            )


def write_vitals(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes periodic and aperiodic vital signs."""
    names = {c.name: name_of(c).split(".")[1] for c in concepts("vitals")}
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
    writer.write("vitalPeriodic", HEAD["vitalPeriodic"], columns)
    columns = {
        "vitalaperiodicid": stays.stay.min() * 1_000 + np.arange(int(hourly.sum())),
        "patientunitstayid": stays.stay[row][hourly],
        "observationoffset": at[hourly] * 15 + 3,
        **cuff,
    }
    writer.write("vitalAperiodic", HEAD["vitalAperiodic"], columns)


_SCORES = {"eyes": 4, "motor": 6, "verbal": 5}

_FLAGS = ("intubated", "vent", "dialysis", "meds")


def write_apache(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes the variables of the APACHE score and its predicted risk."""
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
    writer.write("apacheApsVar", HEAD["apacheApsVar"], {**key, **cells})
    own = np.round(chance(np.log(stays.risk / (1 - stays.risk))[has] + 0.5 * rng.normal(size=n)), 4)
    writer.write(
        "apachePatientResult",
        HEAD["apachePatientResult"],
        {
            "apachepatientresultsid": stays.stay[has],
            "patientunitstayid": stays.stay[has],
            "apacheversion": np.full(n, "IVa"),
            "predictedicumortality": own,
            "predictedhospitalmortality": own,
        },
    )
