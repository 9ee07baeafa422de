"""Finds the sets and the outcomes in what a user names as RAW."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from amodal.clinical.physionet2012.members import ARCHIVES, RawSet, read_members
from amodal.errors import DataError, StorageError

__all__ = ["Raw", "find_sets", "read_raw"]

_SET = re.compile(r"set-(\w+?)(\.tar\.gz|\.tgz|\.zip)?", re.IGNORECASE)
_RECORD_FILES = "[0-9]*.txt"


@dataclass
class Raw:
    """Everything read from disk: stays and outcomes as text, and the names of the sets."""

    records: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[str, bytes] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    ignored: int = 0


def read_raw(raw: str | Path) -> Raw:
    """The stays and outcomes of every set in `raw`.

    Outcomes are looked for inside each set, then beside it. Beside a set called ``set-a`` they are
    called ``Outcomes-a.txt``; beside a set of another name any ``Outcomes-*.txt`` is taken that
    names at least one of its stays.

    Raises:
        StorageError: `raw` does not exist or cannot be read.
        DataError: there is no set in it, or a RecordID occurs in two files.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "set-a").mkdir()
    ...     for name in ("set-a/7.txt", "Outcomes-a.txt", "Outcomes-b.txt"):
    ...         Path(folder, name).touch()
    ...     found = read_raw(folder)
    >>> list(found.records), list(found.outcomes), found.sets
    (['7'], ['Outcomes-a.txt'], ('a',))
    """
    found = Raw()
    for path in find_sets(Path(raw)):
        part = read_members(path)
        _merge(found, part)
        found.sets += (set_name(path) or path.name,)
        found.outcomes |= part.outcomes or _outcomes_beside(path, part.records)
        found.ignored += part.ignored
    if not found.records:
        raise DataError(
            "a raw set has one file RecordID.txt for each stay; "
            f"{Path(raw).name} has none; name the folder, the tar.gz or the zip that has them"
        )
    return found


def _merge(found: Raw, part: RawSet) -> None:
    repeated = len(found.records.keys() & part.records.keys())
    if repeated:
        raise DataError(
            f"each RecordID has one file; {repeated} occur in two sets; keep one of the sets"
        )
    found.records |= part.records


def set_name(path: Path) -> str:
    """ "a" for ``set-a``, ``set-a.tar.gz`` and ``set-a.zip``; empty for another name.

    >>> set_name(Path("raw/set-a.tar.gz")), set_name(Path("mine"))
    ('a', '')
    """
    match = _SET.fullmatch(path.name)
    return match[1].lower() if match else ""


def find_sets(raw: Path) -> list[Path]:
    """The folders and archives that hold stays: `raw` itself, or what is called set-* in it.

    Of several forms of one set the folder is taken first, then the tar.gz, then the zip.

    Raises:
        StorageError: `raw` does not exist or cannot be read.
        DataError: `raw` is a file of another form.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("set-b.zip", "set-a.zip", "set-a.tar.gz", "notes.zip"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in find_sets(Path(folder))]
    ['set-a.tar.gz', 'set-b.zip']
    """
    if not raw.exists():
        raise StorageError(f"RAW must exist; there is no {raw}; check the path")
    if raw.is_file():
        if not raw.name.lower().endswith(ARCHIVES):
            raise DataError(
                f"RAW is a folder, a tar.gz or a zip; {raw.name} is none; name one of these"
            )
        return [raw]
    try:
        if any(raw.glob(_RECORD_FILES)):
            return [raw]
        entries = sorted(raw.iterdir(), key=_preference)
    except OSError as error:
        raise StorageError(
            f"RAW must be readable; {raw.name} is not ({error.strerror}); check its permissions"
        ) from None
    sets: dict[str, Path] = {}
    for entry in entries:
        name = set_name(entry)
        archive = entry.is_file() and entry.name.lower().endswith(ARCHIVES)
        if name and (archive or any(entry.glob(_RECORD_FILES))):
            sets.setdefault(name, entry)
    return [sets[name] for name in sorted(sets)]


def _preference(path: Path) -> tuple[int, str]:
    forms = ("", *ARCHIVES)
    suffix = next((s for s in ARCHIVES if path.name.lower().endswith(s)), "")
    return forms.index(suffix), path.name


def _outcomes_beside(path: Path, records: Container[str]) -> dict[str, bytes]:
    """The outcomes in the folder that holds the set `path`."""
    letter = set_name(path) or r"\w+"
    name = re.compile(rf"Outcomes-{letter}\.txt", re.IGNORECASE)
    try:
        files = sorted(path.resolve().parent.iterdir())
        found = {f.name: f.read_bytes() for f in files if name.fullmatch(f.name) and f.is_file()}
    except OSError as error:
        raise StorageError(
            f"outcomes must be readable; those beside {path.name} are not ({error.strerror}); "
            "check their permissions"
        ) from None
    if set_name(path):
        return found
    return {name: text for name, text in found.items() if _names_any(text, records)}


def _names_any(outcomes: bytes, records: Container[str]) -> bool:
    first = (line.split(b",", 1)[0] for line in outcomes.splitlines())
    return any(field.decode("ascii", "replace").strip() in records for field in first)
