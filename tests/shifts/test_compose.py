"""Noise together with absence, swapped modalities, hidden labels."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.shifts import (
    Composed,
    LossPattern,
    Mcar,
    MissingCells,
    Noise,
    Swap,
    drawable,
    hide_labels,
    make_shift,
    parse_shift,
    shift_from_json,
)
from amodal.shifts.labels import hidden_rows
from amodal.shifts.rates import check_rates, rates_text

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2, 3))
X[RNG.random((400, 2)) < 0.2] = np.nan
DATA = Dataset.from_arrays(
    {"a": X[:, 0], "b": X[:, 1]},
    RNG.integers(0, 2, 400),
    rows={"row_id": [f"r{k}" for k in range(400)], "group": [f"g{k // 4}" for k in range(400)]},
)


def numbers(data: Dataset, name: str) -> np.ndarray:
    """``Float[n, 3]`` the values of the rows, NaN where absent."""
    values = data.values[name]
    x = np.vstack([values.data["numeric"], np.full((1, 3), np.nan)])
    return x[values.index]


def test_each_part_does_what_it_does_alone() -> None:
    shift = parse_shift("mcar+noise:severity=2:modalities=a:rate=0.5", 0.3, seed=4)
    found, drawn = shift.realise(DATA)
    alone = Noise(0.5, 4, "a", severity=2.0)(DATA)
    lost = Mcar(0.3, 4).draw(DATA).lost
    np.testing.assert_array_equal(drawn.lost, lost)
    np.testing.assert_array_equal(found.absence, DATA.lose(lost).absence)
    for k, name in enumerate("ab"):
        expected = np.where(lost[:, [k]], np.nan, numbers(alone, name))
        np.testing.assert_array_equal(numbers(found, name), expected)
    np.testing.assert_array_equal(shift(DATA).absence, found.absence)
    np.testing.assert_array_equal(numbers(shift(DATA), "a"), numbers(found, "a"))


def test_what_was_made_worse_is_known_saved_and_counted(tmp_path) -> None:
    shift = parse_shift("noise:severity=2:rate=0.4+mcar", 0.3, seed=4)
    drawn = shift.draw(DATA)
    noisy = shift.noisy(DATA)
    changed = np.column_stack(
        [~np.isclose(numbers(noisy, n), numbers(DATA, n), equal_nan=True).all(1) for n in "ab"]
    )
    np.testing.assert_array_equal(drawn.worse, changed)
    assert drawn.rates.worse == pytest.approx(changed[DATA.present].mean())
    assert drawn.rates.worse == pytest.approx(0.4, abs=0.05)
    assert "values of" in drawn.describe()
    again = LossPattern.load(drawn.save(tmp_path / "p.parquet"))
    np.testing.assert_array_equal(again.worse, drawn.worse)
    np.testing.assert_array_equal(again.lost, drawn.lost)
    assert again.rates == drawn.rates
    assert shift_from_json(again.spec) == shift
    assert LossPattern.load(Mcar(0.3).draw(DATA).save(tmp_path / "q.parquet")).worse is None


def test_a_change_of_values_alone_draws_no_loss() -> None:
    drawn = drawable(make_shift("missing-cells", 0.5)).draw(DATA)
    assert not drawn.lost.any()
    np.testing.assert_array_equal(drawn.worse, DATA.present)
    with pytest.raises(DataError, match="'none' draws nothing"):
        drawable(make_shift("none"))


def test_a_rate_goes_where_it_belongs() -> None:
    both = parse_shift("noise:severity=3+mnar:odds_ratio=5", 0.2, 1, keep_one=True)
    assert (both.rate, both.absence.rate, both.noise[0].rate) == (0.2, 0.2, 1.0)
    assert both.absence.keep_one
    assert both.noise[0].severity == 3
    alone = parse_shift("noise:severity=3", 0.2)
    assert (type(alone), alone.rate) == (Noise, 0.2)
    two = parse_shift("noise+missing-cells:rate=0.1", 0.3)
    assert [part.rate for part in two.parts] == [0.3, 0.1]


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        ("mcar+mnar", SettingError, "names several; leave one"),
        ("mcar+niose", UnknownNameError, "did you mean 'noise'"),
        ("mcar+none", SettingError, "made of changes of values"),
        ("mcar:rates=a=2", SettingError, "the rate of modality 'a' must lie between 0 and 1"),
        ("mcar:rates=a", SettingError, "rates must map names"),
    ],
)
def test_bad_specs(spec: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        parse_shift(spec, 0.5)


def test_a_composed_shift_describes_its_parts() -> None:
    text = parse_shift("mcar+noise:severity=2", 0.5).describe()
    assert text == (
        "Gaussian noise of 2 standard deviations of each feature is added to every modality of kind "
        "table, series and embedding; then lost completely at random: each modality of each row, "
        "measured or not, with probability 0.5."
    )
    with pytest.raises(SettingError, match="changes of values"):
        Composed()


def test_rates_as_a_word() -> None:
    assert check_rates(rates_text({"b": 0.1, "a": 0.25})) == (("a", 0.25), ("b", 0.1))
    with pytest.raises(SettingError, match="at least one modality"):
        rates_text({})
    with pytest.raises(SettingError, match="names without"):
        rates_text({"a/b": 0.1})


# -- swaps ----------------------------------------------------------------------------------------


def test_swapped_values_come_from_rows_of_other_groups() -> None:
    shift = Swap(0.5, seed=1, modalities="a")
    found, donor = shift(DATA), shift.donors(DATA, "a")
    there = DATA.present[:, 0]
    changed = donor >= 0
    assert not changed[~there].any()
    assert changed[there].mean() == pytest.approx(0.5, abs=0.06)
    assert (DATA.group[changed] != DATA.group[donor[changed]]).all()
    assert there[donor[changed]].all()
    np.testing.assert_array_equal(numbers(found, "a")[changed], numbers(DATA, "a")[donor[changed]])
    np.testing.assert_array_equal(numbers(found, "a")[~changed], numbers(DATA, "a")[~changed])
    np.testing.assert_array_equal(found.absence, DATA.absence)
    np.testing.assert_array_equal(shift.touched(DATA)[:, 0], changed)
    assert not shift.touched(DATA)[:, 1].any()
    assert len(np.unique(donor[changed])) == changed.sum()  # nobody gives twice


def test_nobody_to_swap_with() -> None:
    one = DATA[:4]  # one group
    assert not Swap().touched(one).any()
    assert not Swap().touched(DATA[:1]).any()
    assert not Swap().touched(DATA[:0]).any()


# -- labels ---------------------------------------------------------------------------------------


def test_labels_are_hidden_by_whole_groups() -> None:
    hidden = hidden_rows(DATA, 0.4, seed=2)
    assert hidden.mean() == pytest.approx(0.4, abs=0.15)
    for group in np.unique(DATA.group):
        assert len(set(hidden[DATA.group == group])) == 1
    less = hide_labels(DATA, 0.4, seed=2)
    np.testing.assert_array_equal(less.labelled, ~hidden)
    np.testing.assert_array_equal(less.target[~hidden], DATA.target[~hidden])
    assert DATA.labelled.all()  # the input stays
    assert less.provenance["labels_hidden"]["rows"] == hidden.sum()
    assert (hidden_rows(DATA, 0.7, seed=2) >= hidden).all()
    some = np.arange(0, 400, 3)[::-1]
    np.testing.assert_array_equal(hidden_rows(DATA[some], 0.4, seed=2), hidden[some])


def test_some_labels_stay() -> None:
    assert hide_labels(DATA, 0.0) is DATA
    with pytest.raises(DataError, match="leaves none of 400"):
        hide_labels(DATA, 1.0)


def test_cells_touch_tables_alone() -> None:
    assert MissingCells(0.5, modalities="b").touched(DATA).any(axis=0).tolist() == [False, True]
