"""The modalities of MIMIC-IV, packed: which tables they need and which rules make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from amodal.clinical.choices import Choices
from amodal.clinical.concepts import item_lines
from amodal.clinical.features import Features, code_features, concept_features, rows_by_kind
from amodal.clinical.mimic4 import codes as code_rules
from amodal.clinical.mimic4 import measurements as measured
from amodal.clinical.mimic4 import patient_facts as facts
from amodal.clinical.mimic4.codes import CodeTables
from amodal.clinical.pack import (
    carry_forward,
    numbered,
    pack_codes,
    pack_series,
    pack_table,
    pack_text,
    standardise,
)
from amodal.clinical.workspace import Workspace
from amodal.disclosure import shown_count
from amodal.values import Values

if TYPE_CHECKING:
    import ibis

__all__ = ["Cohort", "make_modality"]


class Cohort(NamedTuple):
    """The rows and what their modalities are linked by.

    Args:
        stays: the kept candidates, with `row`.
        rows: row, subject_id, hadm_id, begin, end.
        members: hadm_id, row, begin, end.
        admissions: the raw table.
        n: number of rows.
    """

    stays: ibis.Table
    rows: ibis.Table
    members: ibis.Table
    admissions: ibis.Table
    n: int


def make_modality(name: str, work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    """The modality `name` of the rows, by the protocol chosen."""
    return _MAKERS[choices.protocol, name](work, cohort, choices)


# -- codes ----------------------------------------------------------------------------------------


def _code_tables(work: Workspace, choices: Choices) -> CodeTables:
    names = ("diagnoses_icd", "d_icd_diagnoses", "procedures_icd", "d_icd_procedures")
    tables = [work.table(name) for name in (*names, "prescriptions")]
    poe = drg = None
    if choices.protocol == "clean" and work.has("poe") and "stored" not in choices.leaks:
        poe = work.table("poe")
    if choices.predict_at == "coding" and work.has("drgcodes"):
        drg = work.table("drgcodes")
    return CodeTables(*tables, poe, drg)


def _muse_codes(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    tables = _code_tables(work, choices)
    every = work.engine.keep(code_rules.all_muse_codes(cohort.members, tables), "all_codes")
    last = work.engine.keep(
        code_rules.last_codes(every, code_rules.LAST_CODES, first_kind=0), "last_codes"
    )
    kinds = code_rules.MUSE_KINDS
    modality, values = pack_codes(work.engine, "codes", last, cohort.n, types=kinds, unit="minutes")
    before, after = (rows_by_kind(work.engine, t, kinds) for t in (every, last))
    notes = tuple(
        f"{kind} codes: {shown_count(b, cohort.n)} rows have one before the cut to "
        f"the last {code_rules.LAST_CODES}, {shown_count(a, cohort.n)} after it"
        for kind, b, a in zip(kinds, before, after, strict=True)
    )
    told = {
        kind: {"rows_before_cut": b, "rows_after_cut": a}
        for kind, b, a in zip(kinds, before, after, strict=True)
    }
    return Features(modality, values, told, notes)


def _clean_codes(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    tables = _code_tables(work, choices)
    coding = choices.predict_at == "coding" or "coded" in choices.leaks
    events = code_rules.clean_codes(
        cohort.rows, cohort.members, cohort.admissions, tables, coding=coding
    )
    kinds = code_rules.CLEAN_KINDS if coding else code_rules.CLEAN_KINDS[:3]
    made = code_features(work.engine, events, cohort.n, kinds=kinds, unit="hours")
    notes = ["this stay's own diagnoses are in it: a retrospective task"] if coding else []
    if not work.has("poe"):
        notes.append("RAW has no table poe: prescriptions count from their start, not their order")
    return made._replace(notes=tuple(notes))


# -- measurements ---------------------------------------------------------------------------------


def _muse_labs(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    wanted = work.engine.keep(measured.muse_items(work.table("d_labitems")), "items")
    items = work.engine.fetch(wanted)
    labels = dict(zip(items["itemid"].to_pylist(), items["label"].to_pylist(), strict=True))
    events = work.table("labevents", only=("itemid", labels))
    t = work.engine.keep(measured.muse_labs(cohort.members, events, wanted), "labs")
    seen, places = numbered(work.engine, t, "itemid")
    names = [f"{labels[i]} [{i}]" for i in seen]
    modality, values = pack_series(
        work.engine,
        "labs",
        _flagged(t, places, len(seen)),
        cohort.n,
        features=[*names, *(f"{name} abnormal" for name in names)],
        unit="minutes",
    )
    work.engine.drop(t)
    scaled, stats = standardise(_part(values, slice(0, len(seen))))
    flags = _part(values, slice(len(seen), None))
    values = carry_forward(_joined(scaled, flags))
    return Features(modality, values, {"items": len(seen), "scale": stats})


def _flagged(t: ibis.Table, places: ibis.Table, n: int) -> ibis.Table:
    """row, time, concept, value: the values, then the abnormal flags as further concepts."""
    import ibis

    t = t.inner_join(places, "itemid")
    value = t.select("row", "time", concept=t.place.cast("int64"), value=t.value.cast("float64"))
    width = ibis.literal(n, "int64")
    flag = t.group_by("row", "time", "place").agg(abnormal=t.abnormal.max())
    flag = flag.select(
        "row", "time", concept=flag.place + width, value=flag.abnormal.cast("float64")
    )
    return value.union(flag)


def _part(values: Values, columns: slice) -> Values:
    data = {**values.data, "value": values.data["value"][:, columns]}
    return Values(data, values.offsets, values.index)


def _joined(left: Values, right: Values) -> Values:
    import numpy as np

    value = np.concatenate([left.data["value"], right.data["value"]], axis=1)
    return Values({**left.data, "value": value}, left.offsets, left.index)


def _concept_series(
    work: Workspace, name: str, items: Any, rule: Any, *, cohort: Cohort, choices: Choices
) -> Features:
    """The concepts of modality "labs" or "vitals" by `rule`."""
    table = {"labs": "labevents", "vitals": "chartevents"}[name]
    events = work.table(table, only=("itemid", {int(i) for i in items["item"].to_pylist()}))
    lines = work.engine.arrow(items, "items")
    t = rule(cohort.rows, events, lines, stored="stored" not in choices.leaks)
    return concept_features(work.engine, name, t, measured.kept, cohort.n)


def _clean_labs(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    import pyarrow.compute as pc

    lines = item_lines("mimic4", "labs")
    known = work.engine.fetch(work.table("d_labitems"))
    fluid = dict(zip(known["itemid"].to_pylist(), known["fluid"].to_pylist(), strict=True))
    other = {
        item
        for item, wanted in zip(lines["item"].to_pylist(), lines["fluid"].to_pylist(), strict=True)
        if (fluid.get(int(item)) or wanted).lower() != wanted.lower()
    }
    if other:
        import pyarrow as pa

        lines = lines.filter(pc.invert(pc.is_in(lines["item"], pa.array(sorted(other)))))
    rule = measured.clean_labs
    made = _concept_series(work, "labs", lines, rule, cohort=cohort, choices=choices)
    notes = tuple(f"lab item {i} is of another fluid in this copy: left out" for i in sorted(other))
    return made._replace(notes=notes)


def _clean_vitals(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    lines = item_lines("mimic4", "vitals")
    rule = measured.clean_vitals
    return _concept_series(work, "vitals", lines, rule, cohort=cohort, choices=choices)


# -- demographics and notes -----------------------------------------------------------------------


def _demographics(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    modality, values = pack_table(
        work.engine,
        "demographics",
        facts.demographics(cohort.stays),
        cohort.n,
        numeric=facts.NUMERIC,
        categorical=facts.CATEGORICAL,
    )
    return Features(modality, values, {})


def _muse_note(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    texts = facts.muse_notes(cohort.members, work.table("discharge"))
    return Features(*pack_text(work.engine, "note", texts, cohort.n), {})


def _clean_note(work: Workspace, cohort: Cohort, choices: Choices) -> Features:
    notes = work.table("discharge")
    if work.has("radiology"):
        notes = notes.union(work.table("radiology"))
    texts = facts.clean_notes(cohort.rows, notes)
    return Features(*pack_text(work.engine, "note", texts, cohort.n), {})


_MAKERS = {
    ("muse", "codes"): _muse_codes,
    ("muse", "labs"): _muse_labs,
    ("muse", "note"): _muse_note,
    ("clean", "codes"): _clean_codes,
    ("clean", "labs"): _clean_labs,
    ("clean", "vitals"): _clean_vitals,
    ("clean", "demographics"): _demographics,
    ("clean", "note"): _clean_note,
}
