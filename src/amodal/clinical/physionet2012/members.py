"""Reads the text files of a set from a folder, a tar.gz or a zip; nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from amodal.errors import AmodalError, DataError, StorageError

__all__ = ["ARCHIVES", "MAX_FILES", "MAX_FILE_BYTES", "MAX_TOTAL_BYTES", "RawSet", "read_members"]

ARCHIVES = (".tar.gz", ".tgz", ".zip")

MAX_FILE_BYTES = 16 * 2**20
"""A stay of 48 hours takes about 7 kB; what is larger than this is none."""
MAX_TOTAL_BYTES = 2**30
"""All three sets together take about 85 MB."""
MAX_FILES = 200_000

_RECORD = re.compile(r"(\d{1,18})\.txt")
_OUTCOMES = re.compile(r"Outcomes-\w+\.txt", re.IGNORECASE)


@dataclass
class RawSet:
    """The raw files of one set: RecordID -> text of the stay, name -> text of outcomes.

    `ignored` counts files that are neither.

    >>> found = RawSet()
    >>> for name in ("set-a/7.txt", "set-a/Outcomes-a.txt", "set-a/readme.txt"):
    ...     found.admit(name, 5, lambda: b"bytes")
    >>> list(found.records), list(found.outcomes), found.ignored
    (['7'], ['Outcomes-a.txt'], 1)
    """

    records: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[str, bytes] = field(default_factory=dict)
    ignored: int = 0
    total: int = 0

    def admit(self, name: str, size: int, read: Callable[[], bytes]) -> None:
        """Takes in one file, read only when it is wanted and of a bearable size."""
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        record, outcomes = _RECORD.fullmatch(base), _OUTCOMES.fullmatch(base)
        if not record and not outcomes:
            self.ignored += 1
            return
        self.total += size
        check_size(base, size, self.total, len(self.records))
        if outcomes:
            self.outcomes[base] = read()
            return
        if record[1] in self.records:
            raise DataError(
                f"each RecordID has one file; {base} occurs more than once; keep one of them"
            )
        self.records[record[1]] = read()


def check_size(name: str, size: int, total: int, files: int) -> None:
    """Refuses what cannot be a set of this challenge before it fills the memory."""
    if size > MAX_FILE_BYTES:
        raise DataError(
            f"a file of a set has at most {MAX_FILE_BYTES >> 20} MiB; {name} has {size >> 20}; "
            "take it out"
        )
    if total > MAX_TOTAL_BYTES or files >= MAX_FILES:
        raise DataError(
            f"a set has at most {MAX_FILES} files and {MAX_TOTAL_BYTES >> 20} MiB of text; "
            "there is more; fetch the set again from its source"
        )


def read_members(path: Path) -> RawSet:
    """All stays and outcomes in `path`: a folder, a tar.gz (tgz) or a zip.

    Raises:
        StorageError: `path` cannot be read to its end.
        DataError: a RecordID occurs twice, or the size is absurd.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "set-a.zip")
    ...     with zipfile.ZipFile(path, "w") as archive:
    ...         archive.writestr("set-a/7.txt", "Time,Parameter,Value\\n")
    ...     read_members(path).records
    {'7': b'Time,Parameter,Value\\n'}
    """
    found = RawSet()
    with _readable(path):
        if path.is_dir():
            _read_folder(path, found)
        elif path.name.lower().endswith(".zip"):
            _read_zip(path, found)
        else:
            _read_tar(path, found)
    return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the archive libraries raise on bad bytes into one sentence."""
    try:
        yield
    except AmodalError:
        raise
    except (PermissionError, FileNotFoundError) as error:
        raise StorageError(
            f"raw files must be readable; {Path(error.filename or path).name} is not "
            f"({error.strerror}); check its permissions"
        ) from None
    except _UNREADABLE as error:
        raise StorageError(
            f"{path.name} must be whole; it is truncated, damaged or of another format "
            f"({type(error).__name__}); fetch it again"
        ) from None


_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,  # zipfile: encrypted
    NotImplementedError,  # zipfile: unknown compression
)


def _read_folder(path: Path, found: RawSet) -> None:
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_file():
                found.admit(entry.name, entry.stat().st_size, Path(entry.path).read_bytes)


def _read_zip(path: Path, found: RawSet) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                found.admit(info.filename, info.file_size, lambda info=info: archive.read(info))


def _read_tar(path: Path, found: RawSet) -> None:
    with gzip.open(path) as unzipped:
        stream: Any = _Metered(unzipped, MAX_TOTAL_BYTES, path.name)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=2**20) as archive:
            for member in archive:
                if member.isreg():
                    found.admit(
                        member.name,
                        member.size,
                        lambda member=member: archive.extractfile(member).read(),
                    )
        while stream.read(2**20):  # the checksum stands at the very end
            pass


class _Metered:
    """A stream that refuses to give more than `limit` bytes: a bomb is not unpacked."""

    def __init__(self, stream: BinaryIO, limit: int, name: str) -> None:
        self.stream, self.left, self.name = stream, limit, name

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise DataError(
                f"an archive of a set unpacks to at most {MAX_TOTAL_BYTES >> 20} MiB; "
                f"{self.name} unpacks to more; fetch it again from its source"
            )
        return data
