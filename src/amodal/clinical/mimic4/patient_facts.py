"""What is known of a patient and a stay beside measurements: demographics and notes of MIMIC-IV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amodal.clinical.mimic4.measurements import BEFORE_HOURS
from amodal.clinical.times import HOUR, seconds

if TYPE_CHECKING:
    import ibis

__all__ = [
    "CATEGORICAL",
    "NUMERIC",
    "TOP_AGE",
    "clean_notes",
    "demographics",
    "muse_notes",
    "section",
]

TOP_AGE = 90
"""Ages above 89 are one category: told as 90 years."""
NUMERIC = ("age", "over_89", "los_hours", "previous_stays")
CATEGORICAL = ("sex", "admission_type")

_BEGIN, _END = "Brief Hospital Course:", "Medications on Admission:"


def demographics(stays: ibis.Table) -> ibis.Table:
    """Age (above 89: 90 and `over_89`), sex, length of stay, kind of admission, earlier stays.

    Args:
        stays: row, age, gender, stay_seconds, previous_stays, admission_type.
    """
    import ibis

    sex = ibis.cases((stays.gender == "F", "female"), (stays.gender == "M", "male"), else_=None)
    return stays.select(
        "row",
        "admission_type",
        "previous_stays",
        age=ibis.least(stays.age, TOP_AGE),
        over_89=(stays.age > TOP_AGE - 1).cast("int64"),
        los_hours=stays.stay_seconds.cast("float64") / HOUR,
        sex=sex,
    )


def section(text: ibis.Value) -> ibis.Value:
    """The text between "Brief Hospital Course:" and "Medications on Admission:".

    Null where the first heading is not there; to the end where the second is not.
    """
    import ibis

    start = text.find(_BEGIN)
    rest = text.substr(start + len(_BEGIN))
    stop = rest.find(_END)
    inside = ibis.cases((stop >= 0, rest.substr(0, stop)), else_=rest)
    return ibis.cases((start >= 0, inside.strip()), else_=None)


def _last(t: ibis.Table, order: list[str]) -> ibis.Table:
    import ibis

    place = ibis.row_number().over(group_by="row", order_by=[ibis.desc(c) for c in order])
    t = t.mutate(place=place)
    return t.filter(t.place == 0).select("row", "text")


def muse_notes(members: ibis.Table, discharge: ibis.Table) -> ibis.Table:
    """`section` of the last discharge summary of each row: row, text."""
    t = discharge.drop("subject_id").inner_join(members, "hadm_id")
    t = t.mutate(text=section(t.text))
    return _last(t.filter(t.text.notnull()), ["charttime", "note_id"])


def clean_notes(rows: ibis.Table, notes: ibis.Table) -> ibis.Table:
    """The last note of each row that was stored by its end: row, text.

    Linked by patient, charted at most 24 hours before admission. Most discharge summaries are
    stored after discharge, and then are not in it.

    Args:
        rows: row, subject_id, begin, end.
        notes: discharge summaries and radiology reports.
    """
    t = notes.drop("hadm_id").inner_join(
        rows.select("row", "subject_id", "begin", "end"), "subject_id"
    )
    early = seconds(t.charttime, t.begin) >= -BEFORE_HOURS * HOUR
    return _last(t.filter(early & (t.storetime <= t.end)), ["storetime", "note_id"])
