"""Checkpoints: tensors as safetensors, the rest as JSON, replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from amodal.errors import CheckpointError, StorageError

__all__ = ["clear_checkpoint", "load_checkpoint", "save_checkpoint", "write_atomic"]

_FORMAT = "amodal-checkpoint"
_VERSION = 1


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


def save_checkpoint(folder: Path, epoch: int, tensors: dict[str, Tensor], facts: dict) -> None:
    """Stores the state of a training run after `epoch`; the one before is removed last.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for epoch in (1, 2):
    ...         save_checkpoint(Path(folder), epoch, {"w": torch.ones(1)}, {"best": 0.5})
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['checkpoint.json', 'epoch-00002.safetensors']
    """
    name = f"epoch-{epoch:05d}.safetensors"
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_atomic(folder / name, save(whole))
    header = {"format": _FORMAT, "version": _VERSION, "file": name, "epoch": epoch}
    write_atomic(folder / "checkpoint.json", json.dumps({**header, **facts}).encode())
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The last state stored in `folder`; None where there is none.

    Raises:
        CheckpointError: it is of another program or version, or truncated.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     nothing = load_checkpoint(Path(folder))
    ...     save_checkpoint(Path(folder), 2, {"w": torch.ones(1)}, {"best": 0.5})
    ...     tensors, facts = load_checkpoint(Path(folder))
    >>> nothing, tensors["w"].tolist(), facts["epoch"], facts["best"]
    (None, [1.0], 2, 0.5)
    """
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text())
        found = (facts.get("format"), facts.get("version"))
        if found != (_FORMAT, _VERSION):
            raise CheckpointError(
                f"a checkpoint must be {_FORMAT} version {_VERSION}; found {found[0]} version "
                f"{found[1]}; delete the folder 'checkpoint' to train from the start"
            )
        tensors = load_file(folder / facts["file"])
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            "a checkpoint consists of checkpoint.json and the file that it names; this one cannot "
            "be read; delete the folder 'checkpoint' to train from the start"
        ) from None
    return tensors, facts


def clear_checkpoint(folder: Path) -> None:
    """Removes the checkpoint of a run that has ended.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_checkpoint(Path(folder, "run"), 1, {"w": torch.ones(1)}, {})
    ...     clear_checkpoint(Path(folder, "run"))
    ...     Path(folder, "run").exists()
    False
    """
    for path in [folder / "checkpoint.json", *folder.glob("epoch-*.safetensors")]:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def pack_optimizer(state: dict[str, Any]) -> tuple[dict[str, Tensor], list]:
    """An optimizer's state as flat tensors ("optimizer/<parameter>/<name>") and its groups."""
    flat = {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
    return flat, state["param_groups"]


def unpack_optimizer(tensors: dict[str, Tensor], groups: list) -> dict[str, Any]:
    """The inverse of `pack_optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": groups}
