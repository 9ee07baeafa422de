"""Fits a model once, and remembers for how long."""

from __future__ import annotations

import time
from pathlib import Path

from amodal import Dataset, Model
from amodal.model import make_model

__all__ = ["fitted"]


def fitted(spec: str, rows: Dataset, folder: Path) -> tuple[Model, str]:
    """The model, and for how many seconds of one CPU it was trained; what lies in `folder` stays."""
    told = folder / "seconds.txt"
    begin = time.process_time()
    model = make_model(spec, seed=0).fit(rows, folder=folder)
    if not told.exists():
        told.write_text(f"{time.process_time() - begin:.0f}", encoding="utf-8")
    return model, told.read_text(encoding="utf-8")
