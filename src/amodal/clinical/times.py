"""Differences of times as whole numbers: the same on DuckDB, Spark and BigQuery."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

__all__ = ["DAY", "HOUR", "MINUTE", "days_of_dates", "floor_days", "midnight", "seconds"]

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def seconds(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Whole seconds from `earlier` to `later`, negative where it is the other way round.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> t = {"a": [datetime(2150, 1, 3, 11)], "b": [datetime(2150, 1, 1, 12)]}
    >>> tried(lambda t: t.select(x=seconds(t.a, t.b)), t)  # 47 hours
    [{'x': 169200}]
    """
    return later.delta(earlier, unit="second").cast("int64")


def floor_days(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Days of 24 hours from `earlier` to `later`, rounded down (half a day back is -1).

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> t = {"a": [datetime(2150, 1, 3, 11)], "b": [datetime(2150, 1, 1, 12)]}
    >>> tried(lambda t: t.select(x=floor_days(t.a, t.b), back=floor_days(t.b, t.a)), t)
    [{'x': 1, 'back': -2}]
    """
    return (seconds(later, earlier) // DAY).cast("int64")


def midnight(time: ibis.Value) -> ibis.Value:
    """The midnight with which the day of `time` begins.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> t = {"a": [datetime(2150, 1, 3, 11)], "b": [datetime(2150, 1, 1, 12)]}
    >>> tried(lambda t: t.select(x=midnight(t.a)), t)
    [{'x': datetime.datetime(2150, 1, 3, 0, 0)}]
    """
    return time.date().cast("timestamp")


def days_of_dates(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Days from the date of `earlier` to the date of `later`: 0 on the same day.

    >>> from datetime import datetime
    >>> from amodal.clinical.duck import tried
    >>> t = {"a": [datetime(2150, 1, 3, 11)], "b": [datetime(2150, 1, 1, 12)]}
    >>> tried(lambda t: t.select(x=days_of_dates(t.a, t.b)), t)
    [{'x': 2}]
    """
    return later.date().delta(earlier.date(), unit="day").cast("int64")
