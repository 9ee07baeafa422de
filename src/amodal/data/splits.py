"""Splits that keep groups whole and spread the target evenly.

One routine draws them all: groups of the same composition (so many rows of each class) are shared
out together by largest remainders, the biggest groups first, and what rounding leaves over is
carried to the next composition. Without groups this is plain stratification; with them it is the
greedy balancing of scikit-learn's `StratifiedGroupKFold`, for parts of any size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from amodal.checks import check_fraction
from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError

__all__ = ["assign_splits", "folds", "split_development"]

_BINS = 10
"""Quantile bins that stand for a real-valued target."""


def assign_splits(
    data: Dataset,
    *,
    seed: int = 0,
    test: float = 0.2,
    valid: float = 0.1,
    calibration: float = 0.1,
) -> dict[str, np.ndarray]:
    """Row positions of train, valid, calibration and test.

    A part that `data.split` names is taken as published. A test part that it does not name is drawn
    out of its free rows (""), or out of the train rows where none is free; valid and calibration
    out of the train and free rows that remain. The rest is train. Classes, or tenths of a real
    target, come in equal shares; rows of a class too small for that go where rows are lacking.

    Rows without a label are only ever in train; one whose group lies in another part is left out
    (in train it would put the group on both sides). Where no row has a label, all are drawn alike.

    Args:
        data: n rows.
        seed: of the draw; the order of the rows does not matter.
        test: share of the rows, in [0, 1), 0 for none; of the rows that it is drawn from where a
            split is published.
        valid: the same.
        calibration: the same.

    Returns:
        ``{"train": Int64[...], "valid": ..., "calibration": ..., "test": ...}``, ascending.

    Raises:
        DataError: fewer groups than parts; a published split with a group on both sides.
        SettingError: a share outside [0, 1), or shares that leave nothing to train on.

    >>> d = Dataset.from_arrays({"a": np.ones((20, 1))}, [0, 1] * 10)
    >>> {k: len(rows) for k, rows in assign_splits(d, seed=1).items()}
    {'train': 12, 'valid': 2, 'calibration': 2, 'test': 4}
    """
    shares = _check_shares(valid=valid, calibration=calibration, test=test)
    unit, strata, labelled = _units(data), _strata(data), _scored(data)
    part = _published(data, unit)
    if not (part == "test").any() and test > 0:
        pool = part == "" if (part == "").any() else part == "train"
        _draw_into(part, pool, unit, strata, {"train": 1.0 - test, "test": test}, seed=seed)
    rest = 1.0 - test
    inner = {k: shares[k] / rest for k in ("valid", "calibration")}
    _draw_development(part, unit, strata, inner, seed=seed)
    return _positions(part, labelled, ("train", "valid", "calibration", "test"))


def split_development(
    data: Dataset, *, seed: int = 0, valid: float = 0.125, calibration: float = 0.125
) -> dict[str, np.ndarray]:
    """Row positions of train, valid and calibration: all that a model is fitted on.

    As `assign_splits`, without a test part: rows that `data.split` calls "test" count as train,
    for who fits on them wants them used.

    Args:
        data: n rows.
        seed: of the draw.
        valid: share of the rows, in [0, 1); 0 for none.
        calibration: the same.

    Raises:
        DataError: fewer groups than parts; a published split with a group on both sides.
        SettingError: a share outside [0, 1), or shares that leave nothing to train on.

    >>> d = Dataset.from_arrays({"a": np.ones((16, 1))}, [0, 1] * 8)
    >>> {k: len(rows) for k, rows in split_development(d).items()}
    {'train': 12, 'valid': 2, 'calibration': 2}
    """
    shares = _check_shares(valid=valid, calibration=calibration)
    unit = _units(data)
    part = _published(data, unit, rename={"test": "train"})
    _draw_development(part, unit, _strata(data), shares, seed=seed)
    return _positions(part, _scored(data), ("train", "valid", "calibration"))


def folds(data: Dataset, k: int, *, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """k pairs (train rows, test rows) for cross-validation; every row is tested once.

    Groups stay whole; classes, tenths of a real target and unlabelled rows are spread evenly. A
    published split plays no part.

    Raises:
        DataError: fewer groups than folds.
        SettingError: k below 2.

    >>> d = Dataset.from_arrays({"a": np.ones((6, 1))}, [0, 1] * 3)
    >>> [len(test) for _, test in folds(d, 3)]
    [2, 2, 2]
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 2:
        raise SettingError(f"cross-validation needs at least 2 folds; got {k!r}; ask for more")
    names = [str(f) for f in range(k)]
    part = np.full(len(data), "", dtype="<U12")
    every = np.ones(len(data), dtype=bool)
    strata = _strata(data, unlabelled=True)
    _draw_into(part, every, _units(data), strata, dict.fromkeys(names, 1.0 / k), seed=seed)
    return [(np.flatnonzero(part != f), np.flatnonzero(part == f)) for f in names]


