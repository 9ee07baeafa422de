"""Fits a model once, and remembers for how long."""

from __future__ import annotations

import time
from pathlib import Path

from amodal import Dataset, Model
from amodal.model import make_model

__all__ = ["fitted"]


def fitted(spec: str, rows: Dataset, folder: Path, *, settings: str = "") -> tuple[Model, str]:
    """The model, and for how many seconds of one CPU it was trained; what lies in `folder` stays.

    Seconds are "" of a training that was begun by an earlier call and ended by a later one.

    `settings` are those of every method of a study; what `spec` says goes before.
    """
    told, new, begin = folder / "seconds.txt", not folder.exists(), time.process_time()
    model = make_model(joined(spec, settings)).fit(rows, folder=folder)
    if new:
        told.write_text(f"{time.process_time() - begin:.0f}", encoding="utf-8")
    return model, told.read_text(encoding="utf-8") if told.exists() else ""


def joined(spec: str, settings: str) -> str:
    """One word for both; of a setting that stands twice in it the later counts.

    >>> joined("imro:lr=2", "lr=1:epochs=3")
    'imro:lr=1:epochs=3:lr=2'
    """
    name, *own = spec.split(":")
    return ":".join([name, *filter(None, [settings]), *own])
