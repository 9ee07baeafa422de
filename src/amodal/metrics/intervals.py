"""Bootstrap intervals of a metric, and of the difference between two methods, by group.

One replicate draws as many groups as there are, with replacement (patients, not rows: rows of one
patient are not independent), and weighs each row by how often its group was drawn. The metric sees
a block of replicates at once, as `weight` [B, n].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError, SettingError
from amodal.metrics.estimates import Difference, Interval
from amodal.metrics.inputs import check_weight

__all__ = ["Bootstrap", "Difference", "Interval", "bootstrap", "paired_bootstrap"]

BLOCK = 2**18  # weights per block: 2 MB, stays in the cache; sorting once per block is cheap

MetricFn = Callable[..., "float | np.ndarray"]


class Bootstrap:
    """One set of resamples, for any number of metrics and methods on the same rows.

    Args:
        n: number of rows.
        group: [n] ids (numbers or text); None: every row is its own group.
        weight: [n] weights of the data, which multiply those of the resamples.
        replicates: number of resamples; 0: values only, without intervals.
        level: nominal coverage, between 0 and 1.
        seed: of the resamples; the same seed gives the same resamples.

    Raises:
        DataError: group or weight do not have n entries, or a group is missing.
        SettingError: replicates below 0, or level outside (0, 1).

    >>> from amodal.metrics.regression import mae
    >>> Bootstrap(4, replicates=100).intervals({"mae": mae}, [0, 0, 0, 0], [1, 1, 1, 1])["mae"]
    Interval(value=1.0, low=1.0, high=1.0, level=0.95, replicates=100, undefined=0)
    """

    def __init__(
        self,
        n: int,
        *,
        group: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        replicates: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        if replicates < 0:
            raise SettingError(f"replicates is at least 0; found {replicates}. 1000 is usual.")
        if not 0 < level < 1:
            raise SettingError(f"level lies between 0 and 1; found {level}. Use .95 for 95%.")
        self.n, self.replicates, self.level, self.seed = n, replicates, level, seed
        self.weight = None
        if weight is not None:
            rows, single = check_weight(weight, n)
            if not single:
                raise DataError(
                    f"the weight of the data has shape [n]; found {list(rows.shape)}. "
                    "Resamples are drawn here."
                )
            self.weight = rows[0]
        self._member, self._groups = (None, n) if group is None else _group_index(group, n)

    def weights(self) -> Iterator[np.ndarray]:
        """Row weights of the resamples, block by block: [b, n] each, `replicates` rows in all."""
        if self.n == 0:
            return
        rng = np.random.default_rng(self.seed)
        largest = max(BLOCK // self.n, min(8, 2**24 // self.n), 1)
        for start in range(0, self.replicates, largest):
            size = min(largest, self.replicates - start)
            drawn = rng.integers(0, self._groups, size=(size, self._groups))
            drawn += self._groups * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * self._groups).astype(float)
            counts = counts.reshape(size, self._groups)
            rows = counts if self._member is None else np.take(counts, self._member, axis=1)
            yield rows if self.weight is None else rows * self.weight

    def intervals(
        self, metrics: Mapping[str, MetricFn], y: ArrayLike, outputs: Any
    ) -> dict[str, Interval]:
        """The interval of each metric.

        Args:
            metrics: name -> metric(y, outputs, *, weight), a number for weight None or [n] and
                [B] of them for [B, n].
            y: [n] target, or [n, L].
            outputs: what the metrics take.
        """
        y = np.asarray(y)
        samples = self._samples(metrics, y, [outputs])
        return {
            name: Interval.of_samples(
                self._value(metric, y, outputs),
                samples[name][0],
                level=self.level,
                kind=getattr(metric, "interval", "percentile"),
            )
            for name, metric in metrics.items()
        }

    def differences(
        self, metrics: Mapping[str, MetricFn], y: ArrayLike, outputs_a: Any, *, outputs_b: Any
    ) -> dict[str, Difference]:
        """The difference a - b of each metric; arguments as in `intervals`."""
        y = np.asarray(y)
        samples = self._samples(metrics, y, [outputs_a, outputs_b])
        return {
            name: Difference.of_samples(
                self._value(metric, y, outputs_a) - self._value(metric, y, outputs_b),
                samples[name][0] - samples[name][1],
                level=self.level,
                kind=getattr(metric, "interval", "percentile"),
            )
            for name, metric in metrics.items()
        }

    def _value(self, metric: MetricFn, y: np.ndarray, outputs: Any) -> float:
        return float(metric(y, outputs, weight=self.weight))

    def _samples(
        self, metrics: Mapping[str, MetricFn], y: np.ndarray, outputs: list[Any]
    ) -> dict[str, np.ndarray]:
        """[len(outputs), replicates] of each metric, all from the same resamples."""
        if y.shape[:1] != (self.n,):
            raise DataError(
                f"y has one entry per row, {self.n} in all; found shape {list(y.shape)}. "
                "Make the resamples for the rows that are scored."
            )
        found = {name: np.full((len(outputs), self.replicates), np.nan) for name in metrics}
        start = 0
        for block in self.weights():
            for name, metric in metrics.items():
                for k, output in enumerate(outputs):
                    found[name][k, start : start + len(block)] = metric(y, output, weight=block)
            start += len(block)
        return found


def bootstrap(
    metric_fn: MetricFn,
    y: ArrayLike,
    outputs: Any,
    *,
    group: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a metric, resampling groups.

    Args:
        metric_fn: metric(y, outputs, *, weight) -> number, or [B] for weight [B, n].
        y: [n] target, or [n, L].
        outputs: what the metric takes second: an array, or a dict of arrays.
        group: [n] ids, for example patients; None: every row is its own group.
        weight: [n] weights of the data.
        replicates: number of resamples.
        level: nominal coverage.
        seed: of the resamples.

    Returns:
        The value on the sample with the central `level` quantiles of the replicates. Replicates
        on which the metric is undefined are left out and counted.

    Raises:
        DataError: group or weight do not fit y; whatever the metric raises.
        SettingError: replicates below 0, or level outside (0, 1).

    Reference: Efron and Tibshirani, 1993, chapter 13.

    >>> from amodal.metrics.discrimination import accuracy
    >>> bootstrap(accuracy, [0, 1], [0.1, 0.9], replicates=200)
    Interval(value=1.0, low=1.0, high=1.0, level=0.95, replicates=200, undefined=0)
    """
    resamples = Bootstrap(
        len(y), group=group, weight=weight, replicates=replicates, level=level, seed=seed
    )
    return resamples.intervals({"metric": metric_fn}, y, outputs)["metric"]