# -- what the rows are ----------------------------------------------------------------------------


def _check_shares(**shares: float) -> dict[str, float]:
    shares = {k: check_fraction(f"the share {k!r} of a split", v) for k, v in shares.items()}
    if sum(shares.values()) >= 1.0:
        raise SettingError(
            "the shares of a split must leave rows to train on; they add up to "
            f"{sum(shares.values()):g}; lower one"
        )
    return shares


def _units(data: Dataset) -> np.ndarray:
    """``Int[n]``: which rows belong together, numbered by name so that row order plays no part."""
    names = data.row_id if data.group is None else data.group
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].reshape(-1)


def _scored(data: Dataset) -> np.ndarray:
    """``Bool[n]``: rows that can be scored; all of them where there is no label at all."""
    return data.labelled if data.labelled.any() else np.ones(len(data), dtype=bool)


def _strata(data: Dataset, *, unlabelled: bool = False) -> np.ndarray:
    """``Float[n, c + 1]``: what is to be spread evenly: the c strata of a row, and the row itself.

    The last column balances the sizes of the parts where strata are too small to do it. Unlabelled
    rows are a stratum of their own, or do not count at all.
    """
    labelled = data.labelled
    columns = np.zeros((len(data), 0))
    if labelled.any():
        target = data.target[labelled]
        if data.task.kind == "regression":
            edges = np.quantile(target, np.linspace(0, 1, _BINS + 1)[1:-1])
            target = np.searchsorted(np.unique(edges), target, side="right")
        known = target
        if target.ndim == 1:
            known = target[:, None] == np.unique(target)[None, :]
        columns = np.zeros((len(data), known.shape[1]))
        columns[labelled] = known
    rows = _scored(data)
    if unlabelled:
        columns, rows = np.column_stack([columns, ~labelled]), np.ones(len(data))
    return np.column_stack([columns, rows]).astype(np.float64)


def _published(
    data: Dataset, unit: np.ndarray, rename: Mapping[str, str] | None = None
) -> np.ndarray:
    """``str[n]``: the part that each row's group is published in, "" where it is free."""
    if data.split is None:
        return np.full(len(data), "", dtype="<U12")
    split = np.asarray(data.split, dtype="<U12").copy()
    for old, new in (rename or {}).items():
        split[split == old] = new
    named = split != ""
    pairs = np.unique(np.column_stack([unit[named], _code(split[named])]), axis=0)
    found, counts = np.unique(pairs[:, 0], return_counts=True)
    if (counts > 1).any():
        raise DataError(
            "a split keeps the rows of a group on one side; the published one divides "
            f"{int((counts > 1).sum())} groups; correct it, or leave out the split or the groups"
        )
    first = dict(zip(unit[named].tolist(), split[named].tolist(), strict=True))
    joined = np.isin(unit, found) & ~named
    split[joined] = [first[u] for u in unit[joined].tolist()]
    return split


