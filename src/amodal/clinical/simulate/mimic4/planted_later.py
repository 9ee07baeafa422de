"""What a leak could exploit: events known only after the time of prediction."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from amodal.clinical.concepts import concepts
from amodal.clinical.simulate.hindsight import HABITS, codes_at_the_end, habits, lactates
from amodal.clinical.simulate.mimic4.tables import HEAD, Stays, first_item
from amodal.clinical.simulate.writer import RawWriter, stamp

__all__ = ["write_hindsight"]


def write_hindsight(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """See `hindsight`; predicted is at discharge."""
    _, patient = np.unique(stays.subject, return_inverse=True)
    row, drug = habits(rng, patient)
    writer.write(
        "hosp/prescriptions",
        HEAD["prescriptions"],
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
        HEAD["diagnoses_icd"],
        {
            "subject_id": stays.subject[row],
            "hadm_id": stays.hadm[row],
            "seq_num": np.full(len(row), 99),
            "icd_code": np.full(len(row), "SEND"),
            "icd_version": np.full(len(row), 10),
        },
    )
    item, unit = first_item(next(c for c in concepts("labs") if c.name == "lactate"))
    for extra in lactates(rng, stays.soon):
        row, n = extra.row, len(extra.row)
        writer.write(
            "hosp/labevents",
            HEAD["labevents"],
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
