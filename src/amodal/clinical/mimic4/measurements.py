"""Laboratory values and vital signs of MIMIC-IV as long tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amodal.clinical.events import hourly_means, last_times, unit_values
from amodal.clinical.times import HOUR, MINUTE, seconds

if TYPE_CHECKING:
    import ibis

__all__ = [
    "BEFORE_HOURS",
    "LAST_STEPS",
    "MUSE_LABELS",
    "MUSE_STEPS",
    "clean_labs",
    "clean_vitals",
    "kept",
    "muse_items",
    "muse_labs",
]

MUSE_LABELS = (
    "Hematocrit",
    "Platelet",
    "WBC",
    "Bilirubin",
    "pH",
    "Bicarbonate",
    "Creatinine",
    "Lactate",
    "Potassium",
    "Sodium",
)
"""Substrings of item labels, case-sensitive, by which `muse` chooses laboratory items."""
MUSE_STEPS = 50
BEFORE_HOURS = 24
"""`clean` takes what was measured from so long before admission on."""
LAST_STEPS = 128
"""Points in time that `clean` keeps of a row."""


def muse_items(d_labitems: ibis.Table) -> ibis.Table:
    """The items whose label contains one of `MUSE_LABELS`: of any fluid, and without 51301.

    Args:
        d_labitems: itemid, label.

    >>> from amodal.clinical.duck import tried
    >>> labels = ["pH", "Phosphate", "Lactate Dehydrogenase (LD)", "White Blood Cells"]
    >>> [x["label"] for x in tried(muse_items, {"itemid": [1, 2, 3, 4], "label": labels})]
    ['pH', 'Lactate Dehydrogenase (LD)']
    """
    import ibis

    wanted = ibis.or_(*(d_labitems.label.contains(word) for word in MUSE_LABELS))
    return d_labitems.filter(wanted.fill_null(False)).select("itemid", "label")


def muse_labs(members: ibis.Table, labevents: ibis.Table, items: ibis.Table) -> ibis.Table:
    """Values by the `muse` rules: row, time, itemid, value, abnormal (0, 1).

    Joined on hadm_id; time is storetime - admittime in minutes; none after discharge; the last 50
    points in time of each row.

    Args:
        members: hadm_id, row, begin, end.
        labevents: raw.
        items: itemid.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, end = datetime(2150, 1, 1), datetime(2150, 1, 2)
    >>> member = {"hadm_id": [7], "row": [0], "begin": [begin], "end": [end]}
    >>> lab = {"subject_id": [1, 1], "hadm_id": [7, 7], "itemid": [5, 5], "valuenum": [1.0, 2.0]}
    >>> lab |= {"flag": ["abnormal", ""], "storetime": [end, datetime(2150, 1, 2, 0, 1)]}
    >>> tried(muse_labs, member, lab, {"itemid": [5]})  # what was stored a minute later is not in it
    [{'row': 0, 'itemid': 5, 'time': 1440.0, 'value': 1.0, 'abnormal': 1}]
    """
    t = labevents.inner_join(items.select("itemid"), "itemid").drop("subject_id")
    t = t.inner_join(members, "hadm_id")
    t = t.filter(t.valuenum.notnull() & (t.storetime <= t.end))
    t = t.select(
        "row",
        "itemid",
        time=seconds(t.storetime, t.begin).cast("float64") / MINUTE,
        value="valuenum",
        abnormal=(t.flag == "abnormal").fill_null(False).cast("int64"),
    )
    return last_times(t, MUSE_STEPS)


def _measured(rows: ibis.Table, events: ibis.Table, *, stored: bool = True) -> ibis.Table:
    """Events of the patient from 24 hours before admission on that were known at the row's end.

    Known is the later of charttime and storetime (or, if not `stored`, charttime); an event without
    one of them is not known. Adds `available` and `measured`, seconds since admission.
    """
    import ibis

    t = events.drop("hadm_id").inner_join(
        rows.select("row", "subject_id", "begin", "end"), "subject_id"
    )
    known = ibis.greatest(t.charttime, t.storetime) if stored else t.charttime
    t = t.mutate(known=known).filter(t.charttime.notnull() & t.storetime.notnull())
    t = t.mutate(
        measured=seconds(t.charttime, t.begin),
        available=seconds(t.known, t.begin),
        until=seconds(t.end, t.begin),
    )
    return t.filter((t.measured >= -BEFORE_HOURS * HOUR) & (t.available <= t.until))


def _values(t: ibis.Table, items: ibis.Table) -> ibis.Table:
    t = t.filter(t.valuenum.notnull()).select(
        "row",
        "measured",
        "available",
        item=t.itemid.cast("string"),
        unit="valueuom",
        raw="valuenum",
    )
    return unit_values(t, items)


def clean_labs(
    rows: ibis.Table, labevents: ibis.Table, items: ibis.Table, *, stored: bool = True
) -> ibis.Table:
    """Laboratory values as concepts, times in hours since admission at which they were known.

    Linked by patient and time, not by hadm_id, which a quarter of the values lack: from 24 hours
    before admission, known (the later of charttime and storetime) at the row's end at the latest.

    Args:
        rows: row, subject_id, begin, end.
        labevents: raw.
        items: `item_lines` of labs.
        stored: False lets a leak in: values count from charttime on.

    Returns:
        row, time, concept, value, fate ("kept", or why not); see `kept`

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> row = {"row": [0], "subject_id": [1], "begin": [datetime(2150, 1, 2)]}
    >>> row |= {"end": [datetime(2150, 1, 3)]}
    >>> taken = [datetime(2150, 1, 1), datetime(2149, 12, 31, 23, 59), datetime(2150, 1, 2)]
    >>> known = [datetime(2150, 1, 3), datetime(2150, 1, 1), datetime(2150, 1, 3, 0, 1)]
    >>> lab = {"subject_id": [1] * 3, "hadm_id": [7] * 3, "itemid": [5] * 3, "charttime": taken}
    >>> lab |= {"storetime": known, "valuenum": [4.0, 5.0, 6.0], "valueuom": ["mmol/L"] * 3}
    >>> item = {"item": ["5"], "unit": ["mmol/l"], "concept": [0], "factor": [1.0], "offset": [0.0]}
    >>> found = tried(clean_labs, row, lab, item | {"low": [1.0], "high": [15.0]})
    >>> [(x["value"], x["time"]) for x in found]  # taken a minute too early, stored a minute too late
    [(4.0, 24.0)]
    """
    t = _values(_measured(rows, labevents, stored=stored), items)
    return t.select("row", "concept", "value", "fate", time=t.available.cast("float64") / HOUR)


def clean_vitals(
    rows: ibis.Table, chartevents: ibis.Table, items: ibis.Table, *, stored: bool = True
) -> ibis.Table:
    """Vital signs as concepts with the `hour` in which they were measured; else as `clean_labs`.

    Args:
        rows: row, subject_id, begin, end.
        chartevents: raw.
        items: `item_lines` of vitals.
        stored: False lets a leak in: values count from charttime on.

    Returns:
        row, time, hour (whole, since admission; negative before it), concept, value, fate

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> row = {"row": [0], "subject_id": [1], "begin": [datetime(2150, 1, 2)]}
    >>> row |= {"end": [datetime(2150, 1, 3)]}
    >>> taken = [datetime(2150, 1, 2, 0, 59), datetime(2150, 1, 2, 1)]
    >>> seen = {"subject_id": [1] * 2, "hadm_id": [7] * 2, "itemid": [5] * 2, "charttime": taken}
    >>> seen |= {"storetime": [datetime(2150, 1, 2, 6)] * 2, "valuenum": [80.0, 900.0]}
    >>> item = {"item": ["5"], "unit": ["bpm"], "concept": [0], "factor": [1.0], "offset": [0.0]}
    >>> item |= {"low": [20.0], "high": [300.0]}
    >>> found = tried(clean_vitals, row, seen | {"valueuom": ["bpm"] * 2}, item)
    >>> [(x["hour"], x["time"], x["value"], x["fate"]) for x in found]
    [(0, 6.0, 80.0, 'kept'), (1, 6.0, 900.0, 'out of range')]
    """
    t = _values(_measured(rows, chartevents, stored=stored), items)
    return t.select(
        "row",
        "concept",
        "value",
        "fate",
        time=t.available.cast("float64") / HOUR,
        hour=(t.measured // HOUR).cast("int64"),
    )


def kept(t: ibis.Table) -> ibis.Table:
    """The values that no rule dropped, at the last 128 points in time of each row.

    Those with an `hour` are averaged over it first.

    Args:
        t: what `clean_labs` or `clean_vitals` returns.

    Returns:
        row, time, concept, value

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 0, 0], "time": [0.5, 0.9, 0.9], "concept": [2, 2, 2]}
    >>> t |= {"value": [80.0, 90.0, 900.0], "fate": ["kept", "kept", "out of range"]}
    >>> [x["value"] for x in tried(kept, t)]
    [80.0, 90.0]
    >>> [x["value"] for x in tried(kept, t | {"hour": [0, 0, 0]})]
    [85.0]
    """
    t = t.filter(t.fate == "kept").drop("fate")
    return last_times(hourly_means(t) if "hour" in t.columns else t, LAST_STEPS)
