"""Long tables of events as Ibis expressions: which count, how many are kept, one value an hour.

An event table has ``row`` (of the data set) and ``time`` (when it was available, in the unit of the
modality); codes have ``kind`` (position among the types), ``seq`` (order within one time) and
``code``; measurements have ``concept`` (position among the features) and ``value``. Nothing is
collected into arrays: tables stay long and are ordered at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

__all__ = [
    "code_order",
    "distinct_codes",
    "hourly_means",
    "in_range",
    "last_codes",
    "last_times",
    "union",
    "unit_values",
]

SCALE = 1_000
"""Values are added up as whole thousandths: sums are exact, whatever their order."""


def union(tables: Sequence[ibis.Table]) -> ibis.Table:
    """The lines of all tables, which have the same columns.

    >>> from amodal.clinical.duck import tried
    >>> tried(lambda *t: union(t), {"row": [0]}, {"row": [0, 1]})  # no line is lost
    [{'row': 0}, {'row': 0}, {'row': 1}]
    """
    found = tables[0]
    for table in tables[1:]:
        found = found.union(table)
    return found


def code_order() -> list[str]:
    """What orders the events of a row, without ties that tell apart.

    >>> code_order()
    ['time', 'kind', 'seq', 'code']
    """
    return ["time", "kind", "seq", "code"]


def distinct_codes(t: ibis.Table) -> ibis.Table:
    """Events of the same row, kind, code and time count once, at their first `seq`.

    >>> from amodal.clinical.duck import tried
    >>> twice = {"row": [0, 0], "kind": [1, 1], "code": ["a", "a"], "time": [2.0, 2.0], "seq": [3, 1]}
    >>> tried(distinct_codes, twice)
    [{'row': 0, 'kind': 1, 'code': 'a', 'time': 2.0, 'seq': 1}]
    """
    return t.group_by("row", "kind", "code", "time").agg(seq=t.seq.min())


def last_codes(
    t: ibis.Table, n: int, *, each_kind: bool = False, first_kind: int | None = None
) -> ibis.Table:
    """The last `n` events of each row, or of each row and kind.

    Args:
        t: row, time, kind, seq, code.
        n: how many.
        each_kind: count each kind for itself, so that none pushes out another.
        first_kind: a kind that counts as earlier than all others, whatever its time.

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 0, 0], "time": [9.0, 1.0, 2.0], "kind": [0, 1, 1], "seq": [0, 0, 0]}
    >>> t |= {"code": ["diagnosis", "drug", "another"]}
    >>> [x["code"] for x in tried(lambda t: last_codes(t, 2).select("code"), t)]
    ['another', 'diagnosis']
    >>> [x["code"] for x in tried(lambda t: last_codes(t, 2, first_kind=0).select("code"), t)]
    ['another', 'drug']
    """
    import ibis

    early = t.kind != first_kind if first_kind is not None else ibis.literal(0)
    t = t.mutate(early=early.cast("int64"))
    order = [ibis.desc(c) for c in ("early", *code_order())]
    group = ["row", "kind"] if each_kind else ["row"]
    t = t.mutate(place=ibis.row_number().over(group_by=group, order_by=order))
    return t.filter(t.place < n).drop("early", "place")


def last_times(t: ibis.Table, n: int) -> ibis.Table:
    """The measurements at the last `n` points in time of each row.

    Only the distinct times are ranked, which are far fewer than the measurements.

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 0, 0, 0], "time": [1.0, 2.0, 2.0, 3.0], "value": [10, 20, 21, 30]}
    >>> [x["value"] for x in tried(lambda t: last_times(t, 2).select("value"), t)]
    [20, 21, 30]
    """
    import ibis

    times = t.select("row", "time").distinct()
    place = ibis.row_number().over(group_by="row", order_by=ibis.desc("time"))
    times = times.mutate(place=place)
    first = times.filter(times.place == n - 1).select("row", since="time")
    t = t.left_join(first, "row").drop("row_right")
    return t.filter((t.time >= t.since).fill_null(True)).drop("since")


def unit_values(t: ibis.Table, items: ibis.Table) -> ibis.Table:
    """Measurements as concepts, in the concept's unit, with `fate` "kept" or why not.

    Args:
        t: item (text), unit (as written, or null), raw (number), and any other columns.
        items: `item_lines` of the modality.

    Returns:
        The lines of items that stand for a concept, with concept, value and fate: "kept",
        "unit unknown" or "out of range".

    >>> from amodal.clinical.duck import tried
    >>> item = {"item": ["T", "T"], "unit": ["c", "f"], "concept": [3, 3], "factor": [1.0, 0.5]}
    >>> item |= {"offset": [0.0, -16.0], "low": [20.0, 20.0], "high": [45.0, 45.0]}
    >>> t = {"unit": ["C", " F", None, "C"], "raw": [46.0, 106.0, 37.0, 1.0]}
    >>> for x in tried(unit_values, t | {"item": ["T", "T", "T", "x"]}, item):  # x is no concept
    ...     print(x["concept"], x["value"], x["fate"])
    3 37.0 kept
    3 46.0 out of range
    3 None unit unknown
    """
    import ibis

    t = t.mutate(unit=t.unit.strip().lower().fill_null(""))
    known = items.group_by("item").agg(any_concept=items.concept.min())
    t = t.inner_join(known, "item")
    scale = items.select("item", "unit", "concept", "factor", "offset", "low", "high")
    t = t.left_join(scale, ["item", "unit"]).drop("item_right", "unit_right")
    value = t.raw * t.factor + t.offset
    fine = in_range(value, t.low, t.high)
    fate = ibis.cases((t.concept.isnull(), "unit unknown"), (fine, "kept"), else_="out of range")
    kept = t.mutate(value=value, fate=fate, concept=t.concept.fill_null(t.any_concept))
    return kept.drop("item", "unit", "raw", "factor", "offset", "low", "high", "any_concept")


def in_range(value: ibis.Value, low: ibis.Value | float, high: ibis.Value | float) -> ibis.Value:
    """Whether a value is known and in [low, high].

    >>> from amodal.clinical.duck import tried
    >>> t = {"k": [0, 1, 2], "x": [7.0, 7.1, None]}
    >>> [x["fine"] for x in tried(lambda t: t.select("k", fine=in_range(t.x, 6.0, 7.0)), t)]
    [True, False, False]
    """
    return ((value >= low) & (value <= high)).fill_null(False)


def hourly_means(t: ibis.Table) -> ibis.Table:
    """The mean of each concept within each hour of a row.

    The time of an hour is the last one at which anything measured in it became available, so that
    no mean stands before what it is made of.

    Args:
        t: row, hour (whole number), time, concept, value.

    Returns:
        row, time, concept, value

    >>> from amodal.clinical.duck import tried
    >>> t = {"row": [0, 0], "hour": [1, 1], "time": [1.2, 1.9], "concept": [3, 3]}
    >>> tried(hourly_means, t | {"value": [80.0, 90.0]})
    [{'row': 0, 'time': 1.9, 'concept': 3, 'value': 85.0}]
    """
    t = t.mutate(exact=(t.value * SCALE).round().cast("int64"))
    mean = t.group_by("row", "hour", "concept").agg(
        total=t.exact.sum(), n=t.count(), at=t.time.max()
    )
    mean = mean.mutate(time=mean.at.max().over(group_by=["row", "hour"]))
    value = mean.total.cast("float64") / (mean.n * SCALE).cast("float64")
    return mean.select("row", "time", "concept", value=value)
