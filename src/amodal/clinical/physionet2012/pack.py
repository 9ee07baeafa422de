"""Cleaned values -> packed `Values`: the table of descriptors and the series of each group."""

from __future__ import annotations

import numpy as np

from amodal.clinical.physionet2012.clean import NAMES, Clean, by_variable
from amodal.clinical.physionet2012.rules import CATEGORIES, GROUPS, VARIABLES
from amodal.values import Values

__all__ = ["combine_repeats", "is_descriptor", "pack_series", "pack_static"]

_MINUTES = 2**16
"""More than any minute that is kept: ``stay * _MINUTES + minute`` orders steps."""


def is_descriptor(clean: Clean) -> np.ndarray:
    """``Bool[s]``: Age, Gender, Height, ICUType at any time, Weight at 00:00.

    >>> weight = np.full(2, NAMES.index("Weight"))
    >>> is_descriptor(Clean(np.zeros(2), np.array([0, 60]), weight, np.ones(2))).tolist()
    [True, False]
    """
    static = np.isin(clean.variable, [NAMES.index(v) for v in GROUPS["static"]])
    return static & ((clean.variable != NAMES.index("Weight")) | (clean.minute == 0))


def pack_static(clean: Clean, n: int) -> tuple[Values, dict[str, int]]:
    """The table of descriptors of n stays, and how many lines a later line replaced, by variable.

    A stay without any descriptor has no value.

    Args:
        clean: the descriptors alone, see `is_descriptor`; lines in the order of the file.
        n: number of stays.

    >>> age = np.array([NAMES.index("Age")] * 2)
    >>> lines = Clean(np.array([1, 1]), np.array([0, 0]), age, np.array([40.0, 41.0]))
    >>> values, replaced = pack_static(lines, 2)
    >>> values.data["numeric"].tolist(), values.data["categorical"].tolist()  # height, weight missing
    ([[41.0, nan, nan]], [[-1, -1]])
    >>> values.index.tolist(), replaced
    ([-1, 0], {'Age': 1})
    """
    key = clean.stay.astype(np.int64) * len(NAMES) + clean.variable
    last = len(key) - 1 - np.unique(key[::-1], return_index=True)[1]
    cells = np.full((n, len(NAMES)), np.nan)
    cells[clean.stay[last], clean.variable[last]] = clean.value[last]
    names = GROUPS["static"]
    numeric = [NAMES.index(v) for v in names if v not in CATEGORIES]
    codes = [_codes(cells[:, NAMES.index(v)], v) for v in names if v in CATEGORIES]
    known = ~np.isnan(cells).all(axis=1)
    data = {
        "numeric": cells[known][:, numeric],
        "categorical": np.stack(codes, axis=1)[known],
    }
    return Values(data, None, _index(known)), by_variable(clean.variable[_others(last, len(key))])


def _codes(column: np.ndarray, variable: str) -> np.ndarray:
    """Numbers of the files -> positions among the levels, -1 where missing."""
    codes = np.full(len(column), -1, dtype=np.int64)
    for k, number in enumerate(CATEGORIES[variable]):
        codes[column == number] = k
    return codes


def _index(has: np.ndarray) -> np.ndarray:
    """``Int[n]``: the value of each row, counted in order of the rows that have one."""
    return np.where(has, np.cumsum(has) - 1, -1).astype(np.int64)


def _others(rows: np.ndarray, n: int) -> np.ndarray:
    """``Bool[n]``, true at the positions that are not in `rows`."""
    out = np.ones(n, dtype=bool)
    out[rows] = False
    return out


def combine_repeats(clean: Clean) -> tuple[Clean, dict[str, int]]:
    """One value for each stay, minute and variable, in this order; and the lines merged away.

    Several values are averaged or added up, as `Variable.repeats` says.

    >>> zero, hr = np.zeros(2, dtype=int), np.full(2, NAMES.index("HR"))
    >>> one, merged = combine_repeats(Clean(zero, zero, hr, np.array([80.0, 90.0])))
    >>> one.value.tolist(), merged
    ([85.0], {'HR': 1})
    """
    key = (clean.stay.astype(np.int64) * _MINUTES + clean.minute) * len(NAMES) + clean.variable
    _, first, inverse, n = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    variable = clean.variable[first]
    total = np.bincount(inverse, weights=clean.value, minlength=len(first))
    mean = np.array([v.repeats == "mean" for v in VARIABLES.values()])[variable]
    value = np.where(mean, total / n, total)
    merged = Clean(clean.stay[first], clean.minute[first], variable, value, clean.counts)
    return merged, by_variable(clean.variable[_others(first, len(key))])


def pack_series(steps: Clean, variables: tuple[str, ...], n: int) -> Values:
    """The series of some variables of n stays: a step for each minute at which one was observed.

    Times are hours since admission, ascending; NaN where a variable was not observed at a step; a
    stay without any of the variables has no value.

    Args:
        steps: what `combine_repeats` returns.
        variables: names, the columns of the series.
        n: number of stays.

    >>> gas = np.array([NAMES.index("pH"), NAMES.index("PaO2")])
    >>> steps = Clean(np.array([1, 1]), np.array([30, 90]), gas, np.array([7.4, 95.0]))
    >>> values = pack_series(steps, ("pH", "PaO2"), 2)
    >>> values.data["time"].tolist(), values.data["value"].tolist(), values.index.tolist()
    ([0.5, 1.5], [[7.4, nan], [nan, 95.0]], [-1, 0])
    """
    column = np.full(len(NAMES), -1)
    column[[NAMES.index(v) for v in variables]] = np.arange(len(variables))
    part = steps.keep(column[steps.variable] >= 0)
    key = part.stay.astype(np.int64) * _MINUTES + part.minute
    step, at = np.unique(key, return_inverse=True)
    value = np.full((len(step), len(variables)), np.nan)
    value[at, column[part.variable]] = part.value
    length = np.bincount(step // _MINUTES, minlength=n)
    has = length > 0
    offsets = np.concatenate([[0], np.cumsum(length[has])]).astype(np.int64)
    return Values({"time": step % _MINUTES / 60.0, "value": value}, offsets, _index(has))