def paired_bootstrap(
    metric_fn: MetricFn,
    y: ArrayLike,
    outputs_a: Any,
    outputs_b: Any,
    *,
    group: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Difference:
    """Bootstrap of metric(a) - metric(b), both on the same resamples of groups; 95% interval.

    What two methods share (hard rows, a lucky sample) cancels; two separate intervals would keep
    it. For another level use `Bootstrap(...).differences`.

    Args:
        metric_fn: metric(y, outputs, *, weight) -> number, or [B] for weight [B, n].
        y: [n] target, or [n, L].
        outputs_a: of the first method.
        outputs_b: of the second.
        group: [n] ids, for example patients; None: every row is its own group.
        weight: [n] weights of the data.
        replicates: number of resamples.
        seed: of the resamples.

    Raises:
        DataError: group or weight do not fit y; whatever the metric raises.
        SettingError: replicates below 0.

    >>> from amodal.metrics.discrimination import accuracy
    >>> d = paired_bootstrap(accuracy, [0, 1], [0.1, 0.9], [0.1, 0.9], replicates=99)
    >>> d.value, d.low, d.high, d.p_value, d.share_positive
    (0.0, 0.0, 0.0, 1.0, 0.5)
    """
    resamples = Bootstrap(len(y), group=group, weight=weight, replicates=replicates, seed=seed)
    return resamples.differences({"metric": metric_fn}, y, outputs_a, outputs_b=outputs_b)["metric"]


def _group_index(group: ArrayLike, n: int) -> tuple[np.ndarray, int]:
    ids = np.asarray(group)
    if ids.shape != (n,):
        raise DataError(
            f"group has one id per row, {n} in all; found shape {list(ids.shape)}. "
            "Repeat the id for each row of the group."
        )
    try:
        known, member = np.unique(ids, return_inverse=True)
    except TypeError:
        known = np.array([])
    missing = known.dtype.kind in "fcmMO" and bool((known != known).any())
    if missing or (n and not len(known)):
        raise DataError(
            "group ids are all numbers or all text, and none is missing; found others. "
            "Give rows without a group an id of their own."
        )
    return member, len(known)
