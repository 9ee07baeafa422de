"""Diagnoses, procedures and prescriptions of MIMIC-IV as events of one `codes` modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from amodal.clinical.events import distinct_codes, last_codes, union
from amodal.clinical.times import DAY, HOUR, MINUTE, midnight, seconds

if TYPE_CHECKING:
    import ibis

__all__ = [
    "CLEAN_KINDS",
    "LAST_CODES",
    "LAST_EACH",
    "MUSE_KINDS",
    "CodeTables",
    "all_muse_codes",
    "clean_codes",
    "muse_codes",
]

MUSE_KINDS = ("diagnosis", "procedure", "prescription")
CLEAN_KINDS = ("earlier diagnosis", "procedure", "prescription", "diagnosis", "drg")
LAST_CODES = 50
"""Events that `muse` keeps of a row."""
LAST_EACH = 100
"""Events of each kind that `clean` keeps of a row, so that no kind pushes out another."""


class CodeTables(NamedTuple):
    """The raw tables that codes come from; `poe` and `drgcodes` may be None."""

    diagnoses: ibis.Table
    diagnosis_names: ibis.Table
    procedures: ibis.Table
    procedure_names: ibis.Table
    prescriptions: ibis.Table
    poe: ibis.Table | None = None
    drgcodes: ibis.Table | None = None


def _named(codes: ibis.Table, names: ibis.Table) -> ibis.Table:
    """Codes with the title that the dictionary gives them; a code without one has no name."""
    titles = names.select("icd_code", "icd_version", code="long_title")
    return codes.inner_join(titles, ["icd_code", "icd_version"])


def _events(t: ibis.Table, kind: int, *, after: ibis.Value, unit: int) -> ibis.Table:
    """row, time, kind, seq, code; `after` is seconds since the row began, in units of `unit`."""
    import ibis

    seq = t.seq_num if "seq_num" in t.columns else ibis.literal(0)
    t = t.select(
        "row",
        time=after.cast("float64") / unit,
        kind=ibis.literal(kind, "int64"),
        seq=seq.cast("int64").fill_null(0),
        code=t.code.strip(),
    )
    return t.filter(t.code.notnull() & (t.code != "") & t.time.notnull())


# -- muse -----------------------------------------------------------------------------------------


def all_muse_codes(members: ibis.Table, tables: CodeTables) -> ibis.Table:
    """All events of the rows, before the cut: diagnoses at time 0, the others by their time.

    Times are minutes since admission. Equal events (kind, name, time) of a row count once.

    Args:
        members: hadm_id, row, begin.
        tables: raw tables.

    Returns:
        row, kind (position in `MUSE_KINDS`), code, time (minutes), seq

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, later = datetime(2150, 1, 1, 12), datetime(2150, 1, 1, 13)
    >>> icd = {"hadm_id": [7], "icd_code": ["A"], "icd_version": [10], "chartdate": [later]}
    >>> name = {"icd_code": ["A"], "icd_version": [10]}
    >>> ill, done = name | {"long_title": ["ill"]}, name | {"long_title": ["done"]}
    >>> drugs = {"hadm_id": [7, 7], "drug": ["salt", "salt"], "starttime": [later, later]}  # once
    >>> member = {"hadm_id": [7], "row": [0], "begin": [begin]}
    >>> def rule(member, *tables):
    ...     return all_muse_codes(member, CodeTables(*tables)).select("time", "code", "kind")
    >>> [tuple(x.values()) for x in tried(rule, member, icd, ill, icd, done, drugs)]
    [(0.0, 'ill', 0), (60.0, 'done', 1), (60.0, 'salt', 2)]
    """
    import ibis

    diagnoses = _named(tables.diagnoses, tables.diagnosis_names).inner_join(members, "hadm_id")
    procedures = _named(tables.procedures, tables.procedure_names).inner_join(members, "hadm_id")
    drugs = tables.prescriptions.mutate(code="drug").inner_join(members, "hadm_id")
    parts = [
        _events(diagnoses, 0, after=ibis.literal(0, "int64"), unit=MINUTE),
        _events(procedures, 1, after=seconds(procedures.chartdate, procedures.begin), unit=MINUTE),
        _events(drugs, 2, after=seconds(drugs.starttime, drugs.begin), unit=MINUTE),
    ]
    return distinct_codes(union(parts))


def muse_codes(members: ibis.Table, tables: CodeTables) -> ibis.Table:
    """The last 50 events of each row, diagnoses counting as the earliest.

    A row with 50 or more procedures and prescriptions keeps no diagnosis.

    Args:
        members: hadm_id, row, begin.
        tables: raw tables.

    >>> from datetime import datetime, timedelta
    >>> from amodal.clinical.duck import tried
    >>> def codes(drugs):
    ...     day = datetime(2150, 1, 1)
    ...     name = {"icd_code": ["A"], "icd_version": [10]}
    ...     ill, done = name | {"long_title": ["ill"]}, name | {"long_title": ["done"]}
    ...     icd = name | {"hadm_id": [7], "chartdate": [day]}
    ...     given = {"starttime": [day + timedelta(minutes=k) for k in range(drugs)]}
    ...     given |= {"hadm_id": [7] * drugs, "drug": ["drug"] * drugs}
    ...     rule = lambda member, *tables: muse_codes(member, CodeTables(*tables)).select("code")
    ...     member = {"hadm_id": [7], "row": [0], "begin": [day]}
    ...     return {x["code"] for x in tried(rule, member, icd, ill, icd, done, given)}
    >>> sorted(codes(48)), sorted(codes(49))  # with 49 drugs and a procedure there are 50 without it
    (['done', 'drug', 'ill'], ['done', 'drug'])
    """
    return last_codes(all_muse_codes(members, tables), LAST_CODES, first_kind=0)


# -- clean ----------------------------------------------------------------------------------------


def clean_codes(
    rows: ibis.Table,
    members: ibis.Table,
    stays: ibis.Table,
    tables: CodeTables,
    *,
    coding: bool = False,
) -> ibis.Table:
    """What was known of each row at its end, times in hours since its admission.

    Diagnoses are those of stays that ended before this one began, each name at its latest time.
    Procedures, which have a date alone, count as known at the end of their day; a prescription at
    the later of order and start. Nothing known only after the end of the row is in it.

    Args:
        rows: row, subject_id, begin, end.
        members: hadm_id, row, begin, end.
        stays: all admissions: subject_id, hadm_id, dischtime.
        tables: raw tables.
        coding: predict once this stay is coded: its own diagnoses and DRG too, retrospective.

    Returns:
        row, kind (position in `CLEAN_KINDS`), code, time (hours), seq; the last 100 of each kind.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, end, after = datetime(2150, 1, 2), datetime(2150, 1, 4), datetime(2150, 1, 4, 0, 1)
    >>> row = {"row": [0], "subject_id": [1], "hadm_id": [8], "begin": [begin], "end": [end]}
    >>> stays = {"subject_id": [1, 1], "hadm_id": [7, 8], "dischtime": [datetime(2150, 1, 1), end]}
    >>> icd = {"hadm_id": [7, 8], "icd_code": ["A", "B"], "icd_version": [10, 10]}
    >>> ill, done = icd | {"long_title": ["then", "now"]}, icd | {"long_title": ["day 1", "day 3"]}
    >>> acts = icd | {"hadm_id": [8, 8], "chartdate": [begin, end]}  # day 3 is over after the end
    >>> drugs = {"hadm_id": [8, 8], "drug": ["at the end", "a minute later"], "starttime": [end, after]}
    >>> def rule(row, stays, *tables):
    ...     known = row.drop("subject_id")
    ...     return clean_codes(row, known, stays, CodeTables(*tables)).select("code", "time")
    >>> [tuple(x.values()) for x in tried(rule, row, stays, icd, ill, acts, done, drugs)]
    [('at the end', 48.0), ('day 1', 24.0), ('then', -24.0)]
    """
    parts = [
        _earlier_diagnoses(rows, stays, tables),
        _procedures(members, tables),
        _prescriptions(members, tables),
    ]
    if coding:
        parts += _coded(members, tables)
    return last_codes(distinct_codes(union(parts)), LAST_EACH, each_kind=True)


def _earlier_diagnoses(rows: ibis.Table, stays: ibis.Table, tables: CodeTables) -> ibis.Table:
    past = rows.select("row", "subject_id", "begin").inner_join(
        stays.select("subject_id", "hadm_id", "dischtime"), "subject_id"
    )
    past = past.filter(past.dischtime < past.begin).select("row", "begin", "hadm_id", "dischtime")
    t = _named(tables.diagnoses, tables.diagnosis_names).inner_join(past, "hadm_id")
    t = _events(t, 0, after=seconds(t.dischtime, t.begin), unit=HOUR)
    latest = t.group_by("row", "kind", "code").agg(time=t.time.max(), seq=t.seq.min())
    return latest.select("row", "time", "kind", "seq", "code")


def _procedures(members: ibis.Table, tables: CodeTables) -> ibis.Table:
    t = _named(tables.procedures, tables.procedure_names).inner_join(members, "hadm_id")
    day = midnight(t.chartdate)
    t = t.mutate(after=seconds(day, t.begin) + DAY, until=seconds(t.end, t.begin))
    return _events(t.filter(t.after <= t.until), 1, after=t.after, unit=HOUR)


def _prescriptions(members: ibis.Table, tables: CodeTables) -> ibis.Table:
    import ibis

    t = tables.prescriptions.mutate(code="drug")
    if tables.poe is not None:
        orders = tables.poe.group_by("poe_id").agg(ordertime=tables.poe.ordertime.max())
        t = t.left_join(orders, "poe_id").drop("poe_id_right")
        # one of both may be null, and greatest() of null differs between engines
        later = ibis.greatest(
            t.starttime.fill_null(t.ordertime), t.ordertime.fill_null(t.starttime)
        )
        t = t.mutate(starttime=later)
    t = t.inner_join(members, "hadm_id")
    t = t.filter(t.starttime <= t.end)
    return _events(t, 2, after=seconds(t.starttime, t.begin), unit=HOUR)


def _coded(members: ibis.Table, tables: CodeTables) -> list[ibis.Table]:
    """This stay's own diagnoses and DRG, at its end."""
    t = _named(tables.diagnoses, tables.diagnosis_names).inner_join(members, "hadm_id")
    parts = [_events(t, 3, after=seconds(t.end, t.begin), unit=HOUR)]
    if tables.drgcodes is not None:
        name = tables.drgcodes.description.fill_null(
            tables.drgcodes.drg_type + " " + tables.drgcodes.drg_code
        )
        t = tables.drgcodes.mutate(code=name).inner_join(members, "hadm_id")
        parts.append(_events(t, 4, after=seconds(t.end, t.begin), unit=HOUR))
    return parts
