"""The folder of a stored model: its members, the rows of its splits, and what describes it."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amodal
from amodal.errors import StorageError
from amodal.member import Member
from amodal.stored import Described, write_atomic

__all__ = ["described", "versions", "write_model"]

_KIND = Described(
    "a stored model",
    "amodal-model",
    1,
    parts="model.json, rows.json and a folder for each member",
    remedy="train it again",
)
_KNOWN = {"model.json", "rows.json", "run.json"}


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    import sklearn

    return {
        "amodal": amodal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def write_model(
    folder: str | Path,
    members: Sequence[Member],
    *,
    rows: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> Path:
    """Stores a model in a folder of its own; ``model.json``, written last, says that it is whole.

    Args:
        folder: a new one, or one that holds a model.
        members: fitted.
        rows: split -> ids of its rows.
        facts: what else describes the model, as JSON.

    Raises:
        StorageError: the folder cannot be written, or holds something else.
    """
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(_foreign(p) for p in folder.iterdir())):
        raise StorageError(
            f"a model is stored in a folder of its own; {folder.name!r} holds other files; "
            "choose another"
        )
    (folder / "model.json").unlink(missing_ok=True)
    for number, member in enumerate(members):
        member.save(folder / f"member-{number}")
    for extra in folder.glob("member-*"):
        if int(extra.name.split("-")[1]) >= len(members):
            shutil.rmtree(extra)
    ids = {name: [str(r) for r in found] for name, found in rows.items()}
    write_atomic(folder / "rows.json", json.dumps(ids).encode())
    _KIND.write(folder / "model.json", facts, indent=1)
    return folder


def _foreign(path: Path) -> bool:
    return path.name not in _KNOWN and not path.name.startswith("member-")


@contextmanager
def described(folder: str | Path) -> Iterator[tuple[dict[str, Any], dict[str, list[str]]]]:
    """What `write_model` was told: facts, and split -> ids of its rows, to be read inside.

    Raises:
        StorageError: there is no model.
        CheckpointError: foreign, of another version, truncated, or facts that cannot be read.
    """
    folder = Path(folder)
    path = folder / "model.json"
    if not path.exists():
        raise StorageError(
            f"a stored model is a folder with model.json; {folder.name!r} has none; "
            "name the folder that `amodal train` wrote"
        )
    with _KIND.read(path) as facts:
        yield facts, json.loads((folder / "rows.json").read_text())
