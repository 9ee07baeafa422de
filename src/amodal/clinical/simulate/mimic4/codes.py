"""Diagnoses, procedures and drugs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from amodal.clinical.simulate.mimic4.tables import (
    DAY,
    DIAGNOSES,
    DRUGS,
    HEAD,
    PROCEDURES,
    Stays,
    names_of,
    repeated,
)
from amodal.clinical.simulate.planted import code_places
from amodal.clinical.simulate.writer import RawWriter, stamp

__all__ = ["write_codes"]


def write_codes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes diagnoses, procedures, groups and drugs that tell of severity."""
    n = len(stays.hadm)
    days = (stays.end - stays.begin) / DAY
    row, place = repeated(3 + rng.poisson(7, n))
    code = code_places(rng, stays.severity, row, DIAGNOSES)
    who = {"subject_id": stays.subject[row], "hadm_id": stays.hadm[row]}
    ten = np.full(len(row), 10)
    icd = {"icd_code": names_of("S", DIAGNOSES)[code], "icd_version": ten}
    writer.write("hosp/diagnoses_icd", HEAD["diagnoses_icd"], {**who, "seq_num": place + 1, **icd})
    drg = np.flatnonzero(rng.random(n) < 0.9)
    writer.write(
        "hosp/drgcodes",
        HEAD["drgcodes"],
        {
            "subject_id": stays.subject[drg],
            "hadm_id": stays.hadm[drg],
            "drg_type": np.full(len(drg), "APR"),
            "drg_code": names_of("G", 20)[code_places(rng, stays.severity, drg, 20)],
            "description": np.full(len(drg), "SYNTHETIC GROUP"),
        },
    )
    row, place = repeated(np.where(rng.random(n) < 0.6, 1 + rng.poisson(1.0, n), 0))
    within = (rng.random(len(row)) * days[row]).astype(np.int64)
    day = stays.begin[row] // DAY + within
    writer.write(
        "hosp/procedures_icd",
        HEAD["procedures_icd"],
        {
            "subject_id": stays.subject[row],
            "hadm_id": stays.hadm[row],
            "seq_num": place + 1,
            "chartdate": pa.array(np.datetime64("2110-01-01") + day, type=pa.date32()),
            "icd_code": names_of("P", PROCEDURES)[
                code_places(rng, stays.severity, row, PROCEDURES)
            ],
            "icd_version": np.full(len(row), 10),
        },
    )
    _prescriptions(writer, stays, rng)


def _prescriptions(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    n = len(stays.hadm)
    minutes = stays.end - stays.begin
    row, place = repeated(
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
        HEAD["prescriptions"],
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
    writer.write("hosp/poe", HEAD["poe"], {**who, "poe_id": poe, "ordertime": stamp(ordered)})
