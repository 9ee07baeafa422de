"""Noise: its size, what it leaves alone, and that it belongs to a row and not to a draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.shifts import MissingCells, Noise, PureNoise, noise
from amodal.shifts.base import align_features
from amodal.shifts.keyed import keyed_normal, pair_keys
from amodal.types import Modality
from amodal.values import Values

N = 2000
IDS = [f"p{i}" for i in range(N)]


def mixed(n: int = N) -> Dataset:
    """A table with a category and missing cells, a series, an embedding and codes."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.normal(5, 2, n), rng.normal(0, 300, n), np.full(n, 7.0)])
    table[rng.random(table.shape) < 0.1] = np.nan
    table[:5] = np.nan
    steps = rng.integers(1, 6, n)
    series = []
    for k in steps:
        value = rng.normal([1, 100], [0.5, 20], (k, 2))
        value[rng.random(value.shape) < 0.2] = np.nan
        series.append((np.sort(rng.random(k)), value))
    series[3] = None
    kind = rng.choice(["red", "green", "blue"], n, p=[0.8, 0.1, 0.1])
    return Dataset.from_arrays(
        {
            "labs": table,
            "course": series,
            "vector": rng.normal(0, 3, (n, 8)),
            "codes": [["I10"]] * n,
            "kind": kind[:, None],
        },
        modalities={"vector": "embedding"},
        rows={"row_id": IDS[:n]},
    )


DATA = mixed()
ARRAYS = {"labs": "numeric", "course": "value", "vector": "value"}


def array(data: Dataset, name: str) -> np.ndarray:
    return data.values[name].data[ARRAYS[name]]


def same(one: Dataset, other: Dataset, name: str) -> bool:
    """Whether both hold the very same arrays of a modality."""
    a, b = one.values[name], other.values[name]
    return all(np.shares_memory(a.data[key], b.data[key]) for key in b.data)


@pytest.mark.parametrize("name", list(ARRAYS))
@pytest.mark.parametrize("severity", [0.5, 2.0])
def test_noise_is_a_multiple_of_each_standard_deviation(name: str, severity: float) -> None:
    clean, noisy = array(DATA, name), array(Noise(severity=severity, seed=1)(DATA), name)
    added, std = noisy - clean, np.nanstd(clean, axis=0)
    assert np.array_equal(np.isnan(added), np.isnan(clean))
    for j in np.flatnonzero(std > 0):
        z = added[:, j][~np.isnan(added[:, j])] / (severity * std[j])
        assert stats.kstest(z, "norm").pvalue > 1e-3
    assert (added[:, std == 0][~np.isnan(added[:, std == 0])] == 0).all()


def test_noise_is_the_keyed_normal_number() -> None:
    clean, noisy = (array(d, "vector") for d in (DATA, Noise(severity=1.5, seed=4)(DATA)))
    keys = pair_keys(4, DATA.row_id, ["vector"], "noise:value")[:, 0]
    z = keyed_normal(keys, np.zeros(N, dtype=int), 8)
    assert noisy == pytest.approx(clean + 1.5 * clean.std(axis=0) * z, abs=1e-12)


def test_cells_steps_and_modalities_have_numbers_of_their_own() -> None:
    z = array(Noise()(DATA), "vector") - array(DATA, "vector")
    corr = np.corrcoef(z.T)[np.triu_indices(8, 1)]
    assert np.abs(corr).max() < 4 / np.sqrt(N)
    added = array(Noise()(DATA), "course") - array(DATA, "course")
    known = added[~np.isnan(added)]
    assert len(np.unique(np.round(known, 12))) == len(known)


def test_nothing_else_changes_and_input_is_left_alone() -> None:
    before = DATA.fingerprint()
    noisy = Noise(severity=3)(DATA)
    assert DATA.fingerprint() == before
    assert np.array_equal(noisy.absence, DATA.absence)
    assert same(noisy, DATA, "codes")
    assert np.array_equal(
        noisy.values["kind"].data["categorical"], DATA.values["kind"].data["categorical"]
    )
    assert np.array_equal(noisy.values["course"].data["time"], DATA.values["course"].data["time"])
    assert noisy.provenance["shifts"] == [Noise(severity=3).to_json()]
    some = Noise(modalities=("labs",))(DATA)
    assert same(some, DATA, "vector")
    assert np.array_equal(array(some, "labs"), array(Noise()(DATA), "labs"), equal_nan=True)


