"""How `Scaler` learns from and changes the values of each kind of modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from amodal.errors import DataError
from amodal.types import Modality, Task
from amodal.values import RAGGED, Values

__all__ = ["apply_values", "fit_values", "match_classes", "moments", "no_values", "used_values"]

_MAX_VOCABULARY = 4096
_TIME_QUANTILE = 0.99

Stats = Mapping[str, np.ndarray]


# -- learning -------------------------------------------------------------------------------------


def used_values(values: Values) -> Values:
    """The values that a row holds, each once.

    >>> spare = Values({"value": np.array([[1.0], [9.0]])}, None, np.array([0, 0, -1]))
    >>> used_values(spare).data["value"].tolist()
    [[1.0]]
    """
    held = np.unique(values.index[values.index >= 0])
    if len(held) == len(values):
        return values
    return values.take(np.arange(len(values.index)))


def fit_values(m: Modality, values: Values) -> tuple[Modality, dict[str, np.ndarray]]:
    """(the modality with the levels and vocabulary seen in `values`, their statistics).

    >>> m = Modality("c", "codes", vocabulary=("a", "b", "never"), types=("drug",))
    >>> events = {"code": np.array([0, 1, 1]), "type": np.zeros(3, int), "time": np.arange(3.0)}
    >>> fitted, stats = fit_values(m, Values(events, np.array([0, 3]), np.array([0])))
    >>> fitted.vocabulary  # the most frequent first
    ('b', 'a')
    """
    data, stats = values.data, {}
    if m.kind in ("table", "series", "embedding"):
        numbers = _numbers(m, values)
        stats = moments(numbers)
        m = replace(m, features=m.features or tuple(map(str, range(numbers.shape[1]))))
    if m.kind == "table":
        m = replace(m, levels=_seen_levels(m, data["categorical"]))
    elif m.kind == "codes":
        vocabulary = _seen(m.vocabulary, data["code"], by_frequency=True)[:_MAX_VOCABULARY]
        types = _seen(m.types, data["type"], by_frequency=False)
        m = replace(m, vocabulary=vocabulary, types=types)
    if m.kind in RAGGED:
        stats["time_unit"] = _time_unit(data["time"])
    return m, stats


def moments(x: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation (divisor n) of the columns of ``Float[v, d]``, NaN left out.

    A column without a number, or with one number only, has std 0.

    >>> moments(np.array([[1.0, 7.0], [3.0, np.nan]]))["std"].tolist()
    [1.0, 0.0]
    """
    d = x.shape[1]
    mean, std = np.zeros(d), np.zeros(d)
    for j in range(d):  # a column at a time: a large matrix is not copied whole
        column = x[:, j].astype(np.float64)
        column = column[~np.isnan(column)]
        if not len(column):
            continue
        low, high = column.min(), column.max()
        mean[j] = low
        if low == high:
            continue
        size = max(abs(low), abs(high))  # squares of very large or small numbers stay in range
        column = column / size
        mean[j], std[j] = column.mean() * size, column.std() * size
    return {"mean": mean, "std": std}


