"""Flickr8k: photographs with five captions each."""

from __future__ import annotations

from pathlib import Path

from amodal.collections.captions import Captioned, by_file_name, captions_dataset
from amodal.collections.raw import Media, RawFiles
from amodal.collections.readers import read_lines, read_table
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder
from amodal.errors import DataError

__all__ = ["prepare_flickr8k"]

_TOKENS = "Flickr8k.token.txt"
_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "valid": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_TABLES = ("captions.csv", "captions.txt")


def prepare_flickr8k(raw: str | Path, out: str | Path, *, unreadable: str = "refuse") -> Dataset:
    r"""A row for each photograph, which is to be described; its captions are the right answers.

    The official layout: ``Flickr8k.token.txt`` (``name.jpg#0``, a tab, a caption), the lists
    ``Flickr_8k.trainImages.txt``, ``devImages`` and ``testImages``, and the photographs in any
    folder. Listed ones have that split, others are free. Also read: ``captions.csv`` (or ``.txt``)
    with columns ``image`` and ``caption``, which comes without lists.

    Captions of a photograph that is not there stay, its image `NOT_MEASURED`; a photograph without
    captions is a row without label.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.
        unreadable: "refuse" a photograph that cannot be decoded, or let it be "lost".

    Raises:
        DataError: another layout.
        MediaError: a photograph that cannot be decoded.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another choice for what is unreadable.

    Reference: Hodosh, Young and Hockenmaier, Journal of Artificial Intelligence Research 47, 2013.
    """
    folder, files = check_target_folder(out), RawFiles(raw)
    media = Media(folder, files, unreadable=unreadable)
    photographs = by_file_name(files)
    captions = _captions(files)
    names = sorted({*captions, *photographs})
    pictures = {
        name: Captioned(photographs.get(name), captions=captions.get(name, [])) for name in names
    }
    listed = _split(files)
    for name in listed.keys() & pictures.keys():
        pictures[name].split = listed[name]
    counts = {"listed_images_without_captions": len(listed.keys() - captions.keys())}
    return captions_dataset("flickr8k", pictures, media, counts=counts)


def _captions(files: RawFiles) -> dict[str, list[str]]:
    """Name of the photograph -> its captions, in order."""
    found: dict[str, list[str]] = {}
    tables = [n for n in files.names if n.rsplit("/", 1)[-1] in _TABLES]
    if len(tables) == 1 and not any(n.endswith(_TOKENS) for n in files.names):
        lines = read_table(files, tables[0], ("image", "caption"))
        for name, caption in zip(lines["image"], lines["caption"], strict=True):
            found.setdefault(name, []).append(caption)
        return found
    place = f"{files.below(_TOKENS)}{_TOKENS}"
    odd = 0
    for line in read_lines(files, place):
        head, tab, caption = line.partition("\t")
        name, mark, number = head.rpartition("#")
        if not (mark and number.isdigit() and (tab or not caption)):
            odd += 1
            continue
        found.setdefault(name, []).append(caption)
    if odd:
        raise DataError(
            f"lines of {place} hold name.jpg#number, a tab and a caption; {odd} do not; get it again"
        )
    return found


def _split(files: RawFiles) -> dict[str, str]:
    """Name of the photograph -> its part; nothing where there are no lists."""
    found: dict[str, str] = {}
    twice = 0
    for part, name in _LISTS.items():
        places = [n for n in files.names if n == name or n.endswith(f"/{name}")]
        for place in places[:1]:
            for photograph in read_lines(files, place):
                twice += found.setdefault(photograph, part) != part
    if twice:
        raise DataError(
            f"lists of Flickr8k name a photograph in one part alone; {twice} are in two; get them "
            "again"
        )
    return found
