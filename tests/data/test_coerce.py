"""What users hand in becomes a data set, or one clear sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from amodal import Dataset, Modality
from amodal.data.coerce import to_dataset
from amodal.errors import DataError, UnknownNameError

KNOWN = (
    Modality("t", "table", features=("x", "y"), levels={"sex": ("1", "2")}),
    Modality("s", "series", features=("a",)),
    Modality("c", "codes", vocabulary=("I10",), types=("code",)),
)


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_is_shared_out_and_lacking_columns_are_missing_cells(library) -> None:
    frame = library.DataFrame({"x": [1.0, 2.0], "sex": [1, 2], "other": ["a", "b"]})
    found = to_dataset(frame, modalities=KNOWN)
    assert found.names == ("t",)
    np.testing.assert_array_equal(found.values["t"].data["numeric"], [[1, np.nan], [2, np.nan]])
    levels = found.modality("t").levels["sex"]
    codes = found.values["t"].data["categorical"][:, 0]
    assert [levels[k] for k in codes] == ["1", "2"]


def test_one_row_by_modality_and_by_column() -> None:
    row = {"s": (np.array([0.0, 1.0]), np.array([[1.0], [2.0]])), "c": ["I10"], "t": None}
    found = to_dataset(row, modalities=KNOWN)
    assert found.shape == (1, 3)
    by_name = dict(zip(found.names, found.present[0].tolist(), strict=True))
    assert by_name == {"s": True, "c": True, "t": False}
    column = to_dataset({"x": 3.0, "sex": 2}, modalities=KNOWN)
    assert column.values["t"].data["numeric"][0, 0] == 3.0


def test_many_rows_by_modality() -> None:
    rows = {"c": [["I10"], []], "s": [None, (np.zeros(1), np.ones((1, 1)))]}
    assert to_dataset(rows, modalities=KNOWN).present.tolist() == [[True, False], [False, True]]


def test_a_target_replaces_the_one_there() -> None:
    data = Dataset.from_arrays({"a": [[1.0], [2.0]]}, [0, 1])
    assert to_dataset(data, target=[1, 0]).target.tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="the target must have one entry per row"):
        to_dataset(data, target=[1])


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(UnknownNameError, match="unknown modality 'labs'"):
        to_dataset({"labs": [1.0], "t": None}, modalities=KNOWN)
    with pytest.raises(UnknownNameError, match="unknown column 'z'"):
        to_dataset({"x": 1.0, "z": 2.0}, modalities=KNOWN)
    with pytest.raises(DataError, match="none of its columns is one"):
        to_dataset(pd.DataFrame({"q": [1]}), modalities=KNOWN)
    with pytest.raises(DataError, match="does not say which columns form a modality"):
        to_dataset(pd.DataFrame({"q": [1]}))
    with pytest.raises(DataError, match="rows are a Dataset"):
        to_dataset(3)