@pytest.mark.parametrize("shift", [Noise(), PureNoise(0.5), MissingCells(0.3)])
def test_order_and_subset_change_nothing(shift: noise.ValueShift) -> None:
    rows = np.random.default_rng(0).permutation(N)[:70]
    whole, part = shift(DATA)[rows], shift(DATA[rows], reference=DATA)
    assert part.fingerprint() == whole.fingerprint()


def test_severities_share_their_normal_numbers_and_seeds_do_not() -> None:
    clean, one, two, other = (
        array(d, "vector")
        for d in (DATA, Noise()(DATA), Noise(severity=2)(DATA), Noise(seed=1)(DATA))
    )
    assert two - clean == pytest.approx(2 * (one - clean), abs=1e-9)
    corr = np.corrcoef((one - clean).ravel(), (other - clean).ravel())[0, 1]
    assert abs(corr) < 4 / np.sqrt(one.size)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PureNoise()(DATA).fingerprint()
    monkeypatch.setattr(noise, "_CHUNK", 100)
    assert PureNoise()(DATA).fingerprint() == whole


def test_standard_deviations_are_those_of_the_reference() -> None:
    wide = Dataset.from_arrays({"a": np.array([[-10.0], [10.0]])})
    narrow = Dataset.from_arrays({"a": np.array([[4.0], [5.0]])}, rows={"row_id": ["0", "1"]})
    by_own, by_wide = (Noise()(narrow, r).values["a"].data["numeric"] for r in (None, wide))
    clean = narrow.values["a"].data["numeric"]
    assert by_wide - clean == pytest.approx(20 * (by_own - clean))


def test_features_are_matched_to_the_reference_by_name() -> None:
    def table(x: np.ndarray, *features: str) -> Dataset:
        return Dataset.from_arrays({"a": x}, modalities=[Modality("a", "table", features)])

    x = np.random.default_rng(0).normal(size=(200, 2)) * [1, 1000]
    reference = table(x[:, ::-1], "big", "small")
    added = Noise()(table(x, "small", "big"), reference).values["a"].data["numeric"] - x
    assert added.std(axis=0) == pytest.approx(x.std(axis=0), rel=0.2)
    with pytest.raises(DataError, match="it lacks 1; hand in another reference"):
        Noise()(table(x, "small", "huge"), reference)
    gaps = x.copy()
    gaps[:, 1] = np.nan
    for shift in (Noise(), PureNoise()):
        with pytest.raises(DataError, match="must have values of every feature of modality 'a'"):
            shift(table(x, "small", "big"), table(gaps, "small", "big"))
        both = shift(table(gaps, "small", "big"), table(gaps, "small", "big"))
        assert np.isnan(both.values["a"].data["numeric"][:, 1]).all()
    with pytest.raises(DataError, match="as many features as in the reference"):
        align_features(Modality("a", "embedding"), 3, Modality("a", "embedding"), 2)


def test_rate_is_the_share_of_rows_with_noise() -> None:
    changed = (array(Noise(0.3)(DATA), "vector") != array(DATA, "vector")).all(axis=1)
    same = (array(Noise(0.3)(DATA), "vector") == array(DATA, "vector")).all(axis=1)
    assert (changed | same).all()
    assert abs(changed.mean() - 0.3) < 3 * np.sqrt(0.3 * 0.7 / N)


def test_a_shared_value_is_keyed_by_the_first_row_by_id() -> None:
    image = np.array([1.0, 2.0, 3.0])
    other = np.array([4.0, 6.0, 9.0])
    rows = {"row_id": ["q3", "q1", "q2"]}
    values = Values({"value": np.array([other, image])}, None, np.array([1, 1, 0]))
    data = Dataset.from_arrays({"image": np.ones((3, 3))}, rows=rows)
    data = data.replace(modalities=(Modality("image", "embedding"),), values={"image": values})
    out = Noise(seed=2)(data)
    assert len(out.values["image"]) == 2
    z = keyed_normal(
        pair_keys(2, np.array(["q1", "q2"]), ["image"], "noise:value")[:, 0], np.zeros(2, int), 3
    )
    std = np.std([image, other], axis=0)
    found = out.values["image"].data["value"][values.index[[1, 2]]]
    assert found == pytest.approx(np.array([image, other]) + std * z)
    swapped = Noise(seed=2)(data[[2, 1, 0]])
    back = swapped.values["image"].data["value"][swapped.values["image"].index[[1, 0]]]
    assert back == pytest.approx(found)


