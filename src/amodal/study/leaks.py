"""What a leak gains: two arms that differ in one factor, on rows labelled and tested under both.

Every row is tested once, by cross-validation. Both arms have the same folds (unless the factor is
how folds are drawn), so that nothing but the factor differs, and the gain is a paired difference
with an interval over groups (patients).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.features import tabulate
from amodal.data.scaling import Scaler
from amodal.data.scaling_kinds import moments
from amodal.data.splits import folds
from amodal.errors import DataError, SettingError
from amodal.metrics.discrimination import auprc, auroc
from amodal.metrics.estimates import Difference, Interval
from amodal.metrics.intervals import Bootstrap
from amodal.types import Modality
from amodal.values import Values

__all__ = ["LEARNERS", "Arm", "Gain", "cross_scores", "gain", "make_learner"]

_PENALTIES = (0.03, 0.003)
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Arm:
    """One way of preparing and testing the same rows.

    Args:
        data: with groups (patients); the rows of both arms are the same, in the same order.
        by_group: folds keep groups whole; else they are drawn row by row.
        statistics: scales and vocabularies come from "train" rows or from "all" rows.

    >>> d = Dataset.from_arrays({"a": [[1.0]]}, [1])
    >>> Arm(d, statistics="test")
    Traceback (most recent call last):
    amodal.errors.SettingError: statistics come from train or all rows; got 'test'; choose one
    """

    data: Dataset
    by_group: bool = True
    statistics: str = "train"

    def __post_init__(self) -> None:
        if self.statistics not in ("train", "all"):
            raise SettingError(
                f"statistics come from train or all rows; got {self.statistics!r}; choose one"
            )


@dataclass(frozen=True)
class Gain:
    """What the leaky arm scores above the honest one.

    Args:
        honest: metric -> its value under the honest arm.
        leaky: the same under the leaky one.
        difference: leaky - honest, paired.
        rows: tested, labelled under both.
        positive: of them with target 1.
        groups: of them.
        as_reported: AUROC of each arm over the rows that it labels itself.
    """

    honest: dict[str, Interval]
    leaky: dict[str, Interval]
    difference: dict[str, Difference]
    rows: int
    positive: int
    groups: int
    as_reported: tuple[float, float]


Learner = Callable[[Dataset, Dataset, Dataset, int], np.ndarray]
"""(training rows, test rows, rows of the statistics, seed) -> ``Float[test]`` probabilities."""


def cross_scores(
    arm: Arm, learner: Learner, *, like: Dataset, k: int = 5, seed: int = 0
) -> np.ndarray:
    """``Float[n]``: the score of each row, by a model that was not trained on its fold.

    Args:
        arm: what is tested.
        learner: what learns.
        like: the data whose targets and groups draw the folds; the same for both arms.
        k: folds.
        seed: of folds and learner.

    >>> def knows(train, test, statistics, seed):  # 1 for a row whose patient was trained on
    ...     return np.isin(test.group, train.group).astype(float)
    >>> rows = {"group": np.repeat(["p", "q", "r", "s"], 10)}
    >>> d = Dataset.from_arrays({"a": np.zeros((40, 1))}, np.arange(40) % 2, rows=rows)
    >>> [cross_scores(Arm(d, by_group=g), knows, like=d, k=2).mean().item() for g in (True, False)]
    [0.0, 1.0]
    """
    drawn = folds(like if arm.by_group else like.replace(group=None), k, seed=seed)
    scores = np.full(len(arm.data), np.nan)
    for train, test in drawn:
        known = train[arm.data.labelled[train]]
        rows = arm.data if arm.statistics == "all" else arm.data[train]
        scores[test] = learner(arm.data[known], arm.data[test], rows, seed)
    return scores


def gain(
    honest: Arm,
    leaky: Arm,
    scores: tuple[np.ndarray, np.ndarray],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Gain:
    """The gain of `leaky` over `honest`, with 95% intervals over groups.

    Args:
        honest: one arm.
        leaky: the other.
        scores: of both, from `cross_scores`.
        replicates: of the bootstrap.
        seed: of it.

    Raises:
        DataError: the arms have other rows, or rows with other targets.

    >>> y = np.arange(40) % 2
    >>> arm = Arm(Dataset.from_arrays({"a": np.zeros((40, 1))}, y))
    >>> found = gain(arm, arm, (np.full(40, 0.5), y.astype(float)), replicates=20)
    >>> found.honest["auroc"].value, found.leaky["auroc"].value, found.difference["auroc"].value
    (0.5, 1.0, 0.5)
    """
    a, b = honest.data, leaky.data
    if not np.array_equal(a.row_id, b.row_id):
        raise DataError("arms are compared on the same rows; these differ; prepare both alike")
    both = np.flatnonzero(a.labelled & b.labelled)
    y = a.target[both]
    if not np.array_equal(y, b.target[both]):
        raise DataError("arms are compared on the same targets; these differ; change one factor")
    group = a.row_id if a.group is None else a.group
    first, second = (x[both] for x in scores)
    resamples = Bootstrap(
        len(both), group=group[both], replicates=replicates, level=_LEVEL, seed=seed
    )
    metrics = {"auroc": auroc, "auprc": auprc}
    own = (
        float(auroc(x.target[x.labelled], s[x.labelled]))
        for x, s in zip((a, b), scores, strict=True)
    )
    return Gain(
        resamples.intervals(metrics, y, first),
        resamples.intervals(metrics, y, second),
        resamples.differences(metrics, y, second, outputs_b=first),
        len(both),
        int(y.sum()),
        len(np.unique(group[both])),
        tuple(own),
    )


# -- what learns ----------------------------------------------------------------------------------


def make_learner(name: str) -> Learner:
    """One of `LEARNERS`, or a method of the package with its settings ("aum:contrast=0").

    The former read scales and vocabularies of the rows of the statistics and no others. A method
    scales its training rows itself; where the statistics are those of all rows, data come scaled.

    >>> make_learner("logistic") is LEARNERS["logistic"], callable(make_learner("aum:contrast=0"))
    (True, True)
    """
    return LEARNERS.get(name) or _method(name)


def _method(spec: str) -> Learner:
    def learn(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
        from amodal.model import make_model

        if len(statistics) > len(train):
            scaler = Scaler.fit(statistics)
            train, test = scaler.apply(train), scaler.apply(test)
        model = make_model(spec, seed=seed).fit(train)
        return model.predict(test).outputs()["probability"]

    return learn


def _logistic(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
    """Penalised regression on standardised numbers and the counts of every code.

    The penalty is that of the lowest log loss on a fifth of the training groups.
    """
    from scipy.sparse import csr_array, hstack
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    scaler = Scaler.fit(statistics)
    parts = [_parts(scaler.apply(d)) for d in (statistics, train, test)]
    found = moments(parts[0][0])
    std = np.where(found["std"] > 0, found["std"], 1.0)
    x = []
    for dense, codes in parts[1:]:
        z = np.nan_to_num((dense - found["mean"]) / std)
        blocks = [csr_array(z), csr_array(np.isnan(dense).astype(float)), codes]
        x.append(hstack(blocks, format="csr"))
    y = train.target.astype(int)
    fit, held = _held_out(train, seed)

    def model(c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=200)

    def loss(c: float) -> float:
        tried = model(c).fit(x[0][fit], y[fit])
        return log_loss(y[held], tried.predict_proba(x[0][held]), labels=(0, 1))

    best = min(_PENALTIES, key=loss) if len(set(y[fit])) == 2 and len(held) else _PENALTIES[0]
    return model(best).fit(x[0], y).predict_proba(x[1])[:, 1]


def _held_out(train: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four fifths of the training rows, and the others, on which the penalty is chosen."""
    try:
        return folds(train, 5, seed=seed)[0]
    except DataError:  # fewer than five groups
        return np.arange(len(train)), np.arange(0)


