"""Loss at random given others: what it depends on, what it leaves alone, and the rate."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.shifts import Mar, Mcar, make_shift
from amodal.shifts.mar import GivenScore
from amodal.types import Modality

N = 6000


def patients(n: int = N, seed: int = 0) -> Dataset:
    """`static` (age, and a sex that matters not) in all rows; `labs` and `notes` in most."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, size=n)
    labs = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    static = np.column_stack([age, rng.normal(size=n)])
    return Dataset.from_arrays(
        {"static": static, "labs": labs[:, None], "notes": rng.normal(size=(n, 1))},
        (rng.random(n) < 0.3).astype(int),
        modalities={"static": Modality("static", "table", features=("age", "weight"))},
        rows={"row_id": [f"p{i}" for i in range(n)]},
    )


DATA = patients()
AGE = DATA.values["static"].data["numeric"][:, 0]


def test_what_is_given_is_never_lost_and_the_rate_is_that_of_the_rest() -> None:
    drawn = Mar(0.4, seed=1, given="static/age").draw(DATA)
    assert not drawn.lost[:, 0].any()
    assert drawn.lost[:, 1:].mean() == pytest.approx(0.4, abs=0.015)
    assert drawn.rates.achieved == drawn.lost[:, 1:].mean()
    assert drawn.rates.expected == pytest.approx(0.4, abs=1e-9)
    assert set(drawn.rates.per_modality) == {"labs", "notes"}
    assert drawn.spec["learned"]["given"] == ["static/age"]


@pytest.mark.parametrize("ratio", [3.0, 0.25])
def test_the_odds_of_loss_grow_by_the_ratio_per_standard_deviation(ratio: float) -> None:
    from sklearn.linear_model import LogisticRegression

    lost = Mar(0.4, given="static/age", odds_ratio=ratio).draw(DATA).lost[:, 1:].ravel()
    z = np.repeat((AGE - AGE.mean()) / AGE.std(), 2)[:, None]
    found = LogisticRegression(C=np.inf).fit(z, lost).coef_[0, 0]
    assert found == pytest.approx(np.log(ratio), abs=0.1)


def test_given_the_score_a_loss_tells_nothing_of_the_values() -> None:
    """Missing at random: within a narrow band of the score, lost and kept values are alike."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=N)
    y = x + 0.3 * rng.normal(size=N)  # labs tell almost all of x
    data = Dataset.from_arrays({"x": x[:, None], "y": y[:, None]})
    lost = Mar(0.5, given="x", odds_ratio=5).draw(data).lost[:, 1]
    assert y[lost].mean() - y[~lost].mean() > 0.8  # not completely at random
    band = np.abs(x) < 0.1
    gap = y[band & lost].mean() - y[band & ~lost].mean()
    assert abs(gap) < 3 * y[band].std() * np.sqrt(4 / band.sum())


def test_whole_modalities_and_several_of_them() -> None:
    score = GivenScore(DATA, ("labs", "static/age"))(DATA, ())[:, 0]
    labs = DATA.values["labs"]
    own = np.where(labs.index >= 0, labs.data["numeric"][labs.index, 0], np.nan)
    known = ~np.isnan(own)
    z = (AGE - AGE.mean()) / AGE.std()
    np.testing.assert_allclose(np.corrcoef(score[~known], z[~known])[0, 1], 1.0)
    assert np.corrcoef(score[known], z[known])[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.05)
    extreme = GivenScore(DATA, ("static/age",), "extreme")(DATA, ())[:, 0]
    assert np.corrcoef(extreme, np.abs(z))[0, 1] == pytest.approx(1.0)


def test_without_a_name_the_most_complete_modality_is_given() -> None:
    shift = Mar(0.5, seed=2)
    drawn = shift.draw(DATA)
    assert drawn.spec["given"] == ["static"]
    some = np.arange(0, N, 7)
    again = shift.draw(DATA[some], reference=DATA)
    np.testing.assert_array_equal(again.lost, drawn.lost[some])


def test_rows_without_what_is_given_lose_at_the_rate_asked() -> None:
    drawn = Mar(0.3, given="labs", odds_ratio=20).draw(DATA)
    without = ~DATA.present[:, 1]
    assert drawn.rates.neutral == pytest.approx(without.mean())
    assert drawn.lost[without][:, [0, 2]].mean() == pytest.approx(0.3, abs=0.03)


def test_rates_of_single_modalities() -> None:
    drawn = Mar(0.0, given="static", rates="labs=0.6/notes=0.2").draw(DATA)
    np.testing.assert_allclose(drawn.lost.mean(axis=0), [0, 0.6, 0.2], atol=0.02)
    assert drawn.rates.requested == 0.4


def test_an_odds_ratio_of_one_is_mcar() -> None:
    mar = Mar(0.4, seed=5, given="static", odds_ratio=1.0).draw(DATA).lost
    np.testing.assert_array_equal(mar[:, 1:], Mcar(0.4, seed=5).draw(DATA).lost[:, 1:])


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"given": "stat"}, UnknownNameError, "did you mean 'static'"),
        ({"given": "static/aeg"}, UnknownNameError, "did you mean 'age'"),
        ({"given": ("static", "labs", "notes")}, DataError, "needs a modality that can be lost"),
    ],
)
def test_bad_names(settings: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Mar(0.5, **settings).draw(DATA)


@pytest.mark.parametrize("settings", [{"modalities": "labs"}, {"rates": {"labs": 0.1}}])
def test_what_is_given_cannot_be_lost(settings: dict) -> None:
    with pytest.raises(SettingError, match="'labs' is given and is to be lost"):
        make_shift("mar", 0.5, given="labs/x0", **settings)
