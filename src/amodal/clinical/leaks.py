"""Leaks that can be let in on purpose, one at a time, to see what each would have gained.

`Choices.leaks` names them. A data set made with one is for this accounting alone: it knows what
nobody knew when the prediction was due, and its report says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

__all__ = ["LATER_HOURS", "LEAKS", "leak_notes", "selected"]

LATER_HOURS = 24

LEAKS = {
    "stored": "results count from when they were taken, and orders from when they were to start, "
    "not from when they were stored or ordered",
    "later": f"what became known in the {LATER_HOURS} hours after the prediction enters",
    "coded": "this stay's own diagnoses enter, whenever they were assigned",
    "apache": "the APACHE variables enter, which are the worst of 24 hours",
    "selected": "labels are kept only where the rules of muse keep them, which look into the future",
}
"""Name -> what it lets in."""


def leak_notes(names: tuple[str, ...]) -> tuple[str, ...]:
    """What the cohort report says of a data set with leaks.

    >>> leak_notes(("apache",))[0][:40]
    'LEAK on purpose, for accounting alone: t'
    """
    return tuple(f"LEAK on purpose, for accounting alone: {LEAKS[name]}" for name in names)


def selected(
    t: ibis.Table,
    label: Callable[[ibis.Table], ibis.Table],
    keep: Callable[[ibis.Table], ibis.BooleanValue],
) -> ibis.Table:
    """`t` without the labels that `muse` does not give; those that it gives stay as they are.

    Args:
        t: candidates with `target` and `outcome`.
        label: the rule of muse, which puts its own `target` and `outcome` in their place.
        keep: whether the rules of muse keep a candidate.

    >>> from amodal.clinical.duck import tried
    >>> def muse(t):
    ...     return t.mutate(target=t.target.fill_null(0))
    >>> t = {"k": [0, 1], "days": [10, 11], "target": [1, 1], "outcome": ["died", "died"]}
    >>> [x["target"] for x in tried(lambda t: selected(t, muse, lambda t: t.days <= 10), t)]
    [1, None]
    """
    import ibis

    other = label(t.mutate(own_target=t.target, own_outcome=t.outcome))
    known = other.target.notnull() & keep(other).fill_null(False)
    target = ibis.cases((known, other.own_target), else_=None)
    return other.mutate(target=target, outcome=other.own_outcome).select(*t.columns)
