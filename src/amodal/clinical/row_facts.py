"""Facts of rows that no method reads and studies report by: sex, age band, race, hospital."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["age_band", "row_facts"]

_BANDS = (45, 65, 75, 85)
"""Ages in years at which the next band begins."""


def age_band(years: int | None) -> str:
    """The band of an age in whole years; "" where it is unknown.

    >>> [age_band(x) for x in (18, 44, 45, 84, 85, 90, None)]
    ['under 45', 'under 45', '45 to 64', '75 to 84', '85 and over', '85 and over', '']
    """
    if years is None:
        return ""
    if years < _BANDS[0]:
        return f"under {_BANDS[0]}"
    for low, high in pairwise(_BANDS):
        if years < high:
            return f"{low} to {high - 1}"
    return f"{_BANDS[-1]} and over"


def row_facts(rows: pa.Table, columns: Mapping[str, str], *, age: str) -> dict[str, np.ndarray]:
    """Name of a fact -> ``str[n]``, "" where it is unknown; columns that are not there are left out.

    Args:
        rows: n lines.
        columns: name of a fact -> its column.
        age: the column of ages in whole years, told as ``age`` in bands.

    >>> import pyarrow as pa
    >>> rows = pa.table({"gender": ["F", None], "years": [17 + 28, None]})
    >>> found = row_facts(rows, {"sex": "gender", "race": "race"}, age="years")
    >>> {name: x.tolist() for name, x in found.items()}
    {'sex': ['F', ''], 'age': ['45 to 64', '']}
    """
    found = {
        name: np.array(["" if x is None else str(x).strip() for x in rows[column].to_pylist()], str)
        for name, column in columns.items()
        if column in rows.column_names
    }
    if age in rows.column_names:
        found["age"] = np.array([age_band(x) for x in rows[age].to_pylist()], str)
    return found
