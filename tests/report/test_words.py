"""The summary in words: sentences of hand-made results, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amodal.analysis.compare import Comparison
from amodal.metrics import Interval
from amodal.report import words
from amodal.report.facts import Facts
from amodal.report.words import join_words, limits
from amodal.study.plan import Plan
from amodal.study.results import At

START, HALF, MOST = At("none", 0.0), At("mcar", 0.5), At("mcar", 0.7)
AUM, BOOST, POSTERIOR = "aum", "boosting", "aum:aggregation=posterior"
NAN = float("nan")


def _plain(text: str) -> str:
    """With the hyphen of the keyboard in place of the true minus."""
    return text.replace("\N{MINUS SIGN}", "-")


def summary(facts: Facts) -> list[tuple[str, list[str]]]:
    return [(head, [_plain(t) for t in told]) for head, told in words.summary(facts)]


def number(value):
    return _plain(words.number(value))


def signed(value):
    return _plain(words.signed(value))


def _i(value, low=None, high=None):
    return Interval(
        value, value - 0.02 if low is None else low, value + 0.02 if high is None else high
    )


def _c(at, value, low, high, p_holm, other=BOOST, method=AUM):
    return Comparison("auroc", at, method, other, Interval(value, low, high), p_holm / 2, p_holm)


@pytest.fixture
def facts() -> Facts:
    values = {
        (AUM, START): _i(0.851, 0.840, 0.862),
        (BOOST, START): _i(0.856, 0.845, 0.867),
        ("forest", START): _i(0.846),
        (AUM, HALF): _i(0.805),
        (BOOST, HALF): _i(0.792),
        ("forest", HALF): _i(0.780),
        (AUM, MOST): _i(0.760),
        (BOOST, MOST): _i(0.741),
        ("forest", MOST): _i(0.745),
    }
    return Facts(
        "auroc",
        {AUM: "AUM", BOOST: "boosting", "forest": "forest"},
        (AUM,),
        (START, HALF, MOST),
        values,
        best={START: BOOST, HALF: AUM, MOST: AUM},
        against=(
            _c(START, -0.005, -0.012, 0.002, 0.3),
            _c(HALF, 0.013, 0.004, 0.022, 0.02),
            _c(MOST, 0.015, 0.001, 0.03, 0.06, other="forest"),
            _c(At("mcar", None), 0.0077, -0.0004, 0.016, 0.06),
        ),
        calibration={
            (AUM, START, "ece"): _i(0.0212),
            (AUM, START, "ece_of_perfect"): _i(0.0131),
            (AUM, START, "calibration_slope"): _i(0.98, 0.91, 1.05),
            (AUM, MOST, "ece"): _i(0.0341),
            (AUM, MOST, "ece_of_perfect"): _i(0.0134),
            (AUM, MOST, "calibration_slope"): _i(0.81, 0.72, 0.9),
        },
        expected=9,
        folds=5,
        rows=4000,
        resampled="groups",
    )


def test_the_summary_word_for_word(facts):
    assert summary(facts) == [
        (
            "Best at each rate",
            [
                "On the data as they are, boosting has the highest AUROC: 0.856 (0.845 to 0.867).",
                "With modalities lost completely at random (MCAR), the highest AUROC is that of "
                "AUM at 0.5 (0.805) and AUM at 0.7 (0.760).",
            ],
        ),
        (
            "Against the best baseline",
            [
                "AUM, lost completely at random (MCAR): on average over all rates undecided, "
                "+0.008 (-0.0004 to 0.016) against boosting; better at 0.5 (+0.013, 0.004 to "
                "0.022, against boosting) and 0.7 (+0.015, 0.001 to 0.030, against forest); "
                "undecided at 0.",
                "Of 4 comparisons, 2 better and 2 undecided; after Holm's correction for their "
                "number, 1 is decided at the 5% level.",
            ],
        ),
        (
            "What loss costs",
            [
                "From rate 0 to 0.7 (MCAR), AUROC goes from 0.851 to 0.760 for AUM and 0.856 to "
                "0.741 for boosting.",
            ],
        ),
        (
            "Calibration",
            [
                "AUM: ECE 0.021 on the data as they are and 0.034 at MCAR 0.7, where a perfect "
                "model of this size shows 0.013 by chance; calibration slope 0.98 (0.91 to 1.05: "
                "in keeping with 1) on the data as they are and 0.81 (0.72 to 0.90: "
                "over-confident) at MCAR 0.7.",
            ],
        ),
        (
            "Completeness",
            [
                "1 seed, 5-fold cross-validation each, 4,000 test rows per seed. Intervals are "
                "95% bootstrap intervals over groups.",
            ],
        ),
    ]


def test_worse_and_undecided_are_said_as_plainly(facts):
    rows = (
        _c(START, -0.02, -0.03, -0.01, 0.01),
        _c(HALF, 0.001, -0.01, 0.012, 1.0),
        _c(MOST, -0.03, -0.04, -0.02, 0.01),
    )
    told = dict(summary(replace(facts, against=rows)))["Against the best baseline"]
    assert told == [
        "AUM, lost completely at random (MCAR): worse at 0 (-0.020, -0.030 to -0.010, against "
        "boosting) and 0.7 (-0.030, -0.040 to -0.020, against boosting); undecided at 0.5.",
        "Of 3 comparisons, 2 worse and 1 undecided; after Holm's correction for their number, 2 "
        "are decided at the 5% level.",
    ]
    rows = tuple(_c(at, 0.0, -0.01, 0.01, 1.0) for at in (START, HALF, MOST))
    told = dict(summary(replace(facts, against=rows)))["Against the best baseline"]
    assert told[-1] == "None of the 3 comparisons is decided."


def test_a_metric_that_is_better_when_lower(facts):
    told = dict(summary(replace(facts, metric="log_loss", best={START: AUM})))
    assert told["Best at each rate"] == [
        "On the data as they are, AUM has the lowest Log loss: 0.851 (0.840 to 0.862)."
    ]


def test_unfinished_and_failed_cells_are_told(facts):
    told = dict(summary(replace(facts, unfinished=2, failed=1, seeds=3, folds=0)))
    assert told["Completeness"] == [
        "3 seeds, one split each, 4,000 test rows per seed. Intervals are 95% bootstrap intervals "
        "over groups.",
        "2 of 9 evaluations are not finished (1 failed: see below); methods that lack some are "
        "compared on those that both have.",
    ]


def test_few_test_rows_are_not_counted(facts):
    told = dict(summary(replace(facts, rows=7)))["Completeness"][0]
    assert "<10 test rows" in told


def test_a_study_without_loss_or_baselines_has_a_summary(facts):
    alone = replace(
        facts,
        names={AUM: "AUM"},
        points=(START,),
        values={(AUM, START): _i(0.8)},
        best={START: AUM},
        against=(),
        calibration={},
    )
    assert [head for head, _ in summary(alone)] == ["Best at each rate", "Completeness"]


def test_undefined_values_read_as_such(facts):
    told = dict(
        summary(replace(facts, calibration={(AUM, START, "calibration_slope"): _i(NAN, NAN, NAN)}))
    )
    assert "Calibration" not in told


def test_long_lists_of_methods_are_cut(facts):
    focus = tuple(f"aum:beta={k}" for k in range(6))
    names = {m: m for m in focus}
    rows = tuple(_c(HALF, 0.1, 0.05, 0.2, 0.01, method=m) for m in focus)
    told = dict(summary(replace(facts, focus=focus, names={**facts.names, **names}, against=rows)))
    assert len(told["Against the best baseline"]) == 4 + 1


def test_limits_depend_on_the_study(facts):
    plan = Plan("d", ("aum",))
    plain = limits(facts, plan, natural=False)
    assert any("one seed only" in t for t in plain)
    assert any("no ground to skip a measurement" in t for t in plain)
    assert any("Training rows lost nothing" in t for t in plain)
    assert not any("stress test" in t or "nobody measured" in t or "Failed" in t for t in plain)
    target = At("mnar-target", 0.5)
    more = replace(facts, points=(START, target), seeds=3, failed=1)
    told = limits(more, replace(plan, absent_at="both"), natural=True)
    assert any("stress test" in t for t in told)
    assert any("nobody measured" in t for t in told)
    assert any("Failed cells" in t for t in told)
    assert any("spread between the 3 seeds" in t for t in told)
    assert not any("Training rows lost nothing" in t for t in told)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8314, "0.831"),
        (-0.5, "-0.500"),
        (0.0004, "0.0004"),
        (-0.00001, "0.000"),
        (0.0, "0.000"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (NAN, "undefined"),
        (None, "undefined"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_signs_and_lists():
    assert [signed(x) for x in (0.01, -0.01, 0.0, 0.00049)] == [
        "+0.010",
        "-0.010",
        "0.000",
        "+0.0005",
    ]
    assert join_words([]) == ""
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b"]) == "a and b"
