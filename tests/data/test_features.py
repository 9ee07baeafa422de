"""Tabulated features against a plain loop over rows."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.data.features import SUMMARIES, tabulate
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality
from amodal.values import Values


def make(seed=0, n=60, v=40):
    rng = np.random.default_rng(seed)
    index = np.stack([rng.integers(-1, v, n) for _ in range(4)], axis=1)
    lengths = rng.integers(1, 7, v)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    value = rng.normal(size=(offsets[-1], 3))
    value[rng.random(value.shape) < 0.6] = np.nan
    time = rng.normal(size=offsets[-1]).round(1)  # neither sorted nor distinct
    code = rng.integers(-1, 5, offsets[-1])
    categorical = np.stack([rng.integers(-1, 2, v), rng.integers(-1, 3, v)], axis=1)
    numeric = rng.normal(size=(v, 2)).astype(np.float32)
    numeric[3] = np.nan
    modalities = (
        Modality("t", "table", ("a", "b"), {"sex": ("f", "m"), "unit": ("x", "y", "z")}),
        Modality("s", "series", ("p", "q", "r")),
        Modality("c", "codes", (), {}, ("c0", "c1", "c2", "c3", "c4"), ()),
        Modality("e", "embedding"),
    )
    values = {
        "t": Values({"numeric": numeric, "categorical": categorical}, None, index[:, 0]),
        "s": Values({"time": time, "value": value}, offsets, index[:, 1]),
        "c": Values({"code": code}, offsets, index[:, 2]),
        "e": Values({"value": rng.normal(size=(v, 2))}, None, index[:, 3]),
    }
    absent = np.where(rng.random(index.shape) < 0.5, LOST, NOT_MEASURED)
    absence = np.where(index >= 0, PRESENT, absent).astype(np.int8)
    return Dataset(modalities, values, absence, np.array([f"r{i}" for i in range(n)]))


def plain_series(data, row):
    v = data.values["s"]
    j = v.index[row]
    out = []
    for d in range(3):
        if j < 0:
            out += [np.nan] * 6
            continue
        steps = range(v.offsets[j], v.offsets[j + 1])
        seen = [(v.data["time"][s], s) for s in steps if not np.isnan(v.data["value"][s, d])]
        x = [v.data["value"][s, d] for _, s in sorted(seen)]
        if not x:
            out += [np.nan] * 5 + [0.0]
            continue
        out += [x[-1], x[0], sum(x) / len(x), min(x), max(x), np.log(1 + len(x))]
    return out


def plain_codes(data, row):
    v = data.values["c"]
    j = v.index[row]
    if j < 0:
        return [np.nan] * 5
    mine = v.data["code"][v.offsets[j] : v.offsets[j + 1]].tolist()
    return [np.log(1 + mine.count(c)) for c in range(5)]


def plain_table(data, row):
    v = data.values["t"]
    j = v.index[row]
    if j < 0:
        return [np.nan] * 7
    out = v.data["numeric"][j].tolist()
    for c, levels in enumerate((2, 3)):
        level = v.data["categorical"][j, c]
        out += [np.nan] * levels if level < 0 else [float(level == k) for k in range(levels)]
    return out


def plain_embedding(data, row):
    v = data.values["e"]
    return [np.nan] * 2 if v.index[row] < 0 else v.data["value"][v.index[row]].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_every_cell_equals_that_of_a_plain_loop(seed):
    data = make(seed)
    expected = [
        plain_table(data, i)
        + plain_series(data, i)
        + plain_codes(data, i)
        + plain_embedding(data, i)
        + [float(x) for a in data.absence[i] for x in (a == NOT_MEASURED, a == LOST)]
        for i in range(len(data))
    ]
    found = tabulate(data)
    assert found.x.dtype == np.float64
    np.testing.assert_allclose(found.x, np.array(expected), rtol=1e-12)


def test_names_and_origins():
    found = tabulate(make())
    assert found.names[:7] == (
        "t:a",
        "t:b",
        "t:sex=f",
        "t:sex=m",
        "t:unit=x",
        "t:unit=y",
        "t:unit=z",
    )
    assert found.names[7:13] == tuple(f"s:p:{s}" for s in SUMMARIES)
    assert found.names[25:32] == ("c:c0", "c:c1", "c:c2", "c:c3", "c:c4", "e:0", "e:1")
    assert found.names[-2:] == ("e:not_measured", "e:lost")
    assert len(set(found.names)) == len(found.names) == found.x.shape[1]
    assert found.modality.tolist() == [0] * 7 + [1] * 18 + [2] * 5 + [3] * 2 + [
        k for k in range(4) for _ in range(2)
    ]


def test_a_row_does_not_depend_on_the_others():
    data = make(1)
    rows = np.array([5, 0, 17])
    np.testing.assert_array_equal(tabulate(data[rows]).x, tabulate(data).x[rows])


def test_no_rows_nothing_present_and_kinds_without_numbers():
    data = make()
    assert tabulate(data[:0]).x.shape == (0, 40)
    nothing = tabulate(data.lose(np.ones(data.shape, dtype=bool)))
    assert nothing.x.shape == (60, 40)
    assert np.isnan(nothing.x[:, :32]).all()
    assert nothing.x[:, 33::2].all()
    text = Values({"source": np.array(["a"], dtype=object)}, None, np.array([0, -1]))
    only = Dataset(
        (Modality("w", "text"),),
        {"w": text},
        np.array([[0], [1]], dtype=np.int8),
        np.array(["p", "q"]),
    )
    assert tabulate(only).names[-3:] == ("w:word255", "w:not_measured", "w:lost")
    assert tabulate(only).x[:, -2:].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert np.isnan(tabulate(only).x[1, :-2]).all()


def test_at_most_512_codes():
    vocabulary = tuple(f"c{i}" for i in range(600))
    values = Values({"code": np.array([511, 512, 3, 3])}, np.array([0, 4]), np.array([0]))
    data = Dataset(
        (Modality("c", "codes", (), {}, vocabulary),),
        {"c": values},
        np.zeros((1, 1), dtype=np.int8),
        np.array(["p"]),
    )
    found = tabulate(data)
    assert found.x.shape == (1, 514)
    assert found.x[0, [3, 511]].tolist() == [np.log(3), np.log(2)]
    assert found.x[0].sum() == pytest.approx(np.log(6))
