"""Flickr8k and COCO captions from made-up files in their official layouts, and real Flickr8k."""

from __future__ import annotations

import json

import pytest

from amodal.collections import prepare_coco_captions, prepare_flickr8k
from amodal.data.media import check_media
from amodal.errors import DataError, MediaError, SettingError, UnknownNameError
from amodal.media import Source
from amodal.types import LOST, NOT_MEASURED


@pytest.fixture
def flickr(tmp_path, picture):
    home = tmp_path / "flickr"
    photographs = home / "Flickr8k_Dataset" / "Flicker8k_Dataset"
    photographs.mkdir(parents=True)
    for k, name in enumerate(("a", "b", "c", "lone")):
        (photographs / f"{name}.jpg").write_bytes(picture((60 * k, 0, 0)))
    lines = [f"{name}.jpg#{k}\tA {name} {k} ." for name in ("a", "b", "c", "away") for k in (0, 1)]
    (home / "Flickr8k.token.txt").write_text("\n".join([*lines, "c.jpg#2\t "]) + "\n")
    for part, names in {"train": ["a", "away"], "dev": ["b"], "test": ["c", "gone"]}.items():
        text = "\n".join(f"{n}.jpg" for n in names)
        (home / f"Flickr_8k.{part}Images.txt").write_text(f"{text}\n")
    return home


def test_flickr8k(flickr, tmp_path):
    data = prepare_flickr8k(flickr, tmp_path / "out")
    assert data.row_id.tolist() == ["a.jpg", "away.jpg", "b.jpg", "c.jpg", "lone.jpg"]
    assert data.split.tolist() == ["train", "train", "valid", "test", ""]
    assert data.task.kind == "sequence"
    assert data.references[0] == ("A a 0 .", "A a 1 .")
    assert data.references[3] == ("A c 0 .", "A c 1 .")
    assert data.labelled.tolist() == [True, True, True, True, False]
    assert data.absence[:, 0].tolist() == [0, NOT_MEASURED, 0, 0, 0]
    assert data.provenance["counts"] == {
        "listed_images_without_captions": 1,
        "captions_without_words": 1,
        "images_without_captions": 1,
        "images_not_there": 1,
    }
    check_media(data)


def test_flickr8k_as_a_zip_and_again_gives_the_same_bytes(flickr, tmp_path, zipped, same_bytes):
    prepare_flickr8k(flickr, tmp_path / "a")
    prepare_flickr8k(flickr, tmp_path / "b")
    prepare_flickr8k(zipped(flickr), tmp_path / "c")
    assert same_bytes(tmp_path / "a", tmp_path / "b")
    assert same_bytes(tmp_path / "a", tmp_path / "c")


def test_flickr8k_from_a_table(flickr, tmp_path):
    table = flickr / "captions.csv"
    table.write_text('image,caption\na.jpg,one dog\na.jpg,a dog\nb.jpg,"a cat, black"\n')
    (flickr / "Flickr8k.token.txt").unlink()
    for part in ("train", "dev", "test"):
        (flickr / f"Flickr_8k.{part}Images.txt").unlink()
    data = prepare_flickr8k(flickr, tmp_path / "out")
    assert data.split is None
    assert data.references[:2].tolist() == [("one dog", "a dog"), ("a cat, black",)]
    table.write_text("name,caption\na.jpg,one dog\n")
    with pytest.raises(DataError, match="it lacks 'image'"):
        prepare_flickr8k(flickr, tmp_path / "out")


def test_flickr8k_refuses_another_layout(flickr, tmp_path):
    tokens = flickr / "Flickr8k.token.txt"
    text = tokens.read_text()
    tokens.write_text(text + "no number\tA dog .\n")
    with pytest.raises(DataError, match="1 do not"):
        prepare_flickr8k(flickr, tmp_path / "out")
    tokens.write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(DataError, match="must be UTF-8 text"):
        prepare_flickr8k(flickr, tmp_path / "out")
    tokens.write_text(text)
    (flickr / "Flickr_8k.devImages.txt").write_text("a.jpg\n")
    with pytest.raises(DataError, match="1 are in two"):
        prepare_flickr8k(flickr, tmp_path / "out")
    tokens.unlink()
    with pytest.raises(DataError, match=r"one file Flickr8k\.token\.txt; flickr has 0"):
        prepare_flickr8k(flickr, tmp_path / "out")


def test_a_damaged_photograph_is_named_by_row_or_lost(flickr, tmp_path, zipped):
    place = next(flickr.rglob("b.jpg"))
    place.write_bytes(place.read_bytes()[:200])
    for raw in (flickr, zipped(flickr)):
        with pytest.raises(MediaError, match=r"row 2 .* is not: the file ends too early"):
            prepare_flickr8k(raw, tmp_path / "out")
        data = prepare_flickr8k(raw, tmp_path / "out", unreadable="lost")
        assert data.absence[2, 0] == LOST
        assert data.provenance["unreadable"] == {"image": {"truncated": 1}}
    with pytest.raises(UnknownNameError, match="'lost'"):
        prepare_flickr8k(flickr, tmp_path / "out", unreadable="los")


