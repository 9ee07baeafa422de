"""What a DATA argument means: a prepared folder, or the name of a built-in set."""

from __future__ import annotations

from pathlib import Path

from amodal.data.dataset import Dataset
from amodal.errors import DataError, StorageError, unknown_name

__all__ = ["PREFIX", "open_dataset"]

PREFIX = "builtin:"


def open_dataset(ref: str | Path, *, verify: bool = False) -> Dataset:
    """The data set that `ref` names.

    Args:
        ref: a folder that was prepared, or "builtin:NAME".
        verify: True compares the sha256 of stored files too.

    Raises:
        UnknownNameError: no built-in set of that name.
        StorageError: nothing is there, or a file of it is damaged.
        DataError: a folder that is not a data set.

    >>> len(open_dataset("builtin:wdbc"))
    569
    """
    if isinstance(ref, str) and ref.startswith(PREFIX):
        return _builtin(ref.removeprefix(PREFIX))
    if not isinstance(ref, (str, Path)):
        raise DataError(
            f"a data set is named by a folder or {PREFIX}NAME; got {type(ref).__name__}; "
            "hand in one of these"
        )
    from amodal.data.store import MANIFEST, load_dataset

    try:
        folder = Path(ref).expanduser()
        exists, is_set = folder.exists(), (folder / MANIFEST).is_file()
        is_folder = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # a null byte, a name too long, no home
        exists, is_set, is_folder = False, False, False
    if is_set:
        return load_dataset(folder, verify=verify)
    if not exists:
        raise _not_there(str(ref))
    what = "a folder without manifest.json" if is_folder else "a file"
    raise DataError(
        f"a data set is a prepared folder or {PREFIX}NAME; {str(ref)!r} is {what}; "
        "prepare it with `amodal prepare ...`"
    )


def _builtin(name: str) -> Dataset:
    from amodal.data.builtin import BUILTIN

    if name not in BUILTIN:
        raise unknown_name("built-in data set", name, BUILTIN)
    return BUILTIN[name]()


def _not_there(ref: str) -> StorageError:
    from amodal.data.builtin import BUILTIN

    hint = f"did you mean '{PREFIX}{ref}'?" if ref in BUILTIN else "check the path"
    return StorageError(
        f"a data set is a prepared folder or {PREFIX}NAME; {ref!r} does not exist; {hint}"
    )