# -- noise in place of values, and cells ----------------------------------------------------------


def test_pure_noise_looks_like_the_feature_and_says_nothing() -> None:
    clean, pure = array(DATA, "labs"), array(PureNoise()(DATA), "labs")
    assert np.array_equal(np.isnan(clean), np.isnan(pure))
    for j in (0, 1):
        known = ~np.isnan(clean[:, j])
        a, b = clean[known, j], pure[known, j]
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(N)
        assert abs(b.mean() - a.mean()) < 4 * a.std() / np.sqrt(N)
        assert b.std() == pytest.approx(a.std(), rel=0.08)
    constant = ~np.isnan(clean[:, 2])
    assert pure[constant, 2] == pytest.approx(7)
    flat = array(PureNoise(severity=0)(DATA), "vector")
    assert flat == pytest.approx(np.tile(array(DATA, "vector").mean(axis=0), (N, 1)))


def test_pure_noise_draws_categories_evenly() -> None:
    clean, pure = (d.values["kind"].data["categorical"][:, 0] for d in (DATA, PureNoise()(DATA)))
    table = np.histogram2d(clean, pure, (3, 3))[0]
    assert stats.chisquare(table.sum(axis=0)).pvalue > 1e-3
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert pure.dtype == clean.dtype


def test_missing_cells_go_missing_at_their_rate_and_rows_stay() -> None:
    out = MissingCells(0.4, seed=3)(DATA)
    clean, thinned = array(DATA, "labs"), array(out, "labs")
    gone = np.isnan(thinned[~np.isnan(clean)])
    assert abs(gone.mean() - 0.4) < 3 * np.sqrt(0.24 / gone.size)
    kept = ~np.isnan(thinned)
    assert np.array_equal(thinned[kept], clean[kept])
    category = out.values["kind"].data["categorical"]
    assert abs((category == -1).mean() - 0.4) < 3 * np.sqrt(0.24 / N)
    assert np.array_equal(out.absence, DATA.absence)
    assert same(out, DATA, "vector")
    assert np.isnan(array(MissingCells(1.0)(DATA), "labs")).all()


# -- edges and settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shift", [Noise(severity=0), Noise(0.0), PureNoise(0.0), MissingCells(0.0)]
)
def test_nothing_asked_is_the_identity(shift: noise.ValueShift) -> None:
    assert shift(DATA) is DATA


@pytest.mark.parametrize("shift", [Noise(), PureNoise(), MissingCells(0.5)])
def test_no_rows_one_row_and_absent_columns(shift: noise.ValueShift) -> None:
    assert len(shift(DATA[:0])) == 0
    one = Dataset.from_arrays({"a": [[1.0, 2.0]], "b": np.full((1, 2), np.nan)})
    out = shift(one)
    assert out.present.tolist() == [[True, False]]
    if not isinstance(shift, MissingCells):  # the deviation of one value is 0
        assert np.array_equal(out.values["a"].data["numeric"], [[1.0, 2.0]])


def test_float32_stays_float32() -> None:
    values = DATA.values["vector"]
    small = type(values)({"value": values.data["value"].astype(np.float32)}, None, values.index)
    out = Noise()(DATA.replace(values={**DATA.values, "vector": small}))
    assert array(out, "vector").dtype == np.float32


def test_what_cannot_be_changed_is_said() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'labs'"):
        Noise(modalities="lab")(DATA)
    with pytest.raises(DataError, match="changes modalities of kind table, series, embedding"):
        Noise(modalities=("labs", "codes"))(DATA)
    with pytest.raises(DataError, match="'codes' of another kind"):
        Noise()(DATA.select(["codes"]))
    with pytest.raises(DataError, match="changes modalities of kind table; got 'course'"):
        MissingCells(0.5, modalities=("course",))(DATA)
    with pytest.raises(DataError, match="the reference of a shift must have every modality"):
        Noise()(DATA, DATA.select(["labs"]))
    with pytest.raises(SettingError, match="severity of shift 'noise' must be finite"):
        Noise(severity=-1)
