"""What both databases do with the rules that remove candidates: first one named, all counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amodal.clinical.engine import Engine

if TYPE_CHECKING:
    import ibis

__all__ = ["first_rule", "nulls_last", "removed_counts"]


def first_rule(rules: Sequence[str], checks: Sequence[ibis.Value]) -> ibis.Value:
    """The first of `rules` whose check holds, null where none does; an unknown check holds.

    >>> from amodal.clinical.duck import tried
    >>> def rule(t):
    ...     return t.select("age", by=first_rule(("young", "old"), (t.age < 18, t.age > 89)))
    >>> tried(rule, {"age": [17, 50, None]})
    [{'age': 17, 'by': 'young'}, {'age': 50, 'by': None}, {'age': None, 'by': 'young'}]
    """
    import ibis

    pairs = zip(checks, rules, strict=True)
    return ibis.cases(*((bad.fill_null(True), rule) for bad, rule in pairs), else_=None)


def nulls_last(*columns: ibis.Value) -> list[ibis.Value]:
    """What orders a window by columns that may be null: BigQuery has no NULLS LAST there.

    >>> import ibis
    >>> from amodal.clinical.duck import tried
    >>> def rule(t):
    ...     return t.select("id", place=ibis.row_number().over(order_by=nulls_last(t.at)))
    >>> [x["place"] for x in tried(rule, {"id": ["a", "b", "c"], "at": [None, 7, 2]})]
    [2, 1, 0]
    """
    return [key for column in columns for key in (column.isnull(), column)]


def removed_counts(engine: Engine, candidates: ibis.Table, rules: Sequence[str]) -> dict[str, int]:
    """Rule -> candidates whose `removed_by` names it, in the order of the rules.

    Args:
        engine: what runs.
        candidates: with `removed_by`, null where one stays.
        rules: all names that may stand there.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> with DuckEngine(threads=1) as engine:
    ...     t = engine.arrow(pa.table({"removed_by": ["old", None, "old"]}))
    ...     removed_counts(engine, t, ("young", "old"))
    {'young': 0, 'old': 2}
    """
    t = candidates.filter(candidates.removed_by.notnull())
    found = engine.fetch(t.group_by("removed_by").agg(n=t.count()))
    counts = dict(zip(found["removed_by"].to_pylist(), found["n"].to_pylist(), strict=True))
    return {rule: counts.get(rule, 0) for rule in rules}
