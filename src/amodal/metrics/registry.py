"""The registry: every metric by name, the default ones of each kind of task.

Metrics are written out by what they judge: `of_classes`, `of_values`, `of_texts`.
"""

from __future__ import annotations

from collections.abc import Iterable

from amodal.errors import SettingError, unknown_name
from amodal.metrics.metric import KINDS, Metric
from amodal.metrics.of_classes import CLASS_DEFAULTS, CLASS_METRICS
from amodal.metrics.of_texts import TEXT_DEFAULTS, TEXT_METRICS
from amodal.metrics.of_values import VALUE_DEFAULTS, VALUE_METRICS

__all__ = ["METRICS", "default_metrics", "left_out", "select"]

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*CLASS_METRICS, *VALUE_METRICS, *TEXT_METRICS)
}

_DEFAULTS = CLASS_DEFAULTS | VALUE_DEFAULTS | TEXT_DEFAULTS


def default_metrics(kind: str) -> tuple[str, ...]:
    """The metrics that are printed for a kind of task, in order; `left_out` lack an extra.

    Raises:
        UnknownNameError: a kind that has no metrics here.

    >>> default_metrics("regression")
    ('rmse', 'mae', 'r2', 'gaussian_nll', 'coverage_90', 'aurc')
    """
    if kind not in _DEFAULTS:
        raise unknown_name("task kind", kind, KINDS)
    return tuple(name for name in _DEFAULTS[kind] if METRICS[name].installed)


def left_out(kind: str) -> dict[str, tuple[str, ...]]:
    """Metrics that would be printed for a kind of task, by the extra that is not installed.

    >>> left_out("binary")
    {}
    """
    lacking: dict[str, tuple[str, ...]] = {}
    for name in _DEFAULTS[kind]:
        metric = METRICS[name]
        if not metric.installed:
            lacking[metric.extra] = (*lacking.get(metric.extra, ()), name)
    return lacking


def select(kind: str, metrics: str | Iterable[str] | None = None) -> dict[str, Metric]:
    """The named metrics (None: the default ones) for a kind of task, in the order asked.

    Raises:
        UnknownNameError: a name that no metric has, or a kind without metrics.
        SettingError: a metric that is not for this kind, or whose extra is not installed.

    >>> list(select("binary", ["brier", "auroc"]))
    ['brier', 'auroc']
    """
    defaults = default_metrics(kind)
    names = [metrics] if isinstance(metrics, str) else defaults if metrics is None else metrics
    chosen = {}
    for name in names:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
        if kind not in METRICS[name].kinds:
            known = ", ".join(known for known, metric in METRICS.items() if kind in metric.kinds)
            raise SettingError(
                f"metric {name!r} is for {', '.join(METRICS[name].kinds)} targets; found a {kind} "
                f"target. Choose from {known}."
            )
        if not METRICS[name].installed:
            raise SettingError(
                f"metric {name!r} comes from the published scorer; it is not installed; "
                f"pip install 'amodal[{METRICS[name].extra}]'"
            )
        chosen[name] = METRICS[name]
    return chosen
