"""`VectorCache`: vectors on disk under the content that they were made of."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from amodal.errors import StorageError

__all__ = ["VectorCache"]

_MOST = 500  # keys of one query


class VectorCache:
    """A file of vectors; the key of each is a hash of its encoder and its text.

    The same text under another encoder is another key, so that nothing stale is ever read. What was
    added stays after a kill. Texts are not stored, but vectors tell of them: the file belongs where
    the data may lie.

    Args:
        folder: holds ``vectors.sqlite``; made where it is missing.

    Raises:
        StorageError: the folder cannot be made, or the file is not a cache.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     cache = VectorCache(home)
    ...     cache.put("encoder", ["a"], np.ones((1, 2), dtype=np.float32))
    ...     {k: v.tolist() for k, v in cache.get("encoder", ["a", "b"]).items()}
    {'a': [1.0, 1.0]}
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser() / "vectors.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"a cache needs a folder; {folder} could not be made: {error.strerror}; choose "
                "another"
            ) from None
        with self._open() as file:
            file.execute("create table if not exists vectors (key blob primary key, vector blob)")

    def get(self, encoder: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The known vectors of `texts` by text."""
        names = {_key(encoder, text): text for text in texts}
        keys, found = list(names), {}
        with self._open() as file:
            for begin in range(0, len(keys), _MOST):
                some = keys[begin : begin + _MOST]
                marks = ",".join("?" * len(some))
                query = f"select key, vector from vectors where key in ({marks})"
                for key, vector in file.execute(query, some):
                    found[names[key]] = np.frombuffer(vector, dtype="<f4")
        return found

    def put(self, encoder: str, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Adds the vectors ``Float32[k, d]`` of `texts`."""
        lines = [
            (_key(encoder, text), vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._open() as file:
            file.executemany("insert or replace into vectors values (?, ?)", lines)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as file, file:
                yield file
        except sqlite3.Error as error:
            raise StorageError(
                f"a cache is a file that embedding wrote; {self.path.name} cannot be used "
                f"({error}); delete it or choose another folder"
            ) from None


def _key(encoder: str, text: str) -> bytes:
    body = f"{encoder}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(body).digest()
