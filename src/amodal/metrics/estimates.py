"""A number with its uncertainty: what every scored metric and every comparison comes as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amodal.errors import SettingError

__all__ = ["Difference", "Interval"]


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: the metric on the sample itself; NaN where undefined.
        low: lower end; NaN where no replicate was defined.
        high: upper end.
        level: nominal coverage.
        replicates: defined replicates, on which low and high rest.
        undefined: replicates left out because the metric was undefined on them.
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    replicates: int = 0
    undefined: int = 0

    def to_json(self) -> dict[str, float | int | None]:
        """A dict that is valid JSON: NaN and infinity become None.

        >>> Interval(0.5, float("nan"), float("nan")).to_json()["low"] is None
        True
        """
        return {name: _jsonable(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Interval:
        """The inverse of `to_json`: None becomes NaN.

        >>> Interval.from_json(Interval(0.5, 0.4, 0.6).to_json())
        Interval(value=0.5, low=0.4, high=0.6, level=0.95, replicates=0, undefined=0)
        """
        return cls(**{name: math.nan if v is None else v for name, v in record.items()})

    @classmethod
    def of_samples(
        cls, value: float, samples: np.ndarray, *, level: float = 0.95, kind: str = "percentile"
    ) -> Interval:
        """The interval that samples [R] give, NaN ones left out and counted.

        Args:
            value: the metric on the sample itself.
            samples: [R] replicates of it.
            level: nominal coverage.
            kind: "percentile": the central quantiles of the samples. "centred": the same, shifted
                so that the median of the samples falls on the value; for metrics on which
                resampling itself adds a bias, such as the ECE (a resample is noisier than the
                sample, so that all of its replicates can lie above the value).

        >>> Interval.of_samples(3.0, np.array([2.0, 4.0, 6.0, np.nan]), level=0.5)
        Interval(value=3.0, low=3.0, high=5.0, level=0.5, replicates=3, undefined=1)
        """
        kept = _aligned(value, samples[~np.isnan(samples)], kind)
        low = high = math.nan
        if len(kept):
            low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return cls(float(value), low, high, level, len(kept), len(samples) - len(kept))


@dataclass(frozen=True)
class Difference(Interval):
    """The difference of a metric between two methods, a - b, on the same resamples.

    Attributes:
        p_value: two-sided: twice the smaller share of replicates on either side of 0 (a tie
            counts on both), each with one added to numerator and denominator; NaN where no
            replicate was defined.
        share_positive: share of replicates with a above b, ties counted one half.
    """

    p_value: float = math.nan
    share_positive: float = math.nan

    @classmethod
    def of_samples(
        cls, value: float, samples: np.ndarray, *, level: float = 0.95, kind: str = "percentile"
    ) -> Difference:
        """The difference that samples [R] of it give; see `Interval.of_samples`.

        >>> d = Difference.of_samples(1.0, np.array([1.0, 2.0, 3.0, -1.0]))
        >>> d.p_value, d.share_positive  # 2 (1 + 1) / (4 + 1), 3 / 4
        (0.8, 0.75)
        """
        base = Interval.of_samples(value, samples, level=level, kind=kind)
        kept = _aligned(value, samples[~np.isnan(samples)], kind)
        if not len(kept):
            return cls(**vars(base))
        tail = 1 + min((kept <= 0).sum(), (kept >= 0).sum())
        return cls(
            **vars(base),
            p_value=float(min(1.0, 2 * tail / (len(kept) + 1))),
            share_positive=float((kept > 0).mean() + (kept == 0).mean() / 2),
        )


def _jsonable(value: float | int) -> float | int | None:
    return value if isinstance(value, int) or math.isfinite(value) else None


def _aligned(value: float, samples: np.ndarray, kind: str) -> np.ndarray:
    if kind == "percentile" or not len(samples):
        return samples
    if kind != "centred":
        raise SettingError(f"an interval is 'percentile' or 'centred'; found {kind!r}. Pick one.")
    return samples - np.median(samples) + value
