"""Which hospital admissions of MIMIC-IV are rows: rules as pure functions of tables.

Every function returns all candidates, with `removed_by` naming the first rule that removes one,
null where it stays: nothing vanishes uncounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amodal.clinical.cohort_rules import first_rule
from amodal.clinical.times import MINUTE, midnight, seconds

if TYPE_CHECKING:
    import ibis

__all__ = [
    "CLEAN_RULES",
    "MERGE_HOURS",
    "MUSE_MAX_MINUTES",
    "MUSE_RULES",
    "OLDEST",
    "clean_candidates",
    "members",
    "merged_stays",
    "muse_candidates",
    "muse_keeps",
]

MUSE_MAX_MINUTES = 14_400
"""Ten days, in minutes of stay: one of 10.4 days is longer, though its floor is 10."""
OLDEST = 89
"""Ages above are not told: MIMIC-IV gives 91 for all of them."""
MERGE_HOURS = 24
"""Admissions at most so long apart are one stay."""

MUSE_RULES = (
    "longer than 14,400 minutes",
    "younger than 18 or older than 89",
    "died in hospital",
)
CLEAN_RULES = (
    "times missing or discharge before admission",
    "age unknown or under 18",
    "died in hospital",
    "transferred to another acute hospital",
    "death recorded before discharge",
)

_TRANSFER = ("ACUTE HOSPITAL", "SHORT TERM HOSPITAL")
_DIED = ("DIED", "DEAD/EXPIRED")
_PLANNED = ("ELECTIVE", "SURGICAL SAME DAY ADMISSION")


def _with_patient(stays: ibis.Table, patients: ibis.Table) -> ibis.Table:
    """Beside each stay the patient's sex, death and age at admission."""
    known = patients.select("subject_id", "gender", "anchor_age", "anchor_year", "dod")
    joined = stays.inner_join(known, "subject_id")
    age = joined.admittime.year() - joined.anchor_year + joined.anchor_age
    return joined.mutate(age=age.cast("int64"))


def muse_candidates(admissions: ibis.Table, patients: ibis.Table) -> ibis.Table:
    """All admissions, with `age`, `next_admittime`, `stay_seconds` and `removed_by`.

    Kept: at most 14,400 minutes (not floored days), 18 to 89 years, alive at discharge. The next
    admission of the patient is looked up among all admissions, before any is removed.

    Args:
        admissions: subject_id, hadm_id, admittime, dischtime, hospital_expire_flag.
        patients: subject_id, gender, anchor_age, anchor_year, dod.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, end = datetime(2150, 1, 1), [datetime(2150, 1, 11), datetime(2150, 1, 11, 0, 1)]
    >>> stays = {"subject_id": [1, 2], "hadm_id": [7, 8], "admittime": [begin] * 2, "dischtime": end}
    >>> people = {"subject_id": [1, 2], "gender": ["F", "M"], "anchor_age": [40, 40]}
    >>> people |= {"anchor_year": [2150, 2150], "dod": [datetime(2151, 1, 1)] * 2}
    >>> found = tried(muse_candidates, stays | {"hospital_expire_flag": [0, 0]}, people)
    >>> [(x["stay_seconds"] // 60, x["removed_by"]) for x in found]  # ten days, and a minute more
    [(14400, None), (14401, 'longer than 14,400 minutes')]
    """
    t = _with_patient(admissions, patients)
    order = {"group_by": "subject_id", "order_by": ["admittime", "hadm_id"]}
    t = t.mutate(
        next_admittime=t.admittime.lead().over(**order),
        stay_seconds=seconds(t.dischtime, t.admittime),
    )
    return t.mutate(removed_by=first_rule(MUSE_RULES, _muse_checks(t)))


def _muse_checks(t: ibis.Table) -> tuple[ibis.BooleanValue, ...]:
    return (
        t.stay_seconds > MUSE_MAX_MINUTES * MINUTE,
        (t.age < 18) | (t.age > OLDEST),
        t.hospital_expire_flag != 0,
    )


def muse_keeps(t: ibis.Table) -> ibis.BooleanValue:
    """Whether the rules of muse would keep a stay: stay_seconds, age, hospital_expire_flag.

    >>> from amodal.clinical.duck import tried
    >>> t = {"age": [17, 18, 89, 90, 50, 50], "hospital_expire_flag": [0, 0, 0, 0, 1, 0]}
    >>> t |= {"k": [0, 1, 2, 3, 4, 5], "stay_seconds": [60, 60, 60, 60, 60, 14_400 * 60 + 1]}
    >>> [x["kept"] for x in tried(lambda t: t.select("k", kept=muse_keeps(t)), t)]
    [False, True, True, False, False, False]
    """
    long, age, died = _muse_checks(t)
    return ~(long | age | died)


