"""Which stays of eICU are rows: rules as pure functions of the table patient.

Every function returns all candidates, with `removed_by` naming the first rule that removes one,
null where it stays. Times are minutes; a unit stay begins at minute 0 of its own clock, which is
minute -hospitaladmitoffset of the hospital stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amodal.clinical.cohort_rules import first_rule, nulls_last

if TYPE_CHECKING:
    import ibis

__all__ = [
    "DAY_MINUTES",
    "MERGE_MINUTES",
    "MORTALITY_RULES",
    "MUSE_RULES",
    "PREDICTION_MINUTE",
    "READMISSION_RULES",
    "ages",
    "merged_stays",
    "mortality_candidates",
    "muse_candidates",
    "muse_keeps",
    "readmission_candidates",
]

PREDICTION_MINUTE = 720
"""Twelve hours after unit admission."""
MUSE_MAX_MINUTES = 14_400
DAY_MINUTES = 1_440
MERGE_MINUTES = 360
"""Unit stays at most so long apart are one."""
OLDEST = 89
_NOT_ICU = "stepdown/other"

MUSE_RULES = (
    "unit stay under 720 minutes",
    "unit stay over 14,400 minutes",
    "age unknown, under 18 or over 89",
)
MORTALITY_RULES = (
    "discharge time missing or before admission",
    "age unknown or under 18",
    "not in the unit any more after 12 hours",
)
READMISSION_RULES = (
    "stepdown or other, no intensive care",
    "discharge time missing or before admission",
    "age unknown or under 18",
    "not known to have left the unit alive",
)


def ages(patient: ibis.Table) -> ibis.Table:
    """Adds `years` (whole years; "> 89" is 90; null where unknown) and `over_89`.

    >>> from amodal.clinical.duck import tried
    >>> [x["years"] for x in tried(ages, {"age": ["43", "> 89", "?"]})]
    [43, 90, None]
    """
    import ibis

    text = patient.age.strip()
    over = text.startswith(">").fill_null(False)
    number = ibis.cases((text.re_search(r"^[0-9]{1,3}$"), text), else_=None).cast("int64")
    return patient.mutate(
        years=ibis.cases((over, OLDEST + 1), else_=number).cast("int64"), over_89=over
    )


def muse_candidates(patient: ibis.Table) -> ibis.Table:
    """All unit stays; kept: 720 to 14,400 minutes, numeric age of 18 to 89.

    Adds `next_days`: days of 24 hours, rounded down, from this unit stay's start to the start of
    the next one of the same hospital stay (by unitvisitnumber, among all stays); null without one.

    Args:
        patient: patientunitstayid, patienthealthsystemstayid, hospitaladmitoffset,
            unitdischargeoffset, unitvisitnumber, age.

    >>> from amodal.clinical.duck import tried
    >>> t = {"patientunitstayid": [1, 2, 3, 4], "unitvisitnumber": [1, 1, 1, 1]}
    >>> t |= {"patienthealthsystemstayid": [1, 2, 3, 4], "hospitaladmitoffset": [0, 0, 0, 0]}
    >>> t |= {"unitdischargeoffset": [719, 720, 14_400, 14_401], "age": ["40", "18", "89", "40"]}
    >>> [x["removed_by"] for x in tried(muse_candidates, t)]
    ['unit stay under 720 minutes', None, None, 'unit stay over 14,400 minutes']
    """
    t = ages(patient)
    start = -t.hospitaladmitoffset
    order = {
        "group_by": "patienthealthsystemstayid",
        "order_by": [*nulls_last(t.unitvisitnumber), "patientunitstayid"],
    }
    t = t.mutate(start=start)
    following = t.start.lead().over(**order)
    t = t.mutate(next_days=((following - t.start) // DAY_MINUTES).cast("int64"))
    return t.mutate(removed_by=first_rule(MUSE_RULES, _muse_checks(t)))


def _muse_checks(t: ibis.Table) -> tuple[ibis.BooleanValue, ...]:
    return (
        t.unitdischargeoffset < PREDICTION_MINUTE,
        t.unitdischargeoffset > MUSE_MAX_MINUTES,
        (t.years < 18) | t.over_89,
    )


def muse_keeps(t: ibis.Table) -> ibis.BooleanValue:
    """Whether the rules of muse would keep a stay: unitdischargeoffset, years, over_89.

    >>> from amodal.clinical.duck import tried
    >>> t = {"unitdischargeoffset": [719, 720, 720], "years": [40, 18, 90], "k": [0, 1, 2]}
    >>> rule = lambda t: t.select("k", kept=muse_keeps(t))
    >>> [x["kept"] for x in tried(rule, t | {"over_89": [False, False, True]})]
    [False, True, False]
    """
    short, long, age = _muse_checks(t)
    return ~(short | long | age)


def mortality_candidates(patient: ibis.Table) -> ibis.Table:
    """All unit stays; kept: adults who are alive and in the unit at minute 720.

    Who leaves or dies at minute 720 itself is not in the unit any more. How long the stay lasts
    after it plays no part.

    Args:
        patient: unitdischargeoffset (minutes), age.

    >>> from amodal.clinical.duck import tried
    >>> t = {"age": ["17", "18", "18", "> 89"], "unitdischargeoffset": [721, 720, 721, 99_999]}
    >>> [x["removed_by"] for x in tried(mortality_candidates, t)]
    ['age unknown or under 18', 'not in the unit any more after 12 hours', None, None]
    """
    t = ages(patient)
    checks = (
        t.unitdischargeoffset < 0,
        t.years < 18,
        t.unitdischargeoffset <= PREDICTION_MINUTE,
    )
    return t.mutate(removed_by=first_rule(MORTALITY_RULES, checks))


def merged_stays(patient: ibis.Table) -> ibis.Table:
    """Each unit stay with `block`, the id of the last unit stay of its stay in intensive care.

    A unit stay that begins at most 6 hours after everything before it of the same hospital stay
    has ended belongs to the same stay. Stepdown units are no intensive care: they are stays of
    their own, and neither merge nor part others. Adds `start` and `stop`, minutes of the hospital
    stay, and `icu`.

    Args:
        patient: patientunitstayid, patienthealthsystemstayid, hospitaladmitoffset,
            unitdischargeoffset, unitvisitnumber, unitstaytype.

    >>> from amodal.clinical.duck import tried
    >>> t = {"patientunitstayid": [1, 2, 3], "hospitaladmitoffset": [0, -460, -921]}
    >>> t |= {"patienthealthsystemstayid": [5] * 3, "unitdischargeoffset": [100, 100, 100]}
    >>> t |= {"unitvisitnumber": [1, 2, 3], "unitstaytype": ["admit", "transfer", "readmit"]}
    >>> for x in tried(merged_stays, t):  # 360 minutes between 1 and 2, 361 between 2 and 3
    ...     print(x["patientunitstayid"], x["start"], x["stop"], x["block"])
    1 0 100 2
    2 460 560 2
    3 921 1021 3
    """
    import ibis

    sound = (patient.unitdischargeoffset >= 0).fill_null(False)
    icu = (patient.unitstaytype != _NOT_ICU).fill_null(True)
    t = patient.mutate(
        icu=icu & sound,
        start=-patient.hospitaladmitoffset,
        stop=patient.unitdischargeoffset - patient.hospitaladmitoffset,
    )
    order = {
        "group_by": ["patienthealthsystemstayid", "icu"],
        "order_by": [*nulls_last(t.start, t.unitvisitnumber), "patientunitstayid"],
    }
    t = t.mutate(ended=t.stop.max().over(ibis.window(**order, rows=(None, -1))))
    first = ((t.start - t.ended) > MERGE_MINUTES).fill_null(True) | ~t.icu
    t = t.mutate(first=first.cast("int64"))
    t = t.mutate(number=t.first.sum().over(ibis.window(**order, rows=(None, 0))))
    last = {
        "group_by": ["patienthealthsystemstayid", "icu", "number"],
        "order_by": [ibis.desc("stop"), ibis.desc("start"), ibis.desc("patientunitstayid")],
    }
    return t.mutate(block=t.patientunitstayid.first().over(**last)).drop("ended", "first", "number")


def readmission_candidates(patient: ibis.Table) -> ibis.Table:
    """All stays in intensive care (unit stays at most 6 hours apart merged), and stepdown stays.

    A stay has the facts of its last unit stay and the start of its first. Kept: adults who left
    the unit alive. Adds `begin`, `end` (minutes of the hospital stay), `merged` (unit stays) and
    `next_start`, the start of the next stay in intensive care of the same hospital stay.

    Args:
        patient: as `merged_stays`, with age and unitdischargestatus.

    >>> from amodal.clinical.duck import tried
    >>> t = {"patientunitstayid": [1, 2, 3], "hospitaladmitoffset": [0, -460, -921]}
    >>> t |= {"patienthealthsystemstayid": [5] * 3, "unitdischargeoffset": [100, 100, 100]}
    >>> t |= {"unitvisitnumber": [1, 2, 3], "unitstaytype": ["admit", "transfer", "readmit"]}
    >>> t |= {"age": ["40"] * 3, "unitdischargestatus": ["Alive", "Alive", "Expired"]}
    >>> for x in tried(readmission_candidates, t):
    ...     print(x["patientunitstayid"], x["begin"], x["end"], x["next_start"], x["removed_by"])
    2 0 560 921 None
    3 921 1021 None not known to have left the unit alive
    """
    t = merged_stays(ages(patient))
    begin = t.group_by("block").agg(begin=t.start.min(), merged=t.count().cast("int64"))
    t = t.filter(t.patientunitstayid == t.block).inner_join(begin, "block")
    order = {"group_by": ["patienthealthsystemstayid", "icu"], "order_by": ["begin", "block"]}
    t = t.mutate(end="stop", next_start=t.begin.lead().over(**order))
    sound = (t.unitdischargeoffset >= 0).fill_null(False)
    checks = (
        (t.unitstaytype == _NOT_ICU).fill_null(False),
        ~sound,
        t.years < 18,
        t.unitdischargestatus != "Alive",
    )
    return t.mutate(removed_by=first_rule(READMISSION_RULES, checks))
