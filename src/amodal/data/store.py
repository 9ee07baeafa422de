"""Data sets on disk: a folder with Parquet files and a manifest.

- ``manifest.json``: format and version, modalities, task, counts, size and sha256 of each file, and
  the provenance.
- ``rows.parquet``: ``row_id``, ``target``, ``references``, ``group``, ``split``, ``weight``,
  ``fact:<name>``; for each modality ``absence:<name>`` and ``value:<name>``, the number of the
  row's value, -1 where it has none.
- ``<modality>.parquet``: its values, one line each; of ``series`` and ``codes`` one line a step,
  with the number of the ``value`` that it belongs to and its ``time``.
- Files that whoever prepared the data laid beside them (a cohort report; images and recordings in
  ``media``), named in the manifest.

A folder is written under another name and renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.data.dataset import Dataset
from amodal.errors import AmodalError, DataError, SettingError, StorageError
from amodal.media.source import moved
from amodal.types import LOST, NOT_MEASURED, Modality, Task
from amodal.values import MEDIA, Values

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FORMAT",
    "VERSION",
    "check_target_folder",
    "file_facts",
    "load_dataset",
    "read_manifest",
    "save_dataset",
]

FORMAT = "amodal-dataset"
VERSION = 1
MANIFEST = "manifest.json"


# -- writing --------------------------------------------------------------------------------------


def save_dataset(
    data: Dataset, folder: str | Path, *, beside: Mapping[str, bytes] | None = None
) -> Path:
    """Writes `data` into `folder`, which is new, empty, or a data set that is replaced.

    Args:
        data: what is written.
        folder: where.
        beside: further files of the same folder, name or "media/name" -> content; they go when it
            is replaced.

    Returns:
        The folder.

    Raises:
        StorageError: the folder holds something else, or cannot be written.
        DataError: provenance that is not JSON, texts that are not Unicode.

    >>> import tempfile
    >>> d = Dataset.from_arrays({"a": [[1.0], None]}, [0, 1])
    >>> with tempfile.TemporaryDirectory() as home:
    ...     load_dataset(save_dataset(d, Path(home) / "d")).fingerprint() == d.fingerprint()
    True
    """
    folder = check_target_folder(folder)
    with _storage("written", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
        part.mkdir()
        try:
            _write(_placed(data, folder, out=True), part, beside or {})
            _replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return folder


def check_target_folder(folder: str | Path) -> Path:
    """The resolved folder, if a data set may be written there; nothing but data sets is replaced.

    Raises:
        StorageError: a file, or a folder that holds something else.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     own = save_dataset(Dataset.from_arrays({"a": [[1.0]]}), f"{folder}/own")
    ...     same = check_target_folder(own)  # a data set may be replaced
    ...     _ = (own / "mine.txt").write_text("x")
    ...     check_target_folder(own)
    Traceback (most recent call last):
    amodal.errors.StorageError: a data set is written into a new or empty folder, or replaces ...
    """
    with _storage("written", folder):
        folder = Path(folder).expanduser().resolve()
        if not folder.exists():
            return folder
        found = {p.name for p in folder.iterdir()} if folder.is_dir() else {"a file"}
        own: set[str] = set()
        if MANIFEST in found:
            with suppress(AmodalError):
                manifest = read_manifest(folder)
                beside = {name.split("/")[0] for name in manifest.get("beside", ())}
                own = {MANIFEST, *manifest["files"], *beside}
    if found - own:
        raise StorageError(
            f"a data set is written into a new or empty folder, or replaces another data set; "
            f"{folder} holds something else; choose another folder"
        )
    return folder


@contextmanager
def _storage(done: str, path: str | Path) -> Iterator[None]:
    """Turns what the system raises into one sentence."""
    try:
        yield
    except AmodalError:
        raise
    except UnicodeError:
        raise DataError(
            f"texts of a data set must be valid Unicode; {path} could not be {done}; clean them"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error).split("\n")[0][:200]
        raise StorageError(f"{path} could not be {done}: {reason}") from error
    except ValueError as error:  # a null byte in a path
        raise StorageError(f"{str(path)!r} could not be {done}: {str(error)[:200]}") from None


def _replace(part: Path, folder: Path) -> None:
    """Puts `part` where `folder` is; what was there comes back if that fails."""
    if not folder.exists():
        os.rename(part, folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _placed(data: Dataset, folder: Path, *, out: bool) -> Dataset:
    """Files that lie in the folder are named by their place in it, so that it can be moved."""
    values = dict(data.values)
    for m in data.modalities:
        if m.kind in MEDIA:
            sources = moved(values[m.name].data["source"], folder, out=out)
            values[m.name] = Values({"source": sources}, None, values[m.name].index)
    return data.replace(values=values)


def _write(data: Dataset, part: Path, beside: Mapping[str, bytes]) -> None:
    import pyarrow.parquet as pq

    from amodal.data.parquet import file_names, rows_table, values_table

    names = file_names(data.names)
    tables = {"rows.parquet": rows_table(data)}
    for modality in data.modalities:
        tables[names[modality.name]] = values_table(modality, data.values[modality.name])
    for name, table in tables.items():
        pq.write_table(table, part / name, compression="zstd", write_page_checksum=True)
    files = {name: file_facts(part / name) for name in tables}
    manifest = _manifest(data, names, files)
    if beside:
        manifest["beside"] = sorted(beside)
    for name, content in beside.items():
        if not _is_own_name(name) or name in {*files, MANIFEST}:
            raise SettingError(
                f"a file beside a data set has a plain name of its own; got {name!r}"
            )
        (part / name).parent.mkdir(exist_ok=True)
        (part / name).write_bytes(content)
    try:
        text = json.dumps(manifest, indent=1, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise DataError(
            "provenance must be JSON (texts, finite numbers, lists, objects); got something else; "
            "convert it"
        ) from None
    with open(part / MANIFEST, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def file_facts(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, once it is on the disk.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "empty").touch()
    ...     facts = file_facts(Path(folder, "empty"))
    >>> facts["bytes"], facts["sha256"][:8]  # that of no bytes
    (0, 'e3b0c442')
    """
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # on the disk before the folder gets its name
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _manifest(data: Dataset, names: Mapping[str, str], files: Mapping[str, Any]) -> dict[str, Any]:
    known = ("target", "references", "group", "split", "weight")
    columns = [c for c in known if getattr(data, c) is not None]
    columns += [f"fact:{name}" for name in data.facts]
    counts: dict[str, Any] = {"rows": len(data), "labelled": int(data.labelled.sum())}
    counts["modalities"] = {
        name: {
            "values": len(data.values[name]),
            "present": int(data.present[:, k].sum()),
            "not_measured": int((data.absence[:, k] == NOT_MEASURED).sum()),
            "lost": int((data.absence[:, k] == LOST).sum()),
        }
        for k, name in enumerate(data.names)
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "modalities": [{**m.to_json(), "file": names[m.name]} for m in data.modalities],
        "task": data.task.to_json() if data.task else None,
        "columns": columns,
        "counts": counts,
        "files": files,
        "provenance": data.provenance,
    }


