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

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 1], "age": [89, 91], "gender": ["F", None], "stay_seconds": [5_400, 3_600]}
    >>> found = tried(demographics, t | {"previous_stays": [0, 2], "admission_type": ["URGENT"] * 2})
    >>> [(x["age"], x["over_89"], x["sex"], x["los_hours"]) for x in found]
    [(89, 0, 'female', 1.5), (90, 1, None, 1.0)]
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

    >>> from amodal.clinical.duck import tried
    >>> course, after = "Sex: F Brief Hospital Course: got well. ", "Medications on Admission: none"
    >>> t = {"k": [0, 1, 2], "text": [course + after, course, after]}
    >>> [x["inside"] for x in tried(lambda t: t.select("k", inside=section(t.text)), t)]
    ['got well.', 'got well.', None]
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
    """`section` of the last discharge summary of each row: row, text.

    Whenever they were stored, most of them after discharge.

    Args:
        members: hadm_id, row.
        discharge: subject_id, hadm_id, note_id, charttime, text.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> notes = {"subject_id": [1, 1, 1], "hadm_id": [7, 7, 7], "note_id": ["a", "b", "c"]}
    >>> notes |= {"charttime": [datetime(2150, 1, d) for d in (1, 2, 3)]}
    >>> notes |= {"text": ["Brief Hospital Course: ill", "Brief Hospital Course: well", "addendum"]}
    >>> tried(muse_notes, {"hadm_id": [7], "row": [0]}, notes)  # the addendum has no such section
    [{'row': 0, 'text': 'well'}]
    """
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

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> row = {"row": [0], "subject_id": [1], "begin": [datetime(2150, 1, 2)]}
    >>> row |= {"end": [datetime(2150, 1, 3)]}
    >>> notes = {"subject_id": [1, 1], "hadm_id": [7, 7], "note_id": ["a", "b"]}
    >>> notes |= {"charttime": [datetime(2150, 1, 1)] * 2, "text": ["at the end", "a minute later"]}
    >>> notes |= {"storetime": [datetime(2150, 1, 3), datetime(2150, 1, 3, 0, 1)]}
    >>> tried(clean_notes, row, notes)
    [{'row': 0, 'text': 'at the end'}]
    """
    t = notes.drop("hadm_id").inner_join(
        rows.select("row", "subject_id", "begin", "end"), "subject_id"
    )
    early = seconds(t.charttime, t.begin) >= -BEFORE_HOURS * HOUR
    return _last(t.filter(early & (t.storetime <= t.end)), ["storetime", "note_id"])
