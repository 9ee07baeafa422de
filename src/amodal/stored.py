"""Files that are there whole or not at all, and JSON files that say what they describe."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from safetensors import SafetensorError

from amodal.errors import CheckpointError, StorageError

__all__ = ["Described", "write_atomic"]

_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    SafetensorError,
    BadZipFile,
    zlib.error,
)


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name and renames it: there is never half a file.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for content in (b"one", b"two"):
    ...         write_atomic(Path(folder, "a"), content)
    ...     [(path.name, path.read_bytes()) for path in Path(folder).iterdir()]
    [('a', b'two')]
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"files are written whole or not at all; {path.name} could not be written "
            f"({error.strerror}); free space or choose another folder"
        ) from None


@dataclass(frozen=True)
class Described:
    """A kind of thing that lies in a folder: a JSON file that says what it is, and what it names.

    Args:
        what: what it is, in words.
        format: its name in the file.
        version: the one that this program writes and reads.
        parts: the files that it consists of, in words.
        remedy: what to do with one that cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> kind = Described("a list", "amodal-list", 1, parts="list.json", remedy="write it again")
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "list.json")
    ...     kind.write(path, {"of": [1, 2]})
    ...     with kind.read(path) as facts:
    ...         print(facts["of"])
    [1, 2]
    """

    what: str
    format: str
    version: int
    parts: str
    remedy: str

    def write(self, path: Path, facts: Mapping[str, Any], *, indent: int | None = None) -> None:
        """Stores `facts`, which are JSON, behind what they describe.

        Raises:
            StorageError: the file cannot be written.
        """
        whole = {"format": self.format, "version": self.version, **facts}
        write_atomic(path, json.dumps(whole, indent=indent).encode())

    @contextmanager
    def read(self, path: Path) -> Iterator[dict[str, Any]]:
        """What `write` was told, to be used inside: facts that cannot be used count as unreadable.

        Raises:
            CheckpointError: foreign, of another version, truncated, or raised inside.
        """
        try:
            facts = json.loads(path.read_text())
            found = (facts.get("format"), facts.get("version"))
            if found != (self.format, self.version):
                raise CheckpointError(
                    f"{self.what} must be {self.format} version {self.version}; found {found[0]} "
                    f"version {found[1]}; {self.remedy}"
                )
            yield facts
        except CheckpointError:
            raise
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{self.what} consists of {self.parts}; those in "
                f"{Path(*path.parent.parts[-2:])} cannot be read ({type(error).__name__}); "
                f"{self.remedy}"
            ) from None
