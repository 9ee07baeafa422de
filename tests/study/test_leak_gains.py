"""The gain of a leak: same rows, same folds, one factor."""

from __future__ import annotations

import numpy as np
import pytest

from amodal import Dataset
from amodal.errors import DataError, SettingError
from amodal.study.leaks import LEARNERS, Arm, cross_scores, gain, make_learner
from amodal.types import PRESENT, Modality
from amodal.values import Values

N = 200


def rows(seed: int = 0, *, tell: float = 0.0, groups: int = N) -> Dataset:
    """A number that tells the target with strength `tell`, and codes that tell the group."""
    rng = np.random.default_rng(seed)
    group = np.arange(N) % groups
    y = (np.random.default_rng(1).random(groups) < 0.4)[group].astype(float)
    x = rng.standard_normal((N, 2)) + tell * y[:, None]
    return made(x, y, [f"g{g}" for g in group]).replace(group=np.array([f"p{g}" for g in group]))


def made(x: np.ndarray, y: np.ndarray, codes: list[str]) -> Dataset:
    """One code a row."""
    vocabulary = tuple(sorted(set(codes)))
    n = len(codes)
    data = {
        "code": np.array([vocabulary.index(c) for c in codes], dtype=np.int64),
        "type": np.zeros(n, dtype=np.int64),
        "time": np.zeros(n),
    }
    plain = Dataset.from_arrays({"x": x}, y)
    modality = Modality("codes", "codes", vocabulary=vocabulary, types=("t",))
    values = Values(data, np.arange(n + 1), np.arange(n))
    return plain.replace(
        modalities=(*plain.modalities, modality),
        values={**plain.values, "codes": values},
        absence=np.zeros((n, 2), dtype=np.int8) + PRESENT,
    )


def first_column(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
    return 1 / (1 + np.exp(-test.values["x"].data["numeric"][:, 0]))


def found(honest: Arm, leaky: Arm, learner=first_column, **asked):
    scores = tuple(cross_scores(a, learner, like=honest.data, k=4) for a in (honest, leaky))
    return gain(honest, leaky, scores, **asked)


def test_a_leak_that_tells_gains_and_the_same_arm_gains_nothing():
    honest = Arm(rows())
    same = found(honest, honest)
    assert same.difference["auroc"].value == same.difference["auroc"].high == 0
    leaky = found(honest, Arm(rows(tell=3.0)))
    assert leaky.leaky["auroc"].value > 0.95
    d = leaky.difference["auroc"]
    assert d.value == pytest.approx(leaky.leaky["auroc"].value - leaky.honest["auroc"].value)
    assert d.low > 0.2
    assert (leaky.rows, leaky.groups) == (N, N)
    assert leaky.positive == int(honest.data.target.sum())


def test_rows_count_that_both_label():
    data = rows(tell=1.0)
    target = data.target.copy()
    target[:50] = np.nan
    other = Arm(data.replace(target=target))
    result = found(Arm(data), other, replicates=50)
    assert result.rows == 150
    assert result.difference["auroc"].value == 0
    assert result.as_reported[0] != result.as_reported[1]


def memory(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
    """Knows the target of every group that it has seen."""
    known = dict(zip(train.group, train.target, strict=True))
    return np.array([known.get(g, 0.5) for g in test.group])


def test_a_split_by_row_lets_a_group_tell_of_itself():
    data = rows(groups=20)
    result = found(Arm(data), Arm(data, by_group=False), memory, replicates=200)
    assert result.leaky["auroc"].value == 1.0
    assert result.honest["auroc"].value == 0.5
    assert result.difference["auroc"].value == 0.5
    assert result.groups == 20


def test_what_a_learner_is_given():
    seen = []

    def learner(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
        assert not set(train.row_id) & set(test.row_id)
        assert not set(train.group) & set(test.group)
        assert train.labelled.all()
        seen.append((len(train), len(test), len(statistics)))
        return np.full(len(test), 0.5)

    data = rows(groups=50)
    target = data.target.copy()
    target[0] = np.nan
    data = data.replace(target=target)
    for statistics in ("train", "all"):
        cross_scores(Arm(data, statistics=statistics), learner, like=data, k=4)
    assert sum(x[1] for x in seen[:4]) == N
    assert all(train + test in (N - 1, N) and s == N - test for train, test, s in seen[:4])
    assert {s for _, _, s in seen[4:]} == {N}


def test_neighbours_know_a_group_again():
    data = rows(groups=20)
    result = found(Arm(data), Arm(data, by_group=False), LEARNERS["neighbours"], replicates=200)
    assert result.leaky["auroc"].value > 0.99
    assert result.honest["auroc"].value == 0.5


@pytest.mark.parametrize("name", ["boosting", "logistic"])
def test_learners_learn_and_are_seeded(name):
    arm = Arm(rows(tell=1.5))
    one, two = (cross_scores(arm, make_learner(name), like=arm.data, k=4) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert gain(arm, arm, (one, two), replicates=0).honest["auroc"].value > 0.85


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_column_that_training_rows_lack_stops_nobody(name):
    data = rows(tell=1.5)
    x = data.values["x"].data["numeric"].copy()
    x[:150, 1] = np.nan
    vocabulary = data.modality("codes").vocabulary
    codes = [vocabulary[k] for k in data.values["codes"].data["code"]]
    gone = made(x, data.target, codes)
    found = LEARNERS[name](gone[:150], gone[150:], gone[:150], 0)
    assert ((found >= 0) & (found <= 1)).all()


def test_logistic_reads_only_the_rows_of_the_statistics_for_scales():
    """A code seen in no training row has no column: what stands in it plays no part."""
    data = rows(tell=1.0)
    train, test = data[:150], data[150:]
    learn = LEARNERS["logistic"]
    base = learn(train, test, train, 0)
    other = made(test.values["x"].data["numeric"], test.target, ["new"] * 50)
    np.testing.assert_allclose(learn(train, other, train, 0), base)
    assert np.abs(learn(train, test, data, 0) - base).max() > 1e-6


@pytest.mark.slow
def test_a_method_of_the_package_learns_too():
    data = rows(tell=1.5)
    learn = make_learner("logistic:search=false:augment=false")
    one = learn(data[:150], data[150:], data[:150], 0)
    assert one.shape == (50,)
    assert ((one > 0) & (one < 1)).all()


def test_other_rows_targets_and_words_are_refused():
    data = rows()
    arm, scores = Arm(data), (np.full(N, 0.5),) * 2
    with pytest.raises(DataError, match="same rows"):
        gain(arm, Arm(data[::-1]), scores)
    with pytest.raises(DataError, match="same targets"):
        gain(arm, Arm(data.replace(target=1 - data.target)), scores)
    with pytest.raises(SettingError, match="train or all rows"):
        Arm(data, statistics="test")
