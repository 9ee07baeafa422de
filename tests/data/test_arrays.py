"""Data sets from arrays in memory: what is read, what is inferred, what is refused."""

from __future__ import annotations

import copy
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amodal.data.arrays import dataset_from_arrays
from amodal.data.cells import factorise, sorted_names
from amodal.data.dataset import Dataset
from amodal.data.packing import pivot
from amodal.data.targets import encode_target
from amodal.errors import AmodalError, DataError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality, Task

NAN = float("nan")


def one(entries, kind=None, **more):
    """The modality and values of a data set with one modality."""
    modalities = () if kind is None else [kind] if isinstance(kind, Modality) else {"a": kind}
    data = dataset_from_arrays({"a": entries}, modalities=modalities, **more)
    return data.modalities[0], data.values["a"]


def row_steps(v, i, *keys):
    """The steps of row i, as lists."""
    j = v.index[i]
    steps = slice(v.offsets[j], v.offsets[j + 1])
    return [v.data[k][steps].tolist() for k in keys]


# -- tables ---------------------------------------------------------------------------------------


def test_table_nan_row_is_absent_and_nan_cell_is_missing():
    m, v = one(np.array([[1.0, NAN], [NAN, NAN], [3.0, 4.0]]))
    assert (m.kind, m.features, m.levels) == ("table", ("x0", "x1"), {})
    assert v.index.tolist() == [0, -1, 1]
    np.testing.assert_array_equal(v.data["numeric"], [[1.0, NAN], [3.0, 4.0]])
    assert v.data["categorical"].shape == (2, 0)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        ([[1.0, 2.0], None, []], [[1.0, 2.0]]),
        ([None, np.array([1, 2])], [[1.0, 2.0]]),
        ([[1.0, None], [None, None]], [[1.0, NAN]]),
        ([[1.0, None], NAN, [Decimal("0.5"), 2]], [[1.0, NAN], [0.5, 2.0]]),
        ([1.0, None, 3], [[1.0], [3.0]]),
        (np.array([1, 2]), [[1.0], [2.0]]),
        (np.array([True, False]), None),
        (np.ma.masked_array([[1.0], [2.0]], mask=[[False], [True]]), [[1.0]]),
        (pd.DataFrame({"p": [1.0, NAN]}), [[1.0]]),
        (pd.Series([1.0, NAN, 2.0]), [[1.0], [2.0]]),
        (pd.Series([1, None], dtype="Int64"), [[1.0]]),
        (([i] for i in range(2)), [[0.0], [1.0]]),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ],
)
def test_forms_of_a_table(entries, expected):
    m, v = one(entries)
    if expected is None:  # truth values are names
        assert m.levels == {"x0": ("False", "True")}
        assert v.data["categorical"].tolist() == [[1], [0]]
    else:
        np.testing.assert_array_equal(v.data["numeric"], expected)
        assert len(v) == (v.index >= 0).sum()


def test_float32_stays_and_other_numbers_become_float64():
    assert one(np.ones((2, 2), np.float32))[1].data["numeric"].dtype == np.float32
    assert one([np.ones(2, np.float32), None])[1].data["numeric"].dtype == np.float32
    assert one(np.ones((2, 2), np.int8))[1].data["numeric"].dtype == np.float64
    assert one(np.ones((2, 2), np.float16))[1].data["numeric"].dtype == np.float64


def test_columns_of_text_are_categorical():
    m, v = one(np.array([["b", 1, None], ["a", None, "x"], [None, None, NAN]], dtype=object))
    assert m.features == ("x1",)
    assert m.levels == {"x0": ("a", "b"), "x2": ("x",)}
    assert v.index.tolist() == [0, 1, -1]
    assert v.data["categorical"].tolist() == [[1, -1], [0, 0]]
    np.testing.assert_array_equal(v.data["numeric"], [[1.0], [NAN]])


def test_declared_levels_come_first_and_numbers_are_their_names():
    known = Modality("a", "table", features=("x",), levels={"c": ("9", "1")})
    m, v = one(np.array([[5.0, 1.0], [6.0, 10.0], [NAN, NAN]]), known)
    assert m.levels == {"c": ("9", "1", "10")}
    assert v.data["categorical"].tolist() == [[1], [2]]
    assert v.data["numeric"].tolist() == [[5.0], [6.0]]


def test_all_absent_table_keeps_its_columns():
    m, v = one(np.full((3, 2), NAN))
    assert (m.features, len(v), v.index.tolist()) == (("x0", "x1"), 0, [-1, -1, -1])
    m, v = one([None, None], Modality("a", "table", features=("p", "q")))
    assert v.data["numeric"].shape == (0, 2)


