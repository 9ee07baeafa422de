"""What collections of pictures with captions share: a row for each picture, its captions beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amodal.collections.raw import Media, RawFiles
from amodal.data.dataset import Dataset
from amodal.types import Task

__all__ = ["Captioned", "by_file_name", "captions_dataset"]


@dataclass
class Captioned:
    """A picture: the raw file where it should be, its captions, and its part of the split."""

    raw: str | None
    split: str = ""
    captions: list[str] = field(default_factory=list)


def by_file_name(files: RawFiles) -> dict[str, str]:
    """Pictures by the last part of their name; of equal ones the first counts."""
    found: dict[str, str] = {}
    for name in files.find(lambda n: n.lower().endswith((".jpg", ".jpeg", ".png"))):
        found.setdefault(name.rsplit("/", 1)[-1], name)
    return found


def captions_dataset(
    kind: str,
    pictures: Mapping[str, Captioned],
    media: Media,
    *,
    counts: Mapping[str, int],
    facts: Mapping[str, Any] | None = None,
) -> Dataset:
    """Writes the rows and reads them again.

    Args:
        kind: name of the collection.
        pictures: row id -> picture.
        media: where files go.
        counts: of what the raw files lack, for the report.
        facts: more about where the data came from.
    """
    known = list(pictures.values())
    texts = [[c for c in p.captions if c.strip()] for p in known]
    blank = sum(len(p.captions) for p in known) - sum(map(len, texts))
    image = media.take("image", [p.raw for p in known], "image")
    there = set(media.files.names)
    told = {
        **counts,
        "captions_without_words": blank,
        "images_without_captions": sum(not t for t in texts),
        "images_not_there": sum(p.raw not in there for p in known),
    }
    splits = [p.split for p in known]
    data = Dataset.from_arrays(
        {"image": image},
        [_target(t) for t in texts],
        modalities={"image": "image"},
        task=Task("sequence", name="caption"),
        rows={"row_id": list(pictures), "split": splits if any(splits) else None},
        provenance={"kind": kind, **dict(facts or {}), "counts": told},
    )
    return media.save(data)


def _target(captions: Sequence[str]) -> list[str] | None:
    return [c.strip() for c in captions] or None
