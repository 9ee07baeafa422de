"""What is predicted: the columns of ``Outcomes-*.txt`` and the tasks that they make."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from amodal.errors import DataError, unknown_name
from amodal.types import Task

__all__ = ["OUTCOMES", "Outcome", "outcome_named", "targets"]


class Outcome(NamedTuple):
    """A column of the outcomes and the task that it makes; numbers below 0 mean unknown.

    >>> OUTCOMES["length_of_stay"].column, OUTCOMES["length_of_stay"].task.kind
    ('Length_of_stay', 'regression')
    """

    column: str
    task: Task


OUTCOMES: dict[str, Outcome] = {
    "in_hospital_death": Outcome(
        "In-hospital_death", Task("binary", ("survived", "died"), "in-hospital death")
    ),
    "length_of_stay": Outcome(
        "Length_of_stay", Task("regression", name="length of hospital stay in days")
    ),
}
"""Name -> outcome. (``Survival`` is censored at discharge and no target of these task kinds.)"""


def outcome_named(name: str) -> Outcome:
    """The outcome called `name`.

    Raises:
        UnknownNameError: there is none.

    >>> outcome_named("in_hospital_death").task.classes
    ('survived', 'died')
    """
    if name not in OUTCOMES:
        raise unknown_name("outcome", name, OUTCOMES)
    return OUTCOMES[name]


def targets(stays: pa.Table, outcomes: pa.Table | None, outcome: Outcome) -> np.ndarray:
    """``Float64[n]``: the outcome of each stay, NaN where it is unknown.

    Raises:
        DataError: the column is lacking, holds other values than its task allows, or none of the
            stays has a line in the outcomes.

    >>> stays = pa.table({"record_id": ["7", "8"]})
    >>> y = pa.table({"RecordID": [8], "In-hospital_death": [1.0]})
    >>> targets(stays, y, OUTCOMES["in_hospital_death"]).tolist()
    [nan, 1.0]
    """
    ids = np.array([int(i) for i in stays["record_id"].to_pylist()], dtype=np.int64)
    target = np.full(len(ids), np.nan)
    if outcomes is None:
        return target
    if outcome.column not in outcomes.column_names:
        raise DataError(
            f"outcomes need the column {outcome.column}; they have "
            f"{', '.join(outcomes.column_names)[:80]}; choose another outcome or fetch them again"
        )
    where = {record: k for k, record in enumerate(outcomes["RecordID"].to_pylist())}
    found = np.array([where.get(i, -1) for i in ids.tolist()], dtype=np.int64)
    if not (found >= 0).any():
        raise DataError(
            "outcomes belong to the stays that they lie beside; none of the RecordIDs of the "
            "stays is in them; take the file away, or name the set that it belongs to"
        )
    values = outcomes[outcome.column].to_numpy()
    target[found >= 0] = values[found[found >= 0]]
    target[~(target >= 0)] = np.nan  # -1 means unknown
    _check(target, outcome)
    return target


def _check(target: np.ndarray, outcome: Outcome) -> None:
    known = target[~np.isnan(target)]
    allowed = np.isin(known, (0, 1)) if outcome.task.is_classification else np.isfinite(known)
    if not allowed.all():
        what = "0, 1 or -1 (unknown)" if outcome.task.is_classification else "finite numbers"
        raise DataError(
            f"{outcome.column} holds {what}; {int((~allowed).sum())} lines hold something else; "
            "correct them"
        )
