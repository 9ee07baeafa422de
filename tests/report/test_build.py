"""The page: whole, self-contained, without patients' rows or small counts, for every task."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from amodal.errors import DataError, StorageError
from amodal.report import build_report
from amodal.report.content import flow_grid
from amodal.study.describe import read_flow
from amodal.study.plan import Plan
from amodal.study.results import read_results

pytestmark = pytest.mark.xdist_group("report")  # what is prepared for all is prepared once

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Checks that tags are balanced; gathers ids, links and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.sources += [found[k] for k in ("src", "srcset", "data") if k in found]
        assert tag != "script"
        assert tag != "link"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)


def _read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_diagnostics_that_call_for_a_look_are_marked(page):
    part = page.read_text(encoding="utf-8").split('id="diagnostics"')[1].split("</section>")[0]
    marked = re.findall(r'<td class="n worse">([^<]+)<', part)
    plain = re.findall(r'<td class="n ">([^<]+)<', part)
    assert marked
    assert min(map(float, marked)) >= 0.5
    assert plain
    assert max(map(float, plain)) < 0.1


def test_the_page_is_whole_and_self_contained(page):
    reader = _read(page)
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.links
    assert all(link.startswith("#") and link[1:] in reader.ids for link in reader.links)
    assert reader.sources == []
    text = page.read_text(encoding="utf-8")
    assert "http" not in text
    assert "@import" not in text
    assert page.stat().st_size < 5_000_000
    assert page.name == "index.html"


def test_every_part_is_there(page):
    text = " ".join(_read(page).text)
    for part in (
        "Summary",
        "Against the best baseline",
        "Not measured",
        "Rows left with nothing",
        "AUM, posterior, ensemble of 4",
        "lost completely at random (MCAR)",
        "odds ratio 5",
        "Paired differences",
        "p (Holm)",
        "Calibration curves",
        "Reliability of modalities",
        "What this study cannot say",
        "fingerprint of the data",
        "RuntimeError: the loss is not finite",
        "scikit-learn",
    ):
        assert part in text, part


def test_tables_and_figures_lie_beside_the_page(page):
    tables = {p.name for p in (page.parent / "tables").iterdir()}
    assert {"cells.csv", "pooled.csv", "against_best_baseline.csv", "rates.csv"} <= tables
    text = page.read_text(encoding="utf-8")
    assert all(f"tables/{name}" in text for name in tables)
    figures = list((page.parent / "figures").iterdir())
    assert text.count("<svg") == len(figures) > 10
    assert all(p.suffix == ".svg" for p in figures)
    assert not list(page.parent.rglob("*.part"))


def test_numbers_in_the_page_are_those_of_the_tables(page):
    with (page.parent / "tables" / "pooled.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["metric"] == "auroc"]
    text = page.read_text(encoding="utf-8")
    for row in rows:
        assert f">{float(row['value']):.3f}" in text
    with (page.parent / "tables" / "against_best_baseline.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["metric"] == "auroc"]
    assert len(rows) == 2 * (3 + 2)
    for row in rows:
        assert row["verdict"] in text
        excluded = float(row["low"]) > 0 or float(row["high"]) < 0
        assert (row["verdict"] != "undecided") == excluded


def test_ablations_are_differences_from_the_nearest_variant(page):
    def rows(name):
        with (page.parent / "tables" / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    variant = "aum:aggregation=posterior:ensemble=4"
    found = rows("ablations")
    assert {(r["method"], r["other"]) for r in found} == {(variant, "aum")}
    keys = ("metric", "mechanism", "rate")
    one = {tuple(r[k] for k in keys): r["difference"] for r in found}
    other = [r for r in rows("against_reference") if r["method"] == variant and r["other"] == "aum"]
    assert one == {tuple(r[k] for k in keys): r["difference"] for r in other}
    part = page.read_text(encoding="utf-8").split('<section id="ablations">')[1]
    assert part.split("</section>")[0].count("<tr") == 1 + sum(
        r["metric"] == "auroc" for r in found
    )


def test_the_flow_of_a_cohort_is_shown(tmp_path):
    """As `amodal prepare` wrote it, small counts hidden there."""
    report = {
        "title": "A ward",
        "candidates": {"what": "stays", "count": "2,087"},
        "removed": {"age under 18": "<10", "no labels": "not shown"},
        "rows": "1,783",
        "outcomes": {"died": "123", "survived": "1,660"},
        "more": 1,
    }
    (tmp_path / "cohort.json").write_text(json.dumps(report))
    flow = read_flow(tmp_path)
    assert flow == {k: report[k] for k in report if k != "more"}
    grid = flow_grid(flow)
    assert grid.rows[0] == ["Candidates: stays", "2,087"]
    assert [r[1] for r in grid.rows[1:]] == ["<10", "not shown", "1,783", "123", "1,660"]
    for broken in ("{", "[]", json.dumps({**report, "removed": 3})):
        (tmp_path / "cohort.json").write_text(broken)
        assert read_flow(tmp_path) is None


def test_no_row_and_no_path_of_a_user_is_told(page, study):
    ids = {str(r) for c in read_results(study).cells for r in c.predicted.row_id}
    for path in [page, *page.parent.rglob("*.csv"), *page.parent.rglob("*.svg")]:
        words = set(re.findall(r"[\w.-]+", path.read_text(encoding="utf-8")))
        assert not words & ids
    text = page.read_text(encoding="utf-8")
    assert "/home/somebody" not in text
    assert "ward" in text


def test_small_counts_are_not_told(made_up, study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study, folder, ignore=shutil.ignore_patterns("report"))
    path = next((folder / "data").iterdir())
    data = json.loads(path.read_text())
    data["target"]["counts"] = {"no": 473, "yes": 7}
    data["modalities"][0] |= {"present": 477, "not_measured": 3}
    data["with_nothing"] = 4
    path.write_text(json.dumps(data))
    text = " ".join(_read(build_report(folder)).text)
    assert "no: not shown; yes: <10" in text
    assert ">470" in text
    assert not re.search(r"\b(473|477)\b", text)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_of_task(made_up, tmp_path, kind):
    plan = Plan("made/up", ("aum", "boosting"), rates=(0, 0.5), replicates=20)
    metrics = {"multiclass": ("accuracy", "auroc", "ece"), "regression": ("rmse", "gaussian_nll")}
    plan = Plan.from_json({**plan.to_json(), "metrics": metrics[kind]})
    folder = made_up.make_study(tmp_path / "study", plan, made_up.World(rows=240, kind=kind))
    text = " ".join(_read(build_report(folder)).text)
    expected = {
        "multiclass": "Confidence in the predicted class against the share that is right",
        "regression": "Nominal against actual coverage",
    }
    assert expected[kind] in text


@pytest.mark.parametrize("rates", [(0,), (0.5,)])
def test_a_single_rate_and_a_single_method(made_up, tmp_path, rates):
    plan = Plan("made/up", ("boosting",), rates=rates, metrics=("auroc",), replicates=10)
    folder = made_up.make_study(tmp_path / "study", plan, made_up.World(rows=90))
    reader = _read(build_report(folder))
    assert "#failed" not in reader.links
    assert "#reliability" not in reader.links


def test_the_page_is_made_without_torch(study):
    code = (
        "import sys; from amodal.report import build_report;"
        f"build_report({str(study)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_kept_figures_are_those_drawn_and_damage_is_drawn_anew(page, study):
    def told():
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page.read_text(encoding="utf-8"))

    before = told()
    kept = sorted((study / "summary" / "figures").glob("*.json"))
    whole = [p.read_text() for p in kept]
    kept[0].write_text("{")
    kept[1].unlink()
    kept[2].write_text(json.dumps({"name": "only"}))
    build_report(study)
    assert told() == before
    assert [p.read_text() for p in kept] == whole
    assert sorted((study / "summary" / "figures").glob("*.json")) == kept


def test_a_study_without_finished_cells_is_named(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    for path in (folder / "evaluations").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="this study has none of 12, 1 failed; run the study"):
        build_report(folder)
    with pytest.raises(StorageError, match="holds study"):
        build_report(tmp_path)


def test_calibration_under_absence_and_clinical_usefulness(page):
    text = " ".join(" ".join(_read(page).text).split())
    for part in (
        "Calibration under absence",
        "Brier: miscalibration",
        "Decision curves",
        "Alerts per 100",
        "sex: f",
        "another such site",
        "a regression with all 4 candidate parameters needs",
        "SMD by outcome",
        "If absence is not at random",
        "27 Usability",
        "To be written by the authors.",
    ):
        assert part in text, part
    tables = {p.stem for p in (page.parent / "tables").iterdir()}
    assert {
        "calibration",
        "calibration_curves",
        "risk_coverage",
        "decision_curves",
        "alerts",
        "subgroups",
        "sites",
        "sample_size",
        "tipping",
        "characteristics",
        "tripod_ai",
    } <= tables
    figures = {p.stem for p in (page.parent / "figures").iterdir()}
    assert {"decision-0", "risk-0"} <= figures


def test_the_checklist_is_whole(page):
    with (page.parent / "tables" / "tripod_ai.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["item"]) for r in rows] == list(range(1, 28))
    assert {r["status"] for r in rows} == {"filled", "in part", "authors"}
    for row in rows:
        assert row["answer"]
        assert ("authors" in row["answer"]) == (row["status"] != "filled")
    by_item = {r["item"]: r for r in rows}
    assert "fingerprint" in by_item["5"]["answer"]
    assert by_item["17"]["status"] == "authors"


def test_tables_of_the_page_hide_what_those_beside_it_hide(page):
    with (page.parent / "tables" / "subgroups.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["level"] == "x"]
    assert rows
    assert {(r["n"], r["events"], r["value"]) for r in rows} == {("", "", "")}
    part = page.read_text(encoding="utf-8").split("sex: x")[1].split("</tr>")[0]
    assert "not shown" in part
