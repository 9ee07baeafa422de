"""Loss by the patterns that occur: their shares, the rate, and how they are tilted to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.shifts import Natural, natural_rate
from amodal.shifts.natural import Patterns, tilted

PATTERNS = np.array([[0, 0, 0], [0, 1, 1], [1, 1, 0]], dtype=bool)
SHARES = np.array([0.5, 0.3, 0.2])


def data(n: int, patterns: np.ndarray | None = None, seed: int = 0) -> Dataset:
    """Rows of three modalities; absent together as `patterns` says."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    if patterns is not None:
        x[patterns[rng.choice(len(patterns), size=n, p=SHARES)]] = np.nan
    return Dataset.from_arrays({k: x[:, [j]] for j, k in enumerate("abc")})


KNOWN = data(4000, PATTERNS)
WHOLE = data(6000, seed=1)


def test_at_the_natural_rate_patterns_come_as_often_as_they_do() -> None:
    rate = natural_rate(KNOWN)
    drawn = Natural(rate, seed=3).draw(WHOLE, KNOWN)
    expected = Patterns.of(KNOWN, np.arange(3))
    found, counts = np.unique(drawn.lost, axis=0, return_counts=True)
    assert {tuple(p) for p in found} == {tuple(p) for p in expected.absent}
    share = {tuple(p): s for p, s in zip(expected.absent, expected.share, strict=True)}
    for pattern, count in zip(found, counts, strict=True):
        assert count / 6000 == pytest.approx(share[tuple(pattern)], abs=0.02)
    assert drawn.rates.achieved == pytest.approx(rate, abs=0.01)
    assert drawn.spec["learned"]["natural_rate"] == pytest.approx(rate)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.6])
def test_the_rate_is_the_one_asked_for_and_patterns_stay(rate: float) -> None:
    drawn = Natural(rate, seed=1).draw(WHOLE, KNOWN)
    assert drawn.rates.expected == pytest.approx(rate, abs=1e-9)
    assert drawn.lost.mean() == pytest.approx(rate, abs=0.015)
    assert {tuple(p) for p in drawn.lost} <= {tuple(p) for p in PATTERNS}


def test_greater_rates_lose_no_less_in_any_row() -> None:
    sizes = [Natural(r, seed=1).draw(WHOLE, KNOWN).lost.sum(axis=1) for r in (0.1, 0.3, 0.6)]
    assert (sizes[0] <= sizes[1]).all()
    assert (sizes[1] <= sizes[2]).all()


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0.02, 0.98))
def test_tilting_keeps_ratios_in_equal_steps(weights: list[float], rate: float) -> None:
    """log(w / share) is linear in the size: the form of the least divergence."""
    share = np.array(weights) / sum(weights)
    size = np.linspace(0, 1, len(share))
    w = tilted(share, size, rate)
    assert w.sum() == pytest.approx(1)
    assert w @ size == pytest.approx(rate, abs=1e-9)
    if (w > 1e-12).all():
        steps = np.diff(np.log(w / share))
        np.testing.assert_allclose(steps, steps[0], atol=1e-4)


def test_the_ends_of_the_range() -> None:
    size = np.array([1 / 3, 2 / 3])
    assert tilted(np.array([0.5, 0.5]), size, 1 / 3).tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match=r"between 0\.333 and 0\.667 of the modalities; got a rate"):
        tilted(np.array([0.5, 0.5]), size, 0.1)


def test_order_and_subset_change_nothing_and_keep_one_holds() -> None:
    shift = Natural(0.5, seed=2)
    whole, some = shift.draw(WHOLE, KNOWN).lost, np.arange(0, 6000, 11)[::-1]
    np.testing.assert_array_equal(shift.draw(WHOLE[some], KNOWN).lost, whole[some])
    everything = Dataset.from_arrays({"a": [[1.0], [np.nan]], "b": [[1.0], [np.nan]]})
    kept = Natural(0.9, keep_one=True).draw(WHOLE.select(["a", "b"]), everything)
    assert (~kept.lost).any(axis=1).all()


def test_patterns_of_another_data_set(tmp_path) -> None:
    KNOWN.save(tmp_path / "known")
    shift = Natural(0.3, seed=4, source=str(tmp_path / "known"))
    np.testing.assert_array_equal(
        shift.draw(WHOLE).lost, Natural(0.3, seed=4).draw(WHOLE, KNOWN).lost
    )
    assert str(tmp_path) not in str(shift.to_json())
    with pytest.raises(UnknownNameError, match="unknown modality 'a'"):
        Natural(0.3, source="builtin:digits").draw(WHOLE)


def test_refused() -> None:
    with pytest.raises(SettingError, match="use 'mcar' for these"):
        Natural(0.3, rates={"a": 0.1})
    with pytest.raises(DataError, match="the reference has none"):
        Natural(0.3).draw(WHOLE, KNOWN[:0])
