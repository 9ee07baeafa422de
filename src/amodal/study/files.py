"""Files that are there whole or not at all, and the folders of a study."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amodal.errors import SettingError, StorageError

__all__ = [
    "canonical",
    "digest",
    "digest_folder",
    "put_file",
    "put_folder",
    "put_json",
    "read_json",
    "read_toml",
    "sweep_stale",
    "write_csv",
]

_HOST = socket.gethostname().replace("-", "_").replace(".", "_") or "host"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    >>> canonical({"b": 1, "a": (1.0, None)})
    '{"a":[1.0,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any, length: int = 8) -> str:
    """A hash of a JSON value: `length` hex digits.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def digest_folder(folder: Path) -> str:
    """A hash of the names and contents of all files below `folder`: 16 hex digits.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a").write_text("x")
    ...     one = digest_folder(Path(folder))
    ...     _ = Path(folder, "a").rename(Path(folder, "b"))
    ...     len(one), one == digest_folder(Path(folder))
    (16, False)
    """
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def put_file(path: Path, write: Callable[[Path], Any]) -> Path:
    """`write(temporary)` writes a sibling, which then takes the name `path` in one step.

    Raises:
        StorageError: it cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "new", "a.txt")
    ...     put_file(path, lambda part: (part.write_text("x"), print(path.exists()))).read_text()
    False
    'x'
    """
    part = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        os.replace(part, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def put_folder(path: Path, write: Callable[[Path], Any]) -> Path:
    """As `put_file` for a folder; where `path` is already there, it stays as it is.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for text in ("first", "second"):
    ...         made = put_folder(Path(folder, "a"), lambda part: (part / "x").write_text(text))
    ...     (made / "x").read_text()
    'first'
    """
    part = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        write(part)
        if not path.exists():
            os.replace(part, path)
    except OSError as error:
        if not path.exists():  # else another process was first, with the same content
            raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def put_json(path: Path, value: Mapping[str, Any]) -> Path:
    """Writes JSON; NaN and infinities become null, as JSON has none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_json(put_json(Path(folder, "a.json"), {"low": math.nan, "at": (1, 2)}), "a test")
    {'low': None, 'at': [1, 2]}
    """
    text = json.dumps(_plain(value), indent=1, allow_nan=False) + "\n"
    return put_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        StorageError: it is missing, truncated, or no JSON object.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text("[1]")
    ...     read_json(Path(folder, "a.json"), "the head of a study")
    Traceback (most recent call last):
    amodal.errors.StorageError: the head of a study is a JSON object; a.json holds another value; ...
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{what} is a JSON file; {path.name} is missing or cannot be read; "
            "delete it and run the study again"
        ) from error
    if not isinstance(value, dict):
        raise StorageError(f"{what} is a JSON object; {path.name} holds another value; delete it")
    return value


def sweep_stale(folder: Path) -> int:
    """Removes what killed processes of this machine left half-written; returns how many.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     dead, other = Path(folder, f".a.{_HOST}.99999999.part"), Path(folder, ".a.far.1.part")
    ...     dead.touch(), other.touch()
    ...     sweep_stale(Path(folder)), dead.exists(), other.exists()  # of another machine: left
    (None, None)
    (1, False, True)
    """
    removed = 0
    for part in folder.rglob(".*.part"):
        *_, host, pid, _ = part.name.split(".")
        if host == _HOST and pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
            removed += 1
    return removed


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.part")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"a study writes into its folder; {path.name} could not be written "
        f"({error.strerror or error}); free space or choose another folder"
    )


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Args:
        path: the file.
        what: it is called in errors.

    Raises:
        StorageError: it cannot be read.
        SettingError: it is no TOML.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.toml").write_text("x = [1, 2]")
    ...     read_toml(Path(folder, "a.toml"), "a study file")
    {'x': [1, 2]}
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise StorageError(
            f"{what} is a TOML file; {path} cannot be read ({error.strerror}); check the path"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{what} is written in TOML; {path.name} is not: {error}; mend it"
        ) from None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes dicts with the same keys as CSV; NaN and None are empty, numbers have six digits.

    Raises:
        StorageError: it cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_csv(Path(folder, "a.csv"), [{"n": None, "low": math.nan, "value": 1 / 3}])
    ...     print(path.read_text())
    n,low,value
    ,,0.333333
    """

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(rows[0])
            table.writerows([_csv_cell(v) for v in row.values()] for row in rows)

    return put_file(path, write)


def _csv_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
