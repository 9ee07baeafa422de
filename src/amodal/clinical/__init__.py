"""Clinical data sets: readers of their official raw layouts, and stated rules for their values.

Nothing here imports torch; each reader is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.clinical.eicu import eicu_choices, prepare_eicu
    from amodal.clinical.mimic4 import mimic4_choices, prepare_mimic4
    from amodal.clinical.physionet2012 import prepare_physionet2012, read_physionet2012

__all__ = [
    "eicu_choices",
    "mimic4_choices",
    "prepare_eicu",
    "prepare_mimic4",
    "prepare_physionet2012",
    "read_physionet2012",
]

_HOME = {
    "eicu_choices": "amodal.clinical.eicu",
    "mimic4_choices": "amodal.clinical.mimic4",
    "prepare_eicu": "amodal.clinical.eicu",
    "prepare_mimic4": "amodal.clinical.mimic4",
    "prepare_physionet2012": "amodal.clinical.physionet2012",
    "read_physionet2012": "amodal.clinical.physionet2012",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
