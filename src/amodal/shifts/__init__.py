"""Pure changes of a data set: modalities lost, values corrupted.

`SHIFTS` names them all; `make_shift` makes one by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from amodal.errors import SettingError, unknown_name
from amodal.shifts.absence import AbsenceShift, Mcar
from amodal.shifts.base import NoShift, Shift
from amodal.shifts.media import AudioNoise, CodesNoise, ImageNoise, TextNoise
from amodal.shifts.mnar import Mnar, MnarSeverity, MnarTarget
from amodal.shifts.noise import MissingCells, Noise, PureNoise
from amodal.shifts.pattern import LossPattern, LossRates

__all__ = [
    "SHIFTS",
    "AbsenceShift",
    "AudioNoise",
    "CodesNoise",
    "ImageNoise",
    "LossPattern",
    "LossRates",
    "Mcar",
    "MissingCells",
    "Mnar",
    "MnarSeverity",
    "MnarTarget",
    "NoShift",
    "Noise",
    "PureNoise",
    "Shift",
    "TextNoise",
    "make_shift",
    "shift_class",
    "shift_from_json",
]

SHIFTS: dict[str, type[Shift]] = {
    "none": NoShift,
    "mcar": Mcar,
    "mnar": Mnar,
    "mnar-severity": MnarSeverity,
    "mnar-target": MnarTarget,
    "noise": Noise,
    "pure-noise": PureNoise,
    "missing-cells": MissingCells,
    "text-noise": TextNoise,
    "image-noise": ImageNoise,
    "audio-noise": AudioNoise,
    "codes-noise": CodesNoise,
}
"""Every shift by its name."""


def shift_class(name: str) -> type[Shift]:
    """The class of the shift called `name`; "_" may stand for "-".

    Raises:
        UnknownNameError: there is none.

    >>> shift_class("missing_cells").name
    'missing-cells'
    """
    plain = str(name).replace("_", "-")
    if plain not in SHIFTS:
        raise unknown_name("shift", name, SHIFTS)
    return SHIFTS[plain]


def make_shift(name: str, rate: float | None = None, seed: int = 0, **settings: Any) -> Shift:
    """The shift called `name`.

    Args:
        name: one of `SHIFTS`.
        rate: the probability that one (row, modality) pair (``missing-cells``: one cell) is
            changed; may be left out for "none" (0) and the kinds of noise (1).
        seed: any integer.
        **settings: what else the class takes.

    Raises:
        UnknownNameError: an unknown shift or setting.
        SettingError: no rate where one is needed, or a setting of a wrong value.

    >>> make_shift("mcar", 0.3, keep_one=True).rate
    0.3
    >>> make_shift("mcra", 0.3)
    Traceback (most recent call last):
    amodal.errors.UnknownNameError: unknown shift 'mcra': did you mean 'mcar'?
    """
    cls = shift_class(name)
    known = {f.name: f.default for f in fields(cls)}
    for setting in settings:
        if setting not in known:
            raise unknown_name(f"setting of shift {cls.name!r}", setting, known)
    if rate is None and known["rate"] is MISSING:
        raise SettingError(f"shift {cls.name!r} needs a rate between 0 and 1; got none; name it")
    if rate is not None:
        settings["rate"] = rate
    return cls(seed=seed, **settings)


def shift_from_json(data: Mapping[str, Any]) -> Shift:
    """The shift that `Shift.to_json` wrote (what it learned or says of itself is passed over).

    Raises:
        UnknownNameError: an unknown shift or setting.

    >>> shift = make_shift("mnar", 0.3, odds_ratio=2.0)
    >>> shift_from_json(shift.to_json()) == shift
    True
    """
    settings = {k: v for k, v in data.items() if k not in ("shift", "learned", "label_in_pattern")}
    if "shift" not in data:
        raise SettingError("a stored shift must name itself under 'shift'; got no name; add it")
    return make_shift(data["shift"], **settings)
