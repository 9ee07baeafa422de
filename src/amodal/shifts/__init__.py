"""Pure changes of a data set: modalities lost, values corrupted.

`SHIFTS` names them all; `make_shift` makes one by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from amodal.errors import SettingError, unknown_name
from amodal.settings import parse_method
from amodal.shifts.absence import AbsenceShift, Mcar
from amodal.shifts.base import NoShift, Shift
from amodal.shifts.compose import Composed, drawable
from amodal.shifts.labels import hide_labels
from amodal.shifts.mar import Mar
from amodal.shifts.media import AudioNoise, CodesNoise, ImageNoise, TextNoise
from amodal.shifts.mnar import Mnar, MnarSeverity, MnarTarget
from amodal.shifts.natural import Natural, natural_rate
from amodal.shifts.noise import MissingCells, Noise, PureNoise
from amodal.shifts.pattern import LossPattern, LossRates
from amodal.shifts.swap import Swap

__all__ = [
    "SHIFTS",
    "AbsenceShift",
    "AudioNoise",
    "CodesNoise",
    "Composed",
    "ImageNoise",
    "LossPattern",
    "LossRates",
    "Mar",
    "Mcar",
    "MissingCells",
    "Mnar",
    "MnarSeverity",
    "MnarTarget",
    "Natural",
    "NoShift",
    "Noise",
    "PureNoise",
    "Shift",
    "Swap",
    "TextNoise",
    "drawable",
    "hide_labels",
    "make_shift",
    "natural_rate",
    "parse_shift",
    "shift_class",
    "shift_from_json",
]

SHIFTS: dict[str, type[Shift]] = {
    "none": NoShift,
    "mcar": Mcar,
    "mar": Mar,
    "natural": Natural,
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
    "swap": Swap,
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


def parse_shift(
    spec: str, rate: float | None = None, seed: int = 0, *, keep_one: bool | None = None
) -> Shift:
    """The shift that one word names: ``name:key=value``, several joined by "+".

    ``"mcar+noise:severity=2"`` loses modalities and makes what stays worse. The rate goes to the
    loss; where there is none, to every change of values that states no rate of its own.

    Args:
        spec: see above.
        rate: of the loss.
        seed: of all parts.
        keep_one: of the loss, where the spec does not say.

    Raises:
        UnknownNameError: an unknown shift or setting.
        SettingError: two losses in one spec, or a value of the wrong type.

    >>> shift = parse_shift("mcar+noise:severity=2", 0.5)
    >>> [part.name for part in shift.parts], shift.rate, shift.parts[0].rate
    (['noise', 'mcar'], 0.5, 1.0)
    >>> parse_shift("mcar:rates=labs=0.7/notes=0.1", 0.0).rates
    (('labs', 0.7), ('notes', 0.1))
    """
    parts = [parse_method(part) for part in spec.split("+")]
    losses = [k for k, (name, _) in enumerate(parts) if issubclass(shift_class(name), AbsenceShift)]
    if len(losses) > 1:
        raise SettingError(
            f"a shift loses modalities by one mechanism; {spec!r} names several; leave one"
        )
    made = []
    for k, (name, settings) in enumerate(parts):
        own = rate if k in losses or not losses else None
        if k in losses and keep_one is not None:
            settings = {"keep_one": keep_one, **settings}
        own = settings.pop("rate", own)
        made.append(make_shift(name, own, seed, **settings))
    if len(made) == 1:
        return made[0]
    absence = made[losses[0]] if losses else None
    return Composed(
        seed=seed, noise=tuple(s for k, s in enumerate(made) if k not in losses), absence=absence
    )


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
    if data["shift"] == Composed.name:
        parts = [shift_from_json(part) for part in data["parts"]]
        noise = tuple(p for p in parts if not isinstance(p, AbsenceShift))
        absence = next((p for p in parts if isinstance(p, AbsenceShift)), None)
        return Composed(seed=data["seed"], noise=noise, absence=absence)
    return make_shift(data["shift"], **settings)