# -- ragged kinds ---------------------------------------------------------------------------------


def test_series_is_sorted_and_steps_without_anything_go():
    entries = [
        ([3, 1, 2], [[30.0, 3.0], [10.0, NAN], [NAN, NAN]]),
        None,
        ((), ()),
        ([5.0], [[NAN, NAN]]),
        (np.array([0.0]), np.array([[None, 7.0]], dtype=object)),
    ]
    m, v = one(entries)
    assert (m.kind, m.features) == ("series", ("x0", "x1"))
    assert v.index.tolist() == [0, -1, -1, -1, 1]
    assert v.offsets.tolist() == [0, 2, 3]
    assert v.data["time"].tolist() == [1.0, 3.0, 0.0]
    np.testing.assert_array_equal(v.data["value"], [[10.0, NAN], [30.0, 3.0], [NAN, 7.0]])


def test_series_of_one_variable_may_be_flat_and_ties_keep_their_order():
    _, v = one([([1, 0, 1], [5.0, 6.0, 4.0])], Modality("a", "series", features=("hr",)))
    assert v.data["time"].tolist() == [0.0, 1.0, 1.0]
    assert v.data["value"].tolist() == [[6.0], [5.0], [4.0]]


def test_codes_with_types_and_times():
    entries = [
        [("I10", "dx", 5.0), "E11", ("A01", "rx", 1.0)],
        [],
        [("E11", None, None), ("I10",)],
    ]
    m, v = one(entries)
    assert (m.kind, m.vocabulary, m.types) == ("codes", ("A01", "E11", "I10"), ("dx", "rx"))
    code, kind, time = row_steps(v, 0, "code", "type", "time")
    assert (code, kind) == ([0, 2, 1], [1, 0, -1])  # by time, the unknown one last
    np.testing.assert_array_equal(time, [1.0, 5.0, NAN])
    assert row_steps(v, 2, "code") == [[1, 2]]  # without times: as given
    assert v.index.tolist() == [0, -1, 1]


def test_a_declared_vocabulary_comes_first():
    m, v = one([["b", "z"], ["a"]], Modality("a", "codes", vocabulary=("b", "c")))
    assert m.vocabulary == ("b", "c", "a", "z")
    assert v.data["code"].tolist() == [0, 3, 2]
    m, v = one([[7], [8.0, None]], "codes")
    assert (m.vocabulary, v.data["code"].tolist()) == (("7", "8"), [0, 1])


def test_rows_that_hold_the_same_object_share_one_value():
    image, report = ([0.0], [[1.0]]), ["I10"]
    data = dataset_from_arrays({"s": [image, None, image], "c": [report, report, ["E11"]]})
    assert (len(data.values["s"]), data.values["s"].index.tolist()) == (1, [0, -1, 0])
    assert (len(data.values["c"]), data.values["c"].index.tolist()) == (2, [0, 0, 1])


