"""Labels that are not known in training: a share of them hidden, whole groups at a time."""

from __future__ import annotations

import numpy as np

from amodal.checks import check_fraction
from amodal.data.dataset import Dataset
from amodal.errors import DataError
from amodal.shifts.keyed import uniform

__all__ = ["hidden_rows", "hide_labels"]


def hidden_rows(data: Dataset, share: float, *, seed: int = 0) -> np.ndarray:
    """``Bool[n]``: the rows whose labels `hide_labels` hides.

    A group (a row where there are none) is hidden where its keyed uniform number lies below
    `share`: order and subset change nothing, and what is hidden at a share is hidden at any
    greater one.

    >>> d = Dataset.from_arrays({"a": [[1.0]] * 4}, [0, 1, 0, 1], rows={"group": list("ppqq")})
    >>> hidden_rows(d, 0.5, seed=5).tolist()
    [True, True, False, False]
    """
    share = check_fraction("the share of labels that are hidden", share)
    unit = data.row_id if data.group is None else data.group
    return uniform(seed, unit.astype(str), ["label"], "hidden")[:, 0] < share


def hide_labels(data: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """`data` without the labels of a share of its groups, or of its rows where there are none.

    Args:
        data: n rows.
        share: the probability that a group's labels are hidden.
        seed: any integer.

    Raises:
        SettingError: a share outside [0, 1].
        DataError: no labels, or none left.

    >>> d = Dataset.from_arrays({"a": [[1.0]] * 4}, [0, 1, 0, 1], rows={"group": list("ppqq")})
    >>> hide_labels(d, 0.5, seed=5).labelled.tolist()
    [False, False, True, True]
    """
    hidden = hidden_rows(data, share, seed=seed)
    if not hidden.any():
        return data
    if data.target is None or not (data.labelled & ~hidden).any():
        raise DataError(
            f"some labels must stay known; hiding a share of {share:g} leaves none of "
            f"{int(data.labelled.sum())}; hide fewer"
        )
    target = np.array(data.target, dtype=np.float64)
    target[hidden] = np.nan
    done = {"labels_hidden": {"share": share, "seed": seed, "rows": int(hidden.sum())}}
    return data.replace(target=target, provenance={**data.provenance, **done})
