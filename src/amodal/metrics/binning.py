"""Calibration by bins: the expected calibration error, what a perfect model shows, the curve."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError, SettingError, unknown_name
from amodal.metrics.arrays import Ties, in_blocks, midpoints, ratio
from amodal.metrics.inputs import Rows, check_classes, check_forecast

__all__ = [
    "BINNINGS",
    "CalibrationCurve",
    "calibration_curve",
    "ece",
    "ece_of_perfect",
    "perfect_ece_draws",
]

BINNINGS = ("mass", "width")


def ece(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Expected calibration error: sum over bins of |sum_i w_i (y_i - p_i)| / sum_i w_i.

    Binary: on P(y = 1). Multiclass: on the confidence of the most probable class, against whether
    it is right. Sampling noise alone makes it positive: read it beside `ece_of_perfect`.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C].
        probability: [n] P(y = 1), or [n, C].
        bins: number of bins.
        binning: "mass" for bins of equal weight (equal predictions stay together, so that bins
            can be uneven under ties), found anew for each replicate; "width" for equal parts
            of [0, 1], each closed on the left, the last on both sides.
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number in [0, 1], or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: bins below 1, or an unknown binning.

    Reference: Naeini et al., 2015; equal mass: Nixon et al., 2019. The lower two rows have mean
    .25 and no positive, the upper two mean .75 and nothing else:

    >>> ece([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
    0.25
    """
    _check_bins(bins, binning)
    rows = check_classes(y, probability, weight)
    hit, confidence = _top_label(rows)
    gap = hit - confidence
    if binning == "width":
        member = _width_index(confidence, bins)[:, None] == np.arange(bins)
        off = np.abs(rows.weight @ (member * gap[:, None])).sum(axis=1)
        return rows.out(ratio(off, rows.weight.sum(axis=1)))
    ties = Ties(confidence)
    return rows.out(
        in_blocks(lambda w: _mass_error(ties, gap, w, bins), rows.weight, width=len(gap))
    )


