"""The way from numpy to torch."""

from __future__ import annotations

import numpy as np
import torch

from amodal.data.dataset import Dataset
from amodal.data.tensors import to_batch
from amodal.types import LOST, PRESENT, Modality, Task
from amodal.values import Values


def make():
    series = {"time": np.array([0.0, 1.0, 5.0]), "value": np.array([[1.0], [np.nan], [3.0]])}
    texts = Values({"source": np.array(["a"], dtype=object)}, None, np.array([-1, 0, -1]))
    return Dataset(
        modalities=(
            Modality("t", "table", ("x",), {"k": ("u", "v")}),
            Modality("s", "series", ("a",)),
            Modality("w", "text"),
        ),
        values={
            "t": Values(
                {
                    "numeric": np.array([[1.0], [2.0]], np.float32),
                    "categorical": np.array([[1], [-1]]),
                },
                None,
                np.array([0, 1, 0]),
            ),
            "s": Values(series, np.array([0, 2, 3]), np.array([-1, 1, 0])),
            "w": texts,
        },
        absence=np.array([[0, 2, 1], [0, 0, 0], [0, 0, 1]], dtype=np.int8),
        row_id=np.array(["p", "q", "r"]),
        task=Task("binary"),
        target=np.array([0.0, 1.0, np.nan]),
        weight=np.array([1.0, 2.0, 3.0]),
    )


def test_types_and_contents():
    batch = to_batch(make())
    t, s = batch.values["t"], batch.values["s"]
    assert (t.data["numeric"].dtype, t.data["categorical"].dtype) == (torch.float32, torch.int64)
    assert t.data["numeric"].tolist() == [[1.0], [2.0]]
    assert t.data["categorical"].tolist() == [[1], [-1]]
    assert t.offsets is None
    assert t.index.tolist() == [0, 1, 0]
    assert s.data["time"].dtype == torch.float32
    np.testing.assert_array_equal(s.data["value"].numpy(), [[1.0], [np.nan], [3.0]])
    assert s.offsets.tolist() == [0, 2, 3]
    assert batch.absence.dtype == torch.int8
    assert batch.absence[0].tolist() == [PRESENT, LOST, 1]
    assert batch.labelled.tolist() == [True, True, False]
    assert batch.weight.tolist() == [1.0, 2.0, 3.0]
    assert batch.values["w"].data["source"].tolist() == ["a"]


def test_dtype_is_that_asked_for():
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        batch = to_batch(make(), dtype=dtype)
        assert batch.values["s"].data["value"].dtype == dtype
        assert batch.target.dtype == dtype
        assert batch.values["s"].index.dtype == torch.int64
    exact = np.array([1 / 3])
    data = make().replace(weight=np.repeat(exact, 3))
    assert to_batch(data, dtype=torch.float64).weight[0].item() == exact[0]


def test_writing_to_a_batch_leaves_the_data_set_alone():
    data = make()
    before = data.fingerprint()
    batch = to_batch(data)
    batch.values["t"].data["numeric"].fill_(99.0)
    batch.absence.fill_(0)
    batch.target.fill_(0.0)
    assert data.fingerprint() == before


def test_no_rows_no_target():
    batch = to_batch(make()[:0].replace(target=None, weight=None))
    assert len(batch) == 0
    assert batch.target is None
    assert batch.weight is None
    assert batch.values["s"].data["value"].shape == (0, 1)


def test_slicing_before_and_after_agree():
    data, rows = make(), np.array([2, 0])
    first, second = to_batch(data[rows]), to_batch(data).rows(torch.tensor(rows))
    for name in ("t", "s"):
        a, b = first.values[name], second.values[name]
        assert a.index.tolist() == b.index.tolist()
        for key in a.data:
            np.testing.assert_array_equal(a.data[key].numpy(), b.data[key].numpy())
