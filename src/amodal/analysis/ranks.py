"""Ranks of methods over data sets: Friedman's test, Nemenyi's critical difference, Wilcoxon-Holm.

Reference: Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from amodal.analysis.compare import holm
from amodal.analysis.pooling import Pool
from amodal.errors import DataError
from amodal.metrics import METRICS
from amodal.study.results import At

__all__ = ["Ranking", "critical_difference", "rank_methods", "rank_studies", "signed_rank"]

_DATA_SETS, _METHODS, _ALPHA = 3, 2, 0.05
_FEW_SETS, _FEW_METHODS = 10, 5  # below, Demsar calls Friedman's chi-squared unreliable


@dataclass(frozen=True, eq=False)
class Ranking:
    """Methods ranked on each of several data sets.

    Args:
        methods: k names, the best mean rank first.
        data_sets: N names.
        values: ``Float64[N, k]`` the metric.
        ranks: ``Float64[N, k]``: 1 is best, ties share the mean.
        metric: its name.
        p: of Iman and Davenport's F: whether all methods are alike.
        critical: Nemenyi's critical difference of mean ranks at 5%; NaN where there is none.
        pairs: per pair of methods its p of Wilcoxon's signed ranks, Holm-adjusted.
        why_not: why there is no ranking, in a sentence; empty where there is one.
        caution: what weakens it, in a sentence; empty for nothing.
    """

    methods: tuple[str, ...]
    data_sets: tuple[str, ...]
    values: np.ndarray
    ranks: np.ndarray
    metric: str
    p: float = float("nan")
    critical: float = float("nan")
    pairs: Mapping[tuple[str, str], float] | None = None
    why_not: str = ""
    caution: str = ""

    @property
    def mean_ranks(self) -> np.ndarray:
        """``Float64[k]``."""
        return self.ranks.mean(axis=0)

    @property
    def alike(self) -> list[tuple[int, int]]:
        """(first, last) of the longest runs of methods that lie within the critical difference."""
        found: list[tuple[int, int]] = []
        mean = self.mean_ranks
        for first in range(len(mean)):
            last = int(np.flatnonzero(mean <= mean[first] + self.critical)[-1])
            if last > first and not (found and found[-1][1] >= last):
                found.append((first, last))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One dict per method: its mean rank and its value on each data set."""
        return [
            {
                "method": m,
                "mean_rank": float(self.mean_ranks[k]),
                **{name: float(self.values[i, k]) for i, name in enumerate(self.data_sets)},
            }
            for k, m in enumerate(self.methods)
        ]