def ece_of_perfect(
    probability: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    weight: ArrayLike | None = None,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """The ECE to expect of a perfectly calibrated model with these predictions and this n.

    Mean over `draws` of the ECE against y_i ~ Bernoulli(p_i), p_i being P(y = 1) or the
    confidence of the most probable class: the level that sampling noise alone reaches.

    Args:
        probability: [n] P(y = 1), or [n, C].
        bins: as in `ece`.
        binning: as in `ece`.
        weight: None or [n], at least 0.
        draws: number of simulated targets, at least 1.
        seed: of the simulation; the same seed gives the same number.

    Returns:
        A number in [0, 1]; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: bins or draws below 1, or an unknown binning.

    One row at p = 1/2 is off by 1/2 whatever happens; certain predictions leave no noise.

    >>> ece_of_perfect([0.5]), ece_of_perfect([0.0, 1.0])
    (0.5, 0.0)
    """
    samples = perfect_ece_draws(
        probability, bins=bins, binning=binning, weight=weight, draws=draws, seed=seed
    )
    return float(samples.mean())


def perfect_ece_draws(
    probability: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    weight: ArrayLike | None = None,
    draws: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """The simulated values behind `ece_of_perfect`: [draws]; their quantiles give its range.

    Args and errors: as in `ece_of_perfect`.

    >>> float(perfect_ece_draws([0.5, 0.5], bins=1).max())
    0.5
    """
    _check_bins(bins, binning)
    if draws < 1:
        raise SettingError(f"draws is at least 1; found {draws}. Ask for 200 or so.")
    rows = check_forecast(probability, weight)
    if not rows.single:
        raise DataError(
            f"weight has shape [n] here; found {list(rows.weight.shape)}. "
            "Call once for each row of weights."
        )
    confidence, own = _top_label(rows)[1], rows.weight[0]
    index = _bin_index(confidence, own, bins=bins, binning=binning)
    rng = np.random.default_rng(seed)
    off = np.empty(draws)
    for draw in range(draws):
        gap = (rng.random(len(confidence)) < confidence) - confidence
        off[draw] = np.abs(np.bincount(index, weights=gap * own, minlength=bins)).sum()
    return ratio(off, own.sum())


@dataclass(frozen=True)
class CalibrationCurve:
    """Predicted against observed, bin by bin; empty bins are left out. Arrays are [bins].

    Attributes:
        predicted: weighted mean prediction of the bin.
        observed: weighted share of positives (binary) or of right answers (multiclass).
        low: lower end of the Wilson interval of `observed`.
        high: upper end.
        count: rows with weight in the bin; a report hides bins with few rows.

    >>> calibration_curve([0, 1, 1], [0.05, 0.05, 0.95], bins=10, binning="width").count
    array([2, 1])
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def calibration_curve(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    bins: int = 10,
    binning: str = "mass",
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> CalibrationCurve:
    """Observed frequency against mean prediction in bins, with Wilson score intervals.

    With share q of N rows and the normal quantile z: center (q + z^2/2N) / (1 + z^2/N), half
    width z sqrt(q (1 - q)/N + z^2/4N^2) / (1 + z^2/N). Under unequal weights N is Kish's
    effective number of rows, (sum w)^2 / sum w^2.

    Args:
        y: [n] 0/1, or class indices where `probability` is [n, C] (then: top label).
        probability: [n] P(y = 1), or [n, C].
        bins: number of bins.
        binning: "mass" or "width", see `ece`.
        weight: None or [n], at least 0.
        level: coverage of the intervals, between 0 and 1.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.
        SettingError: bins below 1, an unknown binning, or a level outside (0, 1).

    Reference: Wilson, 1927. Two of four at z = 1.96: .5 with interval .15 to .85.

    >>> curve = calibration_curve([0, 1, 0, 1], [0.4, 0.4, 0.6, 0.6], bins=1)
    >>> [round(float(a[0]), 2) for a in (curve.predicted, curve.low, curve.observed, curve.high)]
    [0.5, 0.15, 0.5, 0.85]
    """
    _check_bins(bins, binning)
    if not 0 < level < 1:
        raise SettingError(f"level lies between 0 and 1; found {level}. Use .95 for 95%.")
    rows = check_classes(y, probability, weight)
    if not rows.single:
        raise DataError(
            f"weight has shape [n] here; found {list(rows.weight.shape)}. "
            "Call once for each row of weights."
        )
    (hit, confidence), own = _top_label(rows), rows.weight[0]
    index = _bin_index(confidence, own, bins=bins, binning=binning)
    total = np.bincount(index, weights=own, minlength=bins)
    kept = total > 0

    def in_bin(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, weights=values, minlength=bins)[kept]

    observed = in_bin(own * hit) / total[kept]
    low, high = _wilson(observed, total[kept] ** 2 / in_bin(own**2), level)
    predicted = in_bin(own * confidence) / total[kept]
    return CalibrationCurve(predicted, observed, low, high, in_bin(own > 0).astype(int))


def _wilson(share: np.ndarray, count: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + (z / count) ** 2 / 4) / (1 + z**2 / count)
    # at a share of 0 or 1 the end is exactly 0 or 1; rounding must not cross it
    return np.minimum(np.maximum(center - half, 0), share), np.maximum(
        np.minimum(center + half, 1), share
    )


def _check_bins(bins: int, binning: str) -> None:
    if bins < 1:
        raise SettingError(f"bins is at least 1; found {bins}. Ask for 10 or 15.")
    if binning not in BINNINGS:
        raise unknown_name("binning", binning, BINNINGS)


def _top_label(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """[n] whether the event came true (0 or 1), and its probability."""
    p = rows.prediction
    if p.ndim == 1:
        return rows.y.astype(float), p
    return (p.argmax(axis=1) == rows.y).astype(float), p.max(axis=1)


def _width_index(confidence: np.ndarray, bins: int) -> np.ndarray:
    # k / bins is the nearest float to each edge, which linspace misses (3/5 becomes .6000000000001)
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side="right")


def _mass_index(ties: Ties, ranked: np.ndarray, bins: int) -> np.ndarray:
    """[B, g] bin of each tie group: the bin in which the middle of its weight falls."""
    share = midpoints(ties.cumulative(ranked))
    return np.minimum((bins * share).astype(np.intp), bins - 1)


def _bin_index(
    confidence: np.ndarray, weight: np.ndarray, *, bins: int, binning: str
) -> np.ndarray:
    """[n] bin of each row under one set of weights [n]."""
    if binning == "width":
        return _width_index(confidence, bins)
    ties = Ties(confidence)
    of_group = _mass_index(ties, ties.ranked(weight[None]), bins)[0]
    index = np.empty(len(confidence), dtype=np.intp)
    index[ties.order] = np.repeat(of_group, np.diff(np.append(ties.first, len(confidence))))
    return index


def _mass_error(ties: Ties, gap: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    ranked = ties.ranked(weight)
    index = _mass_index(ties, ranked, bins) + bins * np.arange(len(weight))[:, None]
    sums = ties.group_sums(ranked * gap[ties.order])
    off = np.bincount(index.ravel(), weights=sums.ravel(), minlength=bins * len(weight))
    return ratio(np.abs(off.reshape(-1, bins)).sum(axis=1), weight.sum(axis=1))
