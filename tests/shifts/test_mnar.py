"""Loss not at random: odds ratios recovered from what was lost, rates, and what is neutral."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.shifts import Mnar, MnarSeverity, MnarTarget
from amodal.shifts.keyed import uniform
from amodal.shifts.mnar import intercept
from amodal.types import LOST, Task

N = 20_000


def recovered(lost: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Odds ratio per unit of score by logistic regression, and the rate it was fitted at."""
    model = LogisticRegression(C=np.inf).fit(score[:, None], lost)
    return float(np.exp(model.coef_[0, 0])), float(lost.mean())


def within(share: float, rate: float, count: int) -> bool:
    return abs(share - rate) < 3 * np.sqrt(rate * (1 - rate) / count)


def normal_table(n: int = N, unmeasured: float = 0.2, seed: int = 0) -> Dataset:
    """`a`: one normal feature, `b`: a skewed one; a binary target with prevalence .3."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(50, 7, n), rng.gamma(1.0, 3.0, n)])
    y = (rng.random(n) < 0.3).astype(float)
    x = np.where(rng.random((n, 2)) < unmeasured, np.nan, x)
    return Dataset.from_arrays({"a": x[:, :1], "b": x[:, 1:]}, y)


DATA = normal_table()
X = DATA.values["a"].data["numeric"][DATA.values["a"].index, 0]  # the last value where absent
HAS = DATA.present[:, 0]


@pytest.mark.parametrize("rate", [1e-6, 0.3, 0.97])
@pytest.mark.parametrize("scale", [0.0, 1.0, 40.0, 1e4])
def test_intercept_solves_its_equation(rate: float, scale: float) -> None:
    effect = scale * np.random.default_rng(0).standard_t(3, 500)
    b = intercept(effect, rate)
    assert expit(b + effect).mean() == pytest.approx(rate, abs=1e-11)
    if scale == 1.0:
        root = brentq(lambda c: expit(c + effect).mean() - rate, -60, 60, xtol=1e-12)
        assert b == pytest.approx(root, abs=1e-6)


def test_intercept_without_scores_is_the_logit() -> None:
    assert intercept(np.zeros(0), 0.2) == pytest.approx(np.log(0.25))
    assert intercept(np.array([3.0]), 0.2) == pytest.approx(np.log(0.25) - 3)


# -- by its own values --------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "odds_ratio"), [(0.5, 3.0), (0.3, 0.5), (0.2, 1.0)])
def test_own_values_odds_ratio_and_rate(rate: float, odds_ratio: float) -> None:
    drawn = Mnar(rate, seed=1, odds_ratio=odds_ratio).draw(DATA)
    z = (X[HAS] - X[HAS].mean()) / X[HAS].std()
    found, _ = recovered(drawn.lost[HAS, 0], z)
    assert found == pytest.approx(odds_ratio, rel=0.1)
    for k, name in enumerate(DATA.names):
        here = DATA.present[:, k]
        assert within(drawn.lost[here, k].mean(), rate, here.sum())
        assert within(drawn.lost[~here, k].mean(), rate, (~here).sum())  # absent: neutral
        assert drawn.rates.per_modality[name]["expected"] == pytest.approx(rate, abs=1e-9)
    assert drawn.rates.expected == pytest.approx(rate, abs=1e-9)
    assert drawn.rates.neutral == pytest.approx((~DATA.present).mean())


def test_own_values_is_the_stated_formula() -> None:
    drawn = Mnar(0.4, seed=2, odds_ratio=2.5).draw(DATA)
    x = X[HAS]
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75))
    raw = np.clip((x - median) / ((high - low) / 1.349), -8, 8)
    effect = np.log(2.5) * (raw - raw.mean()) / raw.std()
    b = brentq(lambda c: expit(c + effect).mean() - 0.4, -20, 20, xtol=1e-13)
    u = uniform(2, DATA.row_id, ["a"], "absence")[:, 0]
    assert np.array_equal(drawn.lost[HAS, 0], u[HAS] < expit(b + effect))
    assert np.array_equal(drawn.lost[~HAS, 0], u[~HAS] < 0.4)
    assert drawn.spec["learned"]["intercept"]["a"] == pytest.approx(b)


def test_extreme_values_are_lost_whichever_way_they_lie() -> None:
    lost = Mnar(0.5, by="extreme").draw(DATA).lost[HAS, 0]
    z = (X[HAS] - np.median(X[HAS])) / X[HAS].std()
    low, middle, high = (lost[w].mean() for w in (z < -1.5, abs(z) < 0.5, z > 1.5))
    assert low > middle + 0.3
    assert high > middle + 0.3
    found, _ = recovered(lost, (abs(z) - abs(z).mean()) / abs(z).std())
    assert found == pytest.approx(3, rel=0.12)


def kinds_of_data(n: int = 1500) -> tuple[Dataset, np.ndarray]:
    """Every kind that has a score of its own, all driven by one number per row."""
    rng = np.random.default_rng(0)
    s = rng.normal(size=n)
    steps = rng.integers(1, 5, n)
    series = [(np.arange(k), s[i] + 0.1 * rng.normal(size=(k, 2))) for i, k in enumerate(steps)]
    count = np.clip(np.round(8 + 3 * s), 1, None).astype(int)
    rare = np.where(s > 1, "rare", "common")
    category = Dataset.from_arrays({"category": np.array(rare)[:, None]})
    data = Dataset.from_arrays(
        {
            "series": series,
            "codes": [["x"] * k for k in count],
            "vector": s[:, None] + 0.1 * rng.normal(size=(n, 4)),
            "text": ["w" * k for k in count],
        },
        modalities={"vector": "embedding", "text": "text"},
    )
    return (
        data.replace(
            modalities=(*data.modalities, *category.modalities),
            values={**data.values, **category.values},
            absence=np.column_stack([data.absence, category.absence]),
        ),
        s,
    )


def test_every_kind_depends_on_its_values() -> None:
    data, s = kinds_of_data()
    drawn = Mnar(0.5, odds_ratio=8).draw(data)
    for k, name in enumerate(data.names):
        lost = drawn.lost[:, k]
        assert lost[s > 1].mean() > lost[s < 0].mean() + 0.3, name
        assert within(lost.mean(), 0.5, len(lost))
    assert drawn.rates.neutral == 0


def test_images_have_no_score_of_their_own() -> None:
    data = Dataset.from_arrays(
        {"scan": ["a.png", "b.png"], "age": [[1.0], [2.0]]}, modalities={"scan": "image"}
    )
    with pytest.raises(DataError, match="'scan' is of kind image"):
        Mnar(0.5).draw(data)
    assert not Mnar(0.5, modalities="age").draw(data).lost[:, 0].any()


def test_what_holds_nothing_to_depend_on_is_neutral() -> None:
    data = Dataset.from_arrays({"flat": np.ones((3000, 2)), "gone": np.full((3000, 1), np.nan)})
    drawn = Mnar(0.25).draw(data)
    assert drawn.rates.neutral == 1
    assert within(drawn.rates.achieved, 0.25, 6000)


# -- by the target ------------------------------------------------------------------------------


def test_target_odds_ratio_between_classes() -> None:
    target = np.where(np.random.default_rng(5).random(N) < 0.25, np.nan, DATA.target)
    data = DATA.replace(target=target)
    drawn = MnarTarget(0.4, odds_ratio=4).draw(data)
    one, zero = (drawn.lost[target == c].mean() for c in (1, 0))
    assert (one / (1 - one)) / (zero / (1 - zero)) == pytest.approx(4, rel=0.06)
    unlabelled = drawn.lost[np.isnan(target)]
    assert within(unlabelled.mean(), 0.4, unlabelled.size)
    assert within(drawn.rates.achieved, 0.4, drawn.lost.size)
    assert drawn.rates.neutral == np.isnan(target).mean()


def test_target_says_that_the_label_is_in_the_pattern() -> None:
    shift = MnarTarget(0.4)
    assert "puts the label into the pattern" in shift.describe()
    assert "puts the label into the pattern" in (MnarTarget.__doc__ or "")
    assert shift.to_json()["label_in_pattern"] is True
    assert shift.draw(DATA).spec["label_in_pattern"] is True
    assert "label_in_pattern" not in MnarSeverity(0.4).to_json()


def test_target_of_several_classes_marks_the_rarest_or_the_named_one() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], size=6000, p=[0.4, 0.15, 0.45])
    data = Dataset.from_arrays({"x": rng.normal(size=(6000, 1))}, y)
    for positive, marked in ((None, "b"), ("c", "c")):
        drawn = MnarTarget(0.5, odds_ratio=5, positive=positive).draw(data)
        share = {c: drawn.lost[y == c].mean() for c in "abc"}
        rest = [share[c] for c in "abc" if c != marked]
        assert share[marked] > max(rest) + 0.2
        assert abs(rest[0] - rest[1]) < 0.06
        assert drawn.spec["learned"]["positive"] == marked
    with pytest.raises(UnknownNameError, match="unknown class 'd'"):
        MnarTarget(0.5, positive="d").draw(data)


def test_target_that_is_a_number_counts_per_standard_deviation() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(100, 20, N)
    data = Dataset.from_arrays({"x": rng.normal(size=(N, 1))}, y, task=Task("regression"))
    found, rate = recovered(MnarTarget(0.3).draw(data).lost[:, 0], (y - y.mean()) / y.std())
    assert found == pytest.approx(3, rel=0.08)
    assert within(rate, 0.3, N)
    with pytest.raises(SettingError, match="the task is regression; leave it out"):
        MnarTarget(0.3, positive="x").draw(data)


def test_target_of_several_labels_counts_them() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random((8000, 3)) < 0.4).astype(float)
    data = Dataset.from_arrays(
        {"x": rng.normal(size=(8000, 1))}, y, task=Task("multilabel", ("u", "v", "w"))
    )
    total = y.sum(axis=1)
    found, _ = recovered(
        MnarTarget(0.5).draw(data).lost[:, 0], (total - total.mean()) / total.std()
    )
    assert found == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("shift", [MnarTarget(0.5), MnarSeverity(0.5)])
def test_labels_that_cannot_serve(shift: MnarTarget | MnarSeverity) -> None:
    with pytest.raises(DataError, match="needs labelled rows in the reference; got none"):
        shift.draw(DATA.replace(target=None, task=None))
    with pytest.raises(DataError, match="needs labelled rows"):
        shift.draw(DATA.replace(target=np.full(N, np.nan)))
    with pytest.raises(DataError, match="at least two different outcomes"):
        shift.draw(DATA.replace(target=np.ones(N)))


# -- references and settings ----------------------------------------------------------------------


def test_statistics_are_those_of_the_reference() -> None:
    shift, train = Mnar(0.4, seed=3), DATA[:8000]
    alone = shift.draw(train)
    beside = shift.draw(DATA, reference=train)
    assert np.array_equal(beside.lost[:8000], alone.lost)
    assert beside.spec["learned"] == alone.spec["learned"]
    assert beside.spec["learned"]["reference_rows"] == 8000
    row = shift.draw(DATA[[11_111]], reference=train)
    assert np.array_equal(row.lost[0], beside.lost[11_111])


def test_sicker_rows_than_the_reference_lose_more_and_the_report_says_so() -> None:
    shifted = normal_table(4000, seed=9)
    numeric = shifted.values["a"].data["numeric"] + 7
    values = shifted.values["a"]
    shifted = shifted.replace(
        values={**shifted.values, "a": type(values)({"numeric": numeric}, None, values.index)}
    )
    rates = Mnar(0.4).draw(shifted, reference=DATA).rates
    assert rates.requested == 0.4
    assert rates.per_modality["a"]["expected"] > 0.55
    found = rates.per_modality["a"]
    assert within(found["achieved"], found["expected"], 4000)


def test_features_are_matched_to_the_reference_by_name() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(0, 1, 500), rng.normal(1000, 50, 500)])
    from amodal.types import Modality

    def table(x: np.ndarray, *features: str) -> Dataset:
        return Dataset.from_arrays({"a": x}, modalities=[Modality("a", "table", features)])

    whole = table(x, "lactate", "weight")
    swapped = table(x[:, ::-1], "weight", "lactate")
    lost = Mnar(0.5).draw(whole).lost
    assert np.array_equal(Mnar(0.5).draw(swapped, reference=whole).lost, lost)
    other = table(x[:, :1], "sodium")
    assert Mnar(0.5).draw(other, reference=whole).rates.neutral == 1
    with pytest.raises(DataError, match="the reference of a shift must have every modality"):
        Mnar(0.5).draw(whole, reference=Dataset.from_arrays({"b": x}))
    with pytest.raises(DataError, match="got table and embedding"):
        Mnar(0.5).draw(
            whole, reference=Dataset.from_arrays({"a": x}, modalities={"a": "embedding"})
        )


def test_order_and_subset_under_one_reference_change_nothing() -> None:
    shift = Mnar(0.5, seed=8)
    lost = shift.draw(DATA).lost
    rows = np.random.default_rng(1).permutation(N)[:300]
    assert np.array_equal(shift.draw(DATA[rows], reference=DATA).lost, lost[rows])
    assert np.array_equal(shift.draw(DATA[::-1]).lost, lost[::-1])


def test_call_is_draw_and_keep_one_holds() -> None:
    shift = Mnar(0.9, keep_one=True)
    changed = shift(DATA)
    assert np.array_equal(changed.absence == LOST, shift.draw(DATA).lost)
    assert np.array_equal(changed.present.any(axis=1), DATA.present.any(axis=1))


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "big"])
def test_odds_ratio_must_be_positive(value: float) -> None:
    with pytest.raises(SettingError, match="the odds ratio of shift 'mnar' must be finite"):
        Mnar(0.5, odds_ratio=value)


def test_unknown_score() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'extreme'"):
        Mnar(0.5, by="extrem")
