"""`Budget`: what each method may spend."""

from __future__ import annotations

from dataclasses import dataclass

from amodal.errors import SettingError

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget:
    """The same for every method: a number of trials, or seconds of fitting, or whichever ends first.

    Args:
        trials: finished trials, failed ones included; 0 for no limit.
        seconds: spent in trials; none is begun beyond; 0 for no limit.

    Raises:
        SettingError: no limit, or a negative one.

    >>> Budget(trials=2).spent(1, 99.0), Budget(trials=2).spent(2, 0.0), Budget(seconds=5).spent(1, 6)
    (False, True, True)
    """

    trials: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if min(self.trials, self.seconds) < 0 or not (self.trials or self.seconds):
            raise SettingError(
                "a budget is a number of trials or of seconds, above 0; got "
                f"{self.trials} trials and {self.seconds:g} seconds; name one"
            )

    def spent(self, trials: int, seconds: float) -> bool:
        """Whether nothing more may be begun."""
        return bool(
            (self.trials and trials >= self.trials) or (self.seconds and seconds >= self.seconds)
        )
