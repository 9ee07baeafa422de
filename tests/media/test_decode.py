"""Many files: in order, in processes or not, the reason where one cannot be decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from amodal.errors import MediaError
from amodal.media import Source, UnreadableError, decode_ahead, decode_many, try_decode
from amodal.media.source import moved


@dataclass(frozen=True)
class Letters:
    """A source as the codes of its letters; "bad" ones are damaged."""

    kind = "image"

    def decode(self, source: str) -> np.ndarray:
        if source.startswith("bad"):
            raise UnreadableError("truncated")
        return np.array([ord(x) for x in source])


NAMES = [f"name{k}" for k in range(150)]


def test_in_order_and_with_reasons():
    some = [*NAMES[:70], "bad", *NAMES[70:]]
    found = list(try_decode(Letters(), some))
    assert found.pop(70) == "truncated"
    for name, x in zip(NAMES, found, strict=True):
        assert x.tolist() == [ord(c) for c in name]
    assert list(try_decode(Letters(), [])) == []


def test_the_first_one_that_fails_is_the_error():
    with pytest.raises(MediaError, match="ends too early") as caught:
        decode_many(Letters(), ["a", "bad one", "bad two"])
    assert caught.value.source == "bad one"
    assert "bad one" not in str(caught.value)  # names of files can tell of people


@pytest.mark.processes
def test_processes_change_nothing():
    some = [*NAMES, "bad"]
    plain = list(try_decode(Letters(), some, workers=1))
    shared = list(try_decode(Letters(), some, workers=2))
    assert [str(x) for x in plain] == [str(x) for x in shared]
    tasks = [[(Letters(), NAMES[k : k + 3])] for k in range(0, 12, 3)]
    ahead = [[x.tolist() for x in one[0]] for one in decode_ahead(tasks, workers=2)]
    assert ahead == [[[ord(c) for c in n] for n in NAMES[k : k + 3]] for k in range(0, 12, 3)]


def test_a_source_is_one_text_and_back():
    source = Source("a b.png", "00ff").changed(change="blur", severity=0.5, key=2**63)
    assert Source.parse(str(source)) == source
    assert str(Source("a.png")) == "a.png"
    for odd in ("", "a\x1e", "a\x1e{", "a\x1e[1]"):
        assert str(Source.parse(odd)) == odd


def test_contents_are_told_apart_by_hash_and_changes():
    one, other = Source("x/a.png", "00"), Source("y/b.png", "00")
    assert one.content == other.content
    assert one.content != other.changed(change="blur", severity=1.0).content
    assert Source("x/a.png").content != Source("y/a.png").content


def test_only_files_in_the_folder_move(tmp_path):
    paths = np.array([f"{tmp_path}/media/a.png", f"{tmp_path}-2/b.png", "c.png"], dtype=object)
    out = moved(paths, tmp_path, out=True)
    assert out.tolist() == ["$DATASET/media/a.png", f"{tmp_path}-2/b.png", "c.png"]
    assert moved(out, tmp_path, out=False).tolist() == paths.tolist()
