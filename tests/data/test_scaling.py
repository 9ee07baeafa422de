"""Scaling: closed forms, nothing from other rows, matching by name, exact round trip."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.data.scaling import Scaler
from amodal.errors import CheckpointError, DataError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values


def make(modalities, values, *, target=None, task=None, absence=None):
    n = len(next(iter(values.values())).index)
    if absence is None:
        index = np.stack([values[m.name].index for m in modalities], axis=1)
        absence = np.where(index >= 0, PRESENT, NOT_MEASURED).astype(np.int8)
    return Dataset(
        modalities=tuple(modalities),
        values=values,
        absence=absence,
        row_id=np.array([f"r{i}" for i in range(n)], dtype=str),
        task=task,
        target=None if target is None else np.asarray(target, dtype=float),
    )


def table(numeric, features=("x", "y"), index=None, levels=None, categorical=None):
    numeric = np.asarray(numeric, dtype=float)
    index = np.arange(len(numeric)) if index is None else np.asarray(index)
    data = {"numeric": numeric}
    if categorical is not None:
        data["categorical"] = np.asarray(categorical)
    return Modality("t", "table", features, levels or {}), Values(data, None, index)


def one(m, v, **more):
    return make([m], {m.name: v}, **more)


def numeric(data, name="t"):
    return data.values[name].data["numeric"]


def test_numbers_are_standardised_over_training_cells_and_nan_stays():
    train = one(*table([[1.0, np.nan], [3.0, 5.0], [np.nan, 9.0]]))
    out = Scaler.fit(train).apply(train)
    expected = [[-1.0, np.nan], [1.0, -1.0], [np.nan, 1.0]]
    np.testing.assert_array_equal(numeric(out), np.array(expected, dtype=np.float32))
    assert numeric(out).dtype == np.float32


def test_moments_equal_numpy_on_random_cells():
    rng = np.random.default_rng(0)
    x = rng.normal(5, [1e-6, 3.0, 1e9], (500, 3))
    x[rng.random(x.shape) < 0.3] = np.nan
    stats = Scaler.fit(one(*table(x, ("a", "b", "c")))).stats["t"]
    np.testing.assert_allclose(stats["mean"], np.nanmean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], np.nanstd(x, axis=0), rtol=1e-9)


def test_constant_empty_and_huge_columns():
    train = one(*table([[0.1, np.nan, 1e200], [0.1, np.nan, -1e200], [0.1, np.nan, 0.0]], "abc"))
    scaler = Scaler.fit(train)
    test = one(*table([[7.0, 2.0, 1.7e308], [np.nan, np.nan, -1.7e308]], "abc"))
    out = numeric(scaler.apply(test))
    np.testing.assert_array_equal(out, np.float32([[0, 0, 8], [np.nan, np.nan, -8]]))


def test_clip_is_in_standard_deviations():
    scaler = Scaler.fit(one(*table([[-1.0, 0.0], [1.0, 1.0]])), clip=3.0)
    out = numeric(scaler.apply(one(*table([[100.0, 0.5], [-100.0, 0.5]]))))
    assert out[:, 0].tolist() == [3.0, -3.0]


def test_a_shared_value_counts_once_and_an_unused_one_not_at_all():
    m, v = table([[0.0, 0.0], [2.0, 0.0], [1e6, 1e6]], index=[0, 0, 0, 1, -1])
    stats = Scaler.fit(one(m, v)).stats["t"]
    assert stats["mean"].tolist() == [1.0, 0.0]
    assert stats["std"].tolist() == [1.0, 0.0]


def test_other_rows_change_nothing():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 2))
    data = one(*table(x), target=rng.normal(size=20), task=Task("regression"))
    wild = one(
        *table(np.vstack([x[:10], x[10:] * 1e6])),
        target=np.r_[data.target[:10], data.target[10:] + 99],
        task=Task("regression"),
    )
    first, second = Scaler.fit(data[:10]), Scaler.fit(wild[:10])
    assert json.dumps(first.to_state()[0]) == json.dumps(second.to_state()[0])
    for key, array in first.to_state()[1].items():
        np.testing.assert_array_equal(array, second.to_state()[1][key])


def test_levels_are_those_of_the_training_rows_and_matched_by_name():
    levels = {"sex": ("f", "m"), "unit": ("a", "b", "c")}
    m, v = table(np.zeros((3, 0)), (), levels=levels, categorical=[[1, 2], [0, 0], [-1, 2]])
    scaler = Scaler.fit(one(m, v))
    assert scaler.modalities[0].levels == {"sex": ("f", "m"), "unit": ("a", "c")}
    other = {"unit": ("c", "b", "a"), "sex": ("m", "f", "x")}
    m, v = table(np.zeros((3, 0)), (), levels=other, categorical=[[0, 0], [1, 1], [2, 2]])
    out = scaler.apply(one(m, v)).values["t"].data["categorical"]
    assert out.tolist() == [[1, 1], [0, -1], [-1, 0]]


def test_features_are_matched_by_name():
    scaler = Scaler.fit(one(*table([[0.0, 10.0], [2.0, 30.0]])))
    out = numeric(scaler.apply(one(*table([[20.0, 5.0, 2.0]], ("y", "new", "x")))))
    assert out.tolist() == [[1.0, 0.0]]
    out = numeric(scaler.apply(one(*table([[20.0]], ("y",)))))
    np.testing.assert_array_equal(out, [[np.nan, 0.0]])
    with pytest.raises(DataError, match="must have features in common"):
        scaler.apply(one(*table([[20.0]], ("z",))))


def test_unnamed_features_get_names_and_are_matched_by_position():
    scaler = Scaler.fit(one(*table([[0.0, 10.0], [2.0, 30.0]], ())))
    assert scaler.modalities[0].features == ("0", "1")
    assert numeric(scaler.apply(one(*table([[2.0, 30.0]], ())))).tolist() == [[1.0, 1.0]]


def series(steps, *, index=None, features=("a", "b")):
    """steps: one (times, values) per value."""
    time = np.concatenate([t for t, _ in steps]).astype(float)
    value = np.concatenate([np.asarray(v, dtype=float) for _, v in steps])
    offsets = np.cumsum([0, *[len(t) for t, _ in steps]])
    index = np.arange(len(steps)) if index is None else np.asarray(index)
    return Modality("s", "series", features), Values({"time": time, "value": value}, offsets, index)


def test_series_are_standardised_over_observations_and_time_by_its_99th_percentile():
    m, v = series([([0, 10], [[1, np.nan], [3, 2]]), ([20], [[np.nan, 4]])])
    train = one(m, v)
    scaler = Scaler.fit(train)
    out = scaler.apply(train).values["s"]
    expected = np.float32([[-1, np.nan], [1, -1], [np.nan, 1]])
    np.testing.assert_array_equal(out.data["value"], expected)
    unit = np.quantile([0, 10, 20], 0.99)
    np.testing.assert_allclose(out.data["time"], np.array([0, 10, 20]) / unit, rtol=1e-6)
    assert out.data["time"].dtype == np.float32
    assert out.offsets.tolist() == [0, 2, 3]


def test_time_that_is_always_zero_is_left_alone():
    m, v = series([([0], [[1, 2]]), ([0], [[3, 4]])])
    assert Scaler.fit(one(m, v)).stats["s"]["time_unit"] == 1.0


def codes(events, vocabulary, *, types=("dx", "rx"), kinds=None, time=None):
    flat = np.concatenate([np.asarray(e, dtype=int) for e in events])
    kinds = np.zeros(len(flat), dtype=int) if kinds is None else np.asarray(kinds)
    time = np.full(len(flat), np.nan) if time is None else np.asarray(time, dtype=float)
    offsets = np.cumsum([0, *[len(e) for e in events]])
    data = {"code": flat, "type": kinds, "time": time}
    return Modality("c", "codes", (), {}, vocabulary, types), Values(
        data, offsets, np.arange(len(events))
    )


def test_codes_are_listed_by_frequency_and_unseen_ones_are_unknown():
    train = one(*codes([[0, 2, 2], [2, 1, 1]], ("a", "b", "c", "never"), time=[0, 0, 4, 4, 4, 4]))
    scaler = Scaler.fit(train)
    assert scaler.modalities[0].vocabulary == ("c", "b", "a")
    assert scaler.modalities[0].types == ("dx",)
    test = one(*codes([[0, 1, -1, 2]], ("b", "z", "c"), types=("rx", "dx"), kinds=[1, 0, 1, -1]))
    out = scaler.apply(test).values["c"].data
    assert out["code"].tolist() == [1, -1, -1, 0]
    assert out["type"].tolist() == [0, -1, 0, -1]
    assert np.isnan(out["time"]).all()
    assert scaler.apply(train).values["c"].data["time"].tolist() == [0, 0, 1, 1, 1, 1]


def test_the_vocabulary_holds_the_4096_most_frequent_codes():
    ids = np.concatenate([np.arange(5000), np.arange(4000, 5000)])
    scaler = Scaler.fit(one(*codes([ids], tuple(f"c{i}" for i in range(5000)))))
    vocabulary = scaler.modalities[0].vocabulary
    assert len(vocabulary) == 4096
    assert set(vocabulary[:1000]) == {f"c{i}" for i in range(4000, 5000)}


def embedding(value, features=()):
    value = np.asarray(value, dtype=float)
    return Modality("e", "embedding", features), Values(
        {"value": value}, None, np.arange(len(value))
    )


def test_embeddings_are_standardised_and_keep_their_width():
    scaler = Scaler.fit(one(*embedding([[0.0, 5.0], [4.0, 5.0]])))
    assert scaler.modalities[0].n_features == 2
    out = scaler.apply(one(*embedding([[4.0, 6.0]]))).values["e"].data["value"]
    assert out.tolist() == [[1.0, 0.0]]
    with pytest.raises(DataError, match="2 dimensions in training; got 3"):
        scaler.apply(one(*embedding([[1.0, 2.0, 3.0]])))


def everything():
    t = table([[1.0, 2.0], [3.0, np.nan]], levels={"k": ("u", "v")}, categorical=[[0], [1]])
    s = series([([0, 5], [[1, 2], [3, np.nan]]), ([7], [[2, 2]])])
    c = codes([[0, 1], [1]], ("a", "b"))
    e = embedding([[0.3, 1e-5], [0.7, 2e-5]])
    text = (
        Modality("x", "text"),
        Values({"source": np.array(["hi", "ho"], dtype=object)}, None, np.arange(2)),
    )
    pairs = [t, s, c, e, text]
    return make(
        [m for m, _ in pairs],
        {m.name: v for m, v in pairs},
        target=[0.1, 0.7],
        task=Task("regression", name="days"),
    )


def test_state_goes_through_json_and_arrays_exactly(tmp_path):
    data = everything()
    scaler = Scaler.fit(data, clip=5.0)
    facts, arrays = scaler.to_state()
    np.savez(tmp_path / "s.npz", **arrays)
    with np.load(tmp_path / "s.npz") as stored:
        back = Scaler.from_state(json.loads(json.dumps(facts)), dict(stored))
    assert back.modalities == scaler.modalities
    assert (back.task, back.clip) == (scaler.task, 5.0)
    assert (back.target_mean, back.target_std) == (scaler.target_mean, scaler.target_std)
    assert back.apply(data).fingerprint() == scaler.apply(data).fingerprint()


def test_a_foreign_state_is_refused():
    facts, arrays = Scaler.fit(everything()).to_state()
    for wrong in ({}, {**facts, "clip": "wide"}):
        with pytest.raises(CheckpointError, match="train the model again"):
            Scaler.from_state(wrong, arrays)
    with pytest.raises(CheckpointError):
        Scaler.from_state(facts, {"nothing/mean": np.zeros(1)})


def test_applying_changes_no_input_and_no_text():
    data = everything()
    before = data.fingerprint()
    out = Scaler.fit(data).apply(data)
    assert data.fingerprint() == before
    assert out.values["x"].data["source"].tolist() == ["hi", "ho"]
    assert out.values["t"].data["categorical"].dtype == np.int64


def test_an_unknown_modality_is_refused_and_a_lacking_one_is_lost():
    data = everything()
    scaler = Scaler.fit(data)
    with pytest.raises(UnknownNameError, match="unknown modality 's'"):
        Scaler.fit(data.select(["t"])).apply(data.select(["s"]))
    out = scaler.apply(data.select(["e", "t"]))
    assert out.names == data.names
    assert out.absence.tolist() == [[PRESENT, LOST, LOST, PRESENT, LOST]] * 2
    for name in ("s", "c", "x"):
        assert len(out.values[name]) == 0
    for name in ("t", "e"):
        assert len(scaler.apply(data.select(["s"])).values[name]) == 0
    widths = {n: scaler.apply(data.select(["x"])).values[n].data for n in "tse"}
    assert widths["t"]["numeric"].shape == (0, 2)
    assert widths["s"]["value"].shape == (0, 2)
    assert widths["e"]["value"].shape == (0, 2)


def test_order_follows_training_and_absence_with_it():
    data = everything()
    lost = data.lose(np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], dtype=bool))
    scaler = Scaler.fit(data)
    turned = lost.select(["x", "e", "c", "s", "t"])
    assert scaler.apply(turned).fingerprint() == scaler.apply(lost).fingerprint()


def test_another_kind_is_refused():
    scaler = Scaler.fit(one(*table([[1.0, 2.0]])))
    m, v = embedding([[1.0, 2.0]])
    other = make([Modality("t", "embedding")], {"t": v})
    with pytest.raises(DataError, match="was of kind table in training; got embedding"):
        scaler.apply(other)
    assert m.kind == "embedding"


def test_regression_targets_are_standardised_over_labelled_rows():
    m, v = table(np.zeros((3, 2)))
    data = one(m, v, target=[1.0, 3.0, np.nan], task=Task("regression"))
    scaler = Scaler.fit(data)
    assert (scaler.target_mean, scaler.target_std) == (2.0, 1.0)
    np.testing.assert_array_equal(scaler.apply(data).target, [-1.0, 1.0, np.nan])
    same = Scaler.fit(one(m, v, target=[4.0, 4.0, 4.0], task=Task("regression")))
    assert (same.target_mean, same.target_std) == (4.0, 1.0)


def test_class_targets_are_matched_by_name():
    m, v = table(np.zeros((3, 2)))
    task = Task("multiclass", ("a", "b", "c"))
    scaler = Scaler.fit(one(m, v, target=[0, 1, 2], task=task))
    assert (scaler.target_mean, scaler.target_std) == (0.0, 1.0)
    other = one(m, v, target=[0, 1, np.nan], task=Task("multiclass", ("c", "a")))
    out = scaler.apply(other)
    np.testing.assert_array_equal(out.target, [2.0, 0.0, np.nan])
    assert out.task == task
    with pytest.raises(DataError, match="classes must be those of training"):
        scaler.apply(one(m, v, target=[0, 1, 0], task=Task("multiclass", ("a", "zz"))))
    with pytest.raises(DataError, match="task was multiclass"):
        scaler.apply(one(m, v, target=[0, 1, 0], task=Task("binary")))
    assert scaler.apply(one(m, v)).target is None


def test_no_rows_and_a_modality_that_nobody_has():
    data = everything()
    scaler = Scaler.fit(data)
    assert len(scaler.apply(data[:0])) == 0
    nothing = data.lose(np.ones(data.shape, dtype=bool))
    fitted = Scaler.fit(nothing)
    assert fitted.stats["t"]["std"].tolist() == [0.0, 0.0]
    assert fitted.apply(data).values["c"].data["code"].tolist() == [-1, -1, -1]
    assert Scaler.fit(data[:0]).target_std == 1.0
