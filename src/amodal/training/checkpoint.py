"""Checkpoints: tensors as safetensors, the rest as JSON, replaced in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from amodal.stored import Described, write_atomic

__all__ = ["clear_checkpoint", "load_checkpoint", "save_checkpoint"]

_KIND = Described(
    "a checkpoint",
    "amodal-checkpoint",
    1,
    parts="checkpoint.json and the file that it names",
    remedy="delete the folder 'checkpoint' to train from the start",
)


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
    _KIND.write(folder / "checkpoint.json", {"file": name, "epoch": epoch, **facts})
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
    with _KIND.read(path) as facts:
        tensors = load_file(folder / facts["file"])
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
