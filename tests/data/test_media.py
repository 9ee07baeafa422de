"""Files are looked at once, named by row where they cannot be read, and known by content."""

from __future__ import annotations

import numpy as np
import pytest

from amodal import Dataset
from amodal.data.files import prepare_files
from amodal.data.media import check_media
from amodal.errors import MediaError, SettingError, UnknownNameError
from amodal.media import Source
from amodal.types import LOST, NOT_MEASURED, PRESENT

Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")

SPEC = """
[rows]
file = "rows.csv"
row_id = "id"
target = "label"
[modality.photo]
kind = "image"
column = "photo"
folder = "files"
{more}
[modality.voice]
kind = "audio"
column = "voice"
folder = "files"
[modality.note]
kind = "text"
column = "note"
"""
ROWS = """id,label,photo,voice,note
a,yes,0.png,0.wav,circle
b,no,1.png,,
c,yes,0.png,1.wav,circle
d,no,,1.wav,square
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    for k in range(2):
        pixels = np.full((4, 4, 3), 40 * k, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "files" / f"{k}.png")
        soundfile.write(tmp_path / "files" / f"{k}.wav", np.full(500, 0.1 * k), 8000)
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "spec.toml").write_text(SPEC.format(more=""))
    return tmp_path


def test_files_and_texts_by_a_spec(folder):
    data = prepare_files(folder / "spec.toml", folder / "out")
    assert [m.kind for m in data.modalities] == ["image", "audio", "text"]
    a, n = PRESENT, NOT_MEASURED
    assert data.absence.tolist() == [[a, a, a], [a, n, n], [a, a, a], [n, a, a]]
    photos = data.values["photo"]
    assert photos.index.tolist() == [0, 1, 0, -1]  # rows share one file
    found = Source.parse(photos.data["source"][1])
    assert found.path == str(folder / "files" / "1.png")
    assert len(found.sha256) == 32
    assert Dataset.load(folder / "out").fingerprint() == data.fingerprint()


def test_the_data_are_the_same_wherever_their_files_lie(folder, tmp_path_factory):
    here = prepare_files(folder / "spec.toml", folder / "out")
    other = tmp_path_factory.mktemp("other") / "moved"
    folder.rename(other)
    there = prepare_files(other / "spec.toml", other / "out2")
    assert there.fingerprint() == here.fingerprint()
    Image.new("RGB", (4, 4), "red").save(other / "files" / "1.png")
    changed = prepare_files(other / "spec.toml", other / "out3")
    assert changed.fingerprint() != here.fingerprint()


def test_files_inside_the_folder_of_the_data_move_with_it(folder):
    from amodal.data.store import save_dataset

    content = (folder / "files" / "0.png").read_bytes()
    inside = str(folder / "set" / "media" / "0.png")
    data = Dataset.from_arrays({"p": [inside, None]}, modalities={"p": "image"})
    save_dataset(data, folder / "set", beside={"media/0.png": content})
    (folder / "set").rename(folder / "moved")
    found = check_media(Dataset.load(folder / "moved"))
    source = Source.parse(found.values["p"].data["source"][0])
    assert source.path == str(folder / "moved" / "media" / "0.png")
    save_dataset(found, folder / "moved", beside={"media/0.png": content})  # replaced whole
    assert (folder / "moved" / "media" / "0.png").read_bytes() == content


def test_what_is_unreadable_is_refused_by_row(folder):
    (folder / "files" / "0.png").write_bytes(b"text")
    with pytest.raises(MediaError, match=r"row 0 .*'photo' \(and of 1 row more\).*another kind"):
        prepare_files(folder / "spec.toml", folder / "out")
    assert not (folder / "out").exists()


def test_by_choice_it_counts_as_lost(folder):
    (folder / "files" / "0.png").unlink()
    (folder / "spec.toml").write_text(SPEC.format(more='unreadable = "lost"'))
    data = prepare_files(folder / "spec.toml", folder / "out")
    assert data.absence[:, 0].tolist() == [LOST, PRESENT, LOST, NOT_MEASURED]
    assert data.provenance["unreadable"] == {"photo": {"missing": 2}}
    assert len(data.values["photo"]) == 1


def test_no_files_no_work():
    data = Dataset.from_arrays({"a": [[1.0]]})
    assert check_media(data) is data
    none = Dataset.from_arrays({"p": [None]}, modalities={"p": "image"})
    assert check_media(none).fingerprint() == none.fingerprint()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (('column = "photo"', ""), SettingError, "'column'"),
        (('folder = "files"', "folder = 3"), SettingError, "'folder'"),
        (('column = "voice"', 'column = "voise"'), UnknownNameError, "'voice'"),
        (
            ('folder = "files"\n', 'folder = "files"\nunreadable = "no"\n'),
            SettingError,
            "choose from refuse, lost",
        ),
    ],
)
def test_bad_specs_are_one_sentence(folder, change, error, text):
    path = folder / "spec.toml"
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(error, match=text) as caught:
        prepare_files(path, folder / "out")
    assert "\n" not in str(caught.value)
