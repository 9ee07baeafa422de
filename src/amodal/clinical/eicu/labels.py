"""What is predicted for a stay of eICU: pure functions of the cohort's tables.

Each adds `target` (1, 0, null = unlabelled) and `outcome`, the name of what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

__all__ = [
    "MUSE_READMISSION_DAYS",
    "clean_mortality",
    "clean_readmission",
    "muse_mortality",
    "muse_readmission",
]

MUSE_READMISSION_DAYS = 15


def _death(t: ibis.Table, status: ibis.Value) -> ibis.Table:
    import ibis

    died, lived = status == "Expired", status == "Alive"
    return t.mutate(
        target=ibis.cases((died, 1), (lived, 0), else_=None),
        outcome=ibis.cases((died, "died"), (lived, "survived"), else_="unknown"),
    )


def muse_mortality(t: ibis.Table) -> ibis.Table:
    """Death in the unit: unitdischargestatus is Expired.

    >>> from amodal.clinical.duck import tried
    >>> [x["target"] for x in tried(muse_mortality, {"unitdischargestatus": ["Alive", "Expired"]})]
    [0, 1]
    """
    return _death(t, t.unitdischargestatus)


def muse_readmission(t: ibis.Table) -> ibis.Table:
    """A next unit stay of the same hospital stay that starts at most 15 floored days after this
    one's start; mostly transfers between units.

    >>> from amodal.clinical.duck import tried
    >>> [x["target"] for x in tried(muse_readmission, {"next_days": [15, 16, None]})]
    [1, 0, 0]
    """
    import ibis

    back = (t.next_days <= MUSE_READMISSION_DAYS).fill_null(False)
    return t.mutate(
        target=ibis.cases((back, 1), else_=0),
        outcome=ibis.cases((back, "next unit stay"), else_="no next unit stay"),
    )


def clean_mortality(t: ibis.Table, *, where: str = "hospital") -> ibis.Table:
    """Death in the hospital, or ("icu") in the unit; unlabelled where the status is unknown.

    >>> from amodal.clinical.duck import tried
    >>> t = {"hospitaldischargestatus": ["Alive", "Expired", None]}
    >>> [x["outcome"] for x in tried(clean_mortality, t)]
    ['survived', 'died', 'unknown']
    """
    return _death(t, t.hospitaldischargestatus if where == "hospital" else t.unitdischargestatus)


def clean_readmission(t: ibis.Table) -> ibis.Table:
    """Another stay in intensive care before the hospital stay ends.

    Death in the hospital without it is a competing event: target 0, outcome "died".

    >>> from amodal.clinical.duck import tried
    >>> t = {"next_start": [5, 6, None], "hospitaldischargestatus": ["Alive", "Expired", "Expired"]}
    >>> [x["outcome"] for x in tried(clean_readmission, t)]
    ['readmitted', 'readmitted', 'died']
    """
    import ibis

    back = t.next_start.notnull()
    died = (t.hospitaldischargestatus == "Expired").fill_null(False)
    return t.mutate(
        target=ibis.cases((back, 1), else_=0),
        outcome=ibis.cases((back, "readmitted"), (died, "died"), else_="not readmitted"),
    )
