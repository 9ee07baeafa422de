"""The rules compile for other engines, and use nothing that differs between them."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import pytest
import sqlglot

from amodal.clinical.concepts import concepts, item_lines
from amodal.clinical.eicu import cohort as eicu_cohort
from amodal.clinical.eicu import events as eicu_events
from amodal.clinical.eicu import features as eicu_features
from amodal.clinical.eicu import labels as eicu_labels
from amodal.clinical.eicu.layout import TABLES as EICU
from amodal.clinical.engine import sql_of
from amodal.clinical.mimic4 import codes, cohort, labels, measurements, patient_facts
from amodal.clinical.mimic4.layout import TABLES as MIMIC

TYPES = {"int": "int64", "float": "float64", "text": "string", "time": "timestamp"}


def raw(tables: dict, name: str) -> ibis.Table:
    columns = {**tables[name].columns, **tables[name].optional}
    return ibis.table({c: TYPES[k] for c, k in columns.items()}, name=name)


def mimic(name: str) -> ibis.Table:
    return raw(MIMIC, name)


def eicu(name: str) -> ibis.Table:
    return raw(EICU, name)


def items(source: str, modality: str) -> ibis.Table:
    schema = item_lines(source, modality).schema
    return ibis.table(
        {f.name: str(f.type).replace("double", "float64") for f in schema}, name="items"
    )


ROWS = ibis.table(
    {
        "row": "int64",
        "subject_id": "int64",
        "hadm_id": "int64",
        "begin": "timestamp",
        "end": "timestamp",
    },
    name="rows",
)
MEMBERS = ibis.table(
    dict.fromkeys(("patientunitstayid", "row", "shift", "until"), "int64"), name="members"
)


def code_tables() -> codes.CodeTables:
    names = ("diagnoses_icd", "d_icd_diagnoses", "procedures_icd", "d_icd_procedures")
    return codes.CodeTables(*(mimic(n) for n in (*names, "prescriptions", "poe", "drgcodes")))


def stays() -> ibis.Table:
    t = cohort.clean_candidates(mimic("admissions"), mimic("patients"))
    return t.mutate(row=ibis.row_number().over(order_by="hadm_id"))


def muse_stays() -> ibis.Table:
    return cohort.muse_candidates(mimic("admissions"), mimic("patients"))


def unit_stays() -> ibis.Table:
    return eicu_cohort.muse_candidates(eicu("patient"))


def icu_stays() -> ibis.Table:
    return eicu_cohort.mortality_candidates(eicu("patient")).mutate(row=ibis.literal(0))


def merged_icu_stays() -> ibis.Table:
    return eicu_cohort.readmission_candidates(eicu("patient"))


def kept(t: ibis.Table) -> ibis.Table:
    """The same columns as a table of its own, as an engine keeps it."""
    return ibis.table(t.schema(), name="kept")


MADE: dict[str, Callable[[], ibis.Table]] = {
    "muse candidates": muse_stays,
    "muse mortality": lambda: labels.muse_mortality(kept(muse_stays())),
    "muse readmission": lambda: labels.muse_readmission(kept(muse_stays())),
    "clean candidates": stays,
    "clean mortality": lambda: labels.clean_mortality(kept(stays())),
    "clean readmission": lambda: labels.clean_readmission(kept(stays())),
    "members": lambda: cohort.members(mimic("admissions"), ROWS),
    "muse codes": lambda: codes.muse_codes(ROWS.drop("subject_id"), code_tables()),
    "clean codes": lambda: codes.clean_codes(
        ROWS, ROWS.drop("subject_id"), mimic("admissions"), code_tables(), coding=True
    ),
    "muse labs": lambda: measurements.muse_labs(
        ROWS.drop("subject_id"),
        mimic("labevents"),
        measurements.muse_items(mimic("d_labitems")),
    ),
    "clean labs": lambda: measurements.kept(
        measurements.clean_labs(ROWS, mimic("labevents"), items("mimic4", "labs"))
    ),
    "clean vitals": lambda: measurements.kept(
        measurements.clean_vitals(ROWS, mimic("chartevents"), items("mimic4", "vitals"))
    ),
    "demographics": lambda: patient_facts.demographics(kept(stays())),
    "muse notes": lambda: patient_facts.muse_notes(ROWS.drop("subject_id"), mimic("discharge")),
    "clean notes": lambda: patient_facts.clean_notes(ROWS, mimic("discharge")),
    "eicu muse candidates": unit_stays,
    "eicu muse mortality": lambda: eicu_labels.muse_mortality(kept(unit_stays())),
    "eicu muse readmission": lambda: eicu_labels.muse_readmission(kept(unit_stays())),
    "eicu mortality candidates": icu_stays,
    "eicu readmission candidates": merged_icu_stays,
    "eicu clean mortality": lambda: eicu_labels.clean_mortality(kept(icu_stays())),
    "eicu clean readmission": lambda: eicu_labels.clean_readmission(kept(merged_icu_stays())),
    "eicu muse codes": lambda: eicu_events.muse_codes(
        MEMBERS, eicu_events.CodeTables(eicu("diagnosis"), eicu("treatment"), eicu("medication"))
    ),
    "eicu clean codes": lambda: eicu_events.clean_codes(
        MEMBERS, eicu_events.CodeTables(eicu("diagnosis"), eicu("treatment"), eicu("medication"))
    ),
    "eicu muse labs": lambda: eicu_events.muse_labs(MEMBERS, eicu("lab")),
    "eicu clean labs": lambda: eicu_events.kept_labs(
        eicu_events.clean_labs(MEMBERS, eicu("lab"), items("eicu", "labs"))
    ),
    "eicu clean vitals": lambda: eicu_events.clean_vitals(
        MEMBERS,
        {n: eicu(n) for n in ("vitalPeriodic", "vitalAperiodic")},
        concepts("vitals"),
    ),
    "eicu apache": lambda: eicu_events.apache(MEMBERS, eicu("apacheApsVar")),
    "eicu demographics": lambda: eicu_features.demographics(kept(icu_stays())),
}


@pytest.mark.parametrize("dialect", ["bigquery", pytest.param("pyspark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MADE)
def test_rules_compile_for_other_engines(name, dialect):
    text = sql_of(MADE[name](), dialect).upper()
    for call in ("ARRAY_AGG", "COLLECT_LIST", "COLLECT_SET", "STRING_AGG", "RAND("):
        assert call not in text, f"{name} uses {call}"
    (parsed,) = sqlglot.parse(text, read={"pyspark": "spark"}.get(dialect, dialect))
    assert parsed.key == "select"
    if dialect == "bigquery":  # what it refuses of DATETIME columns
        assert "UNIX_SECONDS" not in text
