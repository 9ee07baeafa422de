"""Raw files of a collection: a folder or a zip, read alike; media that go into a data set."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from amodal.errors import DataError, StorageError
from amodal.media import REASONS, Source, UnreadableError
from amodal.media.check import ContentCheck

__all__ = ["Media", "RawFiles"]


class RawFiles:
    """The files of a folder or of a zip, by their place in it, with "/" between folders.

    Args:
        path: the folder or the zip.

    Raises:
        StorageError: neither is there, or the zip is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        try:
            if self.path.is_dir():
                self._zip = None
                files = (p for p in self.path.rglob("*") if p.is_file())
                self.names = sorted(p.relative_to(self.path).as_posix() for p in files)
            else:
                self._zip = zipfile.ZipFile(self.path)
                self.names = sorted(n for n in self._zip.namelist() if not n.endswith("/"))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise StorageError(
                f"raw files are a folder or a zip; {self.path} cannot be read "
                f"({getattr(error, 'strerror', None) or error}); check the path"
            ) from None

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            StorageError: it is not there or damaged.
        """
        try:
            if self._zip is None:
                return (self.path / name).read_bytes()
            return self._zip.read(name)
        except (OSError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, ValueError) as error:
            raise StorageError(
                f"{name} of {self.path.name} cannot be read ({error}); get the collection again"
            ) from None

    def find(self, fits: Callable[[str], bool]) -> Iterator[str]:
        """The names that fit, in order."""
        return (name for name in self.names if fits(name))

    def below(self, name: str) -> str:
        """The folder in which the only file called `name` lies, with "/" behind it, or "".

        Raises:
            DataError: there is none, or there are several.
        """
        found = [n for n in self.names if n == name or n.endswith(f"/{name}")]
        if len(found) != 1:
            raise DataError(
                f"the official layout has one file {name}; {self.path.name} has {len(found)}; "
                "name the folder or zip of the collection itself"
            )
        return found[0].removesuffix(name)


class Media:
    """Files that are to lie in ``media`` of a data set's folder, checked and hashed.

    Args:
        folder: of the data set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.beside: dict[str, bytes] = {}

    def add(self, name: str, content: bytes, kind: str) -> str:
        """The source of a file of that name and content.

        Raises:
            DataError: it cannot be decoded.
        """
        try:
            digest = ContentCheck(kind).check(content)
        except UnreadableError as error:
            raise DataError(
                f"files of a collection must be readable; {name} is not: {REASONS[error.reason]}; "
                "get the collection again"
            ) from None
        self.beside[f"media/{name}"] = content
        return str(Source(str(self.folder / "media" / name), digest))
