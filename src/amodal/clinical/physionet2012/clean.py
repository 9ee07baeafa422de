"""Applies the rules of `rules.py` to the events, and counts what each of them did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from amodal.clinical.physionet2012.rules import (
    ALIASES,
    CATEGORIES,
    HORIZON_MINUTES,
    MISSING_CODE,
    RESCALED,
    VARIABLES,
)
from amodal.errors import DataError

__all__ = ["NAMES", "Clean", "clean_events"]

NAMES = tuple(VARIABLES)
"""Variables by position."""


@dataclass
class Clean:
    """The values that the rules leave, and counts of those that they dropped or changed.

    Args:
        stay: ``Int32[s]`` row of the stay.
        minute: ``Int32[s]`` since admission.
        variable: ``Int16[s]`` position in `NAMES`.
        value: ``Float64[s]``, in the unit of `VARIABLES`.
        counts: rule -> number of lines, or variable -> number of lines.

    >>> hr = Clean(np.array([0, 0]), np.array([5, 6]), np.array([5, 5]), np.array([80.0, -1.0]))
    >>> left = hr.drop(hr.value == -1, "missing_code")
    >>> left.value.tolist(), left.counts
    ([80.0], {'missing_code': {'HR': 1}})
    """

    stay: np.ndarray
    minute: np.ndarray
    variable: np.ndarray
    value: np.ndarray
    counts: dict[str, Any] = field(default_factory=dict)

    def keep(self, rows: np.ndarray) -> Clean:
        """The values at `rows` (``Bool[s]``), counting on."""
        columns = (self.stay, self.minute, self.variable, self.value)
        return Clean(*(c[rows] for c in columns), self.counts)

    def drop(self, rows: np.ndarray, rule: str) -> Clean:
        """Without the values at `rows` (``Bool[s]``), counted by variable under `rule`."""
        self.counts[rule] = by_variable(self.variable[rows])
        return self.keep(~rows)


def by_variable(variable: np.ndarray) -> dict[str, int]:
    """Counts of each variable that occurs.

    >>> by_variable(np.array([0, 0, 1]))
    {'Age': 2, 'Gender': 1}
    """
    n = np.bincount(variable, minlength=len(NAMES))
    return {name: int(k) for name, k in zip(NAMES, n, strict=True) if k}


def clean_events(events: pa.Table) -> Clean:
    """`Tables.events` with every rule applied, in this order.

    1. Lines of ``RecordID`` go; a parameter without a name or with one that is not in `VARIABLES`
       is dropped and counted.
    2. An empty value and `MISSING_CODE` are missing.
    3. A time past `HORIZON_MINUTES` is dropped.
    4. A known slip of units is put right (`RESCALED`).
    5. A value out of the range of its variable (`VARIABLES`), or a category without a name
       (`CATEGORIES`), is dropped.

    Raises:
        DataError: most lines name no known parameter.

    >>> from amodal.clinical.physionet2012.parse import parse_records
    >>> lines = ["00:00,RecordID,7", "00:05,pH,73.5", "00:06,HR,300", "00:07,HR,301", "00:08,HR,-1"]
    >>> lines += ["48:00,HR,60", "48:01,HR,60"]
    >>> text = "\\n".join(["Time,Parameter,Value", *lines, ""])
    >>> found = clean_events(parse_records({"7": text.encode()})[1])
    >>> found.value.tolist(), found.minute.tolist()
    ([7.35, 300.0, 60.0], [5, 6, 2880])
    >>> {rule: found.counts[rule] for rule in ("missing_code", "after_48_hours", "out_of_range")}
    {'missing_code': {'HR': 1}, 'after_48_hours': {'HR': 1}, 'out_of_range': {'HR': 1}}
    """
    found = _known(events)
    missing = np.isnan(found.value)
    found = found.drop(missing, "empty")
    found = found.drop(found.value == MISSING_CODE, "missing_code")
    found = found.drop(found.minute > HORIZON_MINUTES, "after_48_hours")
    found = _rescale(found)
    found = found.drop(_impossible(found), "out_of_range")
    found.counts["kept"] = by_variable(found.variable)
    return found


def _known(events: pa.Table) -> Clean:
    """The lines of known variables, by position."""
    column = events["parameter"].combine_chunks()
    names = column.dictionary.to_pylist()
    position = np.array([_position(name) for name in names] or [-1], dtype=np.int16)
    variable = position[column.indices.to_numpy()]
    own = np.array([name == "RecordID" for name in names] or [False])[column.indices.to_numpy()]
    unknown = (variable < 0) & ~own
    _refuse_foreign(int(unknown.sum()), len(variable))
    found = Clean(
        events["stay"].to_numpy(),
        events["minute"].to_numpy(),
        variable,
        events["value"].to_numpy(),
        {"lines": len(variable), "unknown_parameter": int(unknown.sum())},
    )
    return found.keep(variable >= 0)


def _position(name: str) -> int:
    name = ALIASES.get(name, name)
    return NAMES.index(name) if name in VARIABLES else -1


def _refuse_foreign(unknown: int, lines: int) -> None:
    if unknown > lines / 2:
        raise DataError(
            f"stays hold the parameters of the challenge (HR, Temp, ...); {unknown} of {lines} "
            "lines name others; name a raw set of PhysioNet 2012"
        )


def _rescale(found: Clean) -> Clean:
    """Known slips of units put right; each value by one rule at most."""
    value, counts = found.value.copy(), {}
    for rule in RESCALED:
        rows = found.variable == NAMES.index(rule.variable)
        rows &= (found.value >= rule.low) & (found.value <= rule.high)
        value[rows] = np.round(found.value[rows] * rule.factor, 6)
        key = f"{rule.variable} {rule.low:g} to {rule.high:g}"
        counts |= {key: int(rows.sum())} if rows.any() else {}
    found.counts["rescaled"] = counts
    return Clean(found.stay, found.minute, found.variable, value, found.counts)


def _impossible(found: Clean) -> np.ndarray:
    """``Bool[s]`` where a value cannot be."""
    low, high = (np.array([getattr(v, end) for v in VARIABLES.values()]) for end in ("low", "high"))
    bad = (found.value < low[found.variable]) | (found.value > high[found.variable])
    for name, levels in CATEGORIES.items():
        rows = found.variable == NAMES.index(name)
        bad |= rows & ~np.isin(found.value, _numbers(levels))
    return bad


def _numbers(levels: Iterable[int]) -> np.ndarray:
    return np.array(list(levels), dtype=np.float64)
