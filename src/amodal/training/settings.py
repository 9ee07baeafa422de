"""How a neural method is trained: names, defaults, and their meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from amodal.errors import SettingError, at_least

__all__ = ["PRECISIONS", "TrainSettings"]

_EPOCHS, _STEPS = 12, 250
_BATCH, _SMALLEST, _PASSES = 128, 32, 16
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True)
class TrainSettings:
    """Settings of `amodal.training.fit`.

    Args:
        epochs: passes over the training rows; methods with two stages give stage 1 the first 20%.
            0 takes 12, or as many as make 250 steps where rows are few.
        batch_size: rows per step. 0 takes 128, halved down to 32 while 250 steps would take more
            than 16 passes: few rows are better seen in small batches than often.
        together: rows that share a file (questions about one image) come in the same batch, where two
            or more share one on average: a file is encoded once per batch, see `draw_order`. False
            spreads them over all batches.
        lr: peak learning rate of AdamW; it warms up over 5% of the steps and falls along a cosine.
        weight_decay: of AdamW.
        clip: norm that gradients are clipped to.
        lose: mean share of modalities lost at random from training rows (each row draws its own
            rate from 0 to twice this): what is trained without losses is not calibrated when things
            get lost.
        ema: memory of the running average of the weights, per step; 0 switches it off.
        patience: epochs without a better validation metric before training stops, counted from the
            last stage on; 0 never stops early.
        refit: once the epoch is chosen, train anew on training and validation rows, with a schedule
            that ends there.
        monitor: validation metric that is watched; empty for the task's own.
        unlabelled: rows without a label take part, in the terms of the loss that need none.
        precision: ``32``, ``64`` or ``bf16`` (mixed).

    Raises:
        SettingError: a value out of its range.

    >>> TrainSettings(lose=0.5).lose
    0.5
    >>> TrainSettings(lose=0.6)
    Traceback (most recent call last):
    amodal.errors.SettingError: lose must lie between 0 and 0.5; got 0.6; change it
    """

    epochs: int = 0
    batch_size: int = 0
    together: bool = True
    lr: float = 1e-3
    weight_decay: float = 1.0
    clip: float = 1.0
    lose: float = 0.4
    ema: float = 0.99
    patience: int = 6
    refit: bool = True
    monitor: str = ""
    unlabelled: bool = False
    precision: str = "32"

    def __post_init__(self) -> None:
        if not isinstance(self.together, bool):
            raise SettingError(f"together must be true or false; got {self.together!r}; change it")
        at_least(0, epochs=self.epochs, batch_size=self.batch_size)
        for name in ("lr", "clip"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} must be positive; got {getattr(self, name)}; change it")
        for name, top in (("weight_decay", 10.0), ("lose", 0.5), ("ema", 0.99999)):
            if not 0 <= getattr(self, name) <= top:
                raise SettingError(
                    f"{name} must lie between 0 and {top:g}; got {getattr(self, name)}; change it"
                )
        if self.precision not in PRECISIONS:
            raise SettingError(
                f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}; change it"
            )

    def for_rows(self, n: int) -> TrainSettings:
        """The same settings with batch size and number of epochs fixed for n training rows.

        >>> TrainSettings(batch_size=100).for_rows(1000).epochs
        25
        >>> TrainSettings(epochs=3).for_rows(1000).epochs
        3
        >>> [TrainSettings().for_rows(n).batch_size for n in (10_000, 1000, 500, 10)]
        [128, 64, 32, 32]
        """
        batch = self.batch_size or _BATCH
        while not self.batch_size and batch > _SMALLEST and _passes(n, batch) > _PASSES:
            batch //= 2
        epochs = self.epochs or max(_EPOCHS, _passes(n, batch))
        return replace(self, batch_size=batch, epochs=epochs)


def _passes(n: int, batch: int) -> int:
    """Passes over n rows that make `_STEPS` steps."""
    return math.ceil(_STEPS / max(1, math.ceil(n / batch)))
