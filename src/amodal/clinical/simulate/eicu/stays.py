"""Hospitals, patients and unit stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from amodal.clinical.simulate.eicu.tables import HEAD, HOSPITALS, Stays
from amodal.clinical.simulate.planted import Severity, chance
from amodal.clinical.simulate.writer import RawWriter

__all__ = ["draw_stays", "write_hospitals"]

_REGIONS = ("Midwest", "Northeast", "South", "West")


def write_hospitals(writer: RawWriter) -> None:
    """Where they are; nothing else depends on it."""
    number = np.arange(HOSPITALS)
    columns = {
        "hospitalid": number + 1,
        "numbedscategory": np.where(number % 3 == 0, ">= 500", "100 - 249"),
        "teachingstatus": np.where(number % 5 == 0, "t", "f"),
        "region": np.array(_REGIONS)[number % len(_REGIONS)],
    }
    writer.write("hospital", HEAD["hospital"], columns)


def draw_stays(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> Stays:
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
        HEAD["patient"],
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
