"""The TRIPOD+AI checklist, filled with what a study knows.

The 27 items are told in short; the statement has their full text: Collins et al., "TRIPOD+AI
statement: updated guidance for reporting clinical prediction models that use regression or machine
learning methods", BMJ 385:e078378, 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from amodal.analysis.appraisal import Appraisal
from amodal.metrics import METRICS
from amodal.report.content import Grid, data_name
from amodal.report.style import mechanism_name, method_name
from amodal.report.words import join_words
from amodal.study.results import Results

__all__ = ["AUTHORS", "ITEMS", "Item", "checklist", "checklist_grid"]

AUTHORS = "To be written by the authors."


class Item(NamedTuple):
    """An item of the checklist.

    Attributes:
        number: 1 to 27.
        part: of a paper.
        topic: its name.
        asks: what it asks for, in short.
    """

    number: int
    part: str
    topic: str
    asks: str


ITEMS = (
    Item(1, "Title", "Title", "development or evaluation, target population, outcome"),
    Item(2, "Abstract", "Abstract", "the checklist for abstracts"),
    Item(3, "Introduction", "Background", "context, intended use and users, known inequalities"),
    Item(4, "Introduction", "Objectives", "development, validation, or both"),
    Item(5, "Methods", "Data", "sources, representativeness, dates"),
    Item(6, "Methods", "Participants", "setting, eligibility, treatments"),
    Item(7, "Methods", "Data preparation", "pre-processing and quality checks, alike in subgroups"),
    Item(8, "Methods", "Outcome", "definition, time horizon, assessors, blinding"),
    Item(9, "Methods", "Predictors", "choice, definitions, measurement, blinding"),
    Item(10, "Methods", "Sample size", "how arrived at; whether it suffices"),
    Item(11, "Methods", "Missing data", "how handled; reasons for leaving data out"),
    Item(12, "Methods", "Analytical methods", "use of data, models, heterogeneity, measures"),
    Item(13, "Methods", "Class imbalance", "whether and how handled, recalibration after it"),
    Item(14, "Methods", "Fairness", "approaches and their reasons"),
    Item(15, "Methods", "Model output", "what is predicted; thresholds and their reasons"),
    Item(16, "Methods", "Training versus evaluation", "differences between the data of both"),
    Item(17, "Methods", "Ethical approval", "committee, consent or waiver"),
    Item(
        18, "Open science", "Open science", "funding, interests, protocol, registration, data, code"
    ),
    Item(19, "Involvement", "Patient and public involvement", "in which stages, or none"),
    Item(20, "Results", "Participants", "flow, characteristics, development against evaluation"),
    Item(21, "Results", "Model development", "participants and events in each analysis"),
    Item(22, "Results", "Model specification", "all that is needed to predict for a new person"),
    Item(23, "Results", "Model performance", "with intervals, in subgroups; heterogeneity"),
    Item(24, "Results", "Model updating", "results of it, if done"),
    Item(25, "Discussion", "Interpretation", "of results, fairness, against other studies"),
    Item(26, "Discussion", "Limitations", "and their effect on bias and generalisability"),
    Item(27, "Discussion", "Usability", "poor or absent input, users' part, next steps"),
)

Filled = Callable[[Results, Appraisal], str]


def checklist(results: Results, appraisal: Appraisal) -> list[dict[str, str]]:
    """One dict per item: ``item``, ``part``, ``topic``, ``asks``, ``status``, ``answer``.

    ``status`` is "filled", "in part" (the rest is the authors' to write) or "authors".
    """
    rows = []
    for item in ITEMS:
        known = _ANSWERS.get(item.number)
        answer, status = AUTHORS, "authors"
        if known is not None:
            answer = known(results, appraisal)
            status = "filled" if item.number in _WHOLE else "in part"
            answer += "" if status == "filled" else f" The rest: {AUTHORS[0].lower()}{AUTHORS[1:]}"
        told = {"item": str(item.number), **item._asdict(), "status": status, "answer": answer}
        told.pop("number")
        rows.append(told)
    return rows


def checklist_grid(rows: list[dict[str, str]]) -> Grid:
    """The checklist as a table."""
    body = [[f"{r['item']} {r['topic']}", r["asks"], r["status"], r["answer"]] for r in rows]
    return Grid(["Item", "Asks for", "Status", "Where, or what"], body, texts=4)


_WHOLE = (10, 21)


def _title(results: Results, appraisal: Appraisal) -> str:
    how = "Comparison of methods and their internal validation"
    if appraisal.sites and appraisal.sites[0]["held_out"]:
        how = "Comparison of methods and their internal-external validation by site"
    return f"{how}; outcome: {results.task.name}; data: {data_name(results)}."


def _objectives(results: Results, appraisal: Appraisal) -> str:
    focus = join_words([method_name(m) for m in results.focus])
    margin = results.plan.margin
    told = f" with a margin of non-inferiority of {margin:g} stated beforehand" if margin else ""
    return (
        f"{focus} against {len(results.baselines)} baselines by {METRICS[results.primary].title}"
        f"{told}, while modalities are absent."
    )


def _data(results: Results, appraisal: Appraisal) -> str:
    source = results.data.get("source", "")
    told = f" ({source})" if source and "/" not in source else ""
    return f"{data_name(results)}{told}, fingerprint {results.data['fingerprint']}: section Data."


def _preparation(results: Results, appraisal: Appraisal) -> str:
    return (
        "Scaling, vocabularies and calibration are learned from rows that a model is fitted on, "
        f"by amodal {results.versions['amodal']}; how the rows were made is in the provenance of "
        "the data set."
    )


def _outcome(results: Results, appraisal: Appraisal) -> str:
    return f"{results.task.name} ({results.task.kind}): counts in section Data."


def _predictors(results: Results, appraisal: Appraisal) -> str:
    told = [f"{m['name']} ({m['kind']}, {m['features']:,})" for m in results.data["modalities"]]
    return f"Modalities with their kinds and numbers of columns: {', '.join(told)}."


def _sample_size(results: Results, appraisal: Appraisal) -> str:
    if not appraisal.sample_size:
        return "Criteria for regression apply to binary outcomes; see counts in section Data."
    return "Criteria of Riley et al. against rows and events: section Clinical usefulness."


def _missing(results: Results, appraisal: Appraisal) -> str:
    tip = " A tipping-point analysis shifts outcomes among rows that lack a modality."
    return (
        "No row is left out for absent modalities: methods take absence as it is (section Methods); "
        "how often each modality is absent is in section Data, simulated loss in section Loss of "
        f"modalities.{tip if appraisal.tipping else ''}"
    )


def _analysis(results: Results, appraisal: Appraisal) -> str:
    plan = results.plan
    split = f"{plan.folds}-fold cross-validation" if plan.folds > 1 else "one split per seed"
    lost = join_words([mechanism_name(m) for m in results.mechanisms])
    pooled = " Sites are pooled by random effects (REML, Hartung-Knapp)." if appraisal.sites else ""
    tuned = f" Settings were tuned beforehand ({plan.tuned})." if plan.tuned else ""
    metrics = join_words([METRICS[m].title for m in results.metrics])
    return (
        f"{split}, {len(plan.seeds)} seeds, groups kept on one side; models and settings in section "
        f"Methods.{tuned} Modalities {lost}. Measures: {metrics}; 95% intervals by bootstrap of "
        f"groups.{pooled}"
    )


def _imbalance(results: Results, appraisal: Appraisal) -> str:
    weights = {
        str(results.about(m)["settings"].get("class_weight", "none")) for m in results.methods
    }
    if weights == {"none"}:
        return "Classes are not reweighted or resampled; probabilities refer to the base rate."
    return "Some methods weigh classes in training and correct their probabilities for it: Methods."


def _fairness(results: Results, appraisal: Appraisal) -> str:
    if not appraisal.subgroups:
        return "No subgroups were named in the plan."
    return "Performance is told by subgroup in section Clinical usefulness; nothing was enforced."


def _output(results: Results, appraisal: Appraisal) -> str:
    told = "Probabilities" if results.task.is_classification else "A mean with a standard deviation"
    if not appraisal.alerts:
        return f"{told}; no thresholds."
    risks = ", ".join(f"{t:g}" for t in results.plan.thresholds)
    return f"{told}; alerts are told at thresholds {risks}."


def _evaluation(results: Results, appraisal: Appraisal) -> str:
    if appraisal.sites and appraisal.sites[0]["held_out"]:
        return "Each site is evaluated with models that saw none of its rows."
    return "Test rows are a random part of the same data; they differ in simulated loss alone."


def _open(results: Results, appraisal: Appraisal) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in list(results.versions.items())[:3])
    return (
        f"Software: {versions}. The plan, patterns of loss, models, predictions and tables are files "
        "in the study's folder; weights and data are named by fingerprints."
    )


def _participants(results: Results, appraisal: Appraisal) -> str:
    table = "Characteristics by outcome and split: section Clinical usefulness. "
    return f"{table if appraisal.characteristics else ''}Rows, labels and groups: section Data."


def _development(results: Results, appraisal: Appraisal) -> str:
    rows = appraisal.sample_size
    if rows and rows[0]["events_for_development"] is not None:
        r = rows[0]
        return (
            f"Each model is fitted on {r['rows_for_development']:,} labelled rows, "
            f"{r['events_for_development']:,} of them with the rarer outcome."
        )
    return (
        "Labelled rows and outcomes are in section Data; rows per evaluation in tables/cells.csv."
    )


def _specification(results: Results, appraisal: Appraisal) -> str:
    return (
        "Fitted models are in the folder fits (weights as safetensors, settings as JSON), and "
        "amodal.load reads them; access to them is the authors' to tell."
    )


def _performance(results: Results, appraisal: Appraisal) -> str:
    more = [
        word
        for word, rows in (("subgroups", appraisal.subgroups), ("sites", appraisal.sites))
        if rows
    ]
    told = f" {join_words(more).capitalize()}: section Clinical usefulness." if more else ""
    return f"Section Results, with 95% intervals; calibration curves.{told}"


def _limitations(results: Results, appraisal: Appraisal) -> str:
    return "Section What this study cannot say."


def _usability(results: Results, appraisal: Appraisal) -> str:
    return (
        "What happens when modalities are absent is what this study measures; rows with nothing get "
        "the base rate."
    )


_ANSWERS: dict[int, Filled] = {
    1: _title,
    4: _objectives,
    5: _data,
    7: _preparation,
    8: _outcome,
    9: _predictors,
    10: _sample_size,
    11: _missing,
    12: _analysis,
    13: _imbalance,
    14: _fairness,
    15: _output,
    16: _evaluation,
    18: _open,
    20: _participants,
    21: _development,
    22: _specification,
    23: _performance,
    26: _limitations,
    27: _usability,
}