def test_embedding_and_text():
    m, v = one([[1.0, 2.0], None], "embedding")
    assert (m.features, v.data["value"].tolist(), v.index.tolist()) == (
        ("x0", "x1"),
        [[1.0, 2.0]],
        [0, -1],
    )
    _, v = one(["one", "", None, "two", "one"], "text")
    assert v.data["source"].tolist() == ["one", "two"]
    assert v.index.tolist() == [0, -1, -1, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_series_hold_what_was_handed_in(data):
    number = st.one_of(st.just(NAN), st.integers(-5, 5).map(float))
    rows = data.draw(
        st.lists(st.lists(st.tuples(st.integers(0, 3), number, number), max_size=5), max_size=5)
    )
    entries = [([r[0] for r in row], [r[1:] for r in row]) for row in rows]
    _, v = one(entries, Modality("a", "series", features=("p", "q")))
    for i, row in enumerate(rows):
        seen = sorted((r for r in row if r[1] == r[1] or r[2] == r[2]), key=lambda r: r[0])
        if not seen:
            assert v.index[i] == -1
            continue
        time, value = row_steps(v, i, "time", "value")
        np.testing.assert_array_equal(time, [r[0] for r in seen])
        np.testing.assert_array_equal(value, [list(r[1:]) for r in seen])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_pivot_against_a_dictionary(lines):
    row, time, variable = (np.array([x[k] for x in lines], dtype=int) for k in range(3))
    value = np.arange(len(lines), dtype=float)
    steps: dict = {}
    for i, (r, t, k) in enumerate(lines):
        repeat = 0
        while k in steps.setdefault((r, t, repeat), {}):
            repeat += 1
        steps[r, t, repeat][k] = float(i)
    rows, times, matrix = pivot(row, time.astype(float), variable, value, 3)
    found = [
        (int(r), int(t), {k: x for k, x in enumerate(line) if x == x})
        for r, t, line in zip(rows, times, matrix.tolist(), strict=True)
    ]
    assert found == [(r, t, cells) for (r, t, _), cells in sorted(steps.items())]


# -- names ----------------------------------------------------------------------------------------


def test_numbers_sort_as_numbers_and_texts_as_texts():
    assert sorted_names({"10", "9", "-1"}) == ("-1", "9", "10")
    assert sorted_names({"nan", "2", "10"}) == ("10", "2", "nan")
    codes, levels = factorise("x", np.array([True, 1, "1", None, 2.5], dtype=object))
    assert levels == ("1", "2.5", "True")
    assert codes.tolist() == [2, 0, 0, -1, 1]
    big = np.array([2**60 + 1, 2**60])
    assert factorise("x", big)[1] == (str(2**60), str(2**60 + 1))


# -- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind", "classes", "encoded"),
    [
        ([0, 1, 1], "binary", ("0", "1"), [0, 1, 1]),
        ([0, 0, None], "binary", ("0", "1"), [0, 0, NAN]),
        ([True, False, True], "binary", ("False", "True"), [1, 0, 1]),
        ([3.5, -1, 3.5], "binary", ("-1", "3.5"), [1, 0, 1]),
        (["yes", "no", None], "binary", ("no", "yes"), [1, 0, NAN]),
        (["b", "a", "c"], "multiclass", ("a", "b", "c"), [1, 0, 2]),
        (["10", "9", "8"], "multiclass", ("8", "9", "10"), [2, 1, 0]),
        ([2, 10, 1], "multiclass", ("1", "2", "10"), [1, 2, 0]),
        ([2.0, 10.0, 1.0, NAN], "multiclass", ("1", "2", "10"), [1, 2, 0, NAN]),
        (np.arange(21), "regression", (), np.arange(21.0)),
        ([0.5, 1, 2, None], "regression", (), [0.5, 1, 2, NAN]),
        ([7.0, 7.0], "regression", (), [7, 7]),
        (pd.Series([1, None, 0], dtype="Int64"), "binary", ("0", "1"), [1, NAN, 0]),
        ([[0, 1], [1, NAN]], "multilabel", ("0", "1"), [[0, 1], [1, NAN]]),
        (np.array([[1.5], [2.5], [3.5]]), "regression", (), [1.5, 2.5, 3.5]),
        (np.array(["b", "a"]), "binary", ("a", "b"), [1, 0]),
        (["a", NAN, "b"], "binary", ("a", "b"), [0, NAN, 1]),
    ],
)
def test_inferred_tasks(target, kind, classes, encoded):
    task, y = encode_target(target)
    assert (task.kind, task.classes) == (kind, classes)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, encoded)


@pytest.mark.parametrize("target", [None, [None, NAN], np.full(3, NAN), []])
def test_no_labels_no_task(target):
    assert encode_target(target) == (None, None)


@pytest.mark.parametrize(
    ("target", "task", "encoded"),
    [
        ([1, 2, 3], Task("multiclass", ("1", "2", "3")), [0, 1, 2]),  # names before positions
        ([0, 2, 1], Task("multiclass", ("a", "b", "c")), [0, 2, 1]),
        (["c", None], Task("multiclass", ("a", "b", "c")), [2, NAN]),
        ([1.0, 1.0], Task("binary"), [1, 1]),  # one class is allowed
        ([False, True], Task("binary", ("alive", "dead")), [0, 1]),
        (["dead", "alive"], Task("binary", ("alive", "dead")), [1, 0]),
        ([1, 2], Task("regression"), [1, 2]),
        ([None, None], Task("binary"), [NAN, NAN]),
        ([0, 1], Task("multilabel", ("a",)), [[0], [1]]),
    ],
)
def test_targets_of_a_known_task(target, task, encoded):
    found, y = encode_target(target, task)
    assert found is task
    np.testing.assert_array_equal(y, encoded)


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        (["a", "a"], None, "texts needs at least two classes.*hand in the task"),
        ([0, 3], Task("multiclass", ("a", "b", "c")), r"\(a, b, c\) or positions 0 to 2; got 1"),
        (["a", "d"], Task("binary", ("a", "b")), "got 1 other values"),
        (["a"], Task("regression"), "the target must hold numbers"),
        ([[1, 2], [3, 4]], Task("binary"), r"one number per row; got shape \(2, 2\)"),
        ([[1, 2], [3, 4]], None, "0, 1 or NaN"),
        ([[1], [3, 4]], None, "one number or class name per row"),
        (np.zeros((2, 2, 2)), None, "one number or class name per row"),
        ([0, 1j], None, "one number or class name per row"),
        ([[1, 0]], Task("multilabel", ("a",)), r"one column per label \(1\); got 2"),
        ([{}, {}], None, "got dict"),
        ("abc", None, "one number or class name per row"),
    ],
)
def test_targets_that_are_refused(target, task, message):
    with pytest.raises(DataError, match=message):
        encode_target(target, task)


