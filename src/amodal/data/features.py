"""`tabulate`: a data set as one matrix of numbers, for methods that know nothing of modalities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amodal.data.dataset import Dataset
from amodal.media.features import FEATURES, feature_names
from amodal.types import LOST, NOT_MEASURED, Modality
from amodal.values import Values

__all__ = ["SUMMARIES", "Table", "tabulate"]

SUMMARIES = ("last", "first", "mean", "min", "max", "log_count")
"""What is kept of the course of a variable of a series."""

_MAX_CODES = 512


@dataclass(frozen=True, eq=False)
class Table:
    """n rows of f named numbers, NaN where one is unknown.

    Args:
        x: ``Float64[n, f]``.
        names: of the f columns, "modality:feature..." throughout.
        modality: ``Int64[f]`` position of the modality that a column comes from.

    >>> d = Dataset.from_arrays({"a": [[1.0]], "b": [[2.0]]})
    >>> tabulate(d).modality.tolist()  # a, b; then not measured and lost of a, and of b
    [0, 1, 0, 0, 1, 1]
    """

    x: np.ndarray
    names: tuple[str, ...]
    modality: np.ndarray


def tabulate(data: Dataset) -> Table:
    """The rows of `data` as numbers.

    | kind | columns |
    |---|---|
    | ``table`` | numbers as they are; a category as one 0/1 column per level, NaN if missing |
    | ``embedding`` | its dimensions |
    | ``series`` | of each variable last, first, mean, min, max, log(1 + number of observations) |
    | ``codes`` | log(1 + number of events) of each of the first 512 codes of the vocabulary |
    | ``text`` | signed counts of hashed words, 256 columns |
    | ``image`` | red, green and blue in 8 x 8 fields |
    | ``audio`` | mean and deviation over time of 64 log-mel bands, log of the seconds |

    A variable never observed in a present series is NaN with log count 0. "First" and "last" are by
    time. The first codes are the most frequent ones once `Scaler` has listed the vocabulary.

    Two columns per modality follow: 1 where it was not measured, and where it is lost. All other
    columns of an absent modality are NaN. Files of images and audio are read for it (see
    `amodal.media.features`).

    The columns depend on the modalities alone, so that train and test rows scaled by one `Scaler`
    have the same ones.

    >>> d = Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [([0, 1], [[2.0], [4.0]]), None]})
    >>> table = tabulate(d)
    >>> table.x[:, :2].tolist()
    [[1.0, 4.0], [nan, nan]]
    >>> table.names[1:4]
    ('b:x0:last', 'b:x0:first', 'b:x0:mean')
    """
    blocks: list[np.ndarray] = []
    names: list[str] = []
    origin: list[int] = []
    for k, m in enumerate(data.modalities):
        found, columns = _describe(m, data.values[m.name])
        blocks.append(_spread(found, data.values[m.name].index))
        names += [f"{m.name}:{c}" for c in columns]
        origin += [k] * len(columns)
    for k, m in enumerate(data.modalities):
        absence = data.absence[:, k]
        blocks.append(np.column_stack([absence == NOT_MEASURED, absence == LOST]))
        names += [f"{m.name}:not_measured", f"{m.name}:lost"]
        origin += [k, k]
    x = np.concatenate(blocks, axis=1, dtype=np.float64)
    return Table(x, tuple(names), np.array(origin, dtype=np.int64))


def _spread(found: np.ndarray, index: np.ndarray) -> np.ndarray:
    """What was found of each value, for the rows that hold it; NaN for the others."""
    out = np.full((len(index), found.shape[1]), np.nan)
    has = index >= 0
    out[has] = found[index[has]]
    return out


def _describe(m: Modality, values: Values) -> tuple[np.ndarray, list[str]]:
    """(``Float[v, f]`` of the v values, names of the f columns)."""
    if m.kind in FEATURES:
        return FEATURES[m.kind](values.data["source"].tolist()), feature_names(m.kind)
    describe = {
        "table": _describe_table,
        "embedding": _describe_embedding,
        "series": _describe_series,
        "codes": _describe_codes,
    }[m.kind]
    return describe(m, values)


def _names(m: Modality, width: int) -> list[str]:
    return list(m.features) if m.features else [str(j) for j in range(width)]


def _describe_table(m: Modality, values: Values) -> tuple[np.ndarray, list[str]]:
    numeric = values.data["numeric"]
    blocks, names = [numeric], _names(m, numeric.shape[1])
    for c, (column, levels) in enumerate(m.levels.items()):
        ids = values.data["categorical"][:, c]
        hot = (ids[:, None] == np.arange(len(levels))).astype(np.float64)
        hot[ids < 0] = np.nan
        blocks.append(hot)
        names += [f"{column}={level}" for level in levels]
    return np.concatenate(blocks, axis=1), names


def _describe_embedding(m: Modality, values: Values) -> tuple[np.ndarray, list[str]]:
    value = values.data["value"]
    return value, _names(m, value.shape[1])


def _describe_codes(m: Modality, values: Values) -> tuple[np.ndarray, list[str]]:
    width = min(len(m.vocabulary), _MAX_CODES)
    code = values.data["code"]
    owner = np.repeat(np.arange(len(values)), values.lengths)
    kept = (code >= 0) & (code < width)
    counts = np.bincount(owner[kept] * width + code[kept], minlength=len(values) * width)
    return np.log1p(counts.reshape(len(values), width)), list(m.vocabulary[:width])


def _describe_series(m: Modality, values: Values) -> tuple[np.ndarray, list[str]]:
    steps = _time_order(values)
    value = values.data["value"]
    names = _names(m, value.shape[1])
    found = np.zeros((len(values), len(names), len(SUMMARIES)))
    if len(values):
        for j in range(len(names)):
            column = value[:, j][steps].astype(np.float64)
            found[:, j] = _summarise(column, values.offsets[:-1])
    columns = [f"{n}:{s}" for n in names for s in SUMMARIES]
    return found.reshape(len(values), len(columns)), columns


def _time_order(values: Values) -> np.ndarray:
    """``Int[s]``: the steps of each value in the order of time (stable)."""
    owner = np.repeat(np.arange(len(values)), values.lengths)
    return np.lexsort((values.data["time"], owner))


def _summarise(x: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """``Float[v, 6]``: `SUMMARIES` of the segments of ``x`` ``Float[s]`` that begin at `starts`.

    Every segment has a step (a `Dataset` holds no empty series), as `reduceat` needs it.
    """
    seen = ~np.isnan(x)
    step = np.arange(len(x))
    count = np.add.reduceat(seen.astype(np.int64), starts)
    last = np.maximum.reduceat(np.where(seen, step, -1), starts)
    first = np.minimum.reduceat(np.where(seen, step, len(x)), starts).clip(max=len(x) - 1)
    total = np.add.reduceat(np.where(seen, x, 0.0), starts)
    low = np.minimum.reduceat(np.where(seen, x, np.inf), starts)
    high = np.maximum.reduceat(np.where(seen, x, -np.inf), starts)
    found = np.column_stack([x[last], x[first], total / np.maximum(count, 1), low, high])
    found[count == 0] = np.nan
    return np.column_stack([found, np.log1p(count)])
