"""The store on disk: what goes in comes out; nothing else is read, nothing half-written stays."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amodal.data.dataset import Dataset
from amodal.data.parquet import _positions, file_names
from amodal.data.store import check_target_folder, load_dataset, save_dataset
from amodal.errors import AmodalError, DataError, StorageError
from amodal.types import LOST, NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values


def example() -> Dataset:
    """Three rows: a table, a series, codes and an embedding; row 2 has codes alone."""
    return Dataset.from_arrays(
        {
            "labs": np.array([[1.5, "b"], [None, "a"], [None, None]], dtype=object),
            "gases": [([2.0, 1.0], [[7.4, np.nan], [7.3, 40.0]]), None, None],
            "events": [[("I10", "dx", 1.0)], [("A01", None, None), "I10"], ["I10"]],
            "image": np.array([[1, 2], [3, 4], [np.nan, np.nan]], dtype=np.float32),
        },
        ["no", "yes", None],
        modalities={"image": "embedding"},
        rows={"row_id": ["p", "q", "r"], "absence": [[0, 0, 0, 0], [0, 1, 0, 0], [2, 1, 0, 1]]},
        provenance={"from": "a test", "n": 3},
    )


def strip(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


# -- round trip -----------------------------------------------------------------------------------

floats = st.floats(allow_infinity=False, width=32)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)


def some_names(least: int, most: int) -> st.SearchStrategy:
    return st.lists(texts, min_size=least, max_size=most, unique=True).map(tuple)


@st.composite
def packed(draw, kind: str, v: int) -> tuple[dict, dict, np.ndarray | None]:
    """(arguments of the modality, arrays, offsets) of v values."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def matrix(rows: int, width: int) -> np.ndarray:
        return draw(hnp.arrays(dtype, (rows, width), elements=floats))

    def ids(shape: int | tuple, top: int) -> np.ndarray:
        return draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, top - 1)))

    names = draw(some_names(0 if kind == "embedding" else 1, 3))
    if kind == "table":
        levels = {f"level {c}": draw(some_names(0, 3)) for c in range(draw(st.integers(0, 2)))}
        columns = [ids(v, len(x)) for x in levels.values()]
        categorical = np.column_stack(columns) if columns else np.zeros((v, 0), np.int64)
        data = {"numeric": matrix(v, len(names)), "categorical": categorical}
        return {"features": names, "levels": levels}, data, None
    if kind == "embedding":
        return {"features": names}, {"value": matrix(v, len(names))}, None
    if kind in ("text", "image", "audio"):
        source = np.empty(v, dtype=object)
        source[:] = [draw(texts) for _ in range(v)]
        return {}, {"source": source}, None
    lengths = [draw(st.integers(1, 3)) for _ in range(v)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    s = int(offsets[-1])
    time = draw(hnp.arrays(np.float64, s, elements=floats))
    if kind == "series":
        return {"features": names}, {"time": time, "value": matrix(s, len(names))}, offsets
    types = draw(some_names(0, 2))
    data = {"code": ids(s, len(names)), "type": ids(s, len(types)), "time": time}
    return {"vocabulary": names, "types": types, "time_unit": "hours"}, data, offsets


@st.composite
def targets(draw, n: int) -> tuple[Task | None, np.ndarray | None]:
    """A task and a target of n rows, some unlabelled."""
    kind = draw(st.sampled_from([None, "binary", "multiclass", "multilabel", "regression"]))
    if kind is None:
        return None, None
    classes = () if kind in ("binary", "regression") else draw(some_names(2, 4))
    task = Task(kind, classes)
    top = 2 if kind in ("binary", "multilabel") else len(classes)
    cell = floats if kind == "regression" else st.sampled_from([*map(float, range(top)), np.nan])
    shape = (n, len(classes)) if kind == "multilabel" else n
    target = draw(st.none() | hnp.arrays(np.float64, shape, elements=cell))
    return task, target


@st.composite
def datasets(draw) -> Dataset:
    """Any data set: every kind, shared and absent values, zero rows, columns or none."""
    n = draw(st.integers(0, 4))
    modalities, values, absence = [], {}, np.zeros((n, 0), np.int8)
    names = ["a", "A", "rows", "manifest"][: draw(st.integers(1, 4))]
    for name in names:
        kind = draw(st.sampled_from(["table", "series", "codes", "embedding", "text", "image"]))
        v = draw(st.integers(0, 3)) if n else 0
        facts, data, offsets = draw(packed(kind, v))
        index = draw(hnp.arrays(np.int64, n, elements=st.integers(-1, v - 1)))
        gone = draw(hnp.arrays(np.int8, n, elements=st.sampled_from([NOT_MEASURED, LOST])))
        absence = np.column_stack([absence, np.where(index < 0, gone, PRESENT)])
        modalities.append(Modality(name, kind, **facts))
        values[name] = Values(data, offsets, index)
    task, target = draw(targets(n))
    ids = draw(st.lists(texts, min_size=n, max_size=n, unique=True))
    column = st.none() | st.lists(texts, min_size=n, max_size=n)
    split = st.none() | st.lists(st.sampled_from(["train", "test", ""]), min_size=n, max_size=n)
    return Dataset(
        tuple(modalities),
        values,
        absence.astype(np.int8),
        np.array(ids, dtype=str),
        task=task,
        target=target,
        group=draw(column),
        split=draw(split),
        weight=draw(st.none() | hnp.arrays(np.float64, n, elements=st.floats(0.5, 2))),
        provenance=draw(st.dictionaries(texts, st.integers() | texts, max_size=2)),
    )


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(datasets())
def test_round_trip_is_the_identity(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("store") / "set"
    assert save_dataset(data, folder) == folder.resolve()
    again = load_dataset(folder, verify=True)
    assert again.fingerprint() == data.fingerprint()
    assert again.modalities == data.modalities
    assert again.task == data.task
    assert dict(again.provenance) == dict(data.provenance)
    for name in data.names:
        for key, x in data.values[name].data.items():
            y = again.values[name].data[key]
            assert y.dtype == x.dtype or x.size == 0
            np.testing.assert_array_equal(x, y)


def test_saving_twice_writes_the_same_bytes(tmp_path):
    save_dataset(example(), tmp_path / "a")
    save_dataset(load_dataset(tmp_path / "a"), tmp_path / "b")
    assert strip(tmp_path / "a") == strip(tmp_path / "b")


def test_through_the_methods_of_dataset(tmp_path):
    folder = example().save(tmp_path / "set")
    assert Dataset.load(folder).fingerprint() == example().fingerprint()
    assert Dataset.load(str(folder)).target.tolist()[:2] == [0.0, 1.0]


# -- what is on the disk --------------------------------------------------------------------------


def test_files_are_plain_tables(tmp_path):
    folder = save_dataset(example(), tmp_path / "set")
    names = {
        "manifest.json",
        *(f"{x}.parquet" for x in ("rows", "labs", "gases", "events", "image")),
    }
    assert set(strip(folder)) == names
    rows = pq.read_table(folder / "rows.parquet").to_pydict()
    assert rows.pop("target")[:2] == [0.0, 1.0]
    assert rows == {
        "row_id": ["p", "q", "r"],
        "absence:labs": [0, 0, 2],
        "value:labs": [0, 1, -1],
        "absence:gases": [0, 1, 1],
        "value:gases": [0, -1, -1],
        "absence:events": [0, 0, 0],
        "value:events": [0, 1, 2],
        "absence:image": [0, 0, 1],
        "value:image": [0, 1, -1],
    }
    labs = pq.read_table(folder / "labs.parquet").to_pydict()
    assert labs["x1"] == ["b", "a"]
    np.testing.assert_array_equal(labs["x0"], [1.5, np.nan])
    gases = pq.read_table(folder / "gases.parquet")
    assert gases.column_names == ["value", "time", "x0", "x1"]
    assert gases.column("value").to_pylist() == [0, 0]
    assert gases.column("time").to_pylist() == [1.0, 2.0]
    events = pq.read_table(folder / "events.parquet").to_pydict()
    assert events["value"] == [0, 1, 1, 2]
    assert events["code"] == ["I10", "A01", "I10", "I10"]
    assert events["type"] == ["dx", None, None, None]
    assert pq.read_table(folder / "image.parquet").to_pydict() == {"value": [[1, 2], [3, 4]]}


def test_manifest_counts_and_hashes(tmp_path):
    folder = save_dataset(example(), tmp_path / "set")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("amodal-dataset", 1)
    assert manifest["task"] == {"kind": "binary", "classes": ["no", "yes"], "name": "target"}
    assert manifest["provenance"] == {"from": "a test", "n": 3}
    assert manifest["counts"] == {
        "rows": 3,
        "labelled": 2,
        "modalities": {
            "labs": {"values": 2, "present": 2, "not_measured": 0, "lost": 1},
            "gases": {"values": 1, "present": 1, "not_measured": 2, "lost": 0},
            "events": {"values": 3, "present": 3, "not_measured": 0, "lost": 0},
            "image": {"values": 2, "present": 2, "not_measured": 1, "lost": 0},
        },
    }
    assert [m["file"] for m in manifest["modalities"]] == [
        "labs.parquet",
        "gases.parquet",
        "events.parquet",
        "image.parquet",
    ]
    for name, facts in manifest["files"].items():
        raw = (folder / name).read_bytes()
        assert facts == {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_names_that_collide_get_their_own_file_and_column(tmp_path):
    assert file_names(["rows", "A", "a"]) == {
        "rows": "rows_.parquet",
        "A": "A.parquet",
        "a": "a_.parquet",
    }
    features = ("value", "time", "value_")
    step = ([0.0], [[1.0, 2.0, 3.0]])
    data = Dataset.from_arrays(
        {"rows": [step], "Rows": [[1.0]]},
        modalities=[Modality("rows", "series", features=features)],
    )
    folder = save_dataset(data, tmp_path / "set")
    assert pq.read_table(folder / "rows_.parquet").num_columns == 5
    assert load_dataset(folder).fingerprint() == data.fingerprint()


def test_row_groups_with_dictionaries_of_their_own():
    chunks = [pa.array(["b", None]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    assert _positions(pa.chunked_array(chunks), ("a", "b")).tolist() == [1, -1, 0, 1]
    assert _positions(pa.chunked_array([], type=chunks[0].type), ()).tolist() == []


def test_many_row_groups(tmp_path, monkeypatch):
    write = pq.write_table
    monkeypatch.setattr(pq, "write_table", lambda *a, **more: write(*a, row_group_size=2, **more))
    rng = np.random.default_rng(0)
    names = np.array(["u", "v", "w", None], dtype=object)[rng.integers(0, 4, (50, 1))]
    data = Dataset.from_arrays(
        {
            "a": names,
            "b": rng.normal(size=(50, 3)),
            "c": [[str(i), str(i % 3)] for i in range(50)],
            "d": [(np.arange(i % 4), rng.normal(size=(i % 4, 2))) for i in range(50)],
        },
        modalities={"b": "embedding"},
    )
    folder = save_dataset(data, tmp_path / "set")
    assert pq.ParquetFile(folder / "a.parquet").num_row_groups > 10
    assert load_dataset(folder).fingerprint() == data.fingerprint()


# -- where it is written --------------------------------------------------------------------------


def test_a_data_set_is_replaced_and_nothing_else(tmp_path):
    folder = tmp_path / "deep" / "set"
    save_dataset(example(), folder)
    save_dataset(example()[:1], folder)
    assert len(load_dataset(folder)) == 1
    assert [p.name for p in folder.parent.iterdir()] == ["set"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="set holds something else; choose another folder"):
        save_dataset(example(), folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_foreign_folders_and_files_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text('{"format": "other"}')
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(StorageError, match=r"new or empty folder.*holds something else"):
            save_dataset(example(), tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert len(load_dataset(save_dataset(example(), tmp_path / "empty"))) == 3
    with pytest.raises(StorageError, match="could not be written"):
        save_dataset(example(), tmp_path / "file" / "below")
    with pytest.raises(StorageError, match="could not be written"):
        check_target_folder("a\0b")


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save_dataset(example(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(load_dataset(tmp_path / "real")) == 3


@pytest.mark.parametrize("when", ["write_table", "rename"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, when):
    folder = save_dataset(example(), tmp_path / "set")
    before = strip(folder)

    def full(*args, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if when == "write_table":
        monkeypatch.setattr(pq, "write_table", full)
    else:
        rename, calls = os.rename, []

        def second_fails(a, b):
            calls.append(a)
            return full() if len(calls) == 2 else rename(a, b)

        monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(StorageError, match="could not be written: No space left on device"):
        save_dataset(example()[:1], folder)
    assert strip(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_what_cannot_be_stored_leaves_nothing(tmp_path):
    for provenance in ({"x": object()}, {"x": float("nan")}, {"x": {1, 2}}):
        with pytest.raises(DataError, match="provenance must be JSON"):
            save_dataset(example().replace(provenance=provenance), tmp_path / "set")
    lone = Dataset.from_arrays({"a": [[1.0]]}, rows={"row_id": ["\ud800"]})
    with pytest.raises(DataError, match="must be valid Unicode"):
        save_dataset(lone, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


# -- what is not read -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_dataset(example(), tmp_path / "set")


def edit(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_missing_and_truncated_files(folder):
    whole = (folder / "gases.parquet").read_bytes()
    (folder / "gases.parquet").write_bytes(whole[:-10])
    size = f"of {len(whole)} bytes; found {len(whole) - 10}"
    with pytest.raises(StorageError, match=f"gases.parquet must be the file.*{size}"):
        load_dataset(folder)
    (folder / "gases.parquet").unlink()
    with pytest.raises(StorageError, match=r"gases\.parquet could not be read: No such file"):
        load_dataset(folder)


def test_changed_bytes_are_found_by_verify(folder):
    path = folder / "rows.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StorageError, match="truncated or changed"):
        load_dataset(folder, verify=True)


def test_another_parquet_file_is_not_taken_for_it(folder):
    pq.write_table(pa.table({"x": [1]}), folder / "labs.parquet")
    size = (folder / "labs.parquet").stat().st_size
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit(folder, files={**files, "labs.parquet": {"bytes": size}})
    with pytest.raises(StorageError, match="'labs' does not hold the columns"):
        load_dataset(folder)
    (folder / "labs.parquet").write_bytes(b"x" * size)
    with pytest.raises(StorageError, match=r"labs\.parquet cannot be read as Parquet"):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"format": "other"}, DataError, "is not the manifest of a data set"),
        ({"version": 2}, DataError, "data set of version 2; this program reads version 1"),
        ({"version": None}, DataError, "version None"),
        ({"files": {}}, DataError, "is not the manifest"),
        ({"files": {"rows.parquet": {}, "../x.parquet": {}}}, DataError, "is not the manifest"),
        ({"files": {"rows.parquet": 3}}, DataError, "is not the manifest"),
        ({"modalities": [3]}, DataError, "or is damaged"),
        ({"modalities": [{"name": "labs", "kind": "table"}]}, DataError, "or is damaged"),
        ({"modalities": [{"name": "labs", "kind": "table", "file": "x"}]}, DataError, "damaged"),
        ({"modalities": []}, DataError, "at least one modality"),
        ({"task": {"kind": "guess"}}, DataError, "or is damaged"),
        ({"counts": {}}, DataError, "or is damaged"),
        ({"columns": []}, StorageError, "rows.parquet does not hold the columns"),
    ],
)
def test_damaged_manifests(folder, changes, error, message):
    edit(folder, **changes)
    with pytest.raises(error, match=message):
        load_dataset(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_manifest(folder, raw):
    (folder / "manifest.json").write_bytes(raw)
    with pytest.raises(DataError, match="is not the manifest of a data set"):
        load_dataset(folder)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=3), x, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_gives_an_error_of_ours_or_a_data_set(tmp_path_factory, data):
    folder = save_dataset(example(), tmp_path_factory.mktemp("store") / "set")
    path = folder / "manifest.json"
    if data.draw(st.booleans()):  # replace something inside the manifest
        manifest = json.loads(path.read_text())
        here = manifest
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = data.draw(st.sampled_from(keys))
            inner = here[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                break
            here = inner
        here[key] = data.draw(json_value)
        path.write_text(json.dumps(manifest))
    else:  # flip bytes of a table, keeping its size
        target = folder / data.draw(st.sampled_from([p.name for p in folder.glob("*.parquet")]))
        raw = bytearray(target.read_bytes())
        for _ in range(data.draw(st.integers(1, 5))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        target.write_bytes(raw)
    try:
        found = len(load_dataset(folder))
    except AmodalError as error:
        found = str(error)
    shutil.rmtree(folder.parent)
    assert found == 3 or "\n" not in found