def test_real_flickr8k(real_data, tmp_path):
    data = prepare_flickr8k(real_data / "flickr8k_captions_160px.zip", tmp_path / "out")
    assert len(data) == 796
    assert data.present.all()
    assert {len(x) for x in data.references} == {5}
    assert data.references[0][1] == "A girl going into a wooden building ."
    assert not any(data.provenance["counts"].values())


# -- COCO -----------------------------------------------------------------------------------------


def write_coco(home, part, numbers, captions):
    images = [
        {"id": k, "file_name": f"COCO_{part}2014_{k:012d}.jpg", "license": 1} for k in numbers
    ]
    lines = [{"id": k, "image_id": i, "caption": c} for k, (i, c) in enumerate(captions)]
    path = home / "annotations" / f"captions_{part}2014.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": lines}))


@pytest.fixture
def coco(tmp_path, picture):
    home = tmp_path / "coco"
    write_coco(home, "train", [9, 2], [(9, "a cat"), (2, "a dog\n"), (9, "one cat"), (77, "lost")])
    write_coco(home, "val", [5, 4], [(5, "a bus")])
    for part, k in (("train", 2), ("train", 9), ("val", 4)):
        path = home / f"{part}2014" / f"COCO_{part}2014_{k:012d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture((20 * k, 0, 0)))
    return home


def test_coco_captions(coco, tmp_path):
    data = prepare_coco_captions(coco, tmp_path / "out")
    assert data.row_id.tolist() == ["2", "9", "4", "5"]
    assert data.split.tolist() == ["", "", "test", "test"]
    assert data.references.tolist() == [("a dog",), ("a cat", "one cat"), (), ("a bus",)]
    assert data.absence[:, 0].tolist() == [0, 0, 0, NOT_MEASURED]
    assert data.provenance["counts"] == {
        "captions_without_image_record": 1,
        "captions_without_words": 0,
        "images_without_captions": 1,
        "images_not_there": 1,
    }
    check_media(data)


def test_coco_by_the_lists_that_papers_compare_on(coco, tmp_path):
    parts = {2: "restval", 9: "test", 5: "val", 77: "train"}
    listed = [{"cocoid": k, "split": s, "sentences": []} for k, s in parts.items()]
    (coco / "dataset_coco.json").write_text(json.dumps({"images": listed}))
    data = prepare_coco_captions(coco, tmp_path / "out", split="karpathy")
    assert data.split.tolist() == ["train", "test", "", "valid"]
    (coco / "dataset_coco.json").write_text(json.dumps({"images": [{"cocoid": 2, "split": "x"}]}))
    with pytest.raises(DataError, match="1 pictures have another"):
        prepare_coco_captions(coco, tmp_path / "out", split="karpathy")


def test_pictures_in_place_stay_where_they_are(coco, tmp_path, zipped, same_bytes):
    data = prepare_coco_captions(coco, tmp_path / "a", in_place=True)
    assert not (tmp_path / "a" / "media").exists()
    source = Source.parse(data.values["image"].data["source"][0])
    assert source.path == str(coco / "train2014" / "COCO_train2014_000000000002.jpg")
    copied = prepare_coco_captions(coco, tmp_path / "b")
    assert data.fingerprint() == copied.fingerprint()  # known by contents, not by places
    prepare_coco_captions(zipped(coco), tmp_path / "c")
    assert same_bytes(tmp_path / "b", tmp_path / "c")
    with pytest.raises(SettingError, match="unpack it"):
        prepare_coco_captions(zipped(coco), tmp_path / "d", in_place=True)


def test_coco_refuses_json_that_lacks_something(coco, tmp_path):
    path = coco / "annotations" / "captions_train2014.json"
    found = json.loads(path.read_text())
    del found["annotations"][1]["caption"]
    path.write_text(json.dumps(found))
    message = "1 of 4 have not, the first is number 1 .* lacks 'caption'"
    with pytest.raises(DataError, match=message):
        prepare_coco_captions(coco, tmp_path / "out")
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match="list 'annotations'; it has none"):
        prepare_coco_captions(coco, tmp_path / "out")
    path.write_text(json.dumps({**found, "images": [found["images"][0]] * 2, "annotations": []}))
    with pytest.raises(DataError, match="1 repeat"):
        prepare_coco_captions(coco, tmp_path / "out")
    path.write_text('{"images": [')
    with pytest.raises(DataError, match="must be JSON"):
        prepare_coco_captions(coco, tmp_path / "out")
    path.rename(coco / "annotations" / "captions_val2017.json")
    with pytest.raises(DataError, match="of 2 years"):
        prepare_coco_captions(coco, tmp_path / "out")
    with pytest.raises(UnknownNameError, match="did you mean 'karpathy'"):
        prepare_coco_captions(coco, tmp_path / "out", split="karpaty")
