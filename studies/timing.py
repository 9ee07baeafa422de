"""Fits a model once, and remembers for how long."""

from __future__ import annotations

import time
from pathlib import Path

from amodal import Dataset, Model
from amodal.model import make_model

__all__ = ["fitted"]


def fitted(spec: str, rows: Dataset, folder: Path, *, settings: str = "") -> tuple[Model, str]:
    """The model, and for how many seconds of one CPU it was trained; what lies in `folder` stays.

    `settings` are those of every method of a study; what `spec` says goes before.
    """
    told = folder / "seconds.txt"
    begin = time.process_time()
    model = make_model(joined(spec, settings)).fit(rows, folder=folder)
    if not told.exists():
        told.write_text(f"{time.process_time() - begin:.0f}", encoding="utf-8")
    return model, told.read_text(encoding="utf-8")


def joined(spec: str, settings: str) -> str:
    """One word for both; of a setting that stands twice in it the later counts.

    >>> joined("imro:lr=2", "lr=1:epochs=3")
    'imro:lr=1:epochs=3:lr=2'
    """
    name, *own = spec.split(":")
    return ":".join([name, *filter(None, [settings]), *own])
