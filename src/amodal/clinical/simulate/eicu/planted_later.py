"""What a leak could exploit: events known only after the time of prediction."""

from __future__ import annotations

import numpy as np

from amodal.clinical.concepts import concepts
from amodal.clinical.eicu.cohort import PREDICTION_MINUTE
from amodal.clinical.simulate.eicu.tables import HEAD, Stays, name_of, unit_of
from amodal.clinical.simulate.hindsight import CODED, HABITS, codes_at_the_end, habits, lactates
from amodal.clinical.simulate.writer import RawWriter

__all__ = ["write_hindsight"]


def write_hindsight(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """See `hindsight`; predicted is at hour 12, and only who is there then can have later events."""
    row, drug = habits(rng, stays.patient)
    writer.write(
        "medication",
        HEAD["medication"],
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
    writer.write("diagnosis", HEAD["diagnosis"], columns)
    lactate = next(c for c in concepts("labs") if c.name == "lactate")
    for extra in lactates(rng, stays.died):
        there = extra.stored < left[extra.row]
        row, n = extra.row[there], int(there.sum())
        writer.write(
            "lab",
            HEAD["lab"],
            {
                "labid": stays.stay[row],
                "patientunitstayid": stays.stay[row],
                "labresultoffset": PREDICTION_MINUTE + extra.taken[there],
                "labtypeid": np.ones(n, dtype=np.int64),
                "labname": np.full(n, name_of(lactate)),
                "labresult": extra.value[there],
                "labmeasurenamesystem": np.full(n, unit_of(lactate)),
                "labresultrevisedoffset": PREDICTION_MINUTE + extra.stored[there],
            },
        )
