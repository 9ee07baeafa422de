"""Data sets: making, storing, splitting and scaling them.

Names are loaded when they are first used, so that `import amodal.data` stays cheap and free of
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.data.builtin import BUILTIN
    from amodal.data.dataset import Dataset
    from amodal.data.features import Table, tabulate
    from amodal.data.files import example_spec, prepare_files, read_files
    from amodal.data.scaling import Scaler
    from amodal.data.source import open_dataset
    from amodal.data.splits import assign_splits, folds, split_development
    from amodal.data.store import load_dataset, save_dataset
    from amodal.data.tensors import to_batch

_WHERE = {
    "BUILTIN": "builtin",
    "Dataset": "dataset",
    "Scaler": "scaling",
    "Table": "features",
    "assign_splits": "splits",
    "example_spec": "files",
    "folds": "splits",
    "load_dataset": "store",
    "open_dataset": "source",
    "prepare_files": "files",
    "read_files": "files",
    "save_dataset": "store",
    "split_development": "splits",
    "tabulate": "features",
    "to_batch": "tensors",
}

__all__ = [
    "BUILTIN",
    "Dataset",
    "Scaler",
    "Table",
    "assign_splits",
    "example_spec",
    "folds",
    "load_dataset",
    "open_dataset",
    "prepare_files",
    "read_files",
    "save_dataset",
    "split_development",
    "tabulate",
    "to_batch",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"amodal.data.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'amodal.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
