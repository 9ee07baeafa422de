"""Tuning: each method's few settings, searched on validation rows with the same budget for all.

Names are loaded when they are first used: `amodal.tuning` itself imports neither torch nor Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.tuning.budget import Budget
    from amodal.tuning.run import Tuned, tune

_WHERE = {
    "Budget": "amodal.tuning.budget",
    "Tuned": "amodal.tuning.run",
    "tune": "amodal.tuning.run",
}

__all__ = ["Budget", "Tuned", "tune"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'amodal.tuning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
