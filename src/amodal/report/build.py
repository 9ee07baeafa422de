"""`build_report`: one self-contained page per study, with its tables and figures beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from amodal.analysis.appraisal import Appraisal, appraise, write_appraisal
from amodal.analysis.compare import Comparison, against_base, against_best, against_reference
from amodal.analysis.latex import write_latex
from amodal.analysis.pooling import Pool
from amodal.analysis.ranks import rank_studies
from amodal.analysis.robustness import area_rows, robustness_rows
from amodal.analysis.summaries import diagnostic_rows, rate_rows, reliability_rows
from amodal.analysis.tables import write_tables
from amodal.analysis.worth import read_probes, worth_tables
from amodal.errors import DataError
from amodal.metrics import METRICS
from amodal.report.appraisal import (
    alert_grid,
    calibration_grid,
    characteristic_grid,
    sample_size_words,
    site_grid,
    subgroup_grid,
    tipping_grid,
)
from amodal.report.content import (
    MARKS,
    Grid,
    data_facts,
    data_grid,
    data_name,
    diagnostic_grid,
    difference_grid,
    method_grid,
    paired_grid,
    rate_grid,
    reference_grid,
    settings_facts,
    value_grid,
)
from amodal.report.curves import decision_panels, risk_panels
from amodal.report.differences import difference_panels
from amodal.report.facts import Facts, facts_of
from amodal.report.figures import curve_panels
from amodal.report.images import image_panels
from amodal.report.meanings import HIDDEN, alarms, meaning
from amodal.report.panels import calibration_panels, rate_legend, reliability_panels
from amodal.report.robustness import (
    area_grid,
    pair_grid,
    rank_grid,
    rank_panel,
    robustness_grid,
    spread_grid,
)
from amodal.report.style import mechanism_name, method_name
from amodal.report.svg import Drawing, figures_kept_in
from amodal.report.tripod import checklist, checklist_grid
from amodal.report.words import limits, summary
from amodal.report.worth import TITLES, noise_panels, removal_grid, worth_grid
from amodal.study.files import canonical, put_file, write_csv
from amodal.study.probe import MEASURES
from amodal.study.results import Results, read_results

__all__ = ["build_report"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """One metric of the report."""

    name: str
    title: str
    meaning: str
    figures: Sequence[Drawing]
    values: Grid
    differences: Grid | None = None
    extra: Sequence[Drawing] = field(default_factory=tuple)


def build_report(
    study_dir: str | Path,
    *,
    beside: Sequence[str | Path] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Writes the report of a study into ``report/`` in its folder, and returns the page's path.

    ``report/index.html`` holds everything and opens offline; ``report/tables`` holds every table as
    CSV and ``report/figures`` every figure as SVG. No patient's row is in any of them, and counts
    under ten are not shown. Scores and figures are kept in ``summary/``: a second
    call is quick.

    Args:
        study_dir: the folder of a study, finished or not.
        beside: folders of studies on other data, over which methods are ranked too.
        progress: called as progress(done, all, what) while scores are computed: most of the time of
            a first call.

    Raises:
        StorageError: it is no study's folder, a file in it is damaged, or it cannot be written.
        DataError: no cell is finished yet.
    """
    results = read_results(study_dir)
    if not results.cells:
        raise DataError(
            f"a report needs finished cells; this study has none of {results.expected}, "
            f"{len(results.failed)} failed; run the study first"
        )
    pool = Pool(results)
    pool.fill(jobs=results.plan.jobs, progress=progress)
    appraisal = appraise(pool, progress=progress)
    listed = checklist(results, appraisal)
    with figures_kept_in(results.folder / "summary" / "figures"):
        content = _content(pool, facts_of(pool)) | _appraisal(results, appraisal)
        content |= _ranked([pool, *(Pool(read_results(f)) for f in beside)])
    content["checklist"] = checklist_grid(listed)
    out = results.folder / "report"
    for figure in _figures(content):
        figure.save(out / "figures")
    tables = [*write_tables(pool, out / "tables"), *write_appraisal(appraisal, out / "tables")]
    tables.append(write_csv(out / "tables" / "tripod_ai.csv", listed))
    if not content["ranking"].why_not:
        rows = content["ranking"].rows()
        tables.append(write_csv(out / "tables" / "ranks.csv", rows))
        tables.append(write_latex(out / "tables" / "ranks.tex", rows))
    content["tables"] = [path.name for path in tables]
    page = _environment().get_template("template.html.j2").render(**content)
    return put_file(out / "index.html", lambda part: part.write_text(page, encoding="utf-8"))


def _ranked(pools: Sequence[Pool]) -> dict[str, Any]:
    """Ranks over the data sets of several studies, or why there are none."""
    ranking = rank_studies(pools)
    if ranking.why_not:
        return {"ranking": ranking, "rank_panels": [], "rank_grid": None, "pair_grid": None}
    panels = [rank_panel(ranking)]
    grids = {"rank_grid": rank_grid(ranking), "pair_grid": pair_grid(ranking)}
    return {"ranking": ranking, "rank_panels": panels, **grids}


