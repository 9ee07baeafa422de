"""Columns of eICU's tables, and what all of them are written from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amodal.clinical.concepts import Concept
from amodal.clinical.eicu.layout import APACHE_COLUMNS
from amodal.clinical.simulate.planted import Severity

__all__ = ["DIAGNOSES", "DRUGS", "HEAD", "HOSPITALS", "TREATMENTS", "Stays", "name_of", "unit_of"]

HOSPITALS, DIAGNOSES, TREATMENTS, DRUGS = 40, 200, 120, 150

HEAD = {
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


def unit_of(concept: Concept) -> str:
    """The unit of a concept as this database writes it."""
    return {"1": "", "1e9/L": "K/mcL", "1e12/L": "M/mcL"}.get(concept.unit, concept.unit)


def name_of(concept: Concept) -> str:
    """The name of a concept as this database writes it."""
    return next(i.item for i in concept.items if i.source == "eicu")