# -- reading --------------------------------------------------------------------------------------


def load_dataset(folder: str | Path, *, verify: bool = False) -> Dataset:
    """The data set that `save_dataset` wrote into `folder`.

    With `verify` the sha256 of each file is compared too, not its size alone.

    Raises:
        StorageError: a file is lacking, truncated, changed or unreadable.
        DataError: no data set of this format and version, or one that breaks a rule.

    >>> from tempfile import TemporaryDirectory
    >>> d = Dataset.from_arrays({"a": [[1.0], None]}, [1, 0])
    >>> with TemporaryDirectory() as folder:
    ...     load_dataset(save_dataset(d, f"{folder}/d"), verify=True).fingerprint() == d.fingerprint()
    True
    """
    from amodal.data.parquet import read_rows, read_values

    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, facts in manifest["files"].items():
        _check_file(folder / name, facts, verify=verify)
    try:
        described = [dict(m) for m in manifest["modalities"]]
        files = [m.pop("file") for m in described]
        modalities = tuple(Modality.from_json(m) for m in described)
        task = Task.from_json(manifest["task"]) if manifest["task"] else None
        if not set(files) <= set(manifest["files"]):
            raise KeyError("a modality without file")
        counts = {
            m.name: int(manifest["counts"]["modalities"][m.name]["values"]) for m in modalities
        }
        provenance = dict(manifest["provenance"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise _foreign(folder) from error
    rows, index = read_rows(_read(folder / "rows.parquet"), manifest["columns"], modalities, task)
    values = {
        m.name: read_values(m, _read(folder / file), counts[m.name], index[m.name])
        for m, file in zip(modalities, files, strict=True)
    }
    found = Dataset(modalities, values, task=task, provenance=provenance, **rows)
    return _placed(found, folder.resolve(), out=False)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of the data set in `folder`, its format, version and file names checked.

    Raises:
        StorageError: it cannot be read.
        DataError: it is no manifest of this format and version.

    >>> from tempfile import TemporaryDirectory
    >>> d = Dataset.from_arrays({"a": [[1.0], None]}, [1, 0])
    >>> with TemporaryDirectory() as folder:
    ...     read_manifest(save_dataset(d, f"{folder}/d"))["counts"]["modalities"]["a"]
    {'values': 1, 'present': 1, 'not_measured': 1, 'lost': 0}
    """
    folder = Path(folder)
    with _storage("read", folder / MANIFEST):
        raw = (folder / MANIFEST).read_bytes()
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        raise _foreign(folder) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _foreign(folder)
    if manifest.get("version") != VERSION:
        raise DataError(
            f"{folder} is a data set of version {str(manifest.get('version'))[:20]}; this program "
            f"reads version {VERSION}; prepare it again"
        )
    files = manifest.get("files")
    kinds = {"modalities": list, "columns": list, "counts": dict, "provenance": dict}
    if (
        not isinstance(files, dict)
        or "rows.parquet" not in files
        or not all(isinstance(x, dict) and _is_file_name(k) for k, x in files.items())
        or not all(isinstance(manifest.get(k), kind) for k, kind in kinds.items())
        or not isinstance(manifest.get("task"), dict | None)
        or not isinstance(manifest.get("beside", []), list)
        or not all(_is_own_name(name) for name in manifest.get("beside", []))
    ):
        raise _foreign(folder)
    return manifest


def _is_file_name(name: str) -> bool:
    """True for a name that cannot lead out of the folder."""
    return name.endswith(".parquet") and not set(name) & set("/\\\0")


def _is_own_name(name: Any) -> bool:
    """True for the name of a file in the folder itself, or in its folder ``media``."""
    plain = name.removeprefix("media/") if isinstance(name, str) else ""
    return bool(plain.strip(".")) and name != "media" and not set(plain) & set("/\\\0")


def _foreign(folder: Path) -> DataError:
    return DataError(
        f"{folder / MANIFEST} is not the manifest of a data set, or is damaged; "
        "prepare the data set again"
    )


def _check_file(path: Path, facts: Mapping[str, Any], *, verify: bool) -> None:
    with _storage("read", path):
        size = path.stat().st_size
        changed = size != facts.get("bytes")
        if not changed and verify:
            changed = file_facts(path)["sha256"] != facts.get("sha256")
    if changed:
        raise StorageError(
            f"{path} must be the file that the manifest describes, of {facts.get('bytes')} bytes; "
            f"found {size}, so it was truncated or changed; prepare the data set again"
        )


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read as Parquet; it is damaged; prepare the data set again"
        ) from error
