"""Where `amodal tune` looks for a method's settings: ranges and choices, stated on its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amodal.errors import SettingError

__all__ = ["Choice", "Range", "Space", "size_of"]


@dataclass(frozen=True)
class Range:
    """Real numbers from `low` to `high`.

    Args:
        low: the least.
        high: the greatest, above `low`.
        log: searched by ratio instead of by difference.

    Raises:
        SettingError: no range, or one by ratio that holds 0.

    >>> Range(1e-4, 1e-2, log=True).holds(0.001), Range(0, 1).holds(2)
    (True, False)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise SettingError(
                "a range rises, and one by ratio starts above 0; got "
                f"{self.low:g} to {self.high:g}; correct it"
            )

    def holds(self, value: Any) -> bool:
        """Whether `value` lies in it."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Raises:
        SettingError: none, or one twice.

    >>> Choice((16, 32)).holds(32)
    True
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values):
            raise SettingError(
                f"a choice has values that differ; got {self.values!r}; name each once"
            )

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        return value in self.values


Space = Mapping[str, "Range | Choice"]
"""Name of a setting -> where it is looked for."""


def size_of(space: Space) -> int | None:
    """How many settings there are; None for infinitely many.

    >>> size_of({"a": Choice((1, 2)), "b": Choice((1, 2, 3))}), size_of({}), size_of({"x": Range(0, 1)})
    (6, 1, None)
    """
    found = 1
    for where in space.values():
        if isinstance(where, Range):
            return None
        found *= len(where.values)
    return found
