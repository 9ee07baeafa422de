"""Differences of times as whole numbers: the same on DuckDB, Spark and BigQuery."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

__all__ = ["DAY", "HOUR", "MINUTE", "days_of_dates", "floor_days", "midnight", "seconds"]

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def seconds(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Whole seconds from `earlier` to `later`, negative where it is the other way round."""
    return later.delta(earlier, unit="second").cast("int64")


def floor_days(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Days of 24 hours from `earlier` to `later`, rounded down (half a day back is -1)."""
    return (seconds(later, earlier) // DAY).cast("int64")


def midnight(time: ibis.Value) -> ibis.Value:
    """The midnight with which the day of `time` begins."""
    return time.date().cast("timestamp")


def days_of_dates(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Days from the date of `earlier` to the date of `later`: 0 on the same day."""
    return later.date().delta(earlier.date(), unit="day").cast("int64")
