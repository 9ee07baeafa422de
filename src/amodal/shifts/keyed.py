"""Random numbers that belong to a (seed, row id, modality), wherever they are drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

__all__ = ["keyed_normal", "keyed_uniform", "pair_keys", "string_keys", "uniform"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def string_keys(strings: Sequence[str] | np.ndarray) -> np.ndarray:
    """``UInt64[n]`` hashes of strings, the same on every machine: k <- mix((k ^ letter) + golden).

    All strings go letter by letter at once. Each step is a bijection of k, so two strings share a
    hash with probability of about 2^-64. Not for secrets.

    >>> bool(string_keys(["a", "b"])[0] == string_keys(["a"])[0])
    True
    """
    text = np.ascontiguousarray(np.asarray(strings, dtype=str))
    letters = text.view(np.uint32).reshape(len(text), text.itemsize // 4)
    length = np.char.str_len(text)
    keys = np.full(len(text), _GOLDEN)
    for j in range(int(length.max(initial=0))):
        keys = np.where(j < length, _mix((keys ^ letters[:, j]) + _GOLDEN), keys)
    return keys


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al., 2014): a bijection of 64-bit words."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def pair_keys(seed: int, row_id: np.ndarray, names: Sequence[str], salt: str = "") -> np.ndarray:
    """``UInt64[n, m]``: one key for each (row, modality).

    Row ids and (seed, salt, name) are hashed once each; a pair's key is two rounds of SplitMix64
    over both, so no pair's key depends on which other rows or modalities are there.

    Args:
        seed: any integer.
        row_id: ``str[n]``, or what `string_keys` made of it.
        names: m names of modalities.
        salt: what the numbers are for; other salts give independent numbers.

    >>> both = pair_keys(0, np.array(["p1", "p2"]), ["labs", "vitals"])
    >>> one = pair_keys(0, np.array(["p2"]), ["vitals"])
    >>> bool(one[0, 0] == both[1, 1]), len(np.unique(both))
    (True, 4)
    """
    rows = row_id if row_id.dtype == np.uint64 else string_keys(row_id)
    rows = rows[:, None]
    columns = string_keys([json.dumps([int(seed), salt, str(name)]) for name in names])[None, :]
    return _mix(_mix(rows ^ columns) + columns)


def _unit(words: np.ndarray) -> np.ndarray:
    """The upper 53 bits as a number in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(seed: int, row_id: np.ndarray, names: Sequence[str], salt: str = "") -> np.ndarray:
    """``Float64[n, m]`` uniform in [0, 1), keyed by (seed, row id, modality, salt).

    >>> u = uniform(0, np.array(["p1", "p2"]), ["labs", "vitals"])
    >>> bool(u[1, 0] == uniform(0, np.array(["p2"]), ["labs"])[0, 0])
    True
    """
    return _unit(pair_keys(seed, row_id, names, salt))


def _words(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Output number `counters` of the SplitMix64 stream that starts at `keys`."""
    return _mix(keys + (counters + np.uint64(1)) * _GOLDEN)


def _counters(start: np.ndarray, width: int) -> np.ndarray:
    return start.astype(np.uint64)[:, None] + np.arange(width, dtype=np.uint64)[None, :]


def keyed_uniform(keys: np.ndarray, start: np.ndarray, width: int) -> np.ndarray:
    """``Float64[k, width]`` uniform in [0, 1): numbers ``start .. start + width - 1`` of each key.

    Args:
        keys: ``UInt64[k]``, of `pair_keys`.
        start: ``Int[k]``, at least 0, position in the stream of each key.
        width: how many numbers a key gets.

    >>> key = pair_keys(0, np.array(["p1"]), ["labs"])[:, 0]
    >>> row = keyed_uniform(key, np.array([0]), 3)
    >>> bool(row[0, 2] == keyed_uniform(key, np.array([2]), 1)[0, 0])
    True
    """
    return _unit(_words(keys[:, None], _counters(start, width)))


def keyed_normal(keys: np.ndarray, start: np.ndarray, width: int) -> np.ndarray:
    """``Float64[k, width]`` standard normal numbers, addressed as in `keyed_uniform`.

    Box and Muller (1958): sqrt(-2 log(1 - u)) cos(2 pi v), each number with a u and a v of its own.

    >>> key = pair_keys(0, np.array(["p1"]), ["labs"])[:, 0]
    >>> row = keyed_normal(key, np.array([0]), 3)
    >>> bool(row[0, 2] == keyed_normal(key, np.array([2]), 1)[0, 0])
    True
    """
    counters = _counters(start, width) * np.uint64(2)
    u = _unit(_words(keys[:, None], counters))
    v = _unit(_words(keys[:, None], counters + np.uint64(1)))
    return np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2.0 * np.pi * v)
