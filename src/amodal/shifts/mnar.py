"""Loss not at random: by a modality's own values, by the severity of the case, by the target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import unknown_name
from amodal.shifts.absence import AbsenceShift, Chances
from amodal.shifts.base import check_positive, check_reference
from amodal.shifts.scores import LEVELS, OwnValueScore, TargetScore
from amodal.shifts.severity import SeverityScore

__all__ = ["ByScore", "Mnar", "MnarSeverity", "MnarTarget", "intercept"]

Score = Callable[[Dataset, Sequence[str]], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # no overflow at any x


def intercept(effect: np.ndarray, rate: float) -> float:
    """The b with mean over i of sigmoid(b + effect_i) = rate, by bracketed Newton steps.

    The mean grows with b, and b = logit(rate) - max(effect) is below the root, - min above: a step
    that leaves the bracket is replaced by its middle.

    Args:
        effect: ``Float[k]`` finite, on the scale of log-odds.
        rate: strictly between 0 and 1.

    Returns:
        b; logit(rate) where k = 0.

    >>> round(intercept(np.array([-1.0, 1.0]), 0.5), 9)
    0.0
    """
    logit = float(np.log(rate) - np.log1p(-rate))
    if not len(effect):
        return logit
    low, high = logit - float(effect.max()), logit - float(effect.min())
    b = 0.5 * (low + high)
    for _ in range(200):
        p = _sigmoid(b + effect)
        error = float(p.mean()) - rate
        if abs(error) < 1e-13 or high - low < 1e-13:
            break
        low, high = (b, high) if error < 0 else (low, b)
        slope = float((p * (1.0 - p)).mean())
        b = b - error / slope if slope > 0 else low
        if not low < b < high:
            b = 0.5 * (low + high)
    return b


def _intercepts(effects: Sequence[np.ndarray], rates: np.ndarray) -> np.ndarray:
    """``Float64[c]`` the intercept of each rate; one effect serves all where there is one only."""
    known: dict[tuple[int, float], float] = {}
    for j, rate in enumerate(rates.tolist()):
        key = (j % len(effects), rate)
        if 0 < rate < 1 and key not in known:
            known[key] = intercept(effects[key[0]], rate)
    return np.array([known.get((j % len(effects), r), 0.0) for j, r in enumerate(rates.tolist())])


@dataclass(frozen=True)
class ByScore(AbsenceShift):
    """P(lost) = sigmoid(b + log(odds_ratio) * score), with b such that the mean is the rate asked.

    b is solved for each modality over the pairs of the reference that have a score. A pair without
    a score is neutral: it is lost with the rate asked for exactly. At rates 0 and 1 nothing depends
    on a score, and none is computed.
    """

    kind: ClassVar[str] = "not at random"

    odds_ratio: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"the odds ratio of shift {self.name!r}"
        self._set("odds_ratio", check_positive(what, self.odds_ratio))

    @abstractmethod
    def score(self, reference: Dataset, names: Sequence[str]) -> Score:
        """The score that is learned from `reference`."""

    def chances(self, data: Dataset, reference: Dataset, columns: np.ndarray) -> Chances:
        """By the score, calibrated on `reference`."""
        shape, rates = (len(data), len(columns)), self.per_column(data, columns)
        inside = (rates > 0) & (rates < 1)
        if not inside.any() or 0 in shape:
            flat = np.broadcast_to(rates, shape)
            return Chances(flat, np.zeros(shape, dtype=bool), {})
        names = [data.names[k] for k in columns]
        check_reference(data, reference, names)
        score, log_odds = self.score(reference, names), float(np.log(self.odds_ratio))
        base = score(reference, names)
        known = [column[~np.isnan(column)] for column in base.T]
        b = _intercepts([log_odds * column for column in known], rates)
        mine = base if data is reference else score(data, names)
        p = np.where(np.isnan(mine) | ~inside, rates, _sigmoid(b + log_odds * mine))
        learned = {
            "intercept": {n: float(x) for n, x, yes in zip(names, b, inside, strict=True) if yes},
            "reference_rows": len(reference),
            **score.facts,
        }
        neutral = np.isnan(mine) & inside
        return Chances(np.broadcast_to(p, shape), np.broadcast_to(neutral, shape), learned)

    def _sentence(self, by: str) -> str:
        return (
            f"Lost {self.kind}: {self._where()} of each row with mean probability "
            f"{self.rate:g}{self._own()}, {by}{self._kept()}."
        )


@dataclass(frozen=True)
class Mnar(ByScore):
    r"""Lost by the modality's own values: the higher (or the more extreme), the likelier.

    The score is `OwnValueScore`, in standard deviations. Absent pairs have no value and are lost
    with the rate asked for, so a loss does not tell whether the modality had been measured.

    Args:
        rate, seed, modalities, keep_one, rates: see `AbsenceShift`.
        odds_ratio: by which the odds of loss grow per standard deviation of the score; below 1
            low values are lost more often; 1 is MCAR.
        by: "level" (how high the values are) or "extreme" (how far from the median).

    >>> print(Mnar(0.3, modalities="labs", by="extreme").describe().replace(", ", ",\n"))
    Lost not at random: modality labs of each row with mean probability 0.3,
    the odds times 3 per standard deviation by which its own values lie further from the median.
    """

    name: ClassVar[str] = "mnar"
    title: ClassVar[str] = "Modalities lost by their own values"

    by: str = "level"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in LEVELS:
            raise unknown_name("score of a modality's values", self.by, LEVELS)

    def score(self, reference: Dataset, names: Sequence[str]) -> Score:
        """How high or how extreme the values are."""
        return OwnValueScore(reference, names, self.by)

    def describe(self) -> str:
        """One sentence in words."""
        lie = "higher" if self.by == "level" else "further from the median"
        return self._sentence(
            f"the odds times {self.odds_ratio:g} per standard deviation by which its own values "
            f"lie {lie}"
        )


@dataclass(frozen=True)
class MnarSeverity(ByScore):
    """Lost by the severity of the case: the likelier its outcome, the likelier.

    The score is `SeverityScore`, one a row, in standard deviations; a row's own label does not
    enter it, as the model is cross-fitted.

    Args:
        rate, seed, modalities, keep_one, rates: see `AbsenceShift`.
        odds_ratio: by which the odds of loss grow per standard deviation of the score.
        folds: folds of the cross-fitting.
        positive: the class that counts as severe; see `amodal.shifts.scores.marked_class`.

    >>> x, y = np.arange(40.0)[:, None], np.arange(40) % 2
    >>> d = Dataset.from_arrays({"a": x, "b": x}, y)
    >>> MnarSeverity(0.3, odds_ratio=4.0).draw(d).rates.expected  # the mean of the probabilities
    0.3
    """

    name: ClassVar[str] = "mnar-severity"
    title: ClassVar[str] = "Modalities lost by the severity of the case"

    folds: int = 5
    positive: str | None = None

    def score(self, reference: Dataset, names: Sequence[str]) -> Score:
        """The cross-fitted severity of the row."""
        return SeverityScore(reference, folds=self.folds, positive=self.positive, seed=self.seed)

    def describe(self) -> str:
        """One sentence in words."""
        return self._sentence(
            f"the odds times {self.odds_ratio:g} per standard deviation of the severity of the "
            "case, as models predict it that were fitted without the row's own label"
        )


@dataclass(frozen=True)
class MnarTarget(ByScore):
    """Lost by the target itself. A stress test: it puts the label into the pattern of loss.

    Which modalities are lost then tells the target, so a model that reads `LOST` cheats, and no
    deployment can be like this. Unlabelled rows are lost with the rate asked for. The score is
    `TargetScore`.

    Args:
        rate, seed, modalities, keep_one, rates: see `AbsenceShift`.
        odds_ratio: the odds of loss in the marked class over those in the others; regression and
            multilabel: per standard deviation of the value, or of the number of labels.
        positive: the marked class; see `amodal.shifts.scores.marked_class`.

    >>> d = Dataset.from_arrays({"a": np.zeros((4, 1))}, [0, 1, 1, 0])
    >>> MnarTarget(0.5, odds_ratio=1e12).draw(d).lost.ravel().tolist()
    [False, True, True, False]
    """

    name: ClassVar[str] = "mnar-target"
    title: ClassVar[str] = "Modalities lost by the target (stress test)"

    positive: str | None = None

    def score(self, reference: Dataset, names: Sequence[str]) -> Score:
        """The target."""
        return TargetScore(reference, self.positive)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `shift_from_json` reads; says that the label is in the pattern."""
        return super().to_json() | {"label_in_pattern": True}

    def describe(self) -> str:
        """One sentence in words, with the warning."""
        return (
            self._sentence(f"the odds times {self.odds_ratio:g} by the target itself")[:-1]
            + "; a stress test that puts the label into the pattern of loss."
        )
