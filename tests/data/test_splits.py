"""Splits: disjoint, complete, groups whole, classes in equal shares, degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amodal.data.dataset import Dataset
from amodal.data.splits import assign_splits, folds, split_development
from amodal.errors import DataError, SettingError
from amodal.types import Modality, Task
from amodal.values import Values

PARTS = ("train", "valid", "calibration", "test")


def make(n, target=None, *, task="binary", **columns):
    values = Values({"numeric": np.zeros((n, 1))}, None, np.arange(n))
    classes = ("a", "b", "c", "d") if task in ("multiclass", "multilabel") else ()
    return Dataset(
        modalities=(Modality("a", "table", ("x",)),),
        values={"a": values},
        absence=np.zeros((n, 1), dtype=np.int8),
        row_id=np.array([f"r{i:06d}" for i in range(n)], dtype=str),
        task=None if target is None else Task(task, classes),
        target=target,
        **columns,
    )


def binary(n, rate=0.2, seed=0):
    return (np.random.default_rng(seed).random(n) < rate).astype(float)


def sizes(parts):
    return {k: len(rows) for k, rows in parts.items()}


def test_shares_are_exact_without_groups_in_rows_and_in_classes():
    y = np.repeat([0.0, 1.0], [900, 100])
    parts = assign_splits(make(1000, y), seed=4)
    assert sizes(parts) == {"train": 600, "valid": 100, "calibration": 100, "test": 200}
    assert {k: y[r].sum() for k, r in parts.items()} == {
        "train": 60,
        "valid": 10,
        "calibration": 10,
        "test": 20,
    }


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(30, 200),
    groups=st.integers(12, 60),
    seed=st.integers(0, 5),
    unlabelled=st.sampled_from([0.0, 0.3]),
)
def test_parts_are_disjoint_cover_all_and_keep_groups_whole(n, groups, seed, unlabelled):
    rng = np.random.default_rng(seed + n)
    y = binary(n, 0.4, seed)
    y[rng.random(n) < unlabelled] = np.nan
    y[:12] = np.arange(12) % 2
    group = np.array([f"g{g}" for g in [*range(12), *rng.integers(0, groups, n - 12)]])
    data = make(n, y, group=group)
    parts = assign_splits(data, seed=seed)
    rows = np.concatenate(list(parts.values()))
    assert len(rows) == len(set(rows.tolist()))
    left_out = np.setdiff1d(np.arange(n), rows)
    assert np.isnan(y[left_out]).all()  # only unlabelled rows of a group that is elsewhere
    side = {g: k for k, r in parts.items() for g in group[r]}
    assert all(side[g] == k for k, r in parts.items() for g in group[r])
    assert all(side[group[i]] != "train" for i in left_out)
    for k in PARTS[1:]:
        assert len(parts[k]) > 0
        assert not np.isnan(y[parts[k]]).any()


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_near_the_asked_ones_with_groups_of_many_sizes(seed):
    rng = np.random.default_rng(seed)
    group = np.sort(rng.geometric(0.02, 3000)).astype(str)  # the largest holds about 2%
    y = binary(3000, 0.15, seed)
    parts = assign_splits(make(3000, y, group=group), seed=seed, test=0.25, valid=0.1)
    asked = {"train": 0.55, "valid": 0.1, "calibration": 0.1, "test": 0.25}
    for k, share in asked.items():
        assert len(parts[k]) / 3000 == pytest.approx(share, abs=0.03)
        assert y[parts[k]].mean() == pytest.approx(y.mean(), abs=0.03)


def test_seed_decides_and_row_order_does_not():
    y = binary(200)
    data = make(200, y)
    first, again, other = (assign_splits(data, seed=s) for s in (1, 1, 2))
    assert all((first[k] == again[k]).all() for k in PARTS)
    assert set(first["test"]) != set(other["test"])
    order = np.random.default_rng(0).permutation(200)
    shuffled = data[order]
    parts = assign_splits(shuffled, seed=1)
    for k in PARTS:
        assert set(shuffled.row_id[parts[k]]) == set(data.row_id[first[k]])


def test_few_unequal_groups_go_to_other_parts_under_other_seeds():
    group = np.repeat(["a", "b", "c", "d", "e", "f", "g", "h"], [30, 25, 20, 18, 14, 11, 8, 6])
    data = make(len(group), binary(len(group), 0.5), group=group)
    tested = {tuple(sorted(set(group[assign_splits(data, seed=s)["test"]]))) for s in range(12)}
    assert len(tested) >= 3


def test_strata_of_every_task():
    rng = np.random.default_rng(0)
    c = rng.choice(4, 2000, p=[0.7, 0.2, 0.08, 0.02]).astype(float)
    parts = assign_splits(make(2000, c, task="multiclass"))
    for k in range(4):
        assert (c[parts["test"]] == k).sum() == pytest.approx(0.2 * (c == k).sum(), abs=1.5)
    real = rng.standard_exponential(2000)
    parts = assign_splits(make(2000, real, task="regression"))
    for q in (0.1, 0.5, 0.9):
        edge = np.quantile(real, q)
        assert (real[parts["valid"]] < edge).mean() == pytest.approx(q, abs=0.011)
    many = (rng.random((2000, 4)) < [0.5, 0.2, 0.1, 0.05]).astype(float)
    parts = assign_splits(make(2000, many, task="multilabel"))
    assert many[parts["test"]].mean(0) == pytest.approx(many.mean(0), abs=0.012)


def test_a_constant_real_target_and_tiny_classes_still_split():
    assert sizes(assign_splits(make(50, np.full(50, 3.0), task="regression")))["test"] == 10
    y = np.zeros(100)
    y[0] = 1.0
    parts = assign_splits(make(100, y))
    assert sizes(parts)["test"] == pytest.approx(20, abs=1)
    assert sum(len(r) for r in parts.values()) == 100
    singles = np.concatenate([np.zeros(3), np.ones(2), np.full(3, 2.0), [3.0, 3.0]])
    parts = assign_splits(make(10, singles, task="multiclass"), seed=3)
    assert sizes(parts)["train"] == pytest.approx(6, abs=1)


def test_unlabelled_rows_are_only_in_train():
    y = binary(300)
    y[::3] = np.nan
    parts = assign_splits(make(300, y), seed=2)
    assert sizes(parts) == {"train": 220, "valid": 20, "calibration": 20, "test": 40}
    assert np.isnan(y[parts["train"]]).sum() == 100


def test_data_without_any_label_are_drawn_alike():
    assert sizes(assign_splits(make(100)))["test"] == 20
    assert sizes(assign_splits(make(100, np.full(100, np.nan))))["test"] == 20


def test_published_train_and_test_are_kept_and_the_rest_comes_out_of_train():
    split = np.repeat(["train", "test"], [160, 40])
    parts = assign_splits(make(200, binary(200), split=split))
    assert parts["test"].tolist() == list(range(160, 200))
    assert sizes(parts) == {"train": 120, "valid": 20, "calibration": 20, "test": 40}
    assert split_development(make(200, binary(200), split=split))["train"].max() >= 160


def test_published_free_rows_are_drawn():
    split = np.repeat(["train", ""], [100, 100])
    parts = assign_splits(make(200, binary(200), split=split))
    assert parts["test"].min() >= 100  # what is published as train is never tested on
    assert len(parts["test"]) == 20
    split = np.repeat(["test", "valid", "calibration", ""], [20, 20, 20, 40])
    parts = assign_splits(make(100, binary(100), split=split))
    assert parts["train"].tolist() == list(range(60, 100))
    assert parts["valid"].tolist() == list(range(20, 40))


def test_free_rows_follow_their_published_group():
    split = np.array(["test", "", "train", "", *[""] * 16])
    group = np.array(["p", "p", "q", "q", *[f"g{i}" for i in range(16)]])
    parts = assign_splits(make(20, binary(20, 0.5), split=split, group=group))
    assert parts["test"].tolist() == [0, 1]
    assert ({2, 3} & set(parts["train"])) in ({2, 3}, set())


def test_a_published_split_that_divides_a_group_is_refused():
    data = make(
        4, binary(4), split=np.array(["train", "test"] * 2), group=np.array(["a", "a", "b", "c"])
    )
    with pytest.raises(DataError, match="divides 1 groups"):
        assign_splits(data)


def test_shares_of_zero_give_empty_parts():
    parts = assign_splits(make(20, binary(20, 0.5)), test=0, calibration=0)
    assert sizes(parts) == {"train": 18, "valid": 2, "calibration": 0, "test": 0}
    assert sizes(split_development(make(1, binary(1)), valid=0, calibration=0)) == {
        "train": 1,
        "valid": 0,
        "calibration": 0,
    }


def test_too_small_data_are_refused_and_the_smallest_possible_are_not():
    assert set(sizes(assign_splits(make(4, binary(4, 0.5)))).values()) == {1}
    for n in (0, 1, 3):
        with pytest.raises(DataError, match="needs at least"):
            assign_splits(make(n, binary(n)))
    one_group = make(50, binary(50), group=np.full(50, "g"))
    with pytest.raises(DataError, match="groups of rows; got 1"):
        split_development(one_group)


def test_wrong_shares_are_refused():
    data = make(20, binary(20))
    with pytest.raises(SettingError, match="leave rows to train on"):
        assign_splits(data, test=0.8, valid=0.1, calibration=0.1)
    with pytest.raises(SettingError, match="between 0 and 1"):
        assign_splits(data, test=-0.1)


def test_development_is_three_quarters_and_two_eighths():
    y = binary(800)
    parts = split_development(make(800, y), seed=1)
    assert sizes(parts) == {"train": 600, "valid": 100, "calibration": 100}
    split = np.repeat(["valid", ""], [100, 700])
    parts = split_development(make(800, y, split=split), seed=1)
    assert parts["valid"].tolist() == list(range(100))
    assert sizes(parts) == {"train": 600, "valid": 100, "calibration": 100}


@settings(max_examples=30, deadline=None)
@given(n=st.integers(20, 120), k=st.integers(2, 6), seed=st.integers(0, 9))
def test_folds_test_every_row_once_and_keep_groups_whole(n, k, seed):
    rng = np.random.default_rng(seed)
    group = np.array([f"g{g}" for g in rng.integers(0, 40, n)])
    group[:k] = [f"own{i}" for i in range(k)]
    y = binary(n, 0.3, seed)
    pairs = folds(make(n, y, group=group), k, seed=seed)
    assert np.sort(np.concatenate([t for _, t in pairs])).tolist() == list(range(n))
    for train, test in pairs:
        assert np.sort(np.concatenate([train, test])).tolist() == list(range(n))
        assert not set(group[train]) & set(group[test])


def test_folds_spread_classes_and_unlabelled_rows_evenly():
    y = np.concatenate([np.zeros(60), np.ones(15), np.full(25, np.nan)])
    for _, test in folds(make(100, y), 5, seed=3):
        assert len(test) == 20
        assert np.nansum(y[test]) == 3
        assert np.isnan(y[test]).sum() == 5


def test_folds_need_groups_and_a_number():
    with pytest.raises(DataError, match="needs at least 5"):
        folds(make(4, binary(4)), 5)
    for k in (1, 2.5, True):
        with pytest.raises(SettingError, match="at least 2 folds"):
            folds(make(10, binary(10)), k)
