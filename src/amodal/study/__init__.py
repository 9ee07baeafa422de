"""Studies: methods x absence x seeds on one data set, as files.

Names are loaded when they are first used: reading results needs no torch, running a study does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.study.plan import Plan
    from amodal.study.replaying import replay
    from amodal.study.results import Results, read_results
    from amodal.study.run import RERUN, Outcome, run_study
    from amodal.study.study_file import read_study_file

_WHERE = {
    "Outcome": "amodal.study.run",
    "Plan": "amodal.study.plan",
    "RERUN": "amodal.study.run",
    "Results": "amodal.study.results",
    "read_results": "amodal.study.results",
    "replay": "amodal.study.replaying",
    "read_study_file": "amodal.study.study_file",
    "run_study": "amodal.study.run",
}

__all__ = [
    "RERUN",
    "Outcome",
    "Plan",
    "Results",
    "read_results",
    "read_study_file",
    "replay",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'amodal.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
