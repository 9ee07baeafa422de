"""Codes, laboratory values, vital signs and APACHE variables of eICU as long tables.

`members` says which unit stays belong to a row: patientunitstayid, row, shift (minutes from the
row's begin to the unit stay's), until (minute of the row at which is predicted).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from amodal.clinical.eicu.layout import APACHE_COLUMNS
from amodal.clinical.events import (
    SCALE,
    distinct_codes,
    in_range,
    last_codes,
    last_times,
    union,
    unit_values,
)

if TYPE_CHECKING:
    import ibis

    from amodal.clinical.concepts import Concept

__all__ = [
    "APACHE_FEATURES",
    "KINDS",
    "CodeTables",
    "apache",
    "clean_codes",
    "clean_labs",
    "clean_vitals",
    "kept_labs",
    "muse_codes",
    "muse_labs",
]

KINDS = ("diagnosis", "treatment", "medication")
MUSE_LAST = 50
LAST_EACH = 100
LAST_STEPS = 128
BEFORE_MINUTES = 1_440
"""`clean` takes measurements from a day before unit admission on."""

_ONE_HOT = {"eyes": 4, "motor": 6, "verbal": 5}
_PLAIN = tuple(c for c in APACHE_COLUMNS if c not in _ONE_HOT)
APACHE_FEATURES = (*_PLAIN, *(f"{c}_{k}" for c, n in _ONE_HOT.items() for k in range(1, n + 1)))
"""The 36 columns of the APACHE modality."""


class CodeTables(NamedTuple):
    """The raw tables that codes come from."""

    diagnosis: ibis.Table
    treatment: ibis.Table
    medication: ibis.Table


# -- codes ----------------------------------------------------------------------------------------


def _events(t: ibis.Table, kind: int, code: str, time: ibis.Value, *, unit: int) -> ibis.Table:
    import ibis

    t = t.select(
        "row",
        time=time.cast("float64") / unit,
        kind=ibis.literal(kind, "int64"),
        seq=ibis.literal(0, "int64"),
        code=t[code].strip(),
    )
    return t.filter(t.code.notnull() & (t.code != "") & t.time.notnull())


def muse_codes(members: ibis.Table, tables: CodeTables) -> ibis.Table:
    """The last 50 diagnoses, treatments and drugs with an offset under 720 minutes; minutes.

    Equal events (kind, name, time) of a row count once. Cancelled orders count too.

    Args:
        members: patientunitstayid, row, until (minute).
        tables: raw tables.

    Returns:
        row, time, kind (position in `KINDS`), seq, code

    >>> from amodal.clinical.duck import tried
    >>> member = {"patientunitstayid": [1], "row": [0], "until": [720]}
    >>> ill = {"patientunitstayid": [1, 1], "diagnosisoffset": [719, 720]}
    >>> ill |= {"diagnosisstring": ["a", "b"]}
    >>> act = {"patientunitstayid": [1], "treatmentoffset": [0], "treatmentstring": ["c"]}
    >>> drug = {"patientunitstayid": [1], "drugstartoffset": [-5], "drugname": ["d"]}
    >>> def rule(member, *tables):
    ...     return muse_codes(member, CodeTables(*tables)).select("time", "code")
    >>> [tuple(x.values()) for x in tried(rule, member, ill, act, drug)]
    [(-5.0, 'd'), (0.0, 'c'), (719.0, 'a')]
    """
    parts = []
    for kind, (table, offset, name) in enumerate(
        (
            (tables.diagnosis, "diagnosisoffset", "diagnosisstring"),
            (tables.treatment, "treatmentoffset", "treatmentstring"),
            (tables.medication, "drugstartoffset", "drugname"),
        )
    ):
        t = table.inner_join(members, "patientunitstayid")
        t = t.filter(t[offset] < t.until)
        parts.append(_events(t, kind, name, t[offset], unit=1))
    return last_codes(distinct_codes(union(parts)), MUSE_LAST)


def clean_codes(
    members: ibis.Table, tables: CodeTables, *, leaks: Collection[str] = ()
) -> ibis.Table:
    """What was entered by the time of prediction, the last 100 of each kind; hours.

    A drug counts from the later of order and start; cancelled orders do not count.

    Args:
        members: patientunitstayid, row, shift, until.
        tables: raw tables.
        leaks: "stored": a drug counts from its start; "coded": diagnoses entered later count too.

    Returns:
        row, time, kind (position in `KINDS`), seq, code

    >>> from amodal.clinical.duck import tried
    >>> member = {"patientunitstayid": [1], "row": [0], "shift": [0], "until": [720]}
    >>> ill = {"patientunitstayid": [1, 1], "diagnosisoffset": [720, 721]}
    >>> ill |= {"diagnosisstring": ["a", "b"]}
    >>> act = {"patientunitstayid": [1], "treatmentoffset": [0], "treatmentstring": ["c"]}
    >>> drug = {"patientunitstayid": [1, 1], "drugname": ["d", "e"], "drugstartoffset": [0, 0]}
    >>> drug |= {"drugorderoffset": [60, 721], "drugordercancelled": ["No", "No"]}
    >>> def rule(member, *tables):
    ...     return clean_codes(member, CodeTables(*tables)).select("time", "code")
    >>> [tuple(x.values()) for x in tried(rule, member, ill, act, drug)]  # b, e: a minute too late
    [(0.0, 'c'), (1.0, 'd'), (12.0, 'a')]
    """
    import ibis

    drugs = tables.medication
    drugs = drugs.filter((drugs.drugordercancelled != "Yes").fill_null(True))
    start, order = drugs.drugstartoffset, drugs.drugorderoffset
    drugs = drugs.mutate(known=start if "stored" in leaks else ibis.greatest(order, start))
    drugs = drugs.filter(drugs.drugorderoffset.notnull() & drugs.drugstartoffset.notnull())
    parts = []
    for kind, (table, offset, name) in enumerate(
        (
            (tables.diagnosis, "diagnosisoffset", "diagnosisstring"),
            (tables.treatment, "treatmentoffset", "treatmentstring"),
            (drugs, "known", "drugname"),
        )
    ):
        t = table.inner_join(members, "patientunitstayid")
        t = t.mutate(at=t[offset] + t.shift)
        if kind or "coded" not in leaks:
            t = t.filter(t["at"] <= t.until)
        parts.append(_events(t, kind, name, t["at"], unit=60))
    return last_codes(distinct_codes(union(parts)), LAST_EACH, each_kind=True)


# -- measurements ---------------------------------------------------------------------------------


def muse_labs(members: ibis.Table, lab: ibis.Table) -> ibis.Table:
    """Values with an offset of at most 720 minutes, the last 50 points in time.

    Args:
        members: patientunitstayid, row, until (minute).
        lab: raw.

    Returns:
        row, time (minutes), labname, value

    >>> from amodal.clinical.duck import tried
    >>> lab = {"patientunitstayid": [1, 1], "labname": ["pH", "pH"], "labresult": [7.2, 7.4]}
    >>> lab |= {"labresultoffset": [720, 721]}
    >>> tried(muse_labs, {"patientunitstayid": [1], "row": [0], "until": [720]}, lab)
    [{'row': 0, 'labname': 'pH', 'time': 720.0, 'value': 7.2}]
    """
    t = lab.inner_join(members, "patientunitstayid")
    t = t.filter(t.labresult.notnull() & t.labname.notnull() & (t.labresultoffset <= t.until))
    t = t.select("row", "labname", time=t.labresultoffset.cast("float64"), value="labresult")
    return last_times(t, MUSE_LAST)


def clean_labs(
    members: ibis.Table, lab: ibis.Table, items: ibis.Table, *, stored: bool = True
) -> ibis.Table:
    """Laboratory values as concepts: row, time (hours), concept, value, fate.

    A value counts from its last revision (labresultrevisedoffset) or its result, whichever is
    later (from its result, if not `stored`: a leak), from 24 hours before the row begins; one
    without both offsets is not known.

    Args:
        members: patientunitstayid, row, shift, until.
        lab: raw.
        items: `item_lines` of labs.
        stored: False lets a leak in: values count from their result on.

    >>> from amodal.clinical.duck import tried
    >>> member = {"patientunitstayid": [1], "row": [0], "shift": [0], "until": [720]}
    >>> lab = {"patientunitstayid": [1] * 3, "labname": ["pH"] * 3, "labresult": [7.1, 7.2, 7.3]}
    >>> lab |= {"labresultoffset": [-1440, -1441, 0], "labresultrevisedoffset": [720, 0, 721]}
    >>> item = {"item": ["pH"], "unit": [""], "concept": [0], "factor": [1.0], "offset": [0.0]}
    >>> item |= {"low": [6.5], "high": [8.0]}
    >>> found = tried(clean_labs, member, lab | {"labmeasurenamesystem": [""] * 3}, item)
    >>> [(x["value"], x["time"]) for x in found]  # taken a minute too early, revised a minute too late
    [(7.1, 12.0)]
    """
    import ibis

    t = lab.inner_join(members, "patientunitstayid")
    known = t.labresultoffset
    if stored:
        known = ibis.greatest(known, t.labresultrevisedoffset)
    t = t.mutate(at=known + t.shift, drawn=t.labresultoffset + t.shift)
    fine = t.labresultoffset.notnull() & t.labresultrevisedoffset.notnull()
    t = t.filter(fine & (t.at <= t.until) & (t.drawn >= -BEFORE_MINUTES) & t.labresult.notnull())
    t = t.select("row", "at", item="labname", unit="labmeasurenamesystem", raw="labresult")
    t = unit_values(t, items)
    return t.select("row", "concept", "value", "fate", time=t["at"].cast("float64") / 60)


def kept_labs(t: ibis.Table) -> ibis.Table:
    """The values that no rule dropped, at the last 128 points in time of each row.

    Args:
        t: what `clean_labs` returns.

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0] * 130, "time": list(range(130)), "concept": [0] * 130, "value": [7.0] * 130}
    >>> found = tried(kept_labs, t | {"fate": ["kept"] * 129 + ["out of range"]})
    >>> len(found), found[0]["time"], found[-1]["time"]  # of 129 that are kept the first goes
    (128, 1, 128)
    """
    return last_times(t.filter(t.fate == "kept").drop("fate"), LAST_STEPS)


def clean_vitals(
    members: ibis.Table, tables: Mapping[str, ibis.Table], concepts: Sequence[Concept]
) -> ibis.Table:
    """Hourly means of vital signs: row, time (hours), concept, value; the last 128 hours.

    The time of an hour is its last observation. Values out of range do not enter a mean, which is
    of exact sums of thousandths.

    Args:
        members: patientunitstayid, row, shift, until.
        tables: "vitalPeriodic" and, where there is one, "vitalAperiodic".
        concepts: of modality vitals.

    >>> from amodal.clinical.concepts import parse_concepts
    >>> from amodal.clinical.duck import tried
    >>> own = parse_concepts('[vitals.pulse]\\nunit = "1"\\nrange = [10, 300]\\neicu = ["v.heartrate"]')
    >>> member = {"patientunitstayid": [1], "row": [0], "shift": [0], "until": [720]}
    >>> seen = {"patientunitstayid": [1] * 4, "observationoffset": [0, 30, 59, 60]}
    >>> def rule(member, table):
    ...     return clean_vitals(member, {"v": table}, own)
    >>> [(x["time"], x["value"]) for x in tried(rule, member, seen | {"heartrate": [80, 90, 999, 70]})]
    [(0.5, 85.0), (1.0, 70.0)]
    """
    parts = []
    for name, table in tables.items():
        found = [
            (position, concept, item.item.split(".")[1])
            for position, concept in enumerate(concepts)
            for item in concept.items
            if item.source == "eicu" and item.item.split(".")[0] == name
        ]
        parts += _hours(members, table, found)
    hours = union(parts)
    mean = hours.group_by("row", "hour", "concept").agg(
        total=hours.total.sum(), count=hours["count"].sum(), last=hours["last"].max()
    )
    mean = mean.mutate(until_now=mean["last"].max().over(group_by=["row", "hour"]))
    value = mean.total.cast("float64") / (mean["count"] * SCALE).cast("float64")
    t = mean.select("row", "concept", time=mean.until_now.cast("float64") / 60, value=value)
    return last_times(t, LAST_STEPS)


def _hours(
    members: ibis.Table, table: ibis.Table, found: Sequence[tuple[int, Concept, str]]
) -> list[ibis.Table]:
    """row, hour, last, concept, total, count: one table for each column, summed over hours.

    The wide table is summed first, once; its columns become lines afterwards, when there are few.
    """
    import ibis

    t = table.inner_join(members, "patientunitstayid")
    t = t.mutate(at=t.observationoffset + t.shift)
    t = t.filter((t["at"] <= t.until) & (t["at"] >= -BEFORE_MINUTES))
    t = t.mutate(hour=(t["at"] // 60).cast("int64"))
    sums = {}
    for position, concept, column in found:
        fine = in_range(t[column], concept.low, concept.high)
        exact = (t[column] * SCALE).round().cast("int64")
        sums[f"total_{position}"] = ibis.cases((fine, exact), else_=None).sum()
        sums[f"count_{position}"] = fine.cast("int64").sum()
        sums[f"last_{position}"] = ibis.cases((fine, t["at"]), else_=None).max()
    wide = t.group_by("row", "hour").agg(**sums)
    return [
        wide.filter(wide[f"count_{p}"] > 0).select(
            "row",
            "hour",
            last=wide[f"last_{p}"],
            concept=ibis.literal(p, "int64"),
            total=wide[f"total_{p}"].cast("int64"),
            count=wide[f"count_{p}"].cast("int64"),
        )
        for p, _, _ in found
    ]


# -- APACHE ---------------------------------------------------------------------------------------


def apache(members: ibis.Table, table: ibis.Table) -> ibis.Table:
    """The 36 columns of the APACHE variables: row and `APACHE_FEATURES`.

    -1 means missing; a stay of which more than half of the 24 variables are missing has no line.
    eyes, motor and verbal are one column for each score; the one of the score is 1, the others 0,
    all are missing where it is.

    Args:
        members: patientunitstayid, row.
        table: apacheApsVar.

    >>> from amodal.clinical.duck import tried
    >>> def line(missing):  # all variables 1, but the last ones missing
    ...     known = [1.0] * (len(APACHE_COLUMNS) - missing) + [-1.0] * missing
    ...     return {c: [x] for c, x in zip(APACHE_COLUMNS, known)} | {"patientunitstayid": [1]}
    >>> member = {"patientunitstayid": [1], "row": [0]}
    >>> [len(tried(apache, member, line(missing))) for missing in (12, 13)]
    [1, 0]
    >>> found = tried(apache, member, line(12))[0]
    >>> found["eyes_1"], found["eyes_2"], found["fio2"]
    (1, 0, None)
    """
    import ibis

    t = table.inner_join(members.select("patientunitstayid", "row"), "patientunitstayid")
    clean = {c: t[c].nullif(-1) for c in APACHE_COLUMNS}
    t = t.select("row", **clean)
    missing = sum(
        (t[c].isnull().cast("int64") for c in APACHE_COLUMNS[1:]),
        t[APACHE_COLUMNS[0]].isnull().cast("int64"),
    )
    t = t.mutate(missing=missing).filter(lambda x: x.missing * 2 <= len(APACHE_COLUMNS))
    hot = {
        f"{c}_{k}": ibis.cases((t[c].isnull(), None), (t[c] == k, 1), else_=0)
        for c, n in _ONE_HOT.items()
        for k in range(1, n + 1)
    }
    return t.select("row", *_PLAIN, **hot)
