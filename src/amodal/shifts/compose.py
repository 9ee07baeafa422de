"""Noise together with absence in one shift: what stays may be worse, and some of it gets lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError
from amodal.shifts.absence import AbsenceShift
from amodal.shifts.base import Shift
from amodal.shifts.noise import ValueShift
from amodal.shifts.pattern import LossPattern

__all__ = ["Composed", "drawable"]


@dataclass(frozen=True)
class Composed(Shift):
    """First values get worse, then modalities get lost.

    Values are changed before the loss, so that noise never brings back what is lost, and each part
    draws the numbers that it would draw alone: the same pairs are lost as without the noise.

    Args:
        rate: that of the loss; without a loss, that of the first noise.
        seed: of all parts.
        modalities: not used; each part names its own.
        noise: changes of values, done in this order.
        absence: the loss; None for none.

    Raises:
        SettingError: parts that are none, or nothing to do.
    """

    name: ClassVar[str] = "composed"
    title: ClassVar[str] = "Noise together with loss"

    rate: float = 0.0
    noise: tuple[ValueShift, ...] = ()
    absence: AbsenceShift | None = None

    def __post_init__(self) -> None:
        self._set("noise", tuple(self.noise))
        parts = [*self.noise, *filter(None, [self.absence])]
        known = all(isinstance(n, ValueShift) for n in self.noise)
        if not parts or not known or not isinstance(self.absence, AbsenceShift | None):
            raise SettingError(
                "a composed shift is made of changes of values and at most one loss of modalities; "
                f"got {[type(p).__name__ for p in parts]}; name such"
            )
        self._set("rate", parts[-1].rate if self.absence else parts[0].rate)
        super().__post_init__()

    @property
    def parts(self) -> tuple[Shift, ...]:
        """The changes in the order in which they are done."""
        return (*self.noise, *filter(None, [self.absence]))

    def noisy(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data` with the values changed and nothing lost."""
        for part in self.noise:
            data = part(data, reference)
        return data

    def columns(self, data: Dataset) -> np.ndarray:
        """``Int[c]`` positions of the modalities that can be lost; all where none can."""
        return super().columns(data) if self.absence is None else self.absence.columns(data)

    def draw(self, data: Dataset, reference: Dataset | None = None) -> LossPattern:
        """Which pairs are lost and which are made worse, to be saved."""
        if self.absence is not None:
            drawn = self.absence.draw(data, reference)
        else:
            lost = np.zeros(data.shape, dtype=bool)
            drawn = LossPattern.measure(data, lost, requested=0.0)
        worse = np.zeros(data.shape, dtype=bool)
        for part in self.noise:
            worse |= part.touched(data)
        spec = {**self.to_json(), "learned": drawn.spec.get("learned", {})}
        there = worse[data.present]
        rates = replace(drawn.rates, worse=float(there.mean()) if len(there) else float("nan"))
        return replace(drawn, worse=worse, spec=spec, rates=rates)

    def realise(
        self, data: Dataset, reference: Dataset | None = None
    ) -> tuple[Dataset, LossPattern]:
        """(`data`, changed; what was drawn)."""
        drawn = self.draw(data, reference)
        return drawn.apply(self.noisy(data, reference)), drawn

    def __call__(self, data: Dataset, reference: Dataset | None = None) -> Dataset:
        """`data` with values changed and modalities lost."""
        data = self.noisy(data, reference)
        return data if self.absence is None else self.absence(data, reference)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `shift_from_json` reads: the parts with all their settings."""
        head = {"shift": self.name, "rate": self.rate, "seed": self.seed}
        return {**head, "parts": [part.to_json() for part in self.parts]}

    def describe(self) -> str:
        """One sentence in words."""
        told = [part.describe().removesuffix(".") for part in self.parts]
        first, *rest = [t if k == 0 else t[0].lower() + t[1:] for k, t in enumerate(told)]
        return "; then ".join([first, *rest]) + "."


def drawable(shift: Shift) -> AbsenceShift | Composed:
    """The shift in a form whose `draw` says what it does: a change of values as a composed one.

    Raises:
        DataError: the shift draws nothing that could be kept.
    """
    if isinstance(shift, ValueShift):
        return Composed(seed=shift.seed, noise=(shift,))
    if not hasattr(shift, "draw"):
        raise DataError(
            f"what is drawn is kept of losses and changes of values; {shift.name!r} draws nothing; "
            "name another shift"
        )
    return shift
