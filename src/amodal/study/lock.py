"""One process writes a study's folder at a time: a lock that says who holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from amodal.errors import StorageError
from amodal.study.files import put_json

__all__ = ["locked"]

_LOCK, _HOLDER = ".lock", ".lock.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a study's folder; who holds it stands beside it.

    It is the operating system's lock on a file: a process that is killed holds nothing, whatever
    is left in the folder. Processes that a study starts itself do not take it.

    Args:
        folder: of the study; made if it is not there.

    Raises:
        StorageError: another process holds it, or the folder cannot be written.
    """
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise StorageError(
            f"one process at a time works on the folder of a study; {_holder(folder)} works on "
            f"{folder}; wait until it is done, or choose another folder"
        ) from None
    except OSError as error:
        raise StorageError(
            f"a study writes into its folder; {folder} cannot be written "
            f"({error.strerror or error}); choose another place"
        ) from error
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        put_json(folder / _HOLDER, {"pid": os.getpid(), "host": socket.gethostname(), "since": now})
        yield
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()  # the empty file stays: removing it would let two hold locks of one name


def _holder(folder: Path) -> str:
    try:
        facts = json.loads((folder / _HOLDER).read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']}, since {facts['since']},"
    except (OSError, ValueError, KeyError):
        return "another process"