def _seen(names: tuple[str, ...], ids: np.ndarray, *, by_frequency: bool) -> tuple[str, ...]:
    """Those of `names` that occur in `ids`, in their order or by falling frequency."""
    counts = np.bincount(ids[ids >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable") if by_frequency else np.arange(len(names))
    return tuple(names[i] for i in order if counts[i])


def _seen_levels(m: Modality, categorical: np.ndarray) -> dict[str, tuple[str, ...]]:
    return {
        name: _seen(levels, categorical[:, c], by_frequency=False)
        for c, (name, levels) in enumerate(m.levels.items())
    }


def _time_unit(time: np.ndarray) -> np.ndarray:
    known = np.abs(time[~np.isnan(time)])
    unit = float(np.quantile(known, _TIME_QUANTILE)) if len(known) else 0.0
    return np.array(unit if unit > 0 else (float(known.max(initial=0.0)) or 1.0))


# -- applying -------------------------------------------------------------------------------------


def _numbers(m: Modality, values: Values) -> np.ndarray:
    """``Float[v, d]`` or ``Float[s, d]``: the numbers of a table, series or embedding."""
    return values.data["numeric" if m.kind == "table" else "value"]


def _scaled(own: Modality, to: Modality, values: Values, stats: Stats, clip: float) -> np.ndarray:
    """The numbers of `values` under the names of `to`, standardised."""
    x = _numbers(own, values)
    names = own.features
    if not names and x.shape[1] == to.n_features:  # unnamed: by position
        names = to.features
    _check_common(to, (*names, *own.levels), (*to.features, *to.levels))
    return _standardise(_match(names, to.features, x, np.nan), stats, clip)


def _standardise(x: np.ndarray, stats: Stats, clip: float) -> np.ndarray:
    mean, std = stats["mean"], stats["std"]
    with np.errstate(over="ignore"):  # what overflows is clipped
        z = (x - mean) / np.where(std > 0, std, 1.0)
    np.clip(z, -clip, clip, out=z)
    constant = std == 0
    z[:, constant] = np.where(np.isnan(z[:, constant]), np.nan, 0.0)
    return z.astype(np.float32)


def _match(own: tuple[str, ...], to: tuple[str, ...], x: np.ndarray, blank: float) -> np.ndarray:
    """The columns `to` of `x`, whose columns are `own`; `blank` where it has none."""
    if own == to:
        return x
    place = {name: j for j, name in enumerate(own)}
    found = np.full((len(x), len(to)), blank, dtype=x.dtype)
    for j, name in enumerate(to):
        if name in place:
            found[:, j] = x[:, place[name]]
    return found


def _check_common(m: Modality, own: Any, to: Any) -> None:
    if to and not set(own) & set(to):
        raise DataError(
            f"modality {m.name!r} must have features in common with the training rows; it has none "
            f"of {', '.join(list(to)[:4])}{', ...' if len(to) > 4 else ''}; name its features alike"
        )


def _apply_table(
    own: Modality, to: Modality, values: Values, stats: Stats, clip: float
) -> dict[str, np.ndarray]:
    categorical = np.full((len(values), len(to.levels)), -1, dtype=np.int64)
    place = {name: c for c, name in enumerate(own.levels)}
    for c, (name, levels) in enumerate(to.levels.items()):
        if name in place:
            ids = values.data["categorical"][:, place[name]]
            categorical[:, c] = _recode(ids, own.levels[name], levels)
    return {"numeric": _scaled(own, to, values, stats, clip), "categorical": categorical}


def _apply_series(
    own: Modality, to: Modality, values: Values, stats: Stats, clip: float
) -> dict[str, np.ndarray]:
    time = values.data["time"] / stats["time_unit"]
    return {"time": time.astype(np.float32), "value": _scaled(own, to, values, stats, clip)}


def _apply_codes(
    own: Modality, to: Modality, values: Values, stats: Stats, clip: float
) -> dict[str, np.ndarray]:
    data = values.data
    return {
        "code": _recode(data["code"], own.vocabulary, to.vocabulary),
        "type": _recode(data["type"], own.types, to.types),
        "time": (data["time"] / stats["time_unit"]).astype(np.float32),
    }


def _apply_embedding(
    own: Modality, to: Modality, values: Values, stats: Stats, clip: float
) -> dict[str, np.ndarray]:
    width = values.data["value"].shape[1]
    if not own.features and width != to.n_features:
        raise DataError(
            f"embedding {to.name!r} had {to.n_features} dimensions in training; got {width}; "
            "embed with the same encoder"
        )
    return {"value": _scaled(own, to, values, stats, clip)}


_APPLY = {
    "table": _apply_table,
    "series": _apply_series,
    "codes": _apply_codes,
    "embedding": _apply_embedding,
}


def apply_values(
    values: Values, to: Modality, *, own: Modality, stats: Stats, clip: float
) -> Values:
    """The values of modality `own`, scaled and laid out as modality `to` (floats as float32).

    Raises:
        DataError: no feature in common; an embedding of another width.

    >>> own, to = Modality("a", "table", ("y", "x")), Modality("a", "table", ("x", "y"))
    >>> data = {"numeric": np.array([[6.0, 1.0]]), "categorical": np.zeros((1, 0), int)}
    >>> stats = {"mean": np.array([0.0, 5.0]), "std": np.array([1.0, 2.0])}
    >>> scaled = apply_values(Values(data, None, np.array([0])), to, own=own, stats=stats, clip=8.0)
    >>> scaled.data["numeric"].tolist()
    [[1.0, 0.5]]
    """
    change = _APPLY.get(to.kind)
    if change is None:
        return values
    return Values(change(own, to, values, stats, clip), values.offsets, values.index)


def _recode(ids: np.ndarray, own: tuple[str, ...], to: tuple[str, ...]) -> np.ndarray:
    """Positions in `own` as positions in `to`, -1 where a name is unknown or missing."""
    place = {name: i for i, name in enumerate(to)}
    table = np.array([place.get(name, -1) for name in own] + [-1], dtype=np.int64)
    return table[ids]  # -1, a missing one, picks the last


def match_classes(target: np.ndarray, own: Task, to: Task) -> np.ndarray:
    """A target in positions of `own` classes as one in positions of `to` classes.

    Raises:
        DataError: `own` has a class that `to` has not.

    >>> own, to = Task("multiclass", ("b", "c")), Task("multiclass", ("a", "b", "c"))
    >>> match_classes(np.array([0.0, np.nan]), own, to).tolist()
    [1.0, nan]
    """
    if own.classes == to.classes:
        return target
    unknown = set(own.classes) - set(to.classes)
    if unknown:
        raise DataError(
            f"the classes must be those of training ({', '.join(to.classes[:6])}); "
            f"got {len(unknown)} others; name them alike"
        )
    if target.ndim == 2:
        return _match(own.classes, to.classes, target, np.nan)
    ids = np.where(np.isnan(target), -1, target).astype(np.int64)
    found = _recode(ids, own.classes, to.classes).astype(np.float64)
    return np.where(ids < 0, np.nan, found)


def no_values(m: Modality, n: int) -> Values:
    """The values of modality `m` where none of n rows has one.

    >>> no_values(Modality("a", "series", ("x", "y")), 2).data["value"].shape
    (0, 2)
    """
    index = np.full(n, -1, dtype=np.int64)
    none, zero = np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int64)
    ids = np.zeros(0, dtype=np.int64)
    width = m.n_features
    if m.kind == "table":
        table = {"numeric": np.zeros((0, width), np.float32)}
        return Values({**table, "categorical": np.zeros((0, len(m.levels)), np.int64)}, None, index)
    if m.kind == "series":
        return Values({"time": none, "value": np.zeros((0, width), np.float32)}, zero, index)
    if m.kind == "codes":
        return Values({"code": ids, "type": ids, "time": none}, zero, index)
    if m.kind == "embedding":
        return Values({"value": np.zeros((0, width), np.float32)}, None, index)
    return Values({"source": np.zeros(0, dtype=object)}, None, index)