def critical_difference(methods: int, data_sets: int, *, alpha: float = _ALPHA) -> float:
    """Nemenyi's critical difference: q_alpha sqrt(k (k + 1) / (6 N)).

    q_alpha is the quantile of the studentised range with infinite degrees of freedom over sqrt 2.

    Table 5 of Demsar (2006) has q = 2.343 for three methods; with 10 data sets:

    >>> round(critical_difference(3, 10), 3), round(2.343 * (3 * 4 / 60) ** 0.5, 3)
    (1.048, 1.048)
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * data_sets)))


def rank_methods(
    values: np.ndarray, methods: Sequence[str], data_sets: Sequence[str], *, metric: str
) -> Ranking:
    """Ranks methods on data sets, and tests whether they differ.

    Friedman's chi-squared with Iman and Davenport's correction; where there is a ranking, Nemenyi's
    critical difference and Wilcoxon's signed-rank test of each pair over data sets with Holm's
    adjustment. Fewer than three data sets, or two methods, give no ranking but a sentence.

    Args:
        values: ``Float64[N, k]``; data sets on which a value is missing are left out.
        methods: k names.
        data_sets: N names, distinct: seeds or folds of one data set are no data sets.
        metric: a key of `METRICS`; says which direction is better.

    Raises:
        DataError: shapes differ, or a data set is named twice.

    >>> found = rank_methods(np.array([[.9, .8], [.7, .6], [.8, .9]]), "ab", "xyz", metric="auroc")
    >>> found.methods, found.mean_ranks.round(3).tolist()
    (('a', 'b'), [1.333, 1.667])
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(data_sets), len(methods)) or len(set(data_sets)) < len(data_sets):
        raise DataError(
            f"ranks need one value per data set and method, data sets named once; got "
            f"{values.shape} values for {len(data_sets)} data sets and {len(methods)} methods; "
            "seeds and folds of one data set are averaged first"
        )
    whole = ~np.isnan(values).any(axis=1)
    values, names = values[whole], tuple(n for n, yes in zip(data_sets, whole, strict=True) if yes)
    order = np.vectorize(METRICS[metric].to_minimise, otypes=[float])(values)
    ranks = _ranks(order)
    best = np.argsort(ranks.mean(axis=0), kind="stable") if len(ranks) else np.arange(len(methods))
    head = (tuple(methods[k] for k in best), names, values[:, best], ranks[:, best], metric)
    if len(names) < _DATA_SETS or len(methods) < _METHODS:
        why = (
            f"Ranks over data sets need at least {_DATA_SETS} data sets and {_METHODS} methods that "
            f"all of them have; there are {len(names)} and {len(methods)}. Seeds and folds of one "
            "data set are not independent and do not count as several."
        )
        return Ranking(*head, why_not=why)
    few = len(names) <= _FEW_SETS or len(methods) <= _FEW_METHODS
    caution = (
        f"With {len(names)} data sets and {len(methods)} methods the test can tell large "
        "differences only; that methods are joined by a bar does not show them to be equal."
    )
    return Ranking(
        *head,
        p=_iman_davenport(ranks),
        critical=critical_difference(len(methods), len(names)),
        pairs=_wilcoxon(values[:, best], head[0]),
        caution=caution if few else "",
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks in each row from 1 for the least; equal values share their mean rank.

    As `scipy.stats.rankdata`, whose import every report would wait for, ranks of several data sets or
    not.

    >>> _ranks(np.array([[0.3, 0.1, 0.3]])).tolist()
    [[2.5, 1.0, 2.5]]
    """
    one, other = values[:, :, None], values[:, None, :]
    return (other < one).sum(axis=2) + ((other == one).sum(axis=2) + 1) / 2


def _iman_davenport(ranks: np.ndarray) -> float:
    """p of F = (N - 1) chi2 / (N (k - 1) - chi2) with k - 1 and (k - 1)(N - 1) degrees of freedom.

    chi2 is Friedman's with the correction for ties, as in scipy.
    """
    from scipy.stats import f

    n, k = ranks.shape
    total = ((ranks - (k + 1) / 2) ** 2).sum()
    if total == 0:
        return 1.0
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    chi2 = n * (k - 1) * between / total
    rest = n * (k - 1) - chi2
    return 0.0 if rest <= 1e-12 else float(f.sf((n - 1) * chi2 / rest, k - 1, (k - 1) * (n - 1)))


def _wilcoxon(values: np.ndarray, methods: Sequence[str]) -> dict[tuple[str, str], float]:
    pairs = list(combinations(range(len(methods)), 2))
    p = holm([signed_rank(values[:, i] - values[:, j]) for i, j in pairs])
    return {(methods[i], methods[j]): q for (i, j), q in zip(pairs, p, strict=True)}


def signed_rank(apart: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact with ties; differences of 0 are left out.

    Under equality each rank counts for either side with chance 1/2; the distribution of their sum
    is built up rank by rank. scipy goes through all 2^n signs where ranks are tied.

    >>> signed_rank([1, 2, 3, 4, 5])  # 2 of 32
    0.0625
    >>> signed_rank([1, 1, -1, 0])  # ranks 2 2 2: one negative of three, or more extreme
    1.0
    """
    from scipy.stats import rankdata

    apart = np.asarray(apart, dtype=np.float64)
    apart = apart[apart != 0]
    double = np.rint(2 * rankdata(np.abs(apart))).astype(int)  # whole numbers, where tied too
    chance = np.ones(1)
    for rank in double:
        chance = np.pad(chance, (0, rank)) / 2 + np.pad(chance, (rank, 0)) / 2
    found = int(double[apart > 0].sum())
    return float(min(1.0, 2 * min(chance[: found + 1].sum(), chance[found:].sum())))


def rank_studies(pools: Sequence[Pool], *, metric: str | None = None) -> Ranking:
    """Ranks the methods that several studies have in common, a study being a data set.

    The value of a method on a data set is the mean of its values over the points (mechanism and
    rate) that all studies have in common, seeds and folds averaged. Several studies of the same
    data count once, the first of them.

    Args:
        pools: of the studies.
        metric: its name; the primary one of the first study if left out.
    """
    metric = metric or pools[0].results.primary
    kept = list({p.results.data["fingerprint"]: p for p in reversed(pools)}.values())[::-1]
    kept = [p for p in kept if metric in p.results.metrics]
    shared = [at for at in kept[0].results.points() if all(at in p.results.points() for p in kept)]
    methods = [
        m
        for m in kept[0].results.methods
        if all(p.results.units(m, at) for p in kept for at in shared)
        and all(m in p.results.methods for p in kept)
    ]
    values = [[_value(p, m, shared, metric) for m in methods] for p in kept]
    names = _names([p.results.data["name"] or p.results.folder.name for p in kept])
    table = np.array(values, dtype=np.float64).reshape(len(kept), len(methods))
    return rank_methods(table, methods, names, metric=metric)


def _value(pool: Pool, method: str, points: Sequence[At], metric: str) -> float:
    each = [pool.scores(method, at)[metric].value for at in points]
    return float(np.mean(each)) if each else float("nan")


def _names(names: Sequence[str]) -> list[str]:
    return [n if names.count(n) == 1 else f"{n} ({k + 1})" for k, n in enumerate(names)]
