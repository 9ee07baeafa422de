"""Built-in data sets against scikit-learn's arrays, and what a DATA argument means."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from amodal.data.builtin import BUILTIN
from amodal.data.dataset import Dataset
from amodal.data.source import open_dataset
from amodal.errors import AmodalError, DataError, StorageError, UnknownNameError
from amodal.types import Task


def numeric(data: Dataset, name: str) -> np.ndarray:
    return data.values[name].data["numeric"]


def test_digits_are_the_four_quadrants():
    data = open_dataset("builtin:digits")
    bunch = datasets.load_digits()
    assert data.names == ("top_left", "top_right", "bottom_left", "bottom_right")
    quadrant = {name: numeric(data, name).reshape(-1, 4, 4) for name in data.names}
    top = np.concatenate([quadrant["top_left"], quadrant["top_right"]], axis=2)
    bottom = np.concatenate([quadrant["bottom_left"], quadrant["bottom_right"]], axis=2)
    np.testing.assert_array_equal(np.concatenate([top, bottom], axis=1), bunch.images)
    np.testing.assert_array_equal(data.target, bunch.target)
    assert data.task == Task("multiclass", tuple("0123456789"), "digit")
    assert data.present.all()
    for m in data.modalities:
        for feature, column in zip(m.features, numeric(data, m.name).T, strict=True):
            r, c = int(feature[1]), int(feature[3])
            np.testing.assert_array_equal(column, bunch.images[:, r, c])


def test_wdbc_calls_malignant_positive():
    data = open_dataset("builtin:wdbc")
    bunch = datasets.load_breast_cancer()
    assert data.names == ("mean", "error", "worst")
    whole = np.concatenate([numeric(data, n) for n in data.names], axis=1)
    np.testing.assert_array_equal(whole, bunch.data)
    np.testing.assert_array_equal(data.target == 1, bunch.target_names[bunch.target] == "malignant")
    assert data.modality("worst").features[0] == "worst_radius"
    assert data.modality("error").features[9] == "fractal_dimension_error"


def test_diabetes_is_a_regression_in_its_own_units():
    data = open_dataset("builtin:diabetes")
    bunch = datasets.load_diabetes(scaled=False)
    column = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    for m in data.modalities:
        for k, feature in enumerate(m.features):
            np.testing.assert_array_equal(numeric(data, m.name)[:, k], column[feature])
    sex = data.values["demographics"].data["categorical"][:, 0]
    np.testing.assert_array_equal(sex + 1, column["sex"])
    np.testing.assert_array_equal(data.target, bunch.target)
    assert data.task.kind == "regression"
    assert [m.features for m in data.modalities] == [
        ("age",),
        ("bmi", "bp"),
        ("s1", "s2", "s3", "s4", "s5", "s6"),
    ]


@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_set_opens_alike_twice_without_a_split(name):
    data = Dataset.load(f"builtin:{name}")
    assert data.split is None
    assert data.labelled.any()
    assert len(data.provenance) > 0
    assert data.fingerprint() == open_dataset(f"builtin:{name}").fingerprint()
    assert BUILTIN[name].__doc__.splitlines()[0].endswith(".")


def test_simulate_has_four_thousand_labelled_rows():
    data = open_dataset("builtin:simulate")
    assert len(data) == 4000
    assert data.labelled.all()


def test_what_data_may_be(tmp_path):
    refused = {
        "builtin:digit": (UnknownNameError, "unknown built-in data set 'digit': did you mean 'dig"),
        "builtin:zzz": (UnknownNameError, "choose from digits, wdbc, diabetes, simulate"),
        "digits": (StorageError, "'digits' does not exist; did you mean 'builtin:digits'"),
        str(tmp_path / "no"): (StorageError, "no' does not exist; check the path"),
        str(tmp_path): (DataError, "a folder without manifest.json; prepare it with `amodal prep"),
        __file__: (DataError, "is a file; prepare it with `amodal prepare"),
        "a\0b": (StorageError, "does not exist"),
        "x" * 5000: (StorageError, "does not exist"),
        "": (DataError, "a folder without manifest"),
    }
    for ref, (error, message) in refused.items():
        with pytest.raises(error, match=message):
            open_dataset(ref)
    with pytest.raises(DataError, match="got int; hand in one of these"):
        open_dataset(3)
    with pytest.raises(AmodalError):
        open_dataset(tmp_path / "no")


def test_a_prepared_folder_opens_by_path_and_by_text(tmp_path):
    data = Dataset.from_arrays({"a": [[1.0], None]}, [0, 1])
    data.save(tmp_path / "set")
    for ref in (tmp_path / "set", str(tmp_path / "set")):
        assert open_dataset(ref, verify=True).fingerprint() == data.fingerprint()


def test_data_is_imported_without_torch():
    code = (
        "import sys, amodal.data as d; "
        "[getattr(d, n) for n in d.__all__ if n != 'to_batch']; "
        "d.open_dataset('builtin:wdbc'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_name_of_the_package_is_there():
    import amodal.data as package

    assert set(package.__all__) == set(dir(package))
    for name in set(package.__all__) - {"to_batch"}:  # torch takes seconds
        assert name == "BUILTIN" or getattr(package, name).__module__.startswith("amodal.data.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
