"""The cross-fitted severity score: folds, models by hand, and no label of a row in its score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError
from amodal.shifts import Mcar, MnarSeverity
from amodal.shifts.severity import SeverityScore, assign_folds, row_features
from amodal.types import Task

NAMES = ("labs", "vitals")


def patients(n: int, seed: int = 0, signal: float = 1.5, width: int = 3) -> Dataset:
    """Two tables, one often unmeasured; the target depends on the first feature of `labs`."""
    rng = np.random.default_rng(seed)
    labs, vitals = rng.normal(size=(2, n, width))
    y = (rng.random(n) < 1 / (1 + np.exp(-(signal * labs[:, 0] - 1)))).astype(float)
    vitals[rng.random(n) < 0.3] = np.nan
    return Dataset.from_arrays(
        {"labs": labs, "vitals": vitals}, y, rows={"row_id": [f"s{seed}p{i}" for i in range(n)]}
    )


DATA = patients(8000)


def scores(data: Dataset, reference: Dataset, **settings: object) -> np.ndarray:
    return SeverityScore(reference, **settings)(data, NAMES)[:, 0]


def by_hand(reference: Dataset, folds: int, seed: int = 0) -> tuple[list, np.ndarray, np.ndarray]:
    """Models, features and folds, with scikit-learn's parts put together anew."""
    x, _ = row_features(reference)
    dealt = assign_folds(reference.row_id, reference.target, folds, seed=seed)
    fold = np.array([dealt[r] for r in reference.row_id])
    models = []
    for k in range(folds):
        mean, std = np.nanmean(x[fold != k], axis=0), np.nanstd(x[fold != k], axis=0)
        std[std == 0] = np.inf

        def prepare(x: np.ndarray, mean: np.ndarray = mean, std: np.ndarray = std) -> np.ndarray:
            return np.nan_to_num(np.clip((x - mean) / std, -8, 8))

        fitted = LogisticRegression(C=0.1, max_iter=2000)
        fitted.fit(prepare(x[fold != k]), reference.target[fold != k])
        models.append(lambda x, f=fitted, p=prepare: f.decision_function(p(x)))
    return models, x, fold


def test_score_is_that_of_the_model_without_the_rows_fold() -> None:
    reference, other = patients(600), patients(100, seed=1)
    models, x, fold = by_hand(reference, 4)
    raw = np.array([models[k](x[[i]])[0] for i, k in enumerate(fold)])
    found = scores(reference, reference, folds=4)
    assert found == pytest.approx((raw - raw.mean()) / raw.std(), abs=1e-4)
    fresh = np.mean([m(row_features(other)[0]) for m in models], axis=0)
    found = scores(other, reference, folds=4)
    assert found == pytest.approx((fresh - raw.mean()) / raw.std(), abs=1e-4)


def test_own_label_does_not_enter() -> None:
    """With labels that mean nothing and many features, a model sees its own labels, not others'."""
    noise = patients(300, seed=2, signal=0.0, width=60)
    x, _ = row_features(noise)
    x = np.nan_to_num(x)
    own = LogisticRegression(C=0.1, max_iter=2000).fit(x, noise.target).decision_function(x)
    assert roc_auc_score(noise.target, own) > 0.9
    assert roc_auc_score(noise.target, scores(noise, noise)) < 0.6


def test_score_tells_the_outcome_where_there_is_something_to_tell() -> None:
    score = scores(DATA, DATA)
    assert roc_auc_score(DATA.target, score) > 0.78
    assert score.mean() == pytest.approx(0, abs=1e-9)
    assert score.std() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("rate", "odds_ratio"), [(0.3, 3.0), (0.6, 0.4)])
def test_odds_ratio_and_rate(rate: float, odds_ratio: float) -> None:
    shift = MnarSeverity(rate, odds_ratio=odds_ratio)
    drawn, score = shift.draw(DATA), scores(DATA, DATA)
    model = LogisticRegression(C=np.inf)
    model.fit(np.repeat(score, 2)[:, None], drawn.lost.ravel())
    assert np.exp(model.coef_[0, 0]) == pytest.approx(odds_ratio, rel=0.1)
    assert abs(drawn.rates.achieved - rate) < 3 * np.sqrt(rate * (1 - rate) / drawn.lost.size)
    assert drawn.rates.expected == pytest.approx(rate, abs=1e-9)
    assert drawn.rates.neutral == 0
    assert drawn.spec["learned"]["folds"] == 5
    assert drawn.spec["learned"]["positive"] == "1"


def test_rows_without_a_label_are_scored_by_the_mean_of_the_models() -> None:
    reference = patients(500)
    hidden = np.arange(500) >= 400
    partly = reference.replace(target=np.where(hidden, np.nan, reference.target))
    models, _, _ = by_hand(reference[:400], 5)
    raw = np.mean([m(row_features(reference)[0][hidden]) for m in models], axis=0)
    found = scores(partly, partly)[hidden]
    assert np.corrcoef(found, raw)[0, 1] == pytest.approx(1, abs=1e-6)
    drawn = MnarSeverity(0.5).draw(partly)
    assert np.array_equal(
        MnarSeverity(0.5).draw(partly.replace(target=None), reference=partly).lost, drawn.lost
    )


