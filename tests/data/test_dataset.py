"""Invariants of `Dataset`, `Values` and their checks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_predict, cross_val_score

from amodal.data.dataset import Dataset
from amodal.errors import DataError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values


def example(n: int = 6) -> Dataset:
    """Row i has table value i (absent where i % 3 == 2), series of i % 3 steps, and code c<i>."""
    nothing = np.arange(n) % 3 == 2
    return Dataset.from_arrays(
        {
            "table": np.where(nothing, np.nan, np.arange(float(n)))[:, None],
            "series": [(np.arange(i % 3), np.full((i % 3, 2), float(i))) for i in range(n)],
            "codes": [[f"c{i}", f"c{i}"] for i in range(n)],
        },
        np.arange(n) % 2,
        rows={
            "row_id": [f"r{i}" for i in range(n)],
            "group": [f"g{i // 2}" for i in range(n)],
            "split": ["test" if i == 0 else "" for i in range(n)],
            "weight": np.arange(n) + 1.0,
        },
        task=Task("binary"),
    )


def content(data: Dataset) -> list[tuple]:
    """What each row holds, found without `Values.take`."""
    rows = []
    for i in range(len(data)):
        cells = [str(data.row_id[i]), *(float(x[i]) for x in (data.target, data.weight))]
        for name in data.names:
            v = data.values[name]
            j = int(v.index[i])
            if j < 0:
                cells.append(None)
            elif v.offsets is None:
                cells.append({k: x[j].tolist() for k, x in v.data.items()})
            else:
                steps = slice(v.offsets[j], v.offsets[j + 1])
                cells.append({k: str(x[steps].tolist()) for k, x in v.data.items()})
        rows.append((*cells, data.absence[i].tolist(), str(data.group[i]), str(data.split[i])))
    return rows


# -- selection ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (3, [3]),
        (-1, [5]),
        (np.int64(2), [2]),
        (slice(1, 6, 2), [1, 3, 5]),
        (slice(0, 0), []),
        ([4, 0], [4, 0]),
        ([], []),
        (np.array([-1, 0]), [5, 0]),
        (np.array([True, False, False, True, False, False]), [0, 3]),
        ((np.array([2, 1]), Ellipsis), [2, 1]),
        ((slice(2, 4), slice(None)), [2, 3]),
    ],
)
def test_indexing_picks_the_rows_that_numpy_picks(rows, expected):
    whole = content(example())
    assert content(example()[rows]) == [whole[i] for i in expected]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 8), unique=True))
def test_take_keeps_each_row_whole_and_drops_values_of_no_row(rows):
    whole, part = example(9), example(9).take(np.array(rows))
    assert content(part) == [content(whole)[i] for i in rows]
    for v in part.values.values():
        assert len(v) == (v.index >= 0).sum()


def test_shared_values_are_kept_once():
    x = np.array([[1.0], [2.0]])
    values = {"a": Values({"value": x}, None, np.array([1, -1, 1, 0]))}
    absence = np.array([[0], [1], [0], [0]])
    data = Dataset((Modality("a", "embedding"),), values, absence, np.arange(4))
    picked = data.take([0, 2]).values["a"]
    assert picked.data["value"].tolist() == [[2.0]]
    assert picked.index.tolist() == [0, 0]


def test_index_of_modalities_is_refused():
    with pytest.raises(DataError, match=r"indexed by rows alone.*use select\(names\)"):
        example()[:, 0]
    with pytest.raises(IndexError):
        example()[99]


def test_take_refuses_repeats_and_resample_renames_them():
    with pytest.raises(DataError, match="row ids are unique; some positions repeat; use resample"):
        example().take([1, 1])
    twice = example().resample([1, 1, -5, 0])
    assert twice.row_id.tolist() == ["r1", "r1#1", "r1#2", "r0"]
    whole = content(example())
    assert [row[1:] for row in content(twice)] == [whole[i][1:] for i in (1, 1, 1, 0)]


def test_resample_of_a_resample_has_unique_names():
    twice = example().resample([1, 1])
    assert twice.resample([0, 0, 1]).row_id.tolist() == ["r1", "r1#2", "r1#1"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=8), min_size=1, max_size=3))
def test_resampling_again_and_again_never_repeats_a_name(draws):
    data = example(4)
    for rows in draws:
        data = data.resample(np.array(rows))
        assert len(set(data.row_id.tolist())) == len(rows)


def test_zero_and_one_row():
    none, one = example()[:0], example()[:1]
    assert (none.shape, len(none), none.labelled.tolist()) == ((0, 3), 0, [])
    assert (one.shape, one.present.tolist()) == ((1, 3), [[True, False, True]])
    assert none.resample([]).shape == (0, 3)
    assert [len(row) for row in example(3)] == [1, 1, 1]


def test_select_reorders_modalities():
    data = example().select(["codes", "table"])
    assert data.names == ("codes", "table")
    assert data.present.tolist() == example().present[:, [2, 0]].tolist()
    with pytest.raises(UnknownNameError, match="unknown modality 'code': did you mean 'codes'"):
        example().select(["code"])


class Majority(ClassifierMixin, BaseEstimator):
    """Predicts the commonest class; remembers how it was indexed."""

    def fit(self, X, y):
        assert isinstance(X, Dataset)
        assert len(X) == len(y)
        self.classes_ = np.unique(y)
        self.best_ = float(np.bincount(y.astype(int)).argmax())
        return self

    def predict(self, X):
        return np.full(len(X), self.best_)


def test_scikit_learn_slices_it():
    data = example(30)
    y = np.array([0, 0, 1] * 10)
    assert cross_val_score(Majority(), data, y, cv=5).tolist() == pytest.approx([2 / 3] * 5)
    assert cross_val_predict(Majority(), data, y, cv=3).tolist() == [0.0] * 30


# -- absence --------------------------------------------------------------------------------------


def test_lose_overwrites_presence_and_not_measured_alike():
    data = example()
    lost = np.zeros(data.shape, dtype=bool)
    lost[0, 0] = lost[2, 0] = lost[1, 2] = True  # row 2 had no table
    after = data.lose(lost)
    expected = data.absence.copy()
    expected[lost] = LOST
    assert after.absence.tolist() == expected.tolist()
    assert data.absence[2, 0] == NOT_MEASURED
    assert after.values["table"].data["numeric"][:, 0].tolist() == [1.0, 3.0, 4.0]
    assert after.values["table"].index.tolist() == [-1, 0, -1, 1, 2, -1]
    assert "c1" not in [
        after.modality("codes").vocabulary[c] for c in after.values["codes"].data["code"]
    ]
    assert content(data) == content(example())


def test_lose_everything_and_nothing():
    data = example()
    gone = data.lose(np.ones(data.shape, dtype=bool))
    assert not gone.present.any()
    assert all(len(v) == 0 for v in gone.values.values())
    assert data.lose(np.zeros(data.shape, dtype=bool)).fingerprint() == data.fingerprint()
    with pytest.raises(DataError, match=r"one entry per row and modality, \(6, 3\); got \(6, 2\)"):
        data.lose(np.zeros((6, 2), dtype=bool))


# -- immutability ---------------------------------------------------------------------------------


def test_arrays_cannot_be_written_to():
    data = example()
    packed = [x for v in data.values.values() for x in (*v.data.values(), v.index)]
    for array in [data.absence, data.target, data.row_id, data.weight, data.group, *packed]:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array
    with pytest.raises(AttributeError):
        data.target = None


def test_callers_arrays_stay_writable_and_do_not_leak_in():
    weight, absence, value = np.ones(2), np.zeros((2, 1), np.int8), np.zeros((2, 1))
    values = {"a": Values({"value": value}, None, np.arange(2))}
    data = Dataset((Modality("a", "embedding"),), values, absence, np.arange(2), weight=weight)
    weight[0], absence[0, 0], value.flags.writeable = 9.0, LOST, True
    assert data.weight.tolist() == [1.0, 1.0]
    assert data.absence.tolist() == [[PRESENT], [PRESENT]]
    values["b"] = None
    assert list(data.values) == ["a"]


def test_pickles_for_other_processes():
    data = example()
    assert pickle.loads(pickle.dumps(data)).fingerprint() == data.fingerprint()


# -- fingerprint ----------------------------------------------------------------------------------


def test_fingerprint_is_of_contents_not_of_types():
    def make(ids, x, index, code):
        values = {
            "a": Values({"value": x}, None, index),
            "c": Values({"code": code}, np.array([0, 1, 2]), index),
        }
        modalities = (Modality("a", "embedding"), Modality("c", "codes", vocabulary=("u", "v")))
        return Dataset(modalities, values, np.zeros((2, 2), np.int8), ids).fingerprint()

    one = make(np.array(["a", "b"]), np.ones((2, 1), np.float32), np.arange(2), np.array([0, 1]))
    assert one == make(
        np.array(["a", "b"], dtype="U9"),
        np.asfortranarray(np.ones((2, 1))),
        np.arange(2, dtype=np.int32),
        np.array([0, 1], dtype=np.int8),
    )
    assert one != make(np.array(["a", "c"]), np.ones((2, 1)), np.arange(2), np.array([0, 1]))


def test_fingerprint_tells_every_part():
    data = example()
    lost = np.zeros(data.shape, dtype=bool)
    lost[2, 0] = True  # not measured -> lost: values stay the same
    task = Task("binary", ("no", "yes"))
    other = [
        data,
        data[:5],
        data[[1, 0, 2, 3, 4, 5]],
        data.select(["codes", "table", "series"]),
        data.lose(lost),
        data.replace(target=1 - data.target),
        data.replace(target=None),
        data.replace(task=task),
        data.replace(group=data.split, split=None),
        data.replace(group=None),
        data.replace(weight=None),
        data.replace(row_id=[f"s{i}" for i in range(6)]),
    ]
    assert len({d.fingerprint() for d in other}) == len(other)
    assert data.replace(provenance={"a": 1}).fingerprint() == data.fingerprint()


def test_columns_of_rows_become_their_types():
    data = Dataset.from_arrays({"x": [[1.0], [2.0]]}).replace(group=np.array([1.0, 2.5]))
    assert data.group.tolist() == ["1.0", "2.5"]
    assert data[:0].replace(split=[]).split.dtype.kind == "U"


def test_texts_of_rows_do_not_run_together():
    a, b = (
        Dataset.from_arrays({"x": [[1.0], [1.0]]}, rows={"row_id": ids})
        for ids in (["ab", "c"], ["a", "bc"])
    )
    assert a.fingerprint() != b.fingerprint()


# -- what may be left out -------------------------------------------------------------------------


def test_arrays_that_may_be_left_out_are_filled_in():
    values = {
        "t": Values({"numeric": np.ones((1, 2))}, None, np.array([0])),
        "c": Values({"code": np.array([0, 0])}, np.array([0, 2]), np.array([0])),
    }
    modalities = (Modality("t", "table"), Modality("c", "codes", vocabulary=("u",)))
    data = Dataset(modalities, values, np.zeros((1, 2)), [7])
    assert data.values["t"].data["categorical"].shape == (1, 0)
    assert data.values["c"].data["type"].tolist() == [-1, -1]
    assert np.isnan(data.values["c"].data["time"]).all()
    assert data.row_id.tolist() == ["7"]
    assert data.absence.dtype == np.int8


# -- checks ---------------------------------------------------------------------------------------


def broken(**changes):
    """One table of two rows with some parts changed."""
    base = {
        "modalities": (Modality("a", "table", features=("x",)),),
        "values": {"a": Values({"numeric": np.ones((2, 1))}, None, np.arange(2))},
        "absence": np.zeros((2, 1), np.int8),
        "row_id": np.array(["p", "q"]),
    }
    return Dataset(**{**base, **changes})


def table(numeric, index=(0, 1), **data):
    data = {"numeric": np.array(numeric), **data}
    return {"values": {"a": Values(data, None, np.array(index))}}


def series(offsets, index=(0, 1)):
    v = Values({"time": np.zeros(2), "value": np.ones((2, 1))}, offsets, np.array(index))
    return {"values": {"a": v}, "modalities": (Modality("a", "series", features=("x",)),)}


CATEGORICAL = (Modality("a", "table", levels={"c": ("u", "v")}),)

BROKEN = [
    ({"row_id": np.array(["p", "p"])}, "row ids must be unique; 1 of them occur more than once"),
    ({"row_id": np.array(["p"])}, r"\(1, 1\); got \(2, 1\)"),
    ({"modalities": ()}, "at least one modality; got none"),
    ({"modalities": (Modality("a", "table"),) * 2}, "modality names must be unique; got a, a"),
    ({"modalities": (Modality("b", "table"),)}, "values must be given for each modality, b; got a"),
    ({"absence": np.full((2, 1), 3)}, "absence must hold 0"),
    ({"absence": np.full((2, 1), 0.5)}, "absence must hold 0"),
    ({"absence": np.array([[0], [1]])}, "exactly where it is present"),
    ({"weight": [1.0, 0.0]}, "weights must be positive and finite"),
    ({"weight": ["a", "b"]}, "weight must hold numbers"),
    ({"weight": [1.0]}, r"weight must have one entry per row \(2\); got 1"),
    ({"group": np.array([["a"], ["b"]])}, r"group has one entry per row; got shape \(2, 1\)"),
    ({"split": ["train", "dev"]}, "split must be one of train, valid, calibration, test.*got dev"),
    ({"target": [0, 1]}, "a target needs a task"),
    ({"target": [0, 2], "task": Task("binary")}, "class positions 0 to 1 or NaN"),
    ({"target": [0.5, 1], "task": Task("multiclass", ("a", "b"))}, "class positions 0 to 1"),
    ({"target": [0, np.inf], "task": Task("regression")}, "finite numbers.*got 1 infinite"),
    ({"target": [[0], [1]], "task": Task("binary")}, r"one number per row; got shape \(2, 1\)"),
    ({"target": [0, 1], "task": Task("multilabel", ("a",))}, "one column per label"),
    (table([[1.0], [np.inf]]), "modality 'a' must hold finite numbers.*got 1 infinite ones"),
    (table([[1.0], [2.0]], index=(0, 2)), "must point at one of its 2 values"),
    (table([[1.0], [2.0]], index=(0, -2)), "exactly where it is present, else index -1"),
    (table([[1.0], [2.0]], index=(0, 1, 1)), r"the index of modality 'a'.*\(2\); got 3"),
    (table([[1.0, 2.0], [3.0, 4.0]]), "names 1 features; its values have 2"),
    (table([1.0, 2.0]), "'numeric' of modality 'a' must have 2 dimensions"),
    (table([["u"], ["v"]]), "'numeric' of values has the wrong type"),
    (table([[1.0], [2.0]], value=np.ones(2)), "have the arrays numeric, categorical"),
    (table([[1.0], [2.0]], categorical=np.zeros((2, 1), int)), "names the levels of 0 columns"),
    (
        {"modalities": CATEGORICAL, **table(np.ones((2, 0)), categorical=np.array([[0], [2]]))},
        "'c' of modality 'a' must hold positions in its 2 names",
    ),
    (
        {"modalities": (Modality("a", "table", features=("x", "x")),), **table(np.ones((2, 2)))},
        "features of modality 'a' must be unique",
    ),
    (series(None), "values of kind 'series' need offsets"),
    (series(np.array([0, 2, 2])), "each value having at least one step"),
    (series(np.array([1, 2, 3])), "must rise from 0"),
    (series(np.array([0, 1, 3])), r"'time' of modality 'a' must have one entry per row \(3\)"),
    (series(np.array([0, 2])), "must point at one of its 1 values"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_broken_invariants_are_named(changes, message):
    broken()
    with pytest.raises(DataError, match=message):
        broken(**changes)
