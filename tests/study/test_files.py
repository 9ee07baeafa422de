"""Files are there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from amodal.errors import StorageError
from amodal.study import files
from amodal.study.files import digest_folder, put_file, put_folder, put_json, read_json, sweep_stale


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def broken(part):
        part.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        put_file(tmp_path / "a.json", broken)

    def broken_folder(part):
        (part / "x").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        put_folder(tmp_path / "fit", broken_folder)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_old_file(tmp_path):
    put_json(tmp_path / "a.json", {"x": 1})

    def full(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"a.json could not be written \(No space left"):
        put_file(tmp_path / "a.json", full)
    assert read_json(tmp_path / "a.json", "it") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_there_stays(tmp_path):
    put_folder(tmp_path / "fit", lambda part: (part / "x").write_text("first"))
    put_folder(tmp_path / "fit", lambda part: (part / "x").write_text("second"))
    assert (tmp_path / "fit" / "x").read_text() == "first"


def test_json_has_no_nan(tmp_path):
    path = put_json(tmp_path / "a.json", {"x": math.nan, "y": [1.5, math.inf], "z": ("a",)})
    assert json.loads(path.read_text()) == {"x": None, "y": [1.5, None], "z": ["a"]}


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "cell.json"
    path.write_text(text)
    with pytest.raises(StorageError, match=r"an evaluation is a JSON .*cell\.json"):
        read_json(path, "an evaluation")


def test_stale_parts_of_dead_processes_are_swept(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    host = files._HOST
    gone = [tmp_path / f".a.json.{host}.{dead}.part", tmp_path / f".fit.{host}.{dead}.part"]
    gone[0].write_text("half")
    gone[1].mkdir()
    (gone[1] / "x").write_text("half")
    kept = [
        tmp_path / f".b.json.{host}.{os.getpid()}.part",
        tmp_path / f".c.json.elsewhere.{dead}.part",
        tmp_path / "d.json",
    ]
    for path in kept:
        path.write_text("x")
    assert sweep_stale(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_hash_of_a_folder_sees_names_and_contents(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(text)
    a, b, c = (digest_folder(tmp_path / n) for n in "abc")
    assert a == b != c
    (tmp_path / "b" / "weights").rename(tmp_path / "b" / "other")
    assert digest_folder(tmp_path / "b") != a