def _code(names: np.ndarray) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def _positions(
    part: np.ndarray, scored: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    usable = scored | (part == "train")
    return {name: np.flatnonzero((part == name) & usable) for name in names}


# -- the draw -------------------------------------------------------------------------------------


def _draw_development(
    part: np.ndarray,
    unit: np.ndarray,
    strata: np.ndarray,
    shares: Mapping[str, float],
    *,
    seed: int,
) -> None:
    """Draws valid and calibration, where not published, out of the train and free rows."""
    wanted = {k: v for k, v in shares.items() if v > 0 and not (part == k).any()}
    pool = (part == "") | (part == "train")
    given = sum(v for k, v in shares.items() if k not in wanted)
    wanted = {k: v / (1.0 - given) for k, v in wanted.items()}
    _draw_into(part, pool, unit, strata, {"train": 1.0 - sum(wanted.values()), **wanted}, seed=seed)


def _draw_into(
    part: np.ndarray,
    pool: np.ndarray,
    unit: np.ndarray,
    strata: np.ndarray,
    shares: Mapping[str, float],
    *,
    seed: int,
) -> None:
    """Writes the names of `shares` into `part` at the rows of `pool`."""
    names = np.array(list(shares))
    counted = pool & (strata[:, -1] > 0)  # unlabelled rows follow their group, else into train
    units, inverse = np.unique(unit[counted], return_inverse=True)
    if len(units) < len(names):
        raise DataError(
            f"a split into {len(names)} parts ({', '.join(names[:4])}{', ...' * (len(names) > 4)}) "
            f"needs at least {len(names)} labelled rows or groups of rows; got {len(units)}; "
            "add rows or ask for fewer parts"
        )
    counts = np.zeros((len(units), strata.shape[1]))
    np.add.at(counts, inverse.reshape(-1), strata[counted])
    chosen = _draw(counts, np.array(list(shares.values())), np.random.default_rng([seed, 11]))
    place = np.searchsorted(units, unit[pool]).clip(max=len(units) - 1)
    known = units[place] == unit[pool]
    part[pool] = np.where(known, names[chosen[place]], names[0])


def _draw(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``Int[g]``: the part of each of g groups with `counts` ``Float[g, c]`` rows per stratum."""
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    order = rng.permutation(len(counts))
    order = order[np.argsort(which.reshape(-1)[order], kind="stable")]
    members = np.split(order, np.cumsum(np.bincount(which.reshape(-1)))[:-1])
    part = np.empty(len(counts), dtype=np.int64)
    carry = np.zeros((len(shares), counts.shape[1]))
    for k in np.argsort(-kinds[:, -1], kind="stable"):
        wanted = len(members[k]) * shares
        number = _round(wanted + carry @ kinds[k] / (kinds[k] @ kinds[k]), len(members[k]), rng)
        carry += np.outer(wanted - number, kinds[k])
        part[members[k]] = np.repeat(np.arange(len(shares)), number)
    return _fill_empty(part, counts[:, -1], len(shares))


def _round(wanted: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers near `wanted` that add up to `total`.

    The remainders are blurred: else the largest of few groups would lie in train under every seed.
    """
    wanted = np.maximum(wanted, 0.0)
    wanted = wanted * (total / wanted.sum())
    number = np.floor(wanted + 1e-9).astype(np.int64)
    blurred = wanted - number + rng.uniform(0.0, 0.5, len(wanted))
    number[np.argsort(-blurred)[: total - number.sum()]] += 1
    return number


def _fill_empty(part: np.ndarray, size: np.ndarray, parts: int) -> np.ndarray:
    """Gives each empty part the smallest group of the part with the most groups."""
    part = part.copy()
    for empty in np.flatnonzero(np.bincount(part, minlength=parts) == 0):
        donor = np.flatnonzero(part == np.bincount(part, minlength=parts).argmax())
        part[donor[size[donor].argmin()]] = empty
    return part
