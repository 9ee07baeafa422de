"""`pattern`: predicts from which modalities are there, and from nothing else."""

from __future__ import annotations

from typing import ClassVar

from amodal.methods.logistic import Logistic

__all__ = ["Pattern"]


class Pattern(Logistic):
    """Logistic (or ridge) regression on the codes of absence.

    What it reaches above chance is due to who gets measured, not to what was found: a floor for
    every method that learns from absence. Per modality one column each for ``PRESENT``,
    ``NOT_MEASURED`` and ``LOST``; settings as for `Logistic`.
    """

    name: ClassVar[str] = "pattern"
    title: ClassVar[str] = "Which modalities are there"
    reference: ClassVar[str] = "Rubin, Inference and missing data, Biometrika 63(3)"
    year: ClassVar[int] = 1976
    values: ClassVar[bool] = False
