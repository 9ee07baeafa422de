"""CMU-MOSI from made-up npz files, and the real transcripts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from amodal.collections import prepare_mosi
from amodal.errors import DataError, StorageError, UnknownNameError
from amodal.types import NOT_MEASURED

LABELS = {"train": [1.5, -2.0, 0.0], "valid": [-0.5], "test": [3.0, 0.2]}
IDS = {"train": ["v1$_$0", "v1$_$1", "v2[0]"], "valid": ["v3_x_7"], "test": ["v4_0", "v4_1"]}


def part(name):
    n = len(LABELS[name])
    text = np.zeros((n, 4, 3), dtype=np.float32)
    text[:, 2:] = np.arange(1, n * 6 + 1).reshape(n, 2, 3)  # the first two steps are padding
    audio = text[..., :2].copy()
    audio[0, 3, 1] = -np.inf
    vision = np.ones((n, 4, 1))
    vision[-1] = 0
    labels = np.array(LABELS[name]).reshape(n, 1, 1)
    ids = np.array(IDS[name])
    return {"text": text, "audio": audio, "vision": vision, "labels": labels, "id": ids}


@pytest.fixture
def one(tmp_path):
    arrays = {f"{p}_{k}": x for p in LABELS for k, x in part(p).items()}
    np.savez(tmp_path / "mosi.npz", **arrays, note=np.array("of no use"))
    return tmp_path / "mosi.npz"


def test_one_file_of_three_parts(one, tmp_path):
    data = prepare_mosi(one, tmp_path / "out")
    assert data.names == ("text", "audio", "vision")
    assert {m.kind for m in data.modalities} == {"series"}
    assert data.split.tolist() == ["train"] * 3 + ["valid"] + ["test"] * 2
    assert data.group.tolist() == ["v1", "v1", "v2", "v3_x", "v4", "v4"]
    assert data.row_id.tolist() == [i for p in LABELS for i in IDS[p]]
    assert data.task.kind == "regression"
    np.testing.assert_allclose(data.target, [x for p in LABELS for x in LABELS[p]])
    text = data.values["text"]
    first = slice(*text.offsets[:2])
    np.testing.assert_array_equal(text.data["time"][first], [2, 3])
    np.testing.assert_array_equal(text.data["value"][first], [[1, 2, 3], [4, 5, 6]])
    heard = data.values["audio"].data["value"]
    assert np.isnan(heard[1]).tolist() == [False, True]
    assert data.provenance["counts"] == {"infinite_values": 3}  # one of each part
    there = [0, 0, NOT_MEASURED, NOT_MEASURED, 0, NOT_MEASURED]
    assert data.absence[:, 2].tolist() == there


def test_three_files_say_the_same(one, tmp_path, zipped, same_bytes):
    home = tmp_path / "raw"
    home.mkdir()
    for p in LABELS:
        np.savez_compressed(home / f"{p}.npz", **part(p))
    found = prepare_mosi(home, tmp_path / "a")
    assert found.fingerprint() == prepare_mosi(one, tmp_path / "b").fingerprint()
    prepare_mosi(zipped(home), tmp_path / "c")
    assert same_bytes(tmp_path / "a", tmp_path / "c")


def test_the_sign_of_the_score(one, tmp_path):
    data = prepare_mosi(one, tmp_path / "out", modalities=["text"], target="sign")
    assert data.names == ("text",)
    assert data.task.classes == ("negative", "positive")
    np.testing.assert_array_equal(data.target, [1, 0, np.nan, 0, 1, 1])


def test_ids_of_several_columns_name_the_video_first(one, tmp_path):
    arrays = part("train")
    arrays["id"] = np.array([[b"v_1", b"0", b"2"], [b"v_1", b"2", b"4"], [b"v_2", b"0", b"1"]])
    np.savez(tmp_path / "rows.npz", **arrays)
    data = prepare_mosi(tmp_path / "rows.npz", tmp_path / "out")
    assert data.split is None
    assert data.row_id.tolist() == ["row-0-v_1", "row-1-v_1", "row-2-v_2"]
    assert len(set(data.group.tolist())) == 1  # up to the last "_"


def test_vectors_that_encode_the_labels_are_left_out_unless_named(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {k: rng.normal(size=(4, d)) for k, d in (("text", 100), ("audio", 73), ("video", 100))}
    arrays |= {"transcript": np.array(["GOOD", "BAD", "", "SO SO"]), "label": [1, 0, 1, 0]}
    np.savez(tmp_path / "a.npz", **arrays, utt_id=["a_b_1", "a_b_2", "c_1", "c_2"])
    data = prepare_mosi(tmp_path / "a.npz", tmp_path / "out")
    assert data.names == ("transcript",)
    assert data.group.tolist() == ["a_b", "a_b", "c", "c"]
    assert data.absence[:, 0].tolist() == [0, 0, NOT_MEASURED, 0]
    assert data.provenance["warning"].endswith("they are left out")
    named = prepare_mosi(tmp_path / "a.npz", tmp_path / "out", modalities=["text", "audio"])
    assert named.names == ("text", "audio")
    assert "encode them" in named.provenance["warning"]
    with pytest.raises(DataError, match="labels are 0 and 1"):
        prepare_mosi(tmp_path / "a.npz", tmp_path / "out", target="score")


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    home = tmp_path / "raw"
    home.mkdir()
    (home / "mosi_data.pkl").write_bytes(pickle.dumps({"train": Trap()}))
    for raw in (home, home / "mosi_data.pkl"):
        with pytest.raises(
            DataError, match=r"mosi_data\.pkl is a pickle, and opening one executes"
        ):
            prepare_mosi(raw, tmp_path / "out")
    arrays = part("train")
    objects = np.empty(3, dtype=object)
    objects[:] = [Trap(), 1, 2]
    np.savez(tmp_path / "objects.npz", **(arrays | {"text": objects}))
    with pytest.raises(DataError, match="holds objects, which only a pickle can"):
        prepare_mosi(tmp_path / "objects.npz", tmp_path / "out")


def test_another_layout_is_refused(one, tmp_path):
    def refused(message, **changes):
        arrays = {k: x for k, x in (part("train") | changes).items() if x is not None}
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(DataError, match=message):
            prepare_mosi(tmp_path / "a.npz", tmp_path / "out")

    refused("of 2 lengths", id=np.array(["a", "b"]))
    refused("an utterance; this one has audio, id, text, vision, of 1", labels=None)
    refused("labels are numbers", labels=np.array(["a", "b", "c"]))
    refused("; text is not", text=np.array(["a", "b", "c"]))
    refused("has none", text=None, audio=None, vision=None)
    (tmp_path / "a.npz").write_bytes(one.read_bytes()[:300])
    with pytest.raises(DataError, match="it is damaged, or holds objects"):
        prepare_mosi(tmp_path / "a.npz", tmp_path / "out")
    with pytest.raises(UnknownNameError, match="'vision'"):
        prepare_mosi(one, tmp_path / "out", modalities=["visions"])
    with pytest.raises(UnknownNameError, match="of these files 'transcript'"):
        prepare_mosi(one, tmp_path / "out", modalities=["transcript"])
    with pytest.raises(UnknownNameError, match="target"):
        prepare_mosi(one, tmp_path / "out", target="mood")
    with pytest.raises(StorageError, match="No such file"):
        prepare_mosi(tmp_path / "none.npz", tmp_path / "out")
    with pytest.raises(DataError, match="has 2 npz files of other names"):
        prepare_mosi(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_transcripts(real_data, tmp_path):
    data = prepare_mosi(real_data / "cmu_mosi", tmp_path / "out")
    assert data.names == ("transcript",)
    assert len(data) == 1447
    assert len(set(data.group.tolist())) == 62
    assert data.task.kind == "binary"
