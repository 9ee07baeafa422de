"""Reports: one self-contained HTML page per study, with its tables and figures; no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.report.build import build_report

__all__ = ["build_report"]


def __getattr__(name: str) -> Any:
    if name == "build_report":
        return import_module("amodal.report.build").build_report
    raise AttributeError(f"module 'amodal.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
