"""Keyed random numbers: uniform, independent, and the same whatever else is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from amodal.shifts.keyed import keyed_normal, keyed_uniform, pair_keys, string_keys, uniform

IDS = np.arange(40_000).astype(str)
NAMES = ("labs", "vitals", "notes")
WORD = (1 << 64) - 1


def slow_mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def slow_uniform(seed: int, row: str, name: str, salt: str) -> float:
    """The same with Python's integers."""

    def key(text: str) -> int:
        out = golden
        for letter in text:
            out = slow_mix(((out ^ ord(letter)) + golden) & WORD)
        return out

    golden = 0x9E3779B97F4A7C15
    column = key(json.dumps([seed, salt, name]))
    word = slow_mix((slow_mix(key(row) ^ column) + column) & WORD)
    return (word >> 11) / 2**53


def test_agrees_with_integer_arithmetic() -> None:
    rows = np.array(["p1", "p2", "Zoë", ""])
    expected = [[slow_uniform(7, r, m, "absence") for m in NAMES] for r in rows]
    assert uniform(7, rows, NAMES, "absence").tolist() == expected


def test_stream_is_the_published_splitmix64() -> None:
    # the first outputs of SplitMix64 from state 1234567
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    got = keyed_uniform(np.array([1234567], dtype=np.uint64), np.array([0]), 4)
    assert got.tolist() == [[(w >> 11) / 2**53 for w in words]]


def test_uniform_over_rows_of_each_modality() -> None:
    u = uniform(0, IDS, NAMES)
    assert u.min() >= 0
    assert u.max() < 1
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
        counts = np.histogram(column, 64, (0, 1))[0]
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, "labs", ""), (0, "vitals", "")),
        ((0, "labs", ""), (1, "labs", "")),
        ((0, "labs", "absence"), (0, "labs", "keep")),
        ((0, "labs", ""), (0, "labs2", "")),
    ],
)
def test_independent_over_modalities_seeds_and_salts(first: tuple, second: tuple) -> None:
    a, b = (uniform(s, IDS, [name], salt)[:, 0] for s, name, salt in (first, second))
    table = np.histogram2d(a, b, 12, [(0, 1), (0, 1)])[0]
    assert stats.chisquare(table.ravel()).pvalue > 1e-3
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(IDS))


def test_neighbouring_rows_are_independent() -> None:
    u = uniform(0, IDS, ["labs"])[:, 0]
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / np.sqrt(len(IDS))


def test_order_and_subset_change_nothing() -> None:
    u = uniform(3, IDS[:500], NAMES)
    rows = np.random.default_rng(0).permutation(500)[:200]
    assert np.array_equal(uniform(3, IDS[rows], NAMES[::-1]), u[rows][:, ::-1])


def test_keys_do_not_collide_and_names_do_not_run_together() -> None:
    keys = pair_keys(0, IDS, NAMES)
    assert len(np.unique(keys)) == keys.size
    assert pair_keys(0, IDS[:1], ["b"], "a")[0, 0] != pair_keys(0, IDS[:1], ["ab"])[0, 0]
    assert pair_keys(1, IDS[:1], ["a"], "1")[0, 0] != pair_keys(11, IDS[:1], ["a"])[0, 0]


def test_width_of_the_string_array_does_not_matter() -> None:
    short, long = np.array(["p"]), np.array(["p", "a much longer id"])
    assert string_keys(short)[0] == string_keys(long)[0]


@pytest.mark.parametrize(("rows", "names"), [(0, 3), (3, 0), (0, 0)])
def test_empty(rows: int, names: int) -> None:
    assert uniform(0, IDS[:rows], NAMES[:names]).shape == (rows, names)


def test_normal_numbers_are_normal_and_uncorrelated() -> None:
    keys = pair_keys(0, IDS, ["labs"])[:, 0]
    z = keyed_normal(keys, np.zeros(len(keys), dtype=int), 3)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    corr = np.corrcoef(z.T)[np.triu_indices(3, 1)]
    assert np.abs(corr).max() < 4 / np.sqrt(len(keys))


def test_normal_numbers_are_addressed_by_position() -> None:
    keys = pair_keys(0, IDS[:5], ["labs"])[:, 0]
    whole = keyed_normal(keys, np.zeros(5, dtype=int), 8)
    assert np.array_equal(keyed_normal(keys, np.full(5, 3), 5), whole[:, 3:])


def test_no_two_strings_share_a_key() -> None:
    texts = ["", "a", "aa", "ab", "ba", "é", "Zoë"] + [f"{i:08d}" for i in range(100_000)]
    assert len(np.unique(string_keys(texts))) == len(texts)
    assert np.array_equal(string_keys(np.array(texts[:7], dtype=object)), string_keys(texts[:7]))