def _appraisal(results: Results, appraisal: Appraisal) -> dict[str, Any]:
    """What the template names of calibration under absence and clinical usefulness."""
    return {
        "risk": risk_panels(results, appraisal.risk_coverage),
        "calibrated": calibration_grid(results, appraisal.calibration),
        "decision": decision_panels(results, appraisal.decision_curves),
        "alerts": alert_grid(results, appraisal.alerts) if appraisal.alerts else None,
        "subgroups": subgroup_grid(results, appraisal.subgroups) if appraisal.subgroups else None,
        "sites": site_grid(appraisal.sites) if appraisal.sites else None,
        "sites_held_out": bool(appraisal.sites and appraisal.sites[0]["held_out"]),
        "sample_size": sample_size_words(appraisal.sample_size),
        "tipping": tipping_grid(results, appraisal.tipping) if appraisal.tipping else None,
        "characteristics": (
            characteristic_grid(appraisal.characteristics) if appraisal.characteristics else None
        ),
    }


def _content(pool: Pool, facts: Facts) -> dict[str, Any]:
    """Everything else that the template names."""
    results = pool.results
    modalities = results.data["modalities"]
    reliability = reliability_rows(results)
    worth = worth_tables(read_probes(results))
    shown = [m for m in results.metrics if m not in HIDDEN and _known(pool, m)]
    natural = any(m["not_measured"] for m in modalities)
    return {
        "title": f"Predicting {results.task.name} when modalities are absent",
        "subtitle": f"{len(results.methods)} methods on {data_name(results)}",
        "results": results,
        "plan": results.plan,
        "summary": summary(facts),
        "limits": limits(facts, results.plan, natural=natural),
        "data_facts": data_facts(results),
        "data_grid": data_grid(results),
        "flow": flow_grid(flow) if (flow := results.data.get("flow")) else None,
        "method_grid": method_grid(results),
        "rate_grid": rate_grid(rate_rows(results), len(modalities)),
        "mechanisms": _mechanisms(pool),
        "sections": [_section(pool, metric) for metric in shown],
        "paired": paired_grid(_by_method(against_best(pool, results.primary))),
        "ablations": paired_grid(_by_method(against_base(pool, results.primary)), other="Against"),
        "areas": area_grid(area_rows(pool, results.primary)),
        "robustness": robustness_grid(robustness_rows(pool, results.primary)),
        "spread": spread_grid(pool, results.primary),
        "marks": _marks(margin=results.plan.margin),
        "reference": method_name(results.reference or ""),
        "referenced": reference_grid(_by_method(against_reference(pool, results.primary))),
        "calibration": calibration_panels(pool),
        "calibration_rates": results.rates(results.mechanisms[0]),
        "mechanism": mechanism_name(results.mechanisms[0]),
        "reliability": reliability_panels(results, reliability),
        "images": image_panels(results),
        "reliability_legend": rate_legend(sorted({r["rate"] for r in reliability})),
        "worth": worth_grid(worth["worth"]) if worth["worth"] else None,
        "worth_noise": noise_panels(results, worth["worth_noise"]),
        "worth_removal": removal_grid(worth["worth_removal"]),
        "measures": [
            (TITLES[k], MEASURES[k])
            for k in TITLES
            if any(r["measure"] == k for r in worth["worth"])
        ],
        "diagnostics": diagnostic_grid(diagnostic_rows(results)),
        "alarms": alarms(),
        "settings": settings_facts(results),
        "plan_json": _pretty({**results.plan.to_json(), "data": data_name(results)}),
        "failed": results.failed,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "style": (_HERE / "style.css").read_text(encoding="utf-8"),
    }


def _marks(*, margin: float) -> str:
    """What the marks of verdicts stand for; "non-inferior" only where a margin was stated."""
    shown = {word: mark for word, mark in MARKS.items() if margin or word != "non-inferior"}
    return ", ".join(f"{mark} {word}" for word, mark in shown.items())


def _by_method(comparisons: Sequence[Comparison]) -> list[Comparison]:
    order = list(dict.fromkeys(c.method for c in comparisons))
    return sorted(comparisons, key=lambda c: order.index(c.method))  # stable: points keep theirs


def _known(pool: Pool, metric: str) -> bool:
    """Whether any method has a defined value."""
    results = pool.results
    return any(
        pool.scores(m, at)[metric].value == pool.scores(m, at)[metric].value
        for m in results.methods
        for at in results.points()
        if results.units(m, at)
    )


def _section(pool: Pool, metric: str) -> Section:
    known, compared = METRICS[metric], []
    if known.higher_is_better is not None:
        compared = against_best(pool, metric)
    extra = difference_panels(pool.results, compared) if metric == pool.results.primary else []
    return Section(
        metric,
        known.title,
        meaning(metric),
        curve_panels(pool, metric),
        value_grid(pool, metric),
        difference_grid(compared) if compared else None,
        extra,
    )


def _figures(content: dict[str, Any]) -> list[Drawing]:
    parts = [x for s in content["sections"] for x in (*s.figures, *s.extra)]
    more = (
        "rank_panels",
        "calibration",
        "risk",
        "decision",
        "reliability",
        "images",
        "worth_noise",
    )
    return [*parts, *(x for name in more for x in content[name])]


def _mechanisms(pool: Pool) -> list[tuple[str, str]]:
    """(mechanism, what it does in words), as the shifts described themselves."""
    found = {}
    for cell in pool.results.cells:
        text = cell.record.get("shift", {}).get("text")
        if text:
            plain = text.replace(f"probability {cell.rate:g}", "probability equal to the rate")
            found.setdefault(cell.mechanism, plain)
    return [(mechanism_name(m), found[m]) for m in pool.results.mechanisms if m in found]


def _pretty(value: Any) -> str:
    return json.dumps(json.loads(canonical(value)), indent=2, ensure_ascii=False)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
