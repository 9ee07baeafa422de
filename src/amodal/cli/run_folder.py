"""The folder of a run: begun once, resumed after a kill, never overwritten by accident.

Layout::

    run.json            what is trained on what, since when; written first
    member-<k>/         a fitted member, or the checkpoint and log of one that is being fitted
    rows.json           the row ids of train, valid, calibration and test
    model.json          written last: with it the run is finished, and `amodal.load` reads it
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.errors import CheckpointError, StorageError

if TYPE_CHECKING:
    from amodal.model import Model

__all__ = ["RunFolder", "model_fingerprint", "read_head"]

HEAD = "run.json"
_FORMAT = {"format": "amodal-run", "version": 1}
_FILES = (HEAD, "model.json", "rows.json")


@dataclass(frozen=True)
class RunFolder:
    """A folder in which a run is under way.

    Args:
        folder: of the run.
        head: what ``run.json`` holds; ``key`` tells one run from another.
        resumed: an earlier call began it.
    """

    folder: Path
    head: Mapping[str, Any]
    resumed: bool

    @classmethod
    def begin(
        cls, folder: Path, key: Mapping[str, Any], *, overwrite: bool, about: Mapping[str, Any]
    ) -> RunFolder:
        """The folder for a run that `key` determines: new, or one that was left unfinished.

        Args:
            folder: new or empty, or of an unfinished run of the same key.
            key: all that determines the result.
            overwrite: remove a run that is there.
            about: what else ``run.json`` tells.

        Raises:
            StorageError: it holds a finished run, another run, or other files.
        """
        found = _occupied(folder)
        if found and overwrite:
            _remove(folder)
        elif found == "finished":
            raise StorageError(
                f"a run is trained into a folder of its own; {folder} holds a finished one; choose "
                "another folder, or train anew with --overwrite"
            )
        elif found == "unfinished":
            head = read_head(folder)
            if head.get("key") != _plain(key):
                raise StorageError(
                    "an unfinished run goes on with the settings and data that it began with; that "
                    f"in {folder} began with others{_difference(head.get('key'), key)}; repeat "
                    "them, choose another folder, or train anew with --overwrite"
                )
            return cls(folder, head, True)
        head = {**_FORMAT, "key": _plain(key), **about, "started": _now()}
        run = cls(folder, head, False)
        with run.tidy():
            _write(folder / HEAD, head)
        return run

    @contextmanager
    def tidy(self) -> Iterator[None]:
        """Where work in it fails and nothing can be resumed, no folder is left behind."""
        try:
            yield
        except BaseException:
            if not self.resumed and not _resumable(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def finish(self, model: Model, facts: Mapping[str, Any]) -> None:
        """Stores the model; ``model.json`` comes last and makes the run a finished one."""
        part = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(4)}.part")
        try:
            model.save(part)
            for member in part.glob("member-*"):
                _move_files(member, self.folder / member.name)
            _write(self.folder / HEAD, {**self.head, **facts, "finished": _now()})
            for name in ("rows.json", "model.json"):
                os.replace(part / name, self.folder / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_head(folder: Path) -> dict[str, Any]:
    """What ``run.json`` holds; empty where the model was saved by other means.

    Raises:
        CheckpointError: it is foreign or damaged.
    """
    path = folder / HEAD
    if not path.exists():
        return {}
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        known = all(head.get(k) == v for k, v in _FORMAT.items())
    except (ValueError, AttributeError):
        known = False
    if not known:
        raise CheckpointError(
            f"a run is described by {HEAD} of version {_FORMAT['version']}; that in {folder} is "
            "foreign, of another version, or damaged; train it again with --overwrite"
        )
    return head


def model_fingerprint(folder: Path) -> str:
    """A hash of all files that the model in `folder` consists of: 16 hex digits."""
    found = hashlib.sha256()
    paths = [folder / "model.json", *folder.glob("member-*/*")]
    for path in sorted(p for p in paths if p.is_file() and p.suffix != ".jsonl"):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def _occupied(folder: Path) -> str:
    """What `folder` holds: "" (nothing), "unfinished" or "finished"; anything else is refused."""
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"a run is a folder; {folder} is a file; choose another name")
    names = {p.name for p in folder.iterdir()} if folder.exists() else set()
    names = {n for n in names if not (n.startswith(".") and n.endswith(".tmp"))}  # of a kill
    strange = [n for n in names if n not in _FILES and not _is_member(n)]
    if strange or (names and not names & {HEAD, "model.json"}):
        raise StorageError(
            f"a run is trained into a folder of its own; {folder} holds other files; choose a new "
            "one"
        )
    if not names:
        return ""
    return "finished" if "model.json" in names else "unfinished"


def _is_member(name: str) -> bool:
    number = name.removeprefix("member-")
    return name != number and number.isdigit()


def _remove(folder: Path) -> None:
    """Removes a run; ``model.json`` goes first, so that half a model is never taken for one."""
    for name in ("model.json", "rows.json"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("member-*"):
        shutil.rmtree(path)
    (folder / HEAD).unlink(missing_ok=True)


def _resumable(folder: Path) -> bool:
    kept = ("member-*/member.json", "member-*/checkpoint/checkpoint.json")
    return any(next(folder.glob(pattern), None) for pattern in kept)


def _move_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda p: p.name == "member.json"):
        os.replace(path, target / path.name)


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    """The first thing in which two keys differ, in brackets."""
    wanted = _plain(wanted)
    for name in wanted:
        old = found.get(name) if isinstance(found, dict) else None
        if old != wanted[name]:
            if isinstance(old, dict | list) or isinstance(wanted[name], dict | list):
                return f" ({name} differ)"
            return f" ({name}: {old}, now {wanted[name]})"
    return ""


def _plain(value: Mapping[str, Any]) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def _write(path: Path, value: Mapping[str, Any]) -> None:
    from amodal.stored import write_atomic

    write_atomic(path, (json.dumps(value, indent=1) + "\n").encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
