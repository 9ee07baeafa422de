"""Ranks over data sets, areas and robustness, against scipy, tables of papers, and by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from amodal.analysis.latex import latex_table
from amodal.analysis.pooling import Pool
from amodal.analysis.ranks import (
    Ranking,
    critical_difference,
    rank_methods,
    rank_studies,
    signed_rank,
)
from amodal.analysis.robustness import (
    area_rows,
    area_weights,
    effective_robustness,
    robustness_rows,
)
from amodal.errors import DataError
from amodal.study.results import At

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(12, 4)) + np.array([0.0, 0.5, 1.0, 3.0])
SETS = [f"d{k}" for k in range(12)]


@pytest.mark.parametrize(
    ("methods", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)],
)
def test_the_critical_values_of_demsar(methods: int, q: float) -> None:
    """Table 5a of Demsar (2006)."""
    expected = q * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=4e-4)


def test_ranks_and_tests_agree_with_scipy() -> None:
    found = rank_methods(VALUES, list("abcd"), SETS, metric="auroc")
    assert found.methods[0] == "d"
    order = ["abcd".index(m) for m in found.methods]
    np.testing.assert_array_equal(found.ranks, stats.rankdata(-VALUES[:, order], axis=1))
    chi2 = stats.friedmanchisquare(*VALUES.T).statistic
    f = 11 * chi2 / (12 * 3 - chi2)
    assert found.p == pytest.approx(stats.f.sf(f, 3, 33))
    plain = stats.wilcoxon(VALUES[:, 3], VALUES[:, 0]).pvalue
    assert plain <= found.pairs["d", "a"] <= 6 * plain
    assert found.why_not == ""
    assert "large differences only" in found.caution
    lower = rank_methods(VALUES, list("abcd"), SETS, metric="log_loss")
    assert lower.methods[-1] == "d"


def test_friedman_with_ties() -> None:
    values = np.round(VALUES)
    found = rank_methods(values, list("abcd"), SETS, metric="auroc")
    chi2 = stats.friedmanchisquare(*values.T).statistic
    assert found.p == pytest.approx(stats.f.sf(11 * chi2 / (36 - chi2), 3, 33))
    same = rank_methods(np.ones((4, 3)), list("abc"), SETS[:4], metric="auroc")
    assert (same.p, same.pairs["a", "b"]) == (1.0, 1.0)


@pytest.mark.parametrize("n", [1, 2, 6, 9])
@pytest.mark.parametrize("tied", [False, True])
def test_signed_ranks_against_scipy(n: int, tied: bool) -> None:
    drawn = np.random.default_rng(n).normal(0.4, 1, n)
    drawn = np.round(drawn * 1.5) / 2 if tied else drawn
    if not drawn.any():
        assert signed_rank(drawn) == 1
        return
    every = np.array(list(product((-1, 1), repeat=np.count_nonzero(drawn))))
    ranks = stats.rankdata(np.abs(drawn[drawn != 0]))
    sums = every @ ranks
    seen = (np.sign(drawn[drawn != 0]) * ranks).sum()
    wanted = min(1, 2 * min((sums <= seen).mean(), (sums >= seen).mean()))
    assert signed_rank(drawn) == pytest.approx(wanted)
    if not tied:
        assert signed_rank(drawn) == pytest.approx(stats.wilcoxon(drawn, method="exact").pvalue)


def test_bars_join_what_is_too_near() -> None:
    ranks = np.tile([1.0, 1.8, 2.5, 4.0], (10, 1))
    one = Ranking(tuple("abcd"), tuple(SETS[:10]), ranks, ranks, "auroc", critical=1.0)
    assert one.alike == [(0, 1), (1, 2)]
    assert replace(one, critical=0.1).alike == []
    assert replace(one, critical=5.0).alike == [(0, 3)]


def test_when_there_is_no_ranking() -> None:
    for values, methods, sets in ((VALUES[:2], "abcd", SETS[:2]), (VALUES[:, :1], "a", SETS)):
        found = rank_methods(values, list(methods), sets, metric="auroc")
        assert "need at least 3 data sets and 2 methods" in found.why_not
        assert np.isnan(found.critical)
    gaps = VALUES.copy()
    gaps[3:, 1] = np.nan
    assert rank_methods(gaps, list("abcd"), SETS, metric="auroc").data_sets == ("d0", "d1", "d2")
    with pytest.raises(DataError, match="seeds and folds of one data set are averaged first"):
        rank_methods(VALUES[:2], list("abcd"), ["d", "d"], metric="auroc")


def test_a_study_counts_once_and_seeds_are_no_data_sets(binary) -> None:
    pool = Pool(binary)
    found = rank_studies([pool, pool, pool])
    assert len(found.data_sets) == 1
    assert "do not count as several" in found.why_not
    k = found.methods.index("aum")
    each = [pool.scores("aum", at)["auroc"].value for at in binary.points()]
    assert found.values[0, k] == pytest.approx(np.mean(each))


def test_area_weights_are_the_trapezoid() -> None:
    rates = np.array([0.0, 0.1, 0.5, 0.7])
    y = RNG.normal(size=4)
    assert area_weights(rates) @ y == pytest.approx(np.trapezoid(y, rates) / 0.7)
    assert area_weights(rates).sum() == pytest.approx(1)


def test_areas_of_a_study(binary) -> None:
    pool = Pool(binary)
    rows = area_rows(pool, "auroc")
    for row in rows:
        each = [pool.scores(row["method"], At(row["mechanism"], r))["auroc"] for r in (0.0, 0.5)]
        assert row["area"] == pytest.approx(np.mean([s.value for s in each]))
        assert row["low"] <= row["area"] <= row["high"]
    first = rows[0]
    assert (first["difference"], first["d_low"], first["d_high"]) == (0, 0, 0)
    assert {r["other"] for r in rows} == {"aum"}


def test_effective_robustness_is_the_residual_of_the_line() -> None:
    clean, shifted = RNG.uniform(0.6, 0.9, size=(2, 6))
    own = np.array([True] * 5 + [False])

    def logit(p: np.ndarray) -> np.ndarray:
        return np.log(p / (1 - p))

    line = stats.linregress(logit(clean[:5]), logit(shifted[:5]))
    at = line.intercept + line.slope * logit(clean)
    expected = shifted - 1 / (1 + np.exp(-at))
    np.testing.assert_allclose(effective_robustness(clean, shifted, own), expected)
    assert np.isnan(effective_robustness(clean, shifted, np.arange(6) < 2)).all()
    same = np.full(6, 0.7)
    assert np.isnan(effective_robustness(same, shifted, own)).all()
    wide = np.stack([clean, clean], axis=1)
    np.testing.assert_allclose(
        effective_robustness(wide, np.stack([shifted] * 2, axis=1), own)[:, 1], expected
    )


def test_robustness_of_a_study(binary) -> None:
    rows = robustness_rows(Pool(binary), "auroc")
    assert {(r["mechanism"], r["rate"]) for r in rows} == {("mcar", 0.5), ("mnar", 0.5)}
    assert all(np.isnan(r["effective"]) for r in rows)  # two baselines draw no line
    mine = next(r for r in rows if r["method"] == "boosting" and r["mechanism"] == "mcar")
    aum = next(r for r in rows if r["method"] == "aum" and r["mechanism"] == "mcar")
    assert mine["relative"] == pytest.approx(mine["shifted"] - aum["shifted"])
    assert aum["relative"] == 0
    assert robustness_rows(Pool(binary), "log_loss") == []


def test_latex_is_escaped_and_aligned() -> None:
    rows = [
        {"a_b": "50% & more_", "x": -0.25, "n": None},
        {"a_b": "y", "x": float("nan"), "n": 3},
    ]
    lines = latex_table(rows).splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[2] == r"a b & x & n \\"
    assert lines[4] == r"50\% \& more\_ & $-$0.250 & -- \\"
    assert lines[5] == r"y & -- & 3 \\"
