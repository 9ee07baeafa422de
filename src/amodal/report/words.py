"""The summary in words, computed from the results; and what a study cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amodal.analysis.compare import VERDICTS, Comparison
from amodal.disclosure import shown_count
from amodal.metrics import METRICS, Interval
from amodal.report.facts import Facts
from amodal.report.style import mechanism_name, short_mechanism
from amodal.study.plan import NONE, Plan
from amodal.study.results import At

__all__ = ["interval_text", "join_words", "limits", "number", "signed", "summary"]

_ALPHA = 0.05
_SPOKEN = 4  # methods in focus that the summary speaks of; all are in the tables


def summary(facts: Facts) -> list[tuple[str, list[str]]]:
    """(heading, sentences): who is best, what the differences say, calibration, completeness."""
    parts = [
        ("Best at each rate", best_sentences(facts)),
        ("Against the best baseline", difference_sentences(facts)),
        ("What loss costs", loss_sentences(facts)),
        ("Calibration", calibration_sentences(facts)),
        ("Completeness", completeness_sentences(facts)),
    ]
    return [(head, found) for head, found in parts if found]


def best_sentences(facts: Facts) -> list[str]:
    """Which method has the best value at each point."""
    title, found = METRICS[facts.metric].title, []
    word = "lowest" if METRICS[facts.metric].higher_is_better is False else "highest"
    if facts.start is not None and (best := facts.best.get(facts.start)):
        value = interval_text(facts.values[best, facts.start])
        found.append(
            f"On the data as they are, {facts.names[best]} has the {word} {title}: {value}."
        )
    for mechanism in facts.mechanisms:
        told = [
            f"{facts.names[b]} at {at.rate:g} ({number(facts.values[b, at].value)})"
            for at in facts.under(mechanism)
            if (b := facts.best.get(at))
        ]
        if told:
            name = mechanism_name(mechanism)
            found.append(
                f"With modalities {name}, the {word} {title} is that of {join_words(told)}."
            )
    return found


def difference_sentences(facts: Facts) -> list[str]:
    """What the paired differences of the methods in focus from the best baselines say."""
    found = []
    for method in facts.focus[:_SPOKEN]:
        own = [c for c in facts.against if c.method == method]
        for mechanism in facts.mechanisms:
            rated = [c for c in own if c.at.rate == 0 or c.at == At(mechanism, c.at.rate)]
            mean = [c for c in rated if c.at.rate is None]
            told = [f"on average over all rates {_difference(facts, c)}" for c in mean]
            told += _by_verdict(facts, [c for c in rated if c.at.rate is not None])
            if rated:
                name = f"{facts.names[method]}, {mechanism_name(mechanism)}"
                found.append(f"{name}: {'; '.join(told)}.")
        if not facts.mechanisms:
            found += [f"{facts.names[method]}: {_difference(facts, c)}." for c in own]
    return [*found, *_counts(facts)]


def _by_verdict(facts: Facts, rated: Sequence[Comparison]) -> list[str]:
    """Rate by rate: with numbers where decided, in brief where not."""
    told = []
    for word in VERDICTS:
        own = [c for c in rated if c.verdict == word]
        each = [f"{c.at.rate:g}" for c in own]
        if word != "undecided":
            each = [
                f"{c.at.rate:g} ({signed(c.interval.value)}, {_ends(c.interval)}, "
                f"against {facts.names[c.other]})"
                for c in own
            ]
        told += [f"{word} at {join_words(each)}"] if own else []
    return told


def _difference(facts: Facts, c: Comparison) -> str:
    return (
        f"{c.verdict}, {signed(c.interval.value)} ({_ends(c.interval)}) "
        f"against {facts.names[c.other]}"
    )


def _counts(facts: Facts) -> list[str]:
    total = len(facts.against)
    if total < 2:
        return []
    count = {w: sum(c.verdict == w for c in facts.against) for w in VERDICTS}
    kept = sum(c.p_holm < _ALPHA for c in facts.against)
    told = join_words([f"{n} {word}" for word, n in count.items() if n])
    if count["undecided"] == total:
        return [f"None of the {total} comparisons is decided."]
    still = {0: "none is", 1: "1 is"}.get(kept, f"{kept} are")
    return [
        f"Of {total} comparisons, {told}; after Holm's correction for their number, {still} "
        "decided at the 5% level."
    ]


def loss_sentences(facts: Facts) -> list[str]:
    """How far the metric goes from rate 0 to the highest rate."""
    if facts.start is None:
        return []
    title, found = METRICS[facts.metric].title, []
    baselines = {c.other for c in facts.against if c.at == facts.start}
    shown = [*facts.focus[:_SPOKEN], *(m for m in facts.names if m in baselines)]
    for mechanism in facts.mechanisms:
        last = facts.under(mechanism)[-1]
        told = [
            f"{number(facts.values[m, facts.start].value)} to "
            f"{number(facts.values[m, last].value)} for {facts.names[m]}"
            for m in shown
            if (m, facts.start) in facts.values and (m, last) in facts.values
        ]
        if told:
            found.append(
                f"From rate 0 to {last.rate:g} ({short_mechanism(mechanism)}), {title} goes from "
                f"{join_words(told)}."
            )
    return found


def calibration_sentences(facts: Facts) -> list[str]:
    """ECE beside that of a perfect model, and the slope, at rate 0 and at the highest rates."""
    lasts = [facts.under(m)[-1] for m in facts.mechanisms]
    points = [at for at in (facts.start, *lasts) if at is not None]
    found = []
    for method in facts.focus[:_SPOKEN]:
        known = {
            name: {at: i for at in points if (i := facts.calibration.get((method, at, name)))}
            for name in ("ece", "ece_of_perfect", "calibration_slope")
        }
        told = [_ece(known["ece"], known["ece_of_perfect"])] if known["ece"] else []
        slopes = {at: i for at, i in known["calibration_slope"].items() if i.value == i.value}
        each = [f"{_slope(i)} {_under(at)}" for at, i in slopes.items()]
        told += [f"calibration slope {join_words(each)}"] if each else []
        if told:
            found.append(f"{facts.names[method]}: {'; '.join(told)}.")
    return found


def _ece(ece: Mapping[At, Interval], perfect: Mapping[At, Interval]) -> str:
    told = join_words([f"{number(i.value)} {_under(at)}" for at, i in ece.items()])
    if not perfect:
        return f"ECE {told}"
    ends = sorted({number(i.value) for i in perfect.values()})
    size = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    return f"ECE {told}, where a perfect model of this size shows {size} by chance"


def _slope(slope: Interval) -> str:
    told = "in keeping with 1"
    if slope.high < 1 or slope.low > 1:
        told = "over-confident" if slope.high < 1 else "under-confident"
    ends = f"{number(slope.low, 2)} to {number(slope.high, 2)}"
    return f"{number(slope.value, 2)} ({ends}: {told})"


def completeness_sentences(facts: Facts) -> list[str]:
    """How much of the plan is finished, and what an interval stands for."""
    split = f"{facts.folds}-fold cross-validation" if facts.folds else "one split"
    seeds = "1 seed" if facts.seeds == 1 else f"{facts.seeds} seeds"
    rows = "" if not facts.rows else f", {shown_count(facts.rows)} test rows per seed"
    found = [
        f"{seeds}, {split} each{rows}. Intervals are 95% bootstrap intervals over "
        f"{facts.resampled}."
    ]
    if facts.unfinished:
        failed = f" ({facts.failed} failed: see below)" if facts.failed else ""
        found.append(
            f"{facts.unfinished} of {facts.expected} evaluations are not finished{failed}; methods "
            "that lack some are compared on those that both have."
        )
    return found


def limits(facts: Facts, plan: Plan, *, natural: bool) -> list[str]:
    """What this study cannot say: fixed sentences, and those that the plan calls for.

    Args:
        facts: of the study.
        plan: of the study.
        natural: whether some modalities were not measured in the first place.
    """
    found = [*_ALWAYS, _training(facts)]
    if plan.tuned and (facts.seeds > 1 or facts.folds):
        found.append(
            f"Settings were tuned beforehand ({plan.tuned}). Test rows of other seeds and folds may "
            "have been among the rows tuned on."
        )
    if plan.absent_at == "test":
        found.append(
            "Training rows lost nothing: how methods fare when trained under loss is not shown."
        )
    if plan.absent_at == "training":
        found.append(
            "Test rows lost nothing: what is shown is what loss in training costs, not loss in use."
        )
    if plan.hidden_labels:
        found.append(
            f"{plan.hidden_labels:.0%} of the labels were hidden from training, at random: labels "
            "that are unknown for a reason may cost more."
        )
    if natural:
        found.append(
            "Modalities that nobody measured are part of these data, and that they were not can "
            "itself be informative; such absence may mean something else elsewhere."
        )
    if any(m.split(":")[0].replace("_", "-") == "mnar-target" for m in facts.mechanisms):
        found.append(
            "Loss by the target puts the label into the pattern: a stress test, on which a method "
            "may look better than it is."
        )
    if facts.folds and facts.seeds == 1:
        found.append("Out-of-fold predictions of different models are scored together.")
    if facts.failed:
        found.append("Failed cells may not be a random part: what fails may be what is hard.")
    return found


_ALWAYS = (
    "One data set: nothing here tells how methods fare on rows from another place or time.",
    "Loss was simulated. Real loss need not follow any of the mechanisms shown.",
    "Reliability and reliance describe a prediction. They are not correctness, not causation, and "
    "no ground to skip a measurement.",
    "The best baseline was picked on the rows on which it is compared: that favours it.",
    "Methods were run with the settings listed; with another budget for tuning the order may "
    "differ.",
    "Undecided is not equal: the difference may lie anywhere in its interval.",
)


def _training(facts: Facts) -> str:
    text = (
        "Intervals tell the chance of which rows were tested, not that of training; for the latter"
    )
    if facts.seeds == 1:
        return f"{text} there is one seed only, so nothing is known of it."
    return (
        f"{text} see the spread between the {facts.seeds} seeds (sd_between_seeds in pooled.csv)."
    )


# -- numbers -------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """A number for people, with a true minus; one decimal more where it would read as zero.

    >>> number(0.8314), number(-0.5), number(-0.0004), number(float("nan"))
    ('0.831', '−0.500', '−0.0004', 'undefined')
    """
    if value is None or value != value:
        return "undefined"
    size = abs(value)
    if 0.05 <= size * 10**digits < 0.5:
        digits += 1
    elif size >= 10:
        digits = 0 if size >= 100 else max(1, digits - 2)
    text = f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if text.strip("0.\N{MINUS SIGN}") else f"{0:.{digits}f}"


def signed(value: float) -> str:
    """A difference with its sign.

    >>> signed(0.0104), signed(-0.0004), signed(-0.00001)
    ('+0.010', '−0.0004', '0.000')
    """
    text = number(value)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval_text(interval: Interval) -> str:
    """A value with its interval.

    >>> interval_text(Interval(0.8, 0.75, 0.85))
    '0.800 (0.750 to 0.850)'
    """
    return f"{number(interval.value)} ({_ends(interval)})"


def _ends(interval: Interval) -> str:
    return f"{number(interval.low)} to {number(interval.high)}"


def join_words(parts: Sequence[str]) -> str:
    """Parts of a sentence, joined.

    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _under(at: At) -> str:
    if at.mechanism == NONE:
        return "on the data as they are"
    return f"at {short_mechanism(at.mechanism)} {at.rate:g}"
