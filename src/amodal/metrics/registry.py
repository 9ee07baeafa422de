"""The registry: every metric by name, the default ones of each kind of task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import SettingError, unknown_name
from amodal.metrics import (
    calibration,
    decomposition,
    discrimination,
    multilabel,
    regression,
    selective,
    sequence,
    text,
)
from amodal.metrics.metric import KINDS, Metric, of_mean, of_mean_std, of_probability

__all__ = ["METRICS", "default_metrics", "left_out", "select"]

_CLASSES = ("binary", "multiclass", "multilabel")
_EVENTS = ("binary", "multilabel")
_VALUES = ("regression",)
_TEXTS = ("sequence",)


def _perfect_ece_draws(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> np.ndarray:
    module = multilabel if np.ndim(y) == 2 else calibration
    return module.perfect_ece_draws(outputs["probability"], weight=weight)


def _ece_of_perfect(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    if np.ndim(weight) == 2:
        return np.array([_ece_of_perfect(y, outputs, weight=w) for w in np.asarray(weight)])
    return float(_perfect_ece_draws(y, outputs, weight=weight).mean())


def _bleu(n: int) -> Metric:
    return Metric(
        f"bleu_{n}",
        sequence.of_texts(text.bleu_counts, lambda sums, weight: text.bleu_of_counts(sums, n)),
        _TEXTS,
        f"BLEU-{n}",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
        extra="captions",
    )


METRICS: dict[str, Metric] = {
    "auroc": Metric(
        "auroc",
        of_probability(discrimination.auroc, multilabel.auroc),
        _CLASSES,
        "AUROC",
        "0 to 1, chance .5",
        higher_is_better=True,
        ideal=1.0,
    ),
    "auprc": Metric(
        "auprc",
        of_probability(discrimination.auprc, multilabel.auprc),
        _CLASSES,
        "AUPRC",
        "0 to 1, chance = prevalence",
        higher_is_better=True,
        ideal=1.0,
    ),
    "accuracy": Metric(
        "accuracy",
        of_probability(discrimination.accuracy, multilabel.accuracy),
        _CLASSES,
        "Accuracy",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    "macro_f1": Metric(
        "macro_f1",
        of_probability(discrimination.macro_f1, multilabel.macro_f1),
        _CLASSES,
        "Macro F1",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    "log_loss": Metric(
        "log_loss",
        of_probability(calibration.log_loss, multilabel.log_loss),
        _CLASSES,
        "Log loss",
        "0 upwards, nats",
        higher_is_better=False,
        ideal=0.0,
    ),
    "brier": Metric(
        "brier",
        of_probability(calibration.brier, multilabel.brier),
        _CLASSES,
        "Brier score",
        "0 to 1, with several classes 0 to 2",
        higher_is_better=False,
        ideal=0.0,
    ),
    "ece": Metric(
        "ece",
        of_probability(calibration.ece, multilabel.ece),
        _CLASSES,
        "ECE",
        "0 to 1, above 0 by noise alone",
        higher_is_better=False,
        ideal=0.0,
        interval="centred",
    ),
    "classwise_ece": Metric(
        "classwise_ece",
        of_probability(decomposition.classwise_ece),
        ("multiclass",),
        "Class-wise ECE",
        "0 to 1, above 0 by noise alone",
        higher_is_better=False,
        ideal=0.0,
        interval="centred",
    ),
    "ece_of_perfect": Metric(
        "ece_of_perfect",
        _ece_of_perfect,
        _CLASSES,
        "ECE of a perfect model",
        "0 to 1, what noise alone gives",
        higher_is_better=None,
        ideal=0.0,
        samples=_perfect_ece_draws,
    ),
    "calibration_intercept": Metric(
        "calibration_intercept",
        of_probability(calibration.calibration_intercept, multilabel.calibration_intercept),
        _CLASSES,
        "Calibration intercept",
        "log odds, 0 ideal, above 0 risks underestimated",
        higher_is_better=None,
        ideal=0.0,
    ),
    "calibration_slope": Metric(
        "calibration_slope",
        of_probability(calibration.calibration_slope, multilabel.calibration_slope),
        _CLASSES,
        "Calibration slope",
        "1 ideal, below 1 over-confident",
        higher_is_better=None,
        ideal=1.0,
    ),
    "observed_expected": Metric(
        "observed_expected",
        of_probability(calibration.observed_expected, multilabel.observed_expected),
        _EVENTS,
        "Observed / expected",
        "0 upwards, 1 ideal",
        higher_is_better=None,
        ideal=1.0,
    ),
    "aurc": Metric(
        "aurc",
        selective.aurc,
        ("binary", "multiclass", "regression"),
        "AURC",
        "0 upwards, mean loss at most where confidence is informative",
        higher_is_better=False,
        ideal=0.0,
    ),
    "rmse": Metric(
        "rmse",
        of_mean(regression.rmse),
        _VALUES,
        "RMSE",
        "0 upwards, units of the target",
        higher_is_better=False,
        ideal=0.0,
    ),
    "mae": Metric(
        "mae",
        of_mean(regression.mae),
        _VALUES,
        "MAE",
        "0 upwards, units of the target",
        higher_is_better=False,
        ideal=0.0,
    ),
    "r2": Metric(
        "r2",
        of_mean(regression.r2),
        _VALUES,
        "R squared",
        "up to 1, 0 = the mean",
        higher_is_better=True,
        ideal=1.0,
    ),
    "gaussian_nll": Metric(
        "gaussian_nll",
        of_mean_std(regression.gaussian_nll),
        _VALUES,
        "Gaussian NLL",
        "any number, nats",
        higher_is_better=False,
        ideal=-np.inf,
    ),
    "coverage_90": Metric(
        "coverage_90",
        of_mean_std(regression.coverage),
        _VALUES,
        "Coverage of 90% intervals",
        "0 to 1, .9 ideal",
        higher_is_better=None,
        ideal=0.9,
    ),
    "token_log_loss": Metric(
        "token_log_loss",
        sequence.token_log_loss,
        _TEXTS,
        "Token log loss",
        "0 upwards, nats per token of the references",
        higher_is_better=False,
        ideal=0.0,
    ),
    "perplexity": Metric(
        "perplexity",
        sequence.perplexity,
        _TEXTS,
        "Perplexity",
        "1 upwards, tokens as open as the next one",
        higher_is_better=False,
        ideal=1.0,
    ),
    "exact_match": Metric(
        "exact_match",
        sequence.exact_match,
        _TEXTS,
        "Exact match",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    **{f"bleu_{n}": _bleu(n) for n in (1, 2, 3, 4)},
    "rouge_l": Metric(
        "rouge_l",
        sequence.of_texts(text.rouge_l_rows),
        _TEXTS,
        "ROUGE-L",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
        extra="captions",
    ),
    "cider": Metric(
        "cider",
        sequence.of_texts(text.cider_rows),
        _TEXTS,
        "CIDEr",
        "0 to 10",
        higher_is_better=True,
        ideal=10.0,
        extra="captions",
    ),
}

_DEFAULTS: dict[str, tuple[str, ...]] = {
    "binary": (
        "auroc",
        "auprc",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_intercept",
        "calibration_slope",
        "observed_expected",
        "accuracy",
        "macro_f1",
        "aurc",
    ),
    "multiclass": (
        "accuracy",
        "macro_f1",
        "auroc",
        "auprc",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_slope",
        "aurc",
    ),
    "multilabel": (
        "auroc",
        "auprc",
        "macro_f1",
        "accuracy",
        "log_loss",
        "brier",
        "ece",
        "ece_of_perfect",
        "calibration_slope",
        "observed_expected",
    ),
    "regression": ("rmse", "mae", "r2", "gaussian_nll", "coverage_90", "aurc"),
    "sequence": (
        "token_log_loss",
        "perplexity",
        "exact_match",
        "bleu_1",
        "bleu_2",
        "bleu_3",
        "bleu_4",
        "rouge_l",
        "cider",
    ),
}


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
