"""No count from 1 to 9 is shown, and none follows from what is shown."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amodal.disclosure import safe_share, shown_count, shown_counts, shown_share


def _possible(shown: str, total: int) -> range:
    """The counts that a shown cell leaves open."""
    if shown == "<10":
        return range(1, 10)
    if shown == "not shown":
        return range(10, total + 1)
    if shown.startswith(">"):
        return range(int(shown[1:].replace(",", "")) + 1, total)
    return range(int(shown.replace(",", "")), int(shown.replace(",", "")) + 1)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=4))
def test_no_small_count_follows_from_the_total(counts):
    table = {str(k): n for k, n in enumerate(counts)}
    shown = shown_counts(table)
    total = sum(counts)
    ranges = [_possible(shown[k], total) for k in table]
    fits = [c for c in product(*ranges) if sum(c) == total]
    assert tuple(counts) in fits
    if all(n < 10 for n in counts):
        return  # nothing large to hide behind: the total itself is small
    for k, n in enumerate(counts):
        if 0 < n < 10:
            assert len({c[k] for c in fits}) > 1


@given(st.integers(0, 500), st.integers(0, 500))
def test_neither_a_count_nor_its_complement_is_told(count, more):
    total = count + more
    shown = shown_count(count, total)
    if 0 < count < 10:
        assert shown == "<10"
    elif 0 < more < 10:
        assert shown == f">{total - 10:,}"
    else:
        assert shown == f"{count:,}"


@given(st.integers(1, 5000), st.data())
def test_no_share_tells_a_small_count(total, data):
    count = data.draw(st.integers(0, total))
    share = safe_share(count / total, total)
    if 0 < count < 10 or 0 < total - count < 10:
        assert share is None
        bounds = r"[<>]\S+%" if total >= 20 else "not shown"
        assert re.fullmatch(bounds, shown_share(count / total, total))
    else:
        assert share == count / total


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"no": 0, "yes": 50}, {"no": "0", "yes": "50"}),
        ({"no": 991, "yes": 9}, {"no": "not shown", "yes": "<10"}),
        ({"a": 1, "b": 1, "c": 98}, {"a": "<10", "b": "<10", "c": "not shown"}),
        ({"a": 9, "b": 9, "c": 82}, {"a": "<10", "b": "<10", "c": "not shown"}),
        ({"a": 3, "b": 6, "c": 82}, {"a": "<10", "b": "<10", "c": "82"}),
    ],
)
def test_tables(counts, shown):
    assert shown_counts(counts) == shown
