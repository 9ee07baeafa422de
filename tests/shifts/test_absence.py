"""Loss completely at random: the rate, what it covers, and who keeps what."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import SettingError, UnknownNameError
from amodal.shifts import AbsenceShift, Mcar, MnarTarget, make_shift
from amodal.shifts.keyed import uniform
from amodal.types import LOST, NOT_MEASURED

N = 6000


def patients(n: int = N, m: int = 3, unmeasured: float = 0.3, seed: int = 0) -> Dataset:
    """Tables of one feature, some of them not measured."""
    rng = np.random.default_rng(seed)
    gone = rng.random((n, m)) < unmeasured
    x = np.where(gone, np.nan, rng.normal(size=(n, m)))
    y = (rng.random(n) < 0.3).astype(float)
    arrays = {f"m{k}": x[:, [k]] for k in range(m)}
    return Dataset.from_arrays(arrays, y, rows={"row_id": [f"p{i}" for i in range(n)]})


DATA = patients()


def within(share: float, rate: float, count: int) -> bool:
    """Within three standard errors of a binomial share."""
    return abs(share - rate) < 3 * np.sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_over_all_present_and_unmeasured_pairs(rate: float) -> None:
    drawn = Mcar(rate, seed=1).draw(DATA)
    lost, present = drawn.lost, DATA.present
    assert within(lost.mean(), rate, lost.size)
    assert within(lost[present].mean(), rate, present.sum())
    assert within(lost[~present].mean(), rate, (~present).sum())
    assert drawn.rates.achieved == lost.mean()
    assert drawn.rates.achieved_present == lost[present].mean()
    assert drawn.rates.natural_absence == (~present).mean()
    assert drawn.rates.empty_rows == (~(present & ~lost)).all(axis=1).mean()
    assert drawn.rates.expected == drawn.rates.requested == rate
    for k, name in enumerate(DATA.names):
        assert drawn.rates.per_modality[name]["achieved"] == lost[:, k].mean()


def test_loss_is_the_keyed_number_below_the_rate() -> None:
    lost = Mcar(0.4, seed=9).draw(DATA).lost
    assert np.array_equal(lost, uniform(9, DATA.row_id, DATA.names, "absence") < 0.4)


def test_modalities_are_lost_independently() -> None:
    lost = Mcar(0.5).draw(DATA).lost.astype(float)
    corr = np.corrcoef(lost.T)[np.triu_indices(3, 1)]
    assert np.abs(corr).max() < 4 / np.sqrt(N)


def test_lost_overwrites_not_measured_and_values_are_gone() -> None:
    changed = Mcar(0.5, seed=3)(DATA)
    lost = Mcar(0.5, seed=3).draw(DATA).lost
    assert np.array_equal(changed.absence == LOST, lost)
    assert np.array_equal(changed.absence == NOT_MEASURED, (DATA.absence == NOT_MEASURED) & ~lost)
    for k, name in enumerate(DATA.names):
        assert len(changed.values[name]) == changed.present[:, k].sum()


def test_input_is_left_alone() -> None:
    before = DATA.fingerprint()
    Mcar(0.7)(DATA)
    assert DATA.fingerprint() == before
    assert "shifts" not in DATA.provenance


def test_order_subset_and_other_modalities_change_nothing() -> None:
    lost = Mcar(0.5, seed=4).draw(DATA).lost
    rows = np.random.default_rng(0).permutation(N)[:100]
    part = Mcar(0.5, seed=4).draw(DATA[rows].select(["m2", "m0"]))
    assert np.array_equal(part.lost, lost[rows][:, [2, 0]])


def test_rates_are_nested_and_seeds_differ() -> None:
    low, high = (Mcar(rate).draw(DATA).lost for rate in (0.3, 0.5))
    assert not (low & ~high).any()
    other = Mcar(0.5, seed=1).draw(DATA).lost
    assert within((high == other).mean(), 0.5, other.size)


def test_rate_zero_is_the_identity() -> None:
    assert Mcar(0)(DATA) is DATA
    assert MnarTarget(0)(DATA.replace(target=None)).target is None
    assert not Mcar(0).draw(DATA).lost.any()


def test_rate_one_leaves_nothing() -> None:
    changed = Mcar(1)(DATA)
    assert (changed.absence == LOST).all()
    assert all(len(v) == 0 for v in changed.values.values())
    assert Mcar(1).draw(DATA).rates.empty_rows == 1


def test_rates_of_single_modalities() -> None:
    shift = Mcar(0.2, rates={"m1": 0.8, "m2": 0.0})
    drawn = shift.draw(DATA)
    shares = drawn.lost.mean(axis=0)
    assert within(shares[0], 0.2, N)
    assert within(shares[1], 0.8, N)
    assert shares[2] == 0
    assert drawn.rates.requested == pytest.approx((0.2 + 0.8 + 0.0) / 3)
    assert drawn.rates.per_modality["m1"]["expected"] == 0.8
    assert not Mcar(0.0, rates={"m1": 0.5}).is_identity
    with pytest.raises(UnknownNameError, match="unknown modality 'm9'"):
        Mcar(0.2, rates={"m9": 0.8}).draw(DATA)
    with pytest.raises(UnknownNameError, match="unknown modality with a rate of its own 'm1'"):
        Mcar(0.2, modalities="m0", rates={"m1": 0.8})


def test_some_modalities_only() -> None:
    drawn = Mcar(0.5, modalities=["m2", "m0"]).draw(DATA)
    whole = Mcar(0.5).draw(DATA).lost
    assert np.array_equal(drawn.lost, whole & np.array([True, False, True]))
    assert drawn.rates.achieved == drawn.lost[:, [0, 2]].mean()
    with pytest.raises(UnknownNameError, match="did you mean 'm1'"):
        Mcar(0.5, modalities="m_1").draw(DATA)
    with pytest.raises(UnknownNameError, match="did you mean 'm1'"):
        Mcar(0.0, modalities="m_1")(DATA)


def test_keep_one_keeps_exactly_one_present_modality_at_random() -> None:
    plain = Mcar(0.8, seed=2).draw(DATA)
    kept = Mcar(0.8, seed=2, keep_one=True).draw(DATA)
    had = DATA.present.any(axis=1)
    emptied = had & ~(DATA.present & ~plain.lost).any(axis=1)
    back = plain.lost & ~kept.lost
    assert np.array_equal(back.sum(axis=1), emptied.astype(int))
    assert not (back & ~DATA.present).any()
    assert not (kept.lost & ~plain.lost).any()
    assert kept.rates.empty_rows == pytest.approx((~had).mean())
    assert kept.rates.kept_rows == emptied.mean()
    assert kept.rates.achieved < plain.rates.achieved
    assert "one modality was kept" in kept.describe()
    full = emptied & DATA.present.all(axis=1)  # each of the three is as likely to be the one
    counts = back[full].sum(axis=0)
    assert np.abs(counts - full.sum() / 3).max() < 4 * np.sqrt(full.sum() * 2 / 9)


def test_keep_one_knows_what_the_other_modalities_hold() -> None:
    drawn = Mcar(1.0, modalities=("m0", "m1"), keep_one=True).draw(DATA)
    only = DATA.present[:, :2].any(axis=1) & ~DATA.present[:, 2]
    assert np.array_equal((~drawn.lost[:, :2]).sum(axis=1), only.astype(int))


@pytest.mark.parametrize("name", ["mcar", "mnar", "mnar-severity", "mnar-target"])
def test_no_rows_and_one_modality(name: str) -> None:
    shift = make_shift(name, 0.5)
    assert isinstance(shift, AbsenceShift)
    assert len(shift(DATA[:0])) == 0
    single = shift.draw(patients(400, 1))
    assert single.lost.shape == (400, 1)
    assert within(single.rates.achieved, 0.5, 400)


def test_a_column_absent_throughout() -> None:
    data = Dataset.from_arrays({"a": np.ones((50, 1)), "b": np.full((50, 2), np.nan)})
    drawn = Mcar(0.5).draw(data)
    assert np.isnan(drawn.rates.per_modality["b"]["achieved_present"])
    assert drawn.rates.per_modality["b"]["natural_absence"] == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate": 1.2}, "the rate of shift 'mcar' must lie between 0 and 1; got 1.2"),
        ({"rate": "much"}, "got 'much'"),
        ({"rate": 0.5, "seed": 1.5}, "a seed must be an integer; got 1.5"),
        ({"rate": 0.5, "keep_one": "yes"}, "keep_one must be true or false; got 'yes'"),
        ({"rate": 0.5, "rates": {"m0": -1}}, "the rate of modality 'm0' must lie between"),
    ],
)
def test_bad_settings(settings: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        Mcar(**settings)