# -- rows -----------------------------------------------------------------------------------------


def test_columns_of_rows():
    data = dataset_from_arrays(
        {"a": [[1.0], [2.0]]},
        rows={
            "row_id": [10, 20],
            "group": ["p", 1.0],
            "split": ["train", None],
            "weight": [1, 2],
        },
        provenance={"from": "nowhere"},
    )
    assert data.row_id.tolist() == ["10", "20"]
    assert data.group.tolist() == ["p", "1"]
    assert data.split.tolist() == ["train", ""]
    assert data.weight.tolist() == [1.0, 2.0]
    assert data.provenance == {"from": "nowhere"}
    assert dataset_from_arrays({"a": [[1.0], [2.0]]}).row_id.tolist() == ["0", "1"]


def test_absence_marks_what_is_lost():
    arrays = {"a": [[1.0], [2.0], None], "b": [None, None, [[("x", "y")], "z"][1:]]}
    absence = [[PRESENT, LOST], [LOST, NOT_MEASURED], [NOT_MEASURED, PRESENT]]
    data = dataset_from_arrays(arrays, rows={"absence": absence}, modalities={"b": "codes"})
    assert data.absence.tolist() == absence
    assert data.values["a"].index.tolist() == [0, -1, -1]
    assert data.values["a"].data["numeric"].tolist() == [[1.0]]
    with pytest.raises(DataError, match="3 entries say otherwise"):
        dataset_from_arrays(arrays, rows={"absence": np.zeros((3, 2))}, modalities={"b": "codes"})


def test_input_is_copied_and_left_alone():
    x, y = np.array([[1.0], [NAN]]), [1, None]
    times, values = np.array([2.0, 1.0]), np.array([[1.0], [2.0]])
    arrays = {"a": x, "s": [(times, values), None]}
    before = copy.deepcopy(arrays)
    data = dataset_from_arrays(arrays, y)
    x[0, 0] = times[0] = values[0, 0] = 99.0
    assert data.values["a"].data["numeric"].tolist() == [[1.0]]
    assert data.values["s"].data["time"].tolist() == [1.0, 2.0]
    assert x.flags.writeable
    np.testing.assert_array_equal(before["a"], [[1.0], [NAN]])
    assert y == [1, None]


# -- what is refused ------------------------------------------------------------------------------


