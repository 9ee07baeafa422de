"""What the shared checker refuses, and what it says; no message carries a row's value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from amodal.errors import AmodalError, DataError
from amodal.metrics.discrimination import auroc
from amodal.metrics.inputs import check_classes, check_labels, check_regression, check_weight
from amodal.metrics.multilabel import auroc as multilabel_auroc
from amodal.metrics.regression import gaussian_nll, rmse


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.5], r"same n rows; found \[2\] and \[1\]"),
        ([[0], [1]], [0.5, 0.5], r"y has shape \[n\]"),
        (0, 0.5, r"probability has shape \[n\]"),
        ([0, 1], [0.5, np.nan], "probability is finite; found NaN or infinity in 1 of 2"),
        ([0, 1], [0.5, 1.5], "found 1 of 2 outside. Pass probabilities, not logits"),
        ([0, 1], [-0.1, 1.5], "found 2 of 2 outside"),
        ([0, np.nan], [0.5, 0.5], "y is finite.*Drop rows without a target"),
        ([0, 2], [0.5, 0.5], "a binary target is 0 or 1; found 1 of 2"),
        (["no", "yes"], [0.5, 0.5], "y is an array of numbers"),
        (["0", "1"], [0.5, 0.5], "y is an array of numbers"),
        ([0, 1], [0.5, 0.5j], "probability is an array of numbers"),
        ([0, None], [0.5, 0.5], "y is finite"),
        ([0, 1], [[0.5], [0.5, 0.5]], "probability is an array of numbers"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.6]], "sum to 1; found 1 of 2 rows that do not"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "an integer from 0 to 1.*found 1 of 2"),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]], "found 1 of 2 entries that are not"),
        ([0, 0], [[1.0], [1.0]], "at least 2 classes"),
    ],
)
def test_classes(y, p, message):
    with pytest.raises(DataError, match=message):
        auroc(y, p)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.5, 0.5], r"same shape \[n, labels\]; found \[2\] and \[2\]"),
        ([[0, 1]], [[0.5]], r"found \[1, 2\] and \[1, 1\]"),
        ([[0, np.nan]], [[0.5, 0.5]], "y is finite"),
        ([[0, 3]], [[0.5, 0.5]], "0 or 1"),
    ],
)
def test_labels(y, p, message):
    with pytest.raises(DataError, match=message):
        multilabel_auroc(y, p)


def test_regression():
    for y, mean, message in (
        ([np.inf], [1.0], "y is finite"),
        ([1.0], [np.nan], "mean is finite"),
        ([1.0], [1.0, 2.0], r"mean has the same n rows; found \[1\] and \[2\]"),
        ([1.0], [[1.0]], r"mean has shape \[n\]; found \[1, 1\]"),
    ):
        with pytest.raises(DataError, match=message):
            rmse(y, mean)
    with pytest.raises(DataError, match=r"above 0; found shape .* with 1 entries at or below 0"):
        gaussian_nll([1.0, 2.0], [1.0, 2.0], std=[1.0, 0.0])
    with pytest.raises(DataError, match=r"std has the shape of mean \(\[2\]\)"):
        gaussian_nll([1.0, 2.0], [1.0, 2.0], std=[1.0])


@pytest.mark.parametrize("bad", [[-1, 1], [np.nan, 1], [np.inf, 1], [[1, 1], [1, -2]]])
def test_weights_are_finite_and_not_negative(bad):
    with pytest.raises(DataError, match="finite and at least 0"):
        check_weight(bad, 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 1, 2)])
def test_weight_shapes(shape):
    with pytest.raises(DataError, match=r"\[n\] or \[replicates, n\] with n = 2"):
        check_weight(np.ones(shape), 2)


def test_a_message_carries_no_value():
    with pytest.raises(DataError) as caught:
        auroc([0, 1], [0.25, 77.125])
    assert "77" not in str(caught.value)
    assert "0.25" not in str(caught.value)


def test_accepted_types():
    rows = check_classes([False, True], np.array([0, 1]), None)
    assert rows.y.tolist() == [False, True]
    assert rows.eps == np.finfo(float).eps
    assert check_classes(np.array([0.0, 2.0]), np.full((2, 3), 1 / 3), None).y.tolist() == [0, 2]
    assert check_classes([0], np.full((1, 3), 1 / 3, dtype=np.float16), None).eps > 1e-4
    assert check_labels([[1]], [[0.5]], None).y.tolist() == [[True]]
    assert check_regression([1], [2], None).single


garbage = st.one_of(
    arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_, np.complex128, "U2"]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=2),
    ),
    st.none(),
    st.text(max_size=2),
    st.lists(st.one_of(st.none(), st.floats(), st.lists(st.floats(), max_size=2)), max_size=2),
)


@given(garbage, garbage, garbage)
@settings(max_examples=60, deadline=None)
def test_garbage_is_refused_by_our_own_error_or_scored(y, p, weight):
    for metric in (auroc, multilabel_auroc, rmse):
        try:
            value = np.asarray(metric(y, p, weight=weight))
        except AmodalError:
            continue
        assert value.dtype == np.float64
