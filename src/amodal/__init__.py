"""amodal: multimodal models that keep working when modalities are absent.

Names are loaded when they are first used, so that `import amodal` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.batch import Batch, Encoded, Prediction
    from amodal.data.dataset import Dataset
    from amodal.errors import AmodalError
    from amodal.model import Model, load
    from amodal.types import Modality, Task

__version__ = "0.1.0"

_WHERE = {
    "AmodalError": "amodal.errors",
    "Batch": "amodal.batch",
    "Dataset": "amodal.data.dataset",
    "Encoded": "amodal.batch",
    "Modality": "amodal.types",
    "Model": "amodal.model",
    "Prediction": "amodal.batch",
    "Task": "amodal.types",
    "load": "amodal.model",
}

__all__ = [
    "AmodalError",
    "Batch",
    "Dataset",
    "Encoded",
    "Modality",
    "Model",
    "Prediction",
    "Task",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'amodal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
