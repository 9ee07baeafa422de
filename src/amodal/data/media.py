"""Files of images and audio: read once to see that they can be, and named by row where they cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import MediaError, unknown_name
from amodal.media.check import ContentCheck
from amodal.media.decode import try_decode
from amodal.media.source import REASONS, Source
from amodal.values import MEDIA, Values

__all__ = ["UNREADABLE", "check_media", "naming_rows", "place_of"]

UNREADABLE = ("refuse", "lost")
"""What becomes of a row whose file cannot be decoded."""


def check_media(
    data: Dataset, *, unreadable: str | Mapping[str, str] = "refuse", workers: int | None = None
) -> Dataset:
    """`data`, every image and every recording decoded once to see that it can be.

    The hash of each file's content is noted in its source: the data set is then known by its
    contents wherever the files lie, and a file that changes later is told.

    Args:
        data: unchanged.
        unreadable: "refuse" raises an error that names the first row; "lost" makes the modality
            `LOST` in the rows whose file cannot be decoded (that a file is damaged tells nothing
            of the row), and notes how many, and why, in ``unreadable`` of the provenance. One for
            all, or modality -> choice.
        workers: processes; see `amodal.media.try_decode`.

    Raises:
        MediaError: a file cannot be decoded.
        UnknownNameError: another choice.

    >>> photos = {"photo": ["no-such-file.png", None]}
    >>> data = Dataset.from_arrays(photos, modalities={"photo": "image"})
    >>> found = check_media(data, unreadable="lost")
    >>> found.absence.tolist(), found.provenance["unreadable"]
    ([[2], [1]], {'photo': {'missing': 1}})
    """
    chosen = {m.name: m.kind for m in data.modalities if m.kind in MEDIA}
    told: dict[str, dict[str, int]] = {}
    lost = np.zeros(data.shape, dtype=bool)
    values = dict(data.values)
    for name, kind in chosen.items():
        how = unreadable if isinstance(unreadable, str) else unreadable.get(name, "refuse")
        if how not in UNREADABLE:
            raise unknown_name("choice for what is unreadable", how, UNREADABLE)
        found = data.values[name]
        outcomes = list(try_decode(ContentCheck(kind), _texts(found), workers=workers))
        bad = np.array([isinstance(x, str) for x in outcomes] + [False])[found.index]
        if how == "refuse" and bad.any():
            _refuse(data, name, outcomes, bad)
        lost[:, data.names.index(name)] = bad
        reasons = [outcomes[j] for j in found.index[bad]]
        if reasons:
            told[name] = dict(sorted(Counter(reasons).items()))
        values[name] = Values({"source": _noted(found, outcomes)}, None, found.index)
    checked = data.replace(values=values).lose(lost) if chosen else data
    earlier = data.provenance.get("unreadable", {})
    if told:
        checked = checked.replace(provenance={**data.provenance, "unreadable": earlier | told})
    return checked


def _texts(values: Values) -> list[str]:
    return [str(x) for x in values.data["source"]]


def _noted(values: Values, outcomes: list) -> np.ndarray:
    """The sources with the hash of what was read."""
    out = np.empty(len(values), dtype=object)
    for j, (text, outcome) in enumerate(zip(_texts(values), outcomes, strict=True)):
        known = isinstance(outcome, np.ndarray)
        source = Source.parse(text)
        out[j] = str(replace(source, sha256=outcome.tobytes().hex())) if known else text
    return out


def _refuse(data: Dataset, name: str, outcomes: list, bad: np.ndarray) -> None:
    row = int(np.flatnonzero(bad)[0])
    j = data.values[name].index[row]
    reason = outcomes[j]
    raise MediaError(
        data.modality(name).kind,
        reason,
        REASONS[reason],
        source=_texts(data.values[name])[j],
        where=place_of(row, name, others=int(bad.sum()) - 1),
    )


def place_of(row: int, name: str, *, others: int = 0) -> str:
    """Whose file it is: the position of its row, the modality, and how many more are like it.

    >>> place_of(3, "photo", others=1)
    "that of row 3 (counted from 0) of modality 'photo' (and of 1 row more)"
    """
    more = f" (and of {others} row{'s' * (others > 1)} more)" if others else ""
    return f"that of row {row} (counted from 0) of modality {name!r}{more}"


@contextmanager
def naming_rows(data: Dataset) -> Iterator[None]:
    """Within it, an error about a file says which row of `data` it belongs to.

    By position and not by its id: an id can tell who the row is.

    >>> from amodal.errors import MediaError
    >>> d = Dataset.from_arrays({"x": ["a.png", "b.png"]}, modalities={"x": "image"})
    >>> source = str(d.values["x"].data["source"][1])
    >>> with naming_rows(d):
    ...     raise MediaError("image", "damaged", "it ends too early", source=source)
    Traceback (most recent call last):
    amodal.errors.MediaError: files of kind image must be readable; that of row 1 (counted from 0) ...
    """
    try:
        yield
    except MediaError as error:
        for m in data.modalities:
            if m.kind == error.kind:
                values = data.values[m.name]
                which = [j for j, text in enumerate(_texts(values)) if text == error.source]
                rows = np.flatnonzero(np.isin(values.index, which))
                if len(rows):
                    raise error.at(place_of(int(rows[0]), m.name)) from None
        raise
