"""Raw files of a collection: a folder or a zip, read alike; media that go into a data set."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.media import UNREADABLE, place_of
from amodal.data.store import save_dataset
from amodal.errors import DataError, MediaError, SettingError, StorageError, unknown_name
from amodal.media import REASONS, Source, UnreadableError, try_decode
from amodal.media.check import ContentCheck
from amodal.media.source import absolute

__all__ = ["Media", "RawFiles"]


class RawFiles:
    """The files of a folder or of a zip, by their place in it, with "/" between folders.

    Args:
        path: the folder or the zip.

    Raises:
        StorageError: neither is there, or the zip is damaged.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "train").mkdir()
    ...     _ = Path(folder, "train", "answers.txt").write_text("yes")
    ...     raw = RawFiles(folder)
    ...     raw.names, raw.read("train/answers.txt"), raw.below("answers.txt")
    (['train/answers.txt'], b'yes', 'train/')
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

    @property
    def zipped(self) -> bool:
        """True for a zip."""
        return self._zip is not None

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
        files: raw files that `take` reads.
        unreadable: what becomes of a row whose file cannot be decoded: "refuse" raises an error,
            "lost" makes the modality `LOST`.
        in_place: leave files of a raw folder where they are, and name them there.

    Raises:
        UnknownNameError: another choice for what is unreadable.
        SettingError: files of a zip cannot be read in place.

    >>> Media(Path("out")).add("a.png", b"no picture", "image")
    Traceback (most recent call last):
    amodal.errors.DataError: files of a collection must be readable; a.png is not: the file is of ...
    """

    def __init__(
        self,
        folder: Path,
        files: RawFiles | None = None,
        *,
        unreadable: str = "refuse",
        in_place: bool = False,
    ) -> None:
        if unreadable not in UNREADABLE:
            raise unknown_name("choice for what is unreadable", unreadable, UNREADABLE)
        if in_place and files is not None and files.zipped:
            raise SettingError(
                f"files are left in place where they lie in a folder; {files.path.name} is a zip; "
                "unpack it"
            )
        self.folder, self.files = folder, files
        self.unreadable, self.in_place = unreadable, in_place
        self.beside: dict[str, bytes] = {}
        self._later: dict[str, str] = {}
        self._lost: dict[str, np.ndarray] = {}
        self._reasons: dict[str, dict[str, int]] = {}

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

    def take(
        self, modality: str, raws: Sequence[str | None], kind: str, *, prefix: str = ""
    ) -> list[str | None]:
        """The source of each row's raw file; each file is decoded once to see that it can be.

        Args:
            modality: its name.
            raws: one place among the raw files a row; None, or one that is not there, for none.
            kind: "image" or "audio".
            prefix: of names in ``media``.

        Raises:
            MediaError: a file cannot be decoded, and that is to be refused.
        """
        there = set(self.files.names)
        names = sorted({r for r in raws if r in there})
        digests = dict(zip(names, self._digests(names, kind), strict=True))
        bad = {name: x for name, x in digests.items() if x in REASONS}
        rows = [i for i, r in enumerate(raws) if r in bad]
        if rows and self.unreadable == "refuse":
            raise _refusal(modality, kind, rows, raws[rows[0]], bad)
        self._lost[modality] = np.isin(np.arange(len(raws)), rows)
        if rows:
            reasons = Counter(bad[raws[i]] for i in rows)
            self._reasons[modality] = dict(sorted(reasons.items()))
        sources = {r: self._place(r, digests[r], prefix) for r in names if r not in bad}
        return [sources.get(r) for r in raws]

    def _digests(self, names: Sequence[str], kind: str) -> Iterator[str]:
        """The hash of each file's content, or why it cannot be decoded."""
        if not self.files.zipped:
            paths = [str(self.files.path / name) for name in names]
            for found in try_decode(ContentCheck(kind), paths) if paths else ():
                yield found if isinstance(found, str) else found.tobytes().hex()
            return
        for name in names:
            try:
                content = self.files.read(name)
                yield ContentCheck(kind).check(content) if content else "empty"
            except UnreadableError as error:
                yield error.reason
            except StorageError:
                yield "truncated"

    def _place(self, raw: str, digest: str, prefix: str) -> str:
        if self.in_place:
            return str(Source(absolute(str(self.files.path / raw)), digest))
        name = prefix + raw.rsplit("/", 1)[-1]
        if self._later.setdefault(f"media/{name}", raw) != raw:
            raise DataError(
                f"files that go into one folder have names of their own; two are called {name}; "
                "name the folder or zip of the collection itself"
            )
        return str(Source(str(self.folder / "media" / name), digest))

    def save(self, data: Dataset, beside: Mapping[str, bytes] | None = None) -> Dataset:
        """Writes the data set with its files, and reads it again; what is unreadable is `LOST`."""
        lost = np.zeros(data.shape, dtype=bool)
        for name, mask in self._lost.items():
            lost[:, data.names.index(name)] = mask
        provenance = dict(data.provenance)
        if self._reasons:
            provenance["unreadable"] = self._reasons
        data = data.lose(lost).replace(provenance=provenance)
        save_dataset(
            data, self.folder, beside=_Later(self.beside | dict(beside or {}), self._later, self)
        )
        return Dataset.load(self.folder)


def _refusal(
    modality: str, kind: str, rows: Sequence[int], source: str, bad: Mapping[str, str]
) -> MediaError:
    where = place_of(rows[0], modality, others=len(rows) - 1)
    reason = bad[source]
    return MediaError(kind, reason, REASONS[reason], source=source, where=where)


class _Later(Mapping[str, bytes]):
    """Files by name, those of the raw set read when they are asked for: they can be many."""

    def __init__(self, here: dict[str, bytes], later: dict[str, str], media: Media) -> None:
        self._here, self._raw, self._media = here, later, media

    def __getitem__(self, name: str) -> bytes:
        return self._here[name] if name in self._here else self._media.files.read(self._raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter({**self._here, **self._raw})

    def __len__(self) -> int:
        return len({**self._here, **self._raw})