REFUSED = [
    ({}, {}, DataError, "at least one modality"),
    ({1: [[1.0]]}, {}, DataError, "a modality's name is a text; got int"),
    ({"a b": [[1.0]]}, {}, DataError, "letters, digits"),
    ({"a": 3}, {}, DataError, "'a' must be an array or a list.*got int"),
    ({"a": "text"}, {}, DataError, "got str"),
    ({"a": np.float64(3)}, {}, DataError, "'a' must be"),
    ({"a": np.zeros((2, 2, 2))}, {}, DataError, r"two dimensions; got shape \(2, 2, 2\)"),
    ({"a": [[1.0], [1.0, 2.0]]}, {}, DataError, "same number of columns.*got 1, 2"),
    ({"a": [[[1.0]], None]}, {}, DataError, "must be one vector, or None; got nested lists"),
    ({"a": np.zeros((2, 0))}, {}, DataError, "'a' needs at least one column; got none"),
    ({"a": [[1.0], [np.inf]]}, {}, DataError, "'a' must hold finite numbers.*1 infinite"),
    ({"a": [[1.0]], "b": [[1.0], [2.0]]}, {}, DataError, r"modality 'b'.*\(1\); got 2"),
    ({"a": [[1.0]]}, {"target": [1, 0]}, DataError, r"the target.*per row \(1\); got 2"),
    ({"a": np.zeros((1, 1), complex)}, {}, DataError, "numbers, texts or truth values"),
    ({"a": np.zeros((1, 1), "M8[s]")}, {}, DataError, "got datetime64"),
    ({"a": [None, None]}, {}, DataError, "cannot be told from entries that are all absent"),
    ({"a": ["some", "text"]}, {}, DataError, "cannot be told from texts"),
    ({"a": [[1.0]]}, {"modalities": {"b": "table"}}, UnknownNameError, "unknown modality 'b'"),
    ({"a": [[1.0]]}, {"modalities": {"a": "tabel"}}, UnknownNameError, "did you mean 'table'"),
    ({"a": [[1.0]]}, {"modalities": ["a"]}, DataError, "got str; hand in one of these"),
    (
        {"a": [[1.0]]},
        {"modalities": [Modality("a", "table", features=("x", "y"))]},
        DataError,
        "'a' names 2 columns; its entries have 1",
    ),
    ({"a": [[1.0]]}, {"rows": {"rowid": [1]}}, UnknownNameError, "did you mean 'row_id'"),
    ({"a": [[1.0], [2.0]]}, {"rows": {"row_id": [1, 1.0]}}, DataError, "row ids must be unique"),
    ({"a": [[1.0]]}, {"rows": {"group": [None]}}, DataError, "group must be known for every row"),
    ({"a": [[1.0]]}, {"rows": {"weight": ["x"]}}, DataError, "weight must hold numbers"),
    ({"a": [[1.0]]}, {"rows": {"absence": [[0, 0]]}}, DataError, r"\(1, 1\); got \(1, 2\)"),
    ({"a": [[1.0, NAN]]}, {"modalities": {"a": "embedding"}}, DataError, "1 of them have NaN"),
    ({"a": [["u"]]}, {"modalities": {"a": "embedding"}}, DataError, "must hold numbers"),
    ({"a": [([0, 1], [[1.0]])]}, {}, DataError, "as many rows of values as times; got 2"),
    ({"a": [([NAN], [[1.0]])]}, {}, DataError, "each step of series 'a' needs a time; 1 of them"),
    ({"a": [([np.inf], [[1.0]])]}, {}, DataError, "times of modality 'a' must hold finite"),
    ({"a": [([0], [["x"]])]}, {}, DataError, "must hold numbers"),
    ({"a": [([0], [1.0]), ([0], [[1.0, 2.0]])]}, {}, DataError, "number of variables.*got 1, 2"),
    ({"a": [[1.0], [2.0]]}, {"modalities": {"a": "series"}}, DataError, "a pair .times, values."),
    ({"a": [[("x", "t", "u", "v")]]}, {}, DataError, "a list of codes"),
    ({"a": [[["x"]]]}, {"modalities": {"a": "codes"}}, DataError, "a list of codes"),
    ({"a": ["x"]}, {"modalities": {"a": "codes"}}, DataError, "a list of codes"),
    ({"a": [("x", "t", "late")]}, {"modalities": {"a": "codes"}}, None, None),
    ({"a": [[("x", "t", "late")]]}, {}, DataError, "times of modality 'a' must hold numbers"),
    ({"a": [1, 2]}, {"modalities": {"a": "text"}}, DataError, "holds texts or paths"),
    ({"a": [[10**400]]}, {}, DataError, "must hold numbers"),
]


@pytest.mark.parametrize(("arrays", "more", "error", "message"), REFUSED)
def test_bad_input_is_one_sentence(arrays, more, error, message):
    if error is None:  # a tuple of three texts is a list of three codes
        assert dataset_from_arrays(arrays, **more).modalities[0].vocabulary == ("late", "t", "x")
        return
    with pytest.raises(error, match=message) as caught:
        dataset_from_arrays(arrays, **more)
    assert "\n" not in str(caught.value)


scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([NAN, np.inf, 10**400, 1j, b"x", np.float32(1), pd.NA, pd.NaT, Decimal("1.5")]),
)
garbage = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
    ),
    max_leaves=12,
)
array = hnp.arrays(
    dtype=st.sampled_from(["f8", "f4", "i8", "?", "U2", "O", "c8", "M8[s]", "S2"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements=None,
)
kinds = st.sampled_from(["table", "series", "codes", "embedding", "text", "image", "tabel"])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b", ""]), garbage | array, max_size=2),
    garbage | array,
    st.dictionaries(st.sampled_from(["a", "b", "z"]), kinds, max_size=2),
    st.dictionaries(
        st.sampled_from(["row_id", "group", "split", "weight", "absence", "x"]), garbage, max_size=2
    ),
    st.sampled_from([None, Task("binary"), Task("regression"), Task("multilabel", ("p", "q"))]),
)
@pytest.mark.slow
def test_garbage_gives_an_error_of_ours_or_a_data_set(arrays, target, modalities, rows, task):
    try:
        data = dataset_from_arrays(arrays, target, modalities=modalities, rows=rows, task=task)
    except AmodalError:
        return
    assert isinstance(data, Dataset)
    assert data.take(np.arange(len(data))).fingerprint() == data.fingerprint()
