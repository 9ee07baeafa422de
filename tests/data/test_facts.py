"""Facts of rows: they follow the rows, are stored and hashed, and are no input of any method."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.data.files import read_files
from amodal.errors import DataError, UnknownNameError


@pytest.fixture
def data():
    facts = {"sex": ["f", None, "m"], "site": ["A", "B", "A"]}
    return Dataset.from_arrays({"a": [[1.0], None, [3.0]]}, [0, 1, 0], rows={"facts": facts})


def test_they_follow_the_rows(data):
    assert data.facts["sex"].tolist() == ["f", "", "m"]
    assert data.take([2, 0]).facts["sex"].tolist() == ["m", "f"]
    assert data.resample([1, 1]).facts["site"].tolist() == ["B", "B"]
    assert data[:0].facts["site"].tolist() == []
    assert data.lose(np.ones((3, 1), dtype=bool)).facts["site"].tolist() == ["A", "B", "A"]
    with pytest.raises(ValueError):
        data.facts["sex"][0] = "x"


def test_they_are_stored_and_hashed(data, tmp_path):
    found = Dataset.load(data.save(tmp_path / "d"))
    assert {k: v.tolist() for k, v in found.facts.items()} == {
        "sex": ["f", "", "m"],
        "site": ["A", "B", "A"],
    }
    assert found.fingerprint() == data.fingerprint()
    plain = data.replace(facts={})
    assert plain.fingerprint() != data.fingerprint()
    assert Dataset.load(plain.save(tmp_path / "e")).facts == {}


def test_no_model_sees_them(data):
    from amodal.model import Model

    rng = np.random.default_rng(0)
    rows = {"facts": {"sex": np.where(rng.random(60) < 0.5, "f", "m")}}
    with_facts = Dataset.from_arrays({"a": rng.normal(size=(60, 2))}, [0, 1] * 30, rows=rows)
    a, b = (Model("logistic").fit(d).predict(d) for d in (with_facts, with_facts.replace(facts={})))
    assert a.mean.tolist() == b.mean.tolist()


def test_frames_and_files(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"x": [1.0, 2.0], "sex": ["f", None], "age": [40, 50]})
    found = Dataset.from_frame(frame, {"t": ["x"]}, facts=["sex", "age"])
    assert (found.facts["sex"].tolist(), found.facts["age"].tolist()) == (["f", ""], ["40", "50"])
    with pytest.raises(UnknownNameError, match="did you mean 'sex'"):
        Dataset.from_frame(frame, {"t": ["x"]}, facts=["sax"])
    (tmp_path / "p.csv").write_text("id,x,sex\n1,0.5,f\n2,0.7,NA\n")
    spec = '[rows]\nfile = "p.csv"\nrow_id = "id"\nfacts = ["sex"]\n[modality.t]\ncolumns = ["x"]\n'
    (tmp_path / "my.toml").write_text(spec)
    assert read_files(tmp_path / "my.toml").facts["sex"].tolist() == ["f", ""]


def test_refused():
    with pytest.raises(DataError, match="one entry per row"):
        Dataset.from_arrays({"a": [[1.0]]}, rows={"facts": {"sex": ["f", "m"]}})
    plain = Dataset.from_arrays({"a": [[1.0]]})
    with pytest.raises(DataError, match="must have one entry per row"):
        plain.replace(facts={"sex": ["f", "m"]})
    with pytest.raises(DataError, match="has a name"):
        plain.replace(facts={"": ["f"]})