def merged_stays(admissions: ibis.Table) -> ibis.Table:
    """Each admission with `stay_id`, the hadm_id of the last admission of its stay.

    An admission that begins at most 24 hours after everything before it of the same patient has
    ended belongs to the same stay. Admissions without times, or that end before they begin, are
    stays of their own and merge with none.

    Args:
        admissions: subject_id, hadm_id, admittime, dischtime.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin = [datetime(2150, 1, 1), datetime(2150, 1, 3), datetime(2150, 1, 5, 0, 1)]
    >>> end = [datetime(2150, 1, 2), datetime(2150, 1, 4), datetime(2150, 1, 6)]
    >>> t = {"hadm_id": [7, 8, 9], "subject_id": [1] * 3, "admittime": begin, "dischtime": end}
    >>> [x["stay_id"] for x in tried(merged_stays, t)]  # 24 hours apart, and 24 hours and a minute
    [8, 8, 9]
    """
    import ibis

    sound = (admissions.dischtime >= admissions.admittime).fill_null(False)
    t = admissions.mutate(sound=sound)
    order = {"group_by": ["subject_id", "sound"], "order_by": ["admittime", "hadm_id"]}
    before = ibis.window(**order, rows=(None, -1))
    t = t.mutate(ended=t.dischtime.max().over(before))
    gap = seconds(t.admittime, t.ended)
    t = t.mutate(first=((gap > MERGE_HOURS * 3_600).fill_null(True) | ~t.sound).cast("int64"))
    t = t.mutate(number=t.first.sum().over(ibis.window(**order, rows=(None, 0))))
    last = {
        "group_by": ["subject_id", "sound", "number"],
        "order_by": [ibis.desc("dischtime"), ibis.desc("admittime"), ibis.desc("hadm_id")],
    }
    return t.mutate(stay_id=t.hadm_id.first().over(**last)).drop("ended", "first", "number")


def clean_candidates(admissions: ibis.Table, patients: ibis.Table) -> ibis.Table:
    """All stays (admissions at most 24 hours apart merged), with `removed_by`.

    A stay has the admission time and type of its first admission, and the discharge time, place
    and id of its last. Kept: adults discharged alive, of any length of stay, not to another acute
    hospital. Columns beside: `previous_stays`, `next_admittime` (of the patient's next stay) and
    the flags `hospice`, `against_advice`, `observation`, `planned`, which remove nobody.

    Args:
        admissions: as `muse_candidates`, with admission_type and discharge_location.
        patients: as `muse_candidates`.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, end = [datetime(2150, 1, 1)] * 3, [datetime(2150, 1, 9, 12)] * 3
    >>> stays = {"subject_id": [1, 2, 3], "hadm_id": [7, 8, 9], "admittime": begin, "dischtime": end}
    >>> stays |= {"admission_type": ["URGENT"] * 3, "hospital_expire_flag": [0, 0, 0]}
    >>> stays |= {"discharge_location": ["HOSPICE", "HOME", "ACUTE HOSPITAL"]}
    >>> dod = [datetime(2150, 1, 9), datetime(2150, 1, 8), datetime(2151, 1, 1)]
    >>> people = {"subject_id": [1, 2, 3], "gender": ["F"] * 3, "anchor_age": [18] * 3}
    >>> people |= {"anchor_year": [2150] * 3, "dod": dod}
    >>> for x in tried(clean_candidates, stays, people):  # 7 died on the day of discharge: after it
    ...     print(x["hospice"], x["removed_by"])
    True None
    False death recorded before discharge
    False transferred to another acute hospital
    """
    import ibis

    t = _with_patient(_stays(merged_stays(admissions)), patients)
    order = {"group_by": ["subject_id", "sound"], "order_by": ["admittime", "hadm_id"]}
    t = t.mutate(
        next_admittime=t.admittime.lead().over(**order),
        previous_stays=ibis.row_number().over(**order).cast("int64"),
        hospice=(t.discharge_location == "HOSPICE").fill_null(False),
        against_advice=(t.discharge_location == "AGAINST ADVICE").fill_null(False),
        observation=t.admission_type.contains("OBSERVATION").fill_null(False),
        planned=t.admission_type.isin(_PLANNED).fill_null(False),
        stay_seconds=seconds(t.dischtime, t.admittime),
    )
    checks = (
        ~t.sound,
        t.age < 18,
        (t.hospital_expire_flag != 0) | t.discharge_location.isin(_DIED).fill_null(False),
        t.discharge_location.isin(_TRANSFER).fill_null(False),
        (t.dod < midnight(t.dischtime)).fill_null(False),
    )
    return t.mutate(removed_by=first_rule(CLEAN_RULES, checks))


def _stays(t: ibis.Table) -> ibis.Table:
    """One line a stay, called by the id of its last admission."""
    begin = t.group_by("stay_id").agg(begun=t.admittime.min(), merged=t.count().cast("int64"))
    import ibis

    order = {"group_by": "stay_id", "order_by": ["admittime", "hadm_id"]}
    first = t.mutate(at=ibis.row_number().over(**order))
    first = first.filter(first.at == 0).select("stay_id", first_type="admission_type")
    last = t.filter(t.hadm_id == t.stay_id)
    joined = last.inner_join(begin, "stay_id").inner_join(first, "stay_id")
    return joined.mutate(admittime=joined.begun, admission_type=joined.first_type).drop(
        "begun", "first_type"
    )


def members(admissions: ibis.Table, rows: ibis.Table) -> ibis.Table:
    """Which admissions belong to which row: ``hadm_id``, ``row`` and the row's own columns.

    Args:
        admissions: the raw table.
        rows: kept stays: row, hadm_id (of the last admission), begin, end.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> begin, end = ([datetime(2150, 1, d) for d in days] for days in ((1, 3), (2, 4)))
    >>> t = {"subject_id": [1, 1], "hadm_id": [7, 8], "admittime": begin, "dischtime": end}
    >>> row = {"row": [0], "hadm_id": [8], "begin": begin[:1], "end": end[1:]}
    >>> [(x["hadm_id"], x["row"]) for x in tried(members, t, row)]
    [(7, 0), (8, 0)]
    """
    known = merged_stays(admissions).select("hadm_id", "stay_id")
    wanted = rows.select("row", "begin", "end", stay_id="hadm_id")
    return known.inner_join(wanted, "stay_id").drop("stay_id")
