"""`Source`: where a picture or a recording comes from, and what is to be changed in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["REASONS", "Source", "UnreadableError", "absolute", "contents", "moved"]

_HOME = "$DATASET/"
_MARK = "\x1e"  # "record separator": no file is called so

REASONS = {
    "missing": "there is no such file",
    "denied": "the file cannot be opened",
    "empty": "the file holds nothing",
    "changed": "the file is not the one that was prepared",
    "truncated": "the file ends too early or is damaged",
    "wrong kind": "the file is of another kind",
    "too large": "the picture has too many pixels",
    "not finite": "the recording holds numbers that are not finite",
}
"""Why a file cannot be decoded."""


class UnreadableError(Exception):
    """A file cannot be decoded, for one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Source:
    """A file, the hash of its content where it is known, and changes to what is decoded.

    In the ``source`` array of a data set it is one text: the path alone, or the path and a JSON
    object behind a separator. Such a text can be stored, compared and hashed as it is, and decoded
    anywhere without the data set that it comes from.

    Args:
        path: of the file.
        sha256: of its content, as hexadecimal digits; empty where nobody has read it.
        changes: what shifts do to it, in order: JSON objects that `amodal.media.changes` reads.

    >>> source = Source("a.png", sha256="00ff")
    >>> Source.parse(str(source)) == source, str(Source("a.png"))
    (True, 'a.png')
    """

    path: str
    sha256: str = ""
    changes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Source:
        """The source that `text` stands for."""
        path, mark, record = str(text).partition(_MARK)
        if not mark:
            return cls(path)
        try:
            facts = dict(json.loads(record))
        except (TypeError, ValueError):
            return cls(str(text))  # of somebody else's making
        return cls(path, facts.get("sha256", ""), tuple(facts.get("changes", ())))

    def __str__(self) -> str:
        facts: dict[str, Any] = {}
        if self.sha256:
            facts["sha256"] = self.sha256
        if self.changes:
            facts["changes"] = [dict(c) for c in self.changes]
        if not facts:
            return self.path
        return f"{self.path}{_MARK}{json.dumps(facts, sort_keys=True, separators=(',', ':'))}"

    @property
    def content(self) -> str:
        """What tells contents apart wherever the file lies: hash and changes; else the whole text.

        >>> Source("a/x.png", "00").content == Source("b/y.png", "00").content
        True
        """
        return str(replace(self, path="")) if self.sha256 else str(self)

    def changed(self, **change: Any) -> Source:
        """The same with one more change.

        >>> Source("a.png").changed(change="blur", severity=1.0).changes
        ({'change': 'blur', 'severity': 1.0},)
        """
        return replace(self, changes=(*self.changes, change))

    def read(self) -> bytes:
        """The content of the file.

        Raises:
            UnreadableError: missing, denied, empty, or not what was prepared.
        """
        try:
            content = Path(self.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise UnreadableError("missing") from None
        except (OSError, ValueError):
            raise UnreadableError("denied") from None
        if not content:
            raise UnreadableError("empty")
        if self.sha256 and not hashlib.sha256(content).hexdigest().startswith(self.sha256):
            raise UnreadableError("changed")
        return content


def contents(sources: np.ndarray) -> np.ndarray:
    """`Source.content` of each of the texts.

    >>> contents(np.array(["a.png", str(Source("b.png", "00ff"))])).tolist()[0]
    'a.png'
    """
    out = np.empty(len(sources), dtype=object)
    out[:] = [Source.parse(text).content for text in sources]
    return out


def moved(sources: np.ndarray, folder: Path, *, out: bool) -> np.ndarray:
    """Files inside `folder` by their place in it (`out`), or back; other paths stay as they are.

    >>> inside = moved(np.array(["/data/set/media/a.png", "/b.png"]), Path("/data/set"), out=True)
    >>> inside.tolist(), moved(inside, Path("/new"), out=False).tolist()
    (['$DATASET/media/a.png', '/b.png'], ['/new/media/a.png', '/b.png'])
    """
    found = np.empty(len(sources), dtype=object)
    found[:] = [_moved(str(text), str(folder), out) for text in sources]
    return found


def _moved(text: str, home: str, out: bool) -> str:
    start, end = (f"{home}/", _HOME) if out else (_HOME, f"{home}/")
    return end + text[len(start) :] if text.startswith(start) else text


def absolute(path: str) -> str:
    """`path` wherever the program stands when it reads it.

    >>> absolute("/images/../a.png")
    '/a.png'
    """
    return os.path.abspath(path)
