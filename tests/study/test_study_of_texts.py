"""A study whose target is a text: from the plan to the page."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest

from amodal import Dataset, Task
from amodal.analysis.pooling import Pool
from amodal.errors import SettingError
from amodal.metrics import METRICS, default_metrics, score
from amodal.report import build_report
from amodal.study import Plan, run_study
from amodal.study.predictions import TEXTS, Predicted, read_predictions, write_predictions
from amodal.study.results import At, read_results

pytest.importorskip("pycocoevalcap")

QUICK = "epochs=2:width=8:heads=2:target_length=6:lr=0.02:refit=false:batch_size=64"


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> str:
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 160)
    said = [["the ball lies left", "left"] if s else ["it lies far right"] for s in side]
    said[5] = None
    data = Dataset.from_arrays(
        {"a": side[:, None] + 0.1 * rng.normal(size=(160, 1)), "b": rng.normal(size=(160, 2))},
        said,
        task=Task("sequence", name="caption"),
    )
    return str(data.save(tmp_path_factory.mktemp("texts") / "data"))


@pytest.fixture(scope="module")
def study(texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("texts") / "study"
    methods = (f"imro:{QUICK}", f"concat:{QUICK}", "mean")
    plan = Plan(texts, methods, rates=(0.0, 0.5), replicates=20)
    return run_study(plan, out)


@pytest.mark.slow
def test_methods_that_write_texts_are_compared_and_others_fail_by_name(study) -> None:
    assert (study.cells, study.ran) == (6, 4)
    assert {line.split(": ")[-1] for _, line in study.failed} == {
        "mean is for binary or multiclass or multilabel or regression tasks; this one is sequence; "
        "choose another method"
    }
    results = read_results(study.folder)
    assert results.metrics == default_metrics("sequence")
    assert results.primary == "token_log_loss"


@pytest.mark.slow
def test_predictions_keep_texts_and_references(study) -> None:
    for cell in read_results(study.folder).cells:
        p = cell.predicted
        assert set(p.outputs) == set(TEXTS)
        assert {len(x) for x in p.target} == {1, 2}
        assert all(isinstance(x, str) for x in p.outputs["text"])
        again = score("sequence", p.target, p.outputs, replicates=20)
        for name, interval in cell.metrics.items():
            assert interval.value == pytest.approx(again[name].value)
            assert interval.low == pytest.approx(again[name].low)


@pytest.mark.slow
def test_the_pool_scores_what_the_cells_hold(study) -> None:
    results = read_results(study.folder)
    pool, at = Pool(results), At("mcar", 0.5)
    for method in results.methods:
        (cell,) = results.group(method, at)
        found = pool.scores(method, at)
        for name in ("cider", "bleu_2", "token_log_loss"):
            expected = METRICS[name](cell.predicted.target, cell.predicted.outputs)
            assert found[name].value == pytest.approx(expected)


@pytest.mark.slow
def test_the_report_has_texts_and_no_calibration(study) -> None:
    page = build_report(study.folder).read_text()
    for title in ("CIDEr", "BLEU-4", "Token log loss"):
        assert title in page
    tables = study.folder / "report" / "tables"
    assert not list(tables.glob("*calibration*"))
    assert not list(tables.glob("risk*"))
    with (tables / "pooled.csv").open() as file:
        found = {(r["metric"], r["rate"]) for r in csv.DictReader(file)}
    assert {("cider", "0.0"), ("cider", "0.5")} <= found or {
        ("cider", "0"),
        ("cider", "0.5"),
    } <= found
    for text in ("ball lies", "far right"):  # nobody's words
        assert not re.search(text, page)


def test_predictions_of_texts_are_read_as_they_were_written(tmp_path) -> None:
    target = np.empty(2, dtype=object)
    target[:] = [("a dog", "one dog"), ("",)]
    outputs = {k: np.array([-1.0, 2.5]) for k in TEXTS[1:]}
    outputs["text"] = np.array(["", "zwei Hünde"], dtype=object)
    p = Predicted(
        Task("sequence"), ("a",), np.array(["p", "q"]), target, outputs, np.zeros((2, 1), np.int8)
    )
    found = read_predictions(write_predictions(tmp_path / "p", p), p.task, p.names)
    assert found.target.tolist() == target.tolist()
    assert found.outputs["text"].tolist() == ["", "zwei Hünde"]
    for name in TEXTS[1:]:
        assert found.outputs[name].tolist() == [-1.0, 2.5]


def test_a_probe_is_refused(texts, tmp_path) -> None:
    plan = Plan(texts, ("imro",), rates=(0.0,), probe=True)
    with pytest.raises(SettingError, match="a probe compares predictions of classes"):
        run_study(plan, tmp_path / "s")
