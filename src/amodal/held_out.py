"""Which rows a model's members train on, and which rows, kept out, calibrate it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.data.splits import folds, split_development
from amodal.ensemble import mix_predictions
from amodal.member import Member
from amodal.posthoc.temperature import Temperature
from amodal.shifts import make_shift
from amodal.training import seed_of

__all__ = ["HeldOut", "averaging", "fit_temperature"]

_SHARE = 0.125
_CALIBRATION_LOSS = (0.3, 0.6)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The parts of the rows that a model is fitted on.

    Args:
        data: all of them.
        train: rows that the first member trains on.
        valid: rows that choose its epoch or regularisation.
        calibration: rows that no member sees; none where members calibrate each other's rows.
        seed: of all draws.
        cross: the folds that the members are validated on, one each; 0 for draws of their own.
    """

    data: Dataset
    train: Dataset
    valid: Dataset
    calibration: Dataset
    seed: int
    cross: int = 0

    @classmethod
    def drawn(cls, data: Dataset, *, seed: int, calibrated: bool) -> HeldOut:
        """An eighth of the rows for validation and, where it is calibrated, an eighth for that."""
        share = _SHARE if calibrated else 0.0
        rows = split_development(data, seed=seed, valid=_SHARE, calibration=share)
        return cls(data, *(data[rows[k]] for k in ("train", "valid", "calibration")), seed)

    @classmethod
    def given(cls, data: Dataset, held: Dataset, *, seed: int, calibrated: bool) -> HeldOut:
        """All rows train; those of the user's own validate, and half of them calibrate."""
        if not calibrated:
            return cls(data, data, held, held[:0], seed)
        half = split_development(held, seed=seed, valid=0.5, calibration=0.0)
        return cls(data, data, held[half["valid"]], held[half["train"]], seed)

    @classmethod
    def crossed(cls, data: Dataset, members: int, *, seed: int) -> HeldOut:
        """Every row trains all members but one, which it validates and through which it calibrates."""
        return cls(data, data, data[:0], data[:0], seed, members)

    @property
    def ids(self) -> dict[str, np.ndarray]:
        """Row ids of train, valid and calibration."""
        return {k: getattr(self, k).row_id for k in ("train", "valid", "calibration")}

    @cached_property
    def _folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return folds(self.data, self.cross, seed=self.seed)

    def of_member(self, number: int) -> dict[str, Dataset]:
        """Rows of one member: "train", "valid", and "both" where the last fit may see both.

        Member 0 has the model's own split; the others draw validation rows of their own.
        """
        if self.cross:
            train, valid = self._folds[number]
            valid = self.data[valid]
            return {"train": self.data[train], "valid": valid[valid.labelled]}
        train, valid, data = self.train, self.valid, self.data
        if not np.isin(valid.row_id, data.row_id).all():
            return {"train": train, "valid": valid}
        pool = data[np.isin(data.row_id, np.concatenate([train.row_id, valid.row_id]))]
        if number > 0:
            rows = split_development(
                pool,
                seed=seed_of(self.seed, "valid", number) % 2**32,
                valid=len(valid) / len(pool),
                calibration=0.0,
            )
            train, valid = pool[rows["train"]], pool[rows["valid"]]
        return {"train": train, "valid": valid, "both": pool}

    def unseen(self, members: Sequence[Member]) -> list[tuple[list[Member], Dataset]]:
        """Members, and labelled rows that calibrate and that they never saw."""
        if not self.cross:
            return [(list(members), self.calibration[self.calibration.labelled])]
        return [([m], self.of_member(k)["valid"]) for k, m in enumerate(members)]


def fit_temperature(held: HeldOut, members: Sequence[Member], *, device: str) -> Temperature | None:
    """The temperature of labelled rows kept out, as they are and with some modalities lost.

    Members that validate each other's rows predict them one at a time, but new rows together, and
    the mean of all is less extreme than one: the temperature is lowered by `averaging`.

    Args:
        held: which member saw what.
        members: all of them.
        device: where they predict.

    Returns:
        None where no row has a label.
    """
    found, rest, target, weight = [], [], [], []
    for able, rows in held.unseen(members):
        others = [] if rows.task.kind == "regression" else [m for m in members if m not in able]
        for copy, share in _copies(rows, held.seed):
            found.append(_mixture(able, copy, device))
            rest += [_mixture(others, copy, device)] if others else []
            target.append(copy.target)
            weight.append((np.ones(len(rows)) if rows.weight is None else rows.weight) * share)
    if not sum(map(len, target)):
        return None
    together, told = Prediction.concat(found), np.concatenate(weight)
    truth = torch.as_tensor(np.concatenate(target))
    fitted = Temperature.fit(together, truth, members[0].base, weight=told)
    if not rest:
        return fitted
    some = together.present.any(1)
    one, mean = together.params[some], Prediction.concat(rest).params[some]
    return replace(fitted, level=fitted.level + math.log(averaging(one, mean, len(members))))


def averaging(one: Float[Tensor, "n p"], others: Float[Tensor, "n p"], members: int) -> float:
    """How far the mean of k members varies over rows, as a share of how far one does; in [1/k, 1].

    One member's parameters are a part s that all share and a part of its own, of variance v. Their
    sum has variance s + v, the mean of k has s + v / k, and s is the covariance of one member with
    the mean of the others. A slope of calibration is cov(truth, x) / var(x): it grows as this falls.

    Args:
        one: parameters of rows by a member.
        others: the same by the mean of the others.
        members: k.

    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> averaging(x, x, 4), averaging(x, 0.0 * x, 4), averaging(x, 0.5 * x, 4)
    (1.0, 0.25, 0.625)
    """
    one, others = (x.double() - x.double().mean(0) for x in (one, others))
    var = float((one * one).sum())
    shared = min(max(float((one * others).sum()), 0.0), var)
    return 1.0 if var == 0 else (shared + (var - shared) / members) / var


def _copies(rows: Dataset, seed: int) -> list[tuple[Dataset, float]]:
    """The rows and some with losses, which together weigh as much as the rows as they are."""
    if len(rows) == 0:
        return []
    share = 1.0 / len(_CALIBRATION_LOSS)
    lossy = [(make_shift("mcar", rate, seed=seed)(rows), share) for rate in _CALIBRATION_LOSS]
    return [(rows, 1.0), *lossy]


def _mixture(members: Sequence[Member], rows: Dataset, device: str) -> Prediction:
    return mix_predictions([m.predict(rows, device=device) for m in members])
