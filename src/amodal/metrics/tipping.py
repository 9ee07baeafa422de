"""How far the truth behind absent values must lie from what was seen for a conclusion to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError, SettingError

__all__ = ["TippingPoint", "outcome_shift", "tipping_point"]

_HALVINGS = 6


@dataclass(frozen=True)
class TippingPoint:
    """Where a conclusion changes on either side of 0.

    Attributes:
        verdict: the conclusion at delta 0.
        below: the delta below 0 that is nearest to it and at which the conclusion differs; None
            where it holds down to -largest.
        above: the same above 0.
        verdict_below: the conclusion there; empty where it holds.
        verdict_above: the same.
        largest: how far was searched.
    """

    verdict: str
    below: float | None
    above: float | None
    verdict_below: str
    verdict_above: str
    largest: float


def outcome_shift(
    y: ArrayLike, absent: ArrayLike, *, delta: float, weight: ArrayLike | None = None
) -> np.ndarray:
    """Weights under which the outcome among rows with something absent is shifted by delta.

    Row i with something absent gets w_i exp(delta z_i), scaled so that such rows keep their total
    weight; the others keep theirs. With z = y of 0 and 1, the odds of the outcome among them are
    exp(delta) times those observed; with z a standardised real target, its mean moves by about
    delta standard deviations (exactly, if normal). It is the exponential tilt of pattern-mixture
    models for data that are missing not at random.

    Args:
        y: [n] 0/1, or real values (more than two distinct ones are standardised).
        absent: [n] bool: rows in which the modality in question is absent.
        delta: log odds ratio (0/1), or shift in standard deviations.
        weight: None or [n], at least 0.

    Returns:
        ``Float64[n]``.

    Raises:
        DataError: shapes differ.

    Reference: Scharfstein, Rotnitzky and Robins, JASA 94, 1999; Carpenter and Kenward, 2013. Odds of
    1 among the first two become 3; their weights still add up to 2.

    >>> outcome_shift([0, 1, 1], [True, True, False], delta=np.log(3)).round(3).tolist()
    [0.5, 1.5, 1.0]
    """
    z, there = np.asarray(y, dtype=np.float64), np.asarray(absent)
    own = np.ones(len(z)) if weight is None else np.asarray(weight, dtype=np.float64)
    if z.ndim != 1 or there.shape != z.shape or own.shape != z.shape or there.dtype != bool:
        raise DataError(
            "y, absent (bool) and weight have one entry per row; found shapes "
            f"{list(z.shape)}, {list(there.shape)} and {list(own.shape)}. Pass equal lengths."
        )
    if not np.isin(z, (0.0, 1.0)).all():
        z = (z - z.mean()) / (z.std() or 1.0)
    tilted = np.where(there, own * np.exp(delta * (z - z.max(initial=0.0))), 0.0)
    total = tilted.sum()
    if total > 0:
        tilted *= own[there].sum() / total
    return np.where(there, tilted, own)


def tipping_point(
    verdict: Callable[[float], str], *, largest: float = 3.0, step: float = 0.25
) -> TippingPoint:
    """The smallest shift in either direction that changes a conclusion.

    Deltas -/+ step, 2 step, ... are tried up to `largest`; the first that changes the conclusion is
    narrowed by halving to step / 64.

    Args:
        verdict: delta -> conclusion, for example of a comparison with weights of `outcome_shift`.
        largest: how far to search, above 0; 3 is an odds ratio of 20.
        step: of the search, above 0.

    Raises:
        SettingError: `largest` or `step` is not above 0.

    >>> found = tipping_point(lambda delta: "better" if delta < 0.6 else "undecided")
    >>> found.verdict, found.below, round(found.above, 2), found.verdict_above
    ('better', None, 0.6, 'undecided')
    """
    if not (largest > 0 and step > 0):
        raise SettingError(
            f"a search needs a largest shift and a step above 0; found {largest} and {step}. "
            "Use 3 and 0.25."
        )
    start = verdict(0.0)
    ends = [_first_change(verdict, start, sign, largest, step) for sign in (-1.0, 1.0)]
    (below, told_below), (above, told_above) = ends
    return TippingPoint(start, below, above, told_below, told_above, largest)


def _first_change(
    verdict: Callable[[float], str], start: str, sign: float, largest: float, step: float
) -> tuple[float | None, str]:
    kept = 0.0
    for k in range(1, int(np.ceil(largest / step - 1e-9)) + 1):
        tried = min(k * step, largest)
        told = verdict(sign * tried)
        if told != start:
            for _ in range(_HALVINGS):
                middle = (kept + tried) / 2
                found = verdict(sign * middle)
                kept, tried, told = (
                    (middle, tried, told) if found == start else (kept, middle, found)
                )
            return sign * tried, told
        kept = tried
    return None, ""
