"""Selective prediction: how the error falls when the least certain rows are handed to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError
from amodal.metrics.arrays import Ties, ratio, share_of
from amodal.metrics.inputs import Rows, check_classes, check_regression

__all__ = ["RiskCoverage", "aurc", "risk_coverage"]


@dataclass(frozen=True)
class RiskCoverage:
    """The risk-coverage curve: one point per distinct confidence, from high to low. Arrays [g].

    Attributes:
        coverage: share of the weight that is kept, ascending to 1.
        risk: mean loss of what is kept.
        confidence: least confidence that is kept: the threshold to use.

    >>> curve = risk_coverage([1, 1, 1], {"probability": [0.9, 0.7, 0.3]})
    >>> curve.coverage.round(2).tolist(), curve.risk.round(2).tolist()  # 0.7 and 0.3 are as sure
    ([0.33, 1.0], [0.0, 0.33])
    """

    coverage: np.ndarray
    risk: np.ndarray
    confidence: np.ndarray


def risk_coverage(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> RiskCoverage:
    """Mean loss over the most confident share of rows, for every share that a threshold can keep.

    Classification: confidence is the largest class probability, loss is 1 for a wrong decision
    (see `accuracy`). Regression: confidence is -std, loss is the squared error.

    Args:
        y: [n] target.
        outputs: {"probability": [n] or [n, C]} or {"mean": [n], "std": [n]}.
        weight: None or [n], at least 0; rows of weight 0 are left out.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: El-Yaniv and Wiener, 2010. The surest is right, the second wrong:

    >>> curve = risk_coverage([1, 1], {"probability": [0.9, 0.3]})
    >>> curve.coverage.tolist(), curve.risk.tolist(), curve.confidence.tolist()
    ([0.5, 1.0], [0.0, 0.5], [0.9, 0.7])
    """
    rows, confidence, loss = _confidence_and_loss(y, outputs, weight)
    if not rows.single:
        raise DataError(
            f"weight has shape [n] here; found {list(rows.weight.shape)}. "
            "Call once for each row of weights."
        )
    own = rows.weight[0] > 0
    confidence = confidence[own]
    ties = Ties(-confidence)
    kept, lost = _cumulative(ties, loss[own], ties.ranked(rows.weight[:, own]))
    threshold = confidence[ties.order[ties.first]]
    return RiskCoverage(ratio(kept, kept[:, -1:])[0], ratio(lost, kept)[0], threshold)


def aurc(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], *, weight: ArrayLike | None = None
) -> float | np.ndarray:
    """Area under the risk-coverage curve: sum_g w_g risk_g / sum_g w_g; lower is better.

    g runs over the distinct confidences from high to low, w_g is their weight and risk_g the mean
    loss of everything at least that confident: the mean of the risk over the n thresholds where
    all confidences differ. It rewards both few errors and errors that come with low confidence;
    a confidence that says nothing gives the plain mean loss.

    Args:
        y: [n] target.
        outputs: {"probability": [n] or [n, C]} (0/1 loss) or {"mean": [n], "std": [n]}
            (squared error, in squared units of y).
        weight: None, [n] or [B, n], at least 0.

    Returns:
        A number of at least 0, or [B] of them; NaN without weight.

    Raises:
        DataError: shapes, ranges or weights break the stated rules.

    Reference: Geifman et al., 2019. Risks 0 and 1/2 at the two thresholds:

    >>> aurc([1, 1], {"probability": [0.9, 0.3]})
    0.25
    """
    rows, confidence, loss = _confidence_and_loss(y, outputs, weight)
    ties = Ties(-confidence)
    ranked = ties.ranked(rows.weight)
    risk = share_of(*_cumulative(ties, loss, ranked)[::-1])
    area = np.einsum("bg,bg->b", ties.group_sums(ranked), risk)
    return rows.out(ratio(area, rows.weight.sum(axis=1)))


def _confidence_and_loss(
    y: ArrayLike, outputs: Mapping[str, ArrayLike], weight: ArrayLike | None
) -> tuple[Rows, np.ndarray, np.ndarray]:
    if "probability" in outputs:
        rows = check_classes(y, outputs["probability"], weight)
        p = rows.prediction
        if p.ndim == 1:
            return rows, np.maximum(p, 1 - p), ((p > 0.5) != rows.y).astype(float)
        return rows, p.max(axis=1), (p.argmax(axis=1) != rows.y).astype(float)
    if not {"mean", "std"} <= set(outputs):
        raise DataError(
            "outputs holds 'probability', or 'mean' and 'std'; found "
            f"{sorted(outputs)}. A confidence needs one of the two."
        )
    rows = check_regression(y, outputs["mean"], weight, std=outputs["std"])
    return rows, -rows.std, (rows.y - rows.prediction) ** 2


def _cumulative(ties: Ties, loss: np.ndarray, ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight and loss [B, g] of each tie group and of everything more confident."""
    return ties.cumulative(ranked), ties.cumulative(ranked * loss[ties.order])
