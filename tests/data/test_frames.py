"""Data sets from pandas, polars and pyarrow."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amodal.data.dataset import Dataset
from amodal.data.frames import Frame, dataset_from_frame
from amodal.errors import AmodalError, DataError, UnknownNameError
from amodal.types import Modality, Task

COLUMNS = {
    "patient": ["p", "q", "r"],
    "age": [50, None, 70],
    "sex": ["f", None, "m"],
    "smoker": [True, None, False],
    "ph": [7.4, 7.2, None],
    "died": [0, 1, None],
    "ward": ["x", "x", "y"],
    "part": ["train", None, "test"],
    "w": [1.0, 2.0, 0.5],
}
GROUPS = {"history": ["age", "sex", "smoker"], "gases": ["ph"]}
NAMED = {"target": "died", "row_id": "patient", "group": "ward", "split": "part", "weight": "w"}

FRAMES = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas_nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas_object": lambda: pd.DataFrame(COLUMNS, dtype=object),
    "pandas_arrow": lambda: pd.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "pyarrow": lambda: pa.table(COLUMNS),
}


@pytest.mark.parametrize("library", FRAMES)
def test_every_library_gives_the_same_data_set(library):
    data = dataset_from_frame(FRAMES[library](), GROUPS, **NAMED)
    assert data.row_id.tolist() == ["p", "q", "r"]
    assert data.group.tolist() == ["x", "x", "y"]
    assert data.split.tolist() == ["train", "", "test"]
    assert data.weight.tolist() == [1.0, 2.0, 0.5]
    assert (data.task.kind, data.task.classes, data.task.name) == ("binary", ("0", "1"), "died")
    np.testing.assert_array_equal(data.target, [0, 1, np.nan])
    history, gases = data.modalities
    assert (history.features, gases.features) == (("age",), ("ph",))
    assert history.levels["sex"] == ("f", "m")
    assert history.levels["smoker"] == ("False", "True")
    assert data.present.tolist() == [[True, True], [False, True], [True, False]]
    assert data.values["history"].data["numeric"].tolist() == [[50.0], [70.0]]
    assert data.values["history"].data["categorical"].tolist() == [[0, 1], [1, 0]]
    assert data.values["gases"].data["numeric"].tolist() == [[7.4], [7.2]]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"c": pd.Categorical(["lo", None, "hi"], categories=["lo", "mid", "hi"])}),
        pl.DataFrame({"c": ["lo", None, "hi"]}, schema={"c": pl.Enum(["lo", "mid", "hi"])}),
    ],
)
def test_categorical_columns_keep_their_levels_and_order(frame):
    data = dataset_from_frame(frame, {"a": ["c"]})
    assert data.modalities[0].levels == {"c": ("lo", "mid", "hi")}
    assert data.values["a"].data["categorical"].tolist() == [[0], [2]]
    assert data.task is None


def test_a_categorical_target_keeps_its_classes():
    grade = pd.Categorical(["mild", "severe", None], categories=["none", "mild", "severe"])
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "grade": grade})
    data = dataset_from_frame(frame, {"a": ["x"]}, target="grade")
    assert data.task == Task("multiclass", ("none", "mild", "severe"), "grade")
    np.testing.assert_array_equal(data.target, [1, 2, np.nan])


def test_dictionary_and_decimal_columns():
    table = pa.table(
        {
            "c": pa.array(["b", None, "a"]).dictionary_encode(),
            "d": pa.array([1, None, 2], pa.decimal128(5, 2)),
            "i": pa.array([2**60 + 1, 2**60, 3]),
        }
    )
    data = dataset_from_frame(table, {"a": ["c", "d"]}, row_id="i")
    assert data.modalities[0].levels == {"c": ("a", "b")}
    assert data.values["a"].data["numeric"].tolist() == [[1.0], [2.0]]
    assert data.row_id.tolist() == [str(2**60 + 1), str(2**60), "3"]
    polars = pl.from_arrow(table)
    assert dataset_from_frame(polars, {"a": ["c", "d"]}, row_id="i").fingerprint() == (
        data.fingerprint()
    )


def test_row_ids_come_from_a_unique_index():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[10, 11, 12])
    assert dataset_from_frame(frame, {"a": ["x"]}).row_id.tolist() == ["10", "11", "12"]
    assert dataset_from_frame(frame[1:], {"a": ["x"]}).row_id.tolist() == ["11", "12"]
    repeated = frame.set_axis([1, 1, 2], axis=0)
    assert dataset_from_frame(repeated, {"a": ["x"]}).row_id.tolist() == ["0", "1", "2"]
    assert dataset_from_frame(pl.DataFrame({"x": [1.0]}), {"a": ["x"]}).row_id.tolist() == ["0"]


def test_several_targets_are_labels():
    frame = pd.DataFrame({"x": [1.0, 2.0], "p": [0, 1], "q": [1.0, None]})
    data = dataset_from_frame(frame, {"a": ["x"]}, target=["p", "q"])
    assert data.task == Task("multilabel", ("p", "q"))
    np.testing.assert_array_equal(data.target, [[0, 1], [1, np.nan]])


def test_a_modality_says_what_is_categorical():
    frame = pd.DataFrame({"x": [None, None], "icu": [2, 1]})
    known = Modality("a", "table", features=("x",), levels={"icu": ("1", "2", "3")})
    data = dataset_from_frame(frame, {"a": known})
    assert data.modalities[0].levels == {"icu": ("1", "2", "3")}
    assert data.values["a"].data["categorical"].tolist() == [[1], [0]]
    assert np.isnan(data.values["a"].data["numeric"]).all()


def test_columns_without_text_names():
    data = dataset_from_frame(pd.DataFrame(np.eye(2)), {"a": [0], "b": ["1"]}, target=0 or None)
    assert [m.features for m in data.modalities] == [("0",), ("1",)]


def test_from_frame_and_no_rows():
    data = Dataset.from_frame(pd.DataFrame(COLUMNS)[:0], GROUPS, target="died")
    assert (data.shape, data.task) == ((0, 2), None)


FRAME = pd.DataFrame(COLUMNS)
REFUSED = [
    (FRAME, {"a": ["agee"]}, {}, UnknownNameError, "unknown column 'agee': did you mean 'age'"),
    (FRAME, {"a": ["age"]}, {"target": "dead"}, UnknownNameError, "unknown column 'dead'"),
    (FRAME, {"a": ["age"]}, {"row_id": "nope"}, UnknownNameError, "unknown column 'nope'"),
    (FRAME, {"a": ["age", "died"]}, {"target": "died"}, DataError, "column 'died'; leave it out"),
    (FRAME, {"a": ["patient"]}, {"row_id": "patient"}, DataError, "must not hold the answer"),
    (FRAME, {"a": "age"}, {}, DataError, "needs a list of columns; got 'age'"),
    (FRAME, {"a": []}, {}, DataError, "needs a list of columns"),
    (FRAME, {}, {}, DataError, "at least one name"),
    (FRAME, ["age"], {}, DataError, "at least one name"),
    (FRAME, {"a": ["age"]}, {"row_id": "ward"}, DataError, "row ids must be unique; 1 of them"),
    (FRAME, {"a": ["age"]}, {"row_id": "sex"}, DataError, "row_id must be known for every row; 1"),
    (FRAME, {"a": ["age"]}, {"weight": "ward"}, DataError, "weight must hold numbers"),
    (FRAME, {"a": ["age"]}, {"split": "ward"}, DataError, "split must be one of"),
    (FRAME.assign(age=np.inf), {"a": ["age"]}, {}, DataError, "3 infinite ones"),
    (
        FRAME.assign(age=datetime.datetime(2020, 1, 1)),
        {"a": ["age"]},
        {},
        DataError,
        "must hold numbers, texts or truth values",
    ),
    (FRAME.assign(age=[[1], [2], [3]]), {"a": ["age"]}, {}, DataError, "got list; convert it"),
    (
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        {"a": ["x"]},
        {},
        DataError,
        "columns of a frame must have unique names",
    ),
    (pl.DataFrame(COLUMNS).lazy(), GROUPS, {}, DataError, r"got LazyFrame; call collect\(\) first"),
    ({"age": [1]}, {"a": ["age"]}, {}, DataError, "got dict; convert it, or use from_arrays"),
    (
        pl.DataFrame({"x": [datetime.date(2020, 1, 1)]}),
        {"a": ["x"]},
        {},
        DataError,
        "got date; convert it",
    ),
]


@pytest.mark.parametrize(("frame", "groups", "named", "error", "message"), REFUSED)
def test_bad_frames_are_one_sentence(frame, groups, named, error, message):
    with pytest.raises(error, match=message) as caught:
        dataset_from_frame(frame, groups, **named)
    assert "\n" not in str(caught.value)


def test_a_frame_is_not_written_to():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    data = dataset_from_frame(frame, {"a": ["x"]}, target="y")
    frame.loc[0, "x"] = 99.0
    assert data.values["a"].data["numeric"].tolist() == [[1.0], [2.0]]
    assert Frame(frame).names == ("x", "y")


cells = st.one_of(
    st.lists(st.none() | st.floats() | st.integers(-(2**40), 2**40), min_size=3, max_size=3),
    st.lists(st.none() | st.text(max_size=3), min_size=3, max_size=3),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3),
    st.lists(st.none() | st.dates(), min_size=3, max_size=3),
)
name = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(name, cells, max_size=4),
    st.dictionaries(st.sampled_from(["m", "n"]), st.lists(name, max_size=3), max_size=2),
    st.dictionaries(st.sampled_from(["target", "row_id", "group", "weight"]), name, max_size=2),
    st.sampled_from(
        [pd.DataFrame, lambda x: pl.DataFrame(x, strict=False), pd.DataFrame.from_dict]
    ),
)
def test_garbage_gives_an_error_of_ours_or_a_data_set(columns, groups, named, make):
    frame = make(columns)
    try:
        data = dataset_from_frame(frame, groups, **named)
    except AmodalError:
        return
    assert data.shape == (len(frame), len(groups))
