"""COCO captions: pictures of everyday scenes with five captions each."""

from __future__ import annotations

import re
from pathlib import Path

from amodal.collections.captions import Captioned, captions_dataset
from amodal.collections.raw import Media, RawFiles
from amodal.collections.readers import read_json, records
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder
from amodal.errors import DataError, unknown_name

__all__ = ["SPLITS", "prepare_coco_captions"]

SPLITS = ("official", "karpathy")
"""Where test rows come from: the official validation part, or the lists that papers compare on."""

_FILE = re.compile(r"(?:.*/)?captions_(train|val)(\d{4})\.json")
_KARPATHY = "dataset_coco.json"
_PARTS = {"train": "train", "restval": "train", "val": "valid", "test": "test"}


def prepare_coco_captions(
    raw: str | Path,
    out: str | Path,
    *,
    split: str = "official",
    unreadable: str = "refuse",
    in_place: bool = False,
) -> Dataset:
    """A row for each picture, which is to be described; its captions are the right answers.

    The official layout: ``annotations/captions_train2014.json`` and ``captions_val2014.json`` (or
    another year; one of the two is enough), pictures in ``train2014`` and ``val2014``. Official test
    captions are not public: with ``split="official"`` the validation part is the test part here.
    ``"karpathy"`` reads the parts from ``dataset_coco.json`` (Karpathy and Fei-Fei: 113,287 pictures
    to train on, 5,000 to validate, 5,000 to test); pictures that it does not name are free.

    Captions of a picture that is not there stay, its image `NOT_MEASURED`; a picture without
    captions is a row without label.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.
        split: one of `SPLITS`.
        unreadable: "refuse" a picture that cannot be decoded, or let it be "lost".
        in_place: leave pictures where they are, instead of copying them into the folder.

    Raises:
        DataError: another layout, JSON with missing keys.
        MediaError: a picture that cannot be decoded.
        SettingError: pictures of a zip in place.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another split or choice.

    Reference: Chen et al., arXiv 1504.00325; Karpathy and Fei-Fei, CVPR 2015.
    """
    if split not in SPLITS:
        raise unknown_name("split of COCO captions", split, SPLITS)
    folder, files = check_target_folder(out), RawFiles(raw)
    media = Media(folder, files, unreadable=unreadable, in_place=in_place)
    pictures: dict[str, Captioned] = {}
    orphans = 0
    for part, year, name in _annotations(files):
        found, without = _part(files, name, f"{part}{year}")
        if found.keys() & pictures.keys():
            raise DataError(
                f"a picture of COCO is in one part alone; {len(found.keys() & pictures.keys())} of "
                f"{name} are in another too; get it again"
            )
        for picture in found.values():
            picture.split = "test" if part == "val" and split == "official" else ""
        pictures |= found
        orphans += without
    if split == "karpathy":
        _split_by_list(files, pictures)
    counts = {"captions_without_image_record": orphans}
    return captions_dataset("coco-captions", pictures, media, counts=counts, facts={"split": split})


def _annotations(files: RawFiles) -> list[tuple[str, str, str]]:
    """(part, year, name) of each file of captions."""
    found = [(*m.groups(), n) for n in files.names if (m := _FILE.fullmatch(n))]
    parts = [part for part, _, _ in found]
    if not found or len(set(parts)) < len(parts) or len({year for _, year, _ in found}) > 1:
        raise DataError(
            "the official layout has captions_train2014.json and captions_val2014.json in "
            f"annotations (or both of another year); {files.path.name} has {len(found)} such files, "
            f"of {len({year for _, year, _ in found})} years; name the folder of one year"
        )
    return sorted(found)


def _part(files: RawFiles, name: str, folder: str) -> tuple[dict[str, Captioned], int]:
    """Row id -> picture of one file, by number; how many captions belong to none."""
    found = read_json(files, name)
    images = records(name, found, "images", {"id": int, "file_name": str})
    lines = records(name, found, "annotations", {"id": int, "image_id": int, "caption": str})
    home = name.split("annotations/")[0] if "annotations/" in name else name.rpartition("/")[0]
    home = f"{home.rstrip('/')}/{folder}/".lstrip("/")
    pictures = {
        x["id"]: Captioned(f"{home}{x['file_name']}") for x in sorted(images, key=lambda x: x["id"])
    }
    if len(pictures) < len(images):
        raise DataError(
            f"each image of {name} has a number of its own; {len(images) - len(pictures)} repeat; "
            "get the official file"
        )
    orphans = 0
    for line in sorted(lines, key=lambda x: x["id"]):
        if line["image_id"] in pictures:
            pictures[line["image_id"]].captions.append(line["caption"])
        else:
            orphans += 1
    return {str(k): v for k, v in pictures.items()}, orphans


def _split_by_list(files: RawFiles, pictures: dict[str, Captioned]) -> None:
    name = f"{files.below(_KARPATHY)}{_KARPATHY}"
    listed = records(name, read_json(files, name), "images", {"cocoid": int, "split": str})
    odd = sum(x["split"] not in _PARTS for x in listed)
    if odd:
        raise DataError(
            f"parts in {name} are {', '.join(_PARTS)}; {odd} pictures have another; get it again"
        )
    for x in listed:
        if str(x["cocoid"]) in pictures:
            pictures[str(x["cocoid"])].split = _PARTS[x["split"]]
