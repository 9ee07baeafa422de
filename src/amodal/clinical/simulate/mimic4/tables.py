"""Columns of MIMIC-IV's tables, and what all of them are written from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amodal.clinical.concepts import Concept
from amodal.clinical.simulate.planted import Severity

__all__ = [
    "DAY",
    "DIAGNOSES",
    "DRUGS",
    "HEAD",
    "PROCEDURES",
    "Stays",
    "first_item",
    "names_of",
    "repeated",
]

DAY = 1_440

DIAGNOSES, PROCEDURES, DRUGS = 300, 80, 200

HEAD = {
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


def repeated(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row of each line, number of the line within its row), with `counts` lines a row.

    >>> [x.tolist() for x in repeated(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    row = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    return row, np.arange(len(row)) - begin[row]


def names_of(letter: str, size: int) -> np.ndarray:
    """`size` names of a letter and a number.

    >>> names_of("S", 2).tolist()
    ['S000', 'S001']
    """
    return np.array([f"{letter}{k:03d}" for k in range(size)])


def first_item(concept: Concept) -> tuple[int, str]:
    """(itemid, unit) with which a concept is written."""
    item = next(i for i in concept.items if i.source == "mimic4")
    return int(item.item), concept.unit