def test_trained_on_training_rows_and_applied_to_test_rows() -> None:
    train, test = DATA[:3000], DATA[3000:4000]
    alone = MnarSeverity(0.5).draw(test, reference=train)
    assert np.array_equal(
        MnarSeverity(0.5).draw(DATA[:4000], reference=train).lost[3000:], alone.lost
    )
    flipped = test.replace(target=1 - test.target)
    assert np.array_equal(MnarSeverity(0.5).draw(flipped, reference=train).lost, alone.lost)


def test_order_changes_nothing() -> None:
    rows = np.random.default_rng(0).permutation(900)
    data = DATA[:900]
    lost = MnarSeverity(0.5).draw(data).lost
    assert np.array_equal(MnarSeverity(0.5).draw(data[rows]).lost, lost[rows])


def test_loss_of_earlier_shifts_is_no_feature() -> None:
    _, names = row_features(Mcar(0.5)(DATA[:50]))
    assert "labs:lost" not in names
    assert {"labs:not_measured", "vitals:not_measured"} <= set(names)
    assert len(names) == 3 + 3 + 2
    called = Dataset.from_arrays({"a": np.arange(4.0)[:, None]})
    called = called.replace(modalities=(type(called.modalities[0])("a", "table", ("lost",)),))
    assert row_features(called)[1] == ("a:lost", "a:not_measured")


def test_groups_stay_together_and_carry_over() -> None:
    n = 400
    group = np.array([f"g{i // 4}" for i in range(n)])
    data = patients(n).replace(group=group)
    dealt = assign_folds(group, data.target, 5)
    assert set(dealt) == set(group)
    assert np.bincount(list(dealt.values())).tolist() == [20] * 5
    score = SeverityScore(data, folds=5)
    fold = score._folds(data)
    assert np.array_equal(fold, [dealt[g] for g in group])
    newcomer = patients(4, seed=3).replace(group=np.array(["g0", "g0", "new", "new"]))
    assert score._folds(newcomer).tolist() == [dealt["g0"]] * 2 + [-1] * 2
    assert np.array_equal(score._folds(data.replace(group=None)), fold)


def test_folds_share_out_the_positive_rows() -> None:
    y = np.r_[np.ones(10), np.zeros(40)]
    units = np.arange(50).astype(str)
    dealt = assign_folds(units, y, 5, seed=1)
    fold = np.array([dealt[u] for u in units])
    assert [int(y[fold == k].sum()) for k in range(5)] == [2] * 5
    assert np.bincount(fold).tolist() == [10] * 5
    assert max(assign_folds(units, np.r_[1, 1, 1, np.zeros(47)], 5).values()) == 2  # three folds
    assert assign_folds(units, y, 5, seed=2) != dealt


def test_too_few_rows_of_a_class() -> None:
    units = np.arange(6).astype(str)
    with pytest.raises(DataError, match=r"at least two rows \(or groups\) of each class"):
        assign_folds(units, np.array([1.0, 0, 0, 0, 0, 0]), 5)
    with pytest.raises(DataError, match="of each class"):
        assign_folds(units, np.array([0.0, 1, 1, 1, 1, 1]), 5)
    with pytest.raises(DataError, match="at least two labelled rows"):
        assign_folds(units[:1], np.array([2.5]), 5, classes=False)


def test_regression_uses_ridge_on_the_value() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    y = 300 + 20 * x[:, 0] + rng.normal(size=2000)
    data = Dataset.from_arrays({"labs": x, "vitals": x[:, :1]}, y, task=Task("regression"))
    score = scores(data, data)
    whole = Ridge(alpha=10).fit(x, y).predict(x)
    assert np.corrcoef(score, whole)[0, 1] > 0.999
    lost = MnarSeverity(0.5, odds_ratio=10).draw(data).lost
    assert lost[y > 320].mean() > lost[y < 280].mean() + 0.5


def test_several_classes_and_several_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    three = np.where(x[:, 0] > 1, "rare", np.where(x[:, 1] > 0, "b", "c"))
    data = Dataset.from_arrays({"labs": x, "vitals": x}, three)
    assert roc_auc_score(three == "rare", scores(data, data)) > 0.95
    assert roc_auc_score(three == "b", scores(data, data, positive="b")) > 0.95
    labels = (x + rng.normal(size=x.shape) > 0).astype(float)
    data = Dataset.from_arrays(
        {"labs": x, "vitals": x}, labels, task=Task("multilabel", ("u", "v"))
    )
    assert np.corrcoef(scores(data, data), x.sum(axis=1))[0, 1] > 0.98


@pytest.mark.parametrize("folds", [1, 0, 2.5, "5"])
def test_folds_must_be_an_integer(folds: object) -> None:
    with pytest.raises(SettingError, match="number of folds must be an integer of at least 2"):
        SeverityScore(DATA[:100], folds=folds)


def test_constant_and_wholly_missing_features() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    x[:, 1], x[:, 2] = 1e6, np.nan
    data = Dataset.from_arrays({"labs": x, "vitals": x[:, 2:3]}, (x[:, 0] > 0).astype(float))
    score = scores(data, data)
    assert np.isfinite(score).all()
    assert roc_auc_score(data.target, score) > 0.95
