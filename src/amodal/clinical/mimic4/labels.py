"""What is predicted for an admission of MIMIC-IV: pure functions of the cohort's tables.

Each adds `target` (1, 0, null = unlabelled) and `outcome`, the name of what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amodal.clinical.times import DAY, days_of_dates, floor_days, midnight, seconds

if TYPE_CHECKING:
    import ibis

__all__ = [
    "MORTALITY_WINDOWS",
    "MUSE_MORTALITY_DAYS",
    "MUSE_READMISSION_DAYS",
    "READMISSION_WINDOWS",
    "clean_mortality",
    "clean_readmission",
    "muse_mortality",
    "muse_readmission",
]

MUSE_MORTALITY_DAYS = 90
MUSE_READMISSION_DAYS = 15
MORTALITY_WINDOWS = (90, 30, 365)
"""Days after discharge that `clean` offers, the default first."""
READMISSION_WINDOWS = (30, 15)
"""The same."""


def muse_mortality(t: ibis.Table) -> ibis.Table:
    """Death within 90 days, by the `muse` rules.

    Days are floor((dod at midnight - dischtime) / 1 day). A known dod decides; without one, a next
    admission more than 90 floored days away means survival; else the row is unlabelled.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> out, dod = [datetime(2150, 1, 1, 12)] * 2, [datetime(2150, 4, 2), datetime(2150, 4, 3)]
    >>> back = [datetime(2151, 1, 1)] * 2
    >>> found = tried(muse_mortality, {"dod": dod, "dischtime": out, "next_admittime": back})
    >>> [x["target"] for x in found]  # midnight of the 92nd day is 90.5 days away, floored 90
    [1, 0]
    """
    import ibis

    die = floor_days(midnight(t.dod), t.dischtime)
    back = floor_days(t.next_admittime, t.dischtime)
    died = t.dod.notnull() & (die <= MUSE_MORTALITY_DAYS)
    lived = t.dod.notnull() | (t.next_admittime.notnull() & (back > MUSE_MORTALITY_DAYS))
    return t.mutate(
        target=ibis.cases((died, 1), (lived, 0), else_=None),
        outcome=ibis.cases((died, "died"), (lived, "survived"), else_="unknown"),
    )


def muse_readmission(t: ibis.Table) -> ibis.Table:
    """Readmission within 15 floored days (less than 16.0 days), by the `muse` rules.

    A patient's last admission is unlabelled.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> back = [datetime(2150, 1, 17, 11, 59), datetime(2150, 1, 17, 12), None]
    >>> out = [datetime(2150, 1, 1, 12)] * 3
    >>> found = tried(muse_readmission, {"next_admittime": back, "dischtime": out})
    >>> [x["target"] for x in found]
    [1, 0, None]
    """
    import ibis

    known = t.next_admittime.notnull()
    back = known & (floor_days(t.next_admittime, t.dischtime) <= MUSE_READMISSION_DAYS)
    return t.mutate(
        target=ibis.cases((back, 1), (known, 0), else_=None),
        outcome=ibis.cases((back, "readmitted"), (known, "not readmitted"), else_="unknown"),
    )


def clean_mortality(t: ibis.Table, *, days: int = 90) -> ibis.Table:
    """Death within `days` after discharge: the date of death is at most `days` dates later.

    No date of death means that none was recorded within a year of the patient's last discharge
    (version 2.0 on), so that every row is labelled.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> dod = [datetime(2150, 4, 1), datetime(2150, 4, 2), None]
    >>> found = tried(clean_mortality, {"dod": dod, "dischtime": [datetime(2150, 1, 1, 12)] * 3})
    >>> [x["target"] for x in found]
    [1, 0, 0]
    """
    import ibis

    died = (days_of_dates(t.dod, t.dischtime) <= days).fill_null(False)
    return t.mutate(
        target=ibis.cases((died, 1), else_=0),
        outcome=ibis.cases((died, "died"), else_="survived"),
    )


def clean_readmission(t: ibis.Table, *, days: int = 30) -> ibis.Table:
    """Readmission to this hospital at most `days` times 24 hours after discharge.

    Every row is labelled, a patient's last stay too. Death in the window without readmission is a
    competing event: target 0, outcome "died".

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> t = {"next_admittime": [datetime(2150, 1, 31, 12), datetime(2150, 1, 31, 13)]}
    >>> t |= {"dischtime": [datetime(2150, 1, 1, 12)] * 2, "dod": [None, datetime(2150, 1, 9)]}
    >>> [x["outcome"] for x in tried(clean_readmission, t)]
    ['readmitted', 'died']
    """
    import ibis

    back = (seconds(t.next_admittime, t.dischtime) <= days * DAY).fill_null(False)
    died = (days_of_dates(t.dod, t.dischtime) <= days).fill_null(False)
    return t.mutate(
        target=ibis.cases((back, 1), else_=0),
        outcome=ibis.cases((back, "readmitted"), (died, "died"), else_="not readmitted"),
    )
