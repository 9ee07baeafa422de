"""The modalities of eICU, packed: which tables they need and which rules make them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from amodal.clinical.choices import Choices
from amodal.clinical.concepts import concepts, item_lines
from amodal.clinical.eicu import events as rules
from amodal.clinical.eicu.events import APACHE_FEATURES, KINDS, CodeTables
from amodal.clinical.features import Features, code_features, concept_features
from amodal.clinical.pack import carry_forward, numbered, pack_series, pack_table, standardise
from amodal.clinical.workspace import Workspace

if TYPE_CHECKING:
    import ibis

__all__ = ["Cohort", "demographics", "make_modality"]


class Cohort(NamedTuple):
    """The rows and the unit stays that belong to them.

    Args:
        stays: the kept candidates, with `row`.
        members: patientunitstayid, row, shift, until.
        n: number of rows.
    """

    stays: ibis.Table
    members: ibis.Table
    n: int


def make_modality(name: str, work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    """The modality `name` of the rows, by the protocol chosen."""
    return _MAKERS[choices.protocol, name](work, cohort, choices)


def _codes(work: Workspace, cohort: Cohort, rule: Any, unit: str) -> Features:
    tables = CodeTables(*(work.table(name) for name in CodeTables._fields))
    events = rule(cohort.members, tables)
    return code_features(work.engine, events, cohort.n, kinds=KINDS, unit=unit)


def _muse_codes(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    return _codes(work, cohort, rules.muse_codes, "minutes")


def _clean_codes(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    return _codes(work, cohort, partial(rules.clean_codes, leaks=choices.leaks), "hours")


def _muse_labs(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    t = work.engine.keep(rules.muse_labs(cohort.members, work.table("lab")), "labs")
    names, places = numbered(work.engine, t, "labname")
    t = t.inner_join(places, "labname").rename(concept="place").drop("labname")
    modality, values = pack_series(work.engine, "labs", t, cohort.n, features=names, unit="minutes")
    scaled, stats = standardise(values)
    return Features(modality, carry_forward(scaled), {"items": len(names), "scale": stats})


def _clean_labs(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    lines = item_lines("eicu", "labs")
    lab = work.table("lab", only=("labname", set(lines["item"].to_pylist())))
    stored = "stored" not in choices.leaks
    t = rules.clean_labs(cohort.members, lab, work.engine.arrow(lines, "items"), stored=stored)
    return concept_features(work.engine, "labs", t, rules.kept_labs, cohort.n)


def _clean_vitals(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    tables, notes = {"vitalPeriodic": work.table("vitalPeriodic")}, ()
    if work.has("vitalAperiodic"):
        tables["vitalAperiodic"] = work.table("vitalAperiodic")
    else:
        notes = ("RAW has no table vitalAperiodic: no pressures by cuff",)
    found = concepts("vitals")
    modality, values = pack_series(
        work.engine,
        "vitals",
        rules.clean_vitals(cohort.members, tables, found),
        cohort.n,
        features=[c.name for c in found],
        unit="hours",
    )
    return Features(modality, values, {}, notes)


def _apache(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    modality, values = pack_table(
        work.engine,
        "apache",
        rules.apache(cohort.members, work.table("apacheApsVar")),
        cohort.n,
        numeric=APACHE_FEATURES,
    )
    return Features(modality, values, {}, ("APACHE variables are the worst of 24 hours",))


def demographics(stays: ibis.Table) -> ibis.Table:
    """Age ("> 89" is 90, and `over_89`), sex, height, weight, unit, hours in hospital before.

    Args:
        stays: row and the columns of the table patient, with years and over_89.

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 1], "ethnicity": ["", ""], "years": [40, 90], "over_89": [False, True]}
    >>> t |= {"gender": ["Female", "Other"], "admissionheight": [100.0, 99.0], "unittype": ["SICU"] * 2}
    >>> t |= {"admissionweight": [300.0, 300.1], "hospitaladmitoffset": [-90, 0]}
    >>> for x in tried(demographics, t | {"unitvisitnumber": [1, 1]}):
    ...     print(x["age"], x["sex"], x["height_cm"], x["weight_kg"], x["hours_in_hospital"])
    40 female 100.0 300.0 1.5
    90 None None None -0.0
    """
    import ibis

    sex = ibis.cases((stays.gender == "Female", "female"), (stays.gender == "Male", "male"))
    return stays.select(
        "row",
        "ethnicity",
        age=stays.years,
        over_89=stays.over_89.cast("int64"),
        sex=sex,
        height_cm=_plausible(stays.admissionheight, 100, 230),
        weight_kg=_plausible(stays.admissionweight, 20, 300),
        unit_type=stays.unittype,
        hours_in_hospital=-stays.hospitaladmitoffset.cast("float64") / 60,
        unit_visit=stays.unitvisitnumber,
    )


def _plausible(value: ibis.Value, low: float, high: float) -> ibis.Value:
    import ibis

    return ibis.cases((value.between(low, high).fill_null(False), value), else_=None)


def _muse_demographics(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    return _demographics(work, cohort, ("age",), ("sex", "ethnicity"))


def _clean_demographics(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    numeric = ("age", "over_89", "height_cm", "weight_kg", "hours_in_hospital", "unit_visit")
    return _demographics(work, cohort, numeric, ("sex", "unit_type"))


def _demographics(
    work: Workspace, cohort: Cohort, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> Features:
    cells = demographics(cohort.stays)
    modality, values = pack_table(
        work.engine, "demographics", cells, cohort.n, numeric=numeric, categorical=categorical
    )
    return Features(modality, values, {})


_MAKERS = {
    ("muse", "codes"): _muse_codes,
    ("muse", "labs"): _muse_labs,
    ("muse", "apache"): _apache,
    ("muse", "demographics"): _muse_demographics,
    ("clean", "codes"): _clean_codes,
    ("clean", "labs"): _clean_labs,
    ("clean", "vitals"): _clean_vitals,
    ("clean", "apache"): _apache,
    ("clean", "demographics"): _clean_demographics,
}