def _boosting(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
    """Boosted trees on the same columns, at most 512 codes; what is constant in training is out."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    scaler = Scaler.fit(statistics)
    x, z = (tabulate(scaler.apply(d)).x for d in (train, test))
    varies = moments(x)["std"] > 0
    x, z = x[:, varies], z[:, varies]
    model = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_leaf_nodes=15,
        l2_regularization=5.0,
        random_state=seed,
    )
    return model.fit(x, train.target.astype(int)).predict_proba(z)[:, 1]


def _neighbours(train: Dataset, test: Dataset, statistics: Dataset, seed: int) -> np.ndarray:
    """The targets of the ten rows with the most alike codes, rare codes counting more.

    It predicts poorly, and knows a patient again: what a split by row lets a memory exploit.
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.neighbors import NearestNeighbors

    scaler = Scaler.fit(statistics)
    counts = [_parts(scaler.apply(d))[1] for d in (statistics, train, test)]
    weigh = TfidfTransformer(smooth_idf=True).fit(counts[0])
    x, z = (weigh.transform(c) for c in counts[1:])
    index = NearestNeighbors(n_neighbors=min(10, len(train)), metric="cosine").fit(x)
    far, place = index.kneighbors(z)
    near = (1 - far).clip(0) ** 2
    base = float(train.target.mean())
    return ((near * train.target[place]).sum(1) + 0.1 * base) / (near.sum(1) + 0.1)


def _parts(data: Dataset) -> tuple[np.ndarray, object]:
    """(numbers ``[n, f]``, counts of codes ``[n, c]``, sparse)"""
    from scipy.sparse import csr_array, hstack

    coded = [m for m in data.modalities if m.kind == "codes"]
    rest = [m.name for m in data.modalities if m.kind != "codes"]
    dense = tabulate(data.select(rest)).x if rest else np.zeros((len(data), 0))
    counts = [_counts(m, data.values[m.name]) for m in coded]
    return dense, hstack([csr_array((len(data), 0)), *counts], format="csr")


def _counts(m: Modality, values: Values) -> object:
    """log(1 + number) of each code of each row, sparse."""
    from scipy.sparse import coo_array

    owner = np.repeat(np.arange(len(values)), values.lengths)
    known = values.data["code"] >= 0
    place = (owner[known], values.data["code"][known])
    shape = (len(values), len(m.vocabulary))
    found = coo_array((np.ones(int(known.sum())), place), shape=shape).tocsr()
    found.data = np.log1p(found.data)
    has = values.index >= 0
    rows = np.flatnonzero(has)
    pick = coo_array(
        (np.ones(len(rows)), (rows, values.index[has])), shape=(len(has), len(values))
    ).tocsr()
    return pick @ found


LEARNERS: dict[str, Learner] = {
    "logistic": _logistic,
    "boosting": _boosting,
    "neighbours": _neighbours,
}
"""Cheap learners by name."""
