"""Small counts stay out of what is shown: nobody can be told from a cell of few rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["SMALLEST", "is_small", "safe_share", "shown_count", "shown_counts", "shown_share"]

SMALLEST = 10
"""The smallest count above 0 that is shown. An empty cell tells of nobody, and is shown as 0."""

_FEW = f"<{SMALLEST}"
_HIDDEN = "not shown"


def is_small(count: float) -> bool:
    """Whether a count is above 0 and below `SMALLEST`.

    >>> is_small(0), is_small(9), is_small(10)
    (False, True, False)
    """
    return 0 < count < SMALLEST


def shown_count(count: int, total: int | None = None) -> str:
    """A count as it may be shown; with a total, its complement must not be small either.

    >>> shown_count(4), shown_count(1234), shown_count(95, 100), shown_count(0)
    ('<10', '1,234', '>90', '0')
    """
    if is_small(count):
        return _FEW
    if total is not None and is_small(total - count):
        return f">{total - SMALLEST:,}"
    return f"{count:,}"


def shown_counts(counts: Mapping[str, int], *, total_shown: bool = True) -> dict[str, str]:
    """The cells of a table with a known total: small ones hidden, and never one alone.

    Where exactly one cell is small it would follow from the total, so the smallest of the others
    that is not 0 is hidden with it.

    >>> shown_counts({"no": 500, "yes": 6, "maybe": 80})
    {'no': '500', 'yes': '<10', 'maybe': 'not shown'}
    >>> shown_counts({"a": 3, "b": 4, "c": 90})
    {'a': '<10', 'b': '<10', 'c': '90'}
    """
    small = [k for k, n in counts.items() if is_small(n)]
    rest = {k: n for k, n in counts.items() if n >= SMALLEST}
    # two hidden cells can still follow from their sum: 1 + 1 and 9 + 9 have one solution
    known = sum(counts[k] for k in small)
    found = {k: shown_count(n) for k, n in counts.items()}
    settled = known in (len(small), len(small) * (SMALLEST - 1))
    if small and rest and total_shown and (len(small) == 1 or settled):
        found[min(rest, key=lambda k: rest[k])] = _HIDDEN
    return found


def safe_share(share: float | None, total: float) -> float | None:
    """`share` of `total`, or None where it would tell a small count or its small complement.

    >>> safe_share(0.5, 100), safe_share(0.001, 4000), safe_share(0.0, 50)
    (0.5, None, 0.0)
    """
    if share is None or math.isnan(share):
        return None
    count = round(share * total)
    return None if is_small(count) or is_small(round(total) - count) else share


def shown_share(share: float | None, total: float) -> str:
    """A share as a percentage, or bounds that hide a small count.

    Of fewer than twice `SMALLEST` the bounds would hide nothing that the total does not tell.

    >>> shown_share(0.25, 400), shown_share(0.001, 4000), shown_share(0.999, 4000)
    ('25.0%', '<0.25%', '>99.75%')
    >>> shown_share(0.25, 12)
    'not shown'
    """
    if share is None or math.isnan(share):
        return "n/a"
    if safe_share(share, total) is not None:
        return f"{100 * share:.1f}%"
    if total < 2 * SMALLEST:
        return _HIDDEN
    edge = f"{100 * SMALLEST / total:.2g}"
    return f"<{edge}%" if share < 0.5 else f">{100 - float(edge):g}%"
