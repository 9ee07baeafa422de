"""`amodal list` tells what the classes say, without importing them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from amodal.cli.list import KINDS, inventory, settings_of
from amodal.cli.progress import StudyProgress
from amodal.cli.show import aligned, next_step
from amodal.data.builtin import BUILTIN
from amodal.encoders import ENCODERS, EncoderSettings
from amodal.methods import METHODS, get_method
from amodal.metrics import METRICS
from amodal.shifts import SHIFTS, make_shift
from amodal.training import TrainSettings


def by_name(what: str) -> dict[str, dict]:
    return {row.get("name", row.get("kind")): row for row in inventory(what)}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_as_their_classes(name):
    row, cls = by_name("methods")[name], get_method(name)
    assert row["title"] == cls.title != ""
    assert (row["year"] or 0, row["reference"] or "") == (cls.year, cls.reference)
    assert row["kind"] == ("neural" if hasattr(cls, "stages") else "classic")
    assert (tuple(row["tasks"]), tuple(row["reports"])) == (cls.tasks, cls.reports)
    assert row["unlabelled"] is cls.uses_unlabelled
    assert row["what"][:20] in " ".join(cls.__doc__.split())


@pytest.mark.parametrize("name", METHODS)
def test_settings_of_methods_are_as_their_classes(name):
    rows, cls = settings_of("methods", name), get_method(name)
    assert {r["name"]: r["default"] for r in rows if r["of"] == "method"} == dict(cls.settings())
    if hasattr(cls, "stages"):
        changed = getattr(cls, "defaults", {})
        for of, kind in (("training", TrainSettings), ("encoders", EncoderSettings)):
            found = {r["name"]: r["default"] for r in rows if r["of"] == of}
            wanted = {f.name: f.default for f in fields(kind)}
            assert found == wanted | {k: v for k, v in changed.items() if k in wanted}
    assert all(r["meaning"] for r in rows), [r["name"] for r in rows if not r["meaning"]]


def test_encoders_data_and_shifts_are_those_of_the_registers():
    assert list(by_name("encoders")) == list(ENCODERS)
    assert all(row["what"] for row in inventory("encoders"))
    names = list(by_name("data"))
    assert names[: len(BUILTIN)] == [f"builtin:{name}" for name in BUILTIN]
    assert "prepare physionet2012" in names
    assert {k: row["title"] for k, row in by_name("shifts").items()} == {
        name: cls.title for name, cls in SHIFTS.items()
    }


def test_settings_of_a_shift():
    found = {r["name"]: r for r in settings_of("shifts", "mnar")}
    assert found["odds_ratio"]["default"] == make_shift("mnar", 0.5).odds_ratio
    assert found["keep_one"]["meaning"].startswith("a row that has something present")


@pytest.mark.parametrize("what", KINDS)
def test_json_is_the_inventory(call, what):
    result = call("list", what, "--json")
    assert json.loads(result.out) == inventory(what)
    assert result.err == ""


@pytest.mark.parametrize("what", KINDS)
def test_piped_text_is_aligned_and_complete(call, what):
    lines = call("list", what).out.splitlines()
    rows = inventory(what)
    assert len(lines) == 1 + len(rows)
    assert "\x1b" not in "".join(lines)
    first = [line.split("  ")[0] for line in lines[1:]]
    assert first == [row.get("name", row.get("kind")) for row in rows]
    starts = {line.index("  " + line.split("  ")[-1].strip()) for line in lines[1:]}
    assert len(starts) == 1


def test_one_of_them(call):
    result = call("list", "methods", "aum")
    assert "arXiv 2601.21950" in result.out
    assert "aggregation" in result.out
    assert json.loads(call("list", "shifts", "mcar", "--json").out)["settings"][0]["name"] == "rate"


def test_what_methods_handle(call):
    lines = {line.split()[0]: line for line in call("list", "methods").out.splitlines()}
    assert "classes  reliability, reliance" in lines["tmc"]
    assert "values   reliability, reliance, conflict  yes" in lines["aum"]
    one = call("list", "methods", "tmc").out
    assert "tasks      binary, multiclass, multilabel" in one


def test_metrics_are_those_of_the_register(call):
    found = by_name("metrics")
    assert list(found) == list(METRICS)
    assert found["auroc"]["tasks"] == ["binary", "multiclass", "multilabel"]
    assert [found[m]["better"] for m in ("auroc", "ece", "calibration_slope")] == [
        "higher",
        "lower",
        "near 1",
    ]
    lines = {line.split()[0]: line for line in call("list", "metrics").out.splitlines()}
    assert lines["auroc"].split()[2:] == ["higher", "classes", "0", "to", "1,", "chance", ".5"]
    assert "amodal[captions]" in lines["cider"]
    assert "better     near 1" in call("list", "metrics", "calibration_slope").out


def test_long_keys_keep_off_their_values(call):
    assert "unlabelled true" in call("list", "methods", "aum").out


def test_unknown_names(refused):
    assert refused("list", "method") == "unknown inventory 'method': did you mean 'methods'?"
    assert refused("list", "methods", "bosting") == (
        "unknown method 'bosting': did you mean 'boosting'?"
    )
    assert refused("list", "shifts", "mcra") == "unknown shift 'mcra': did you mean 'mcar'?"


def test_aligned_columns():
    text = aligned(["a", "b"], [["x", "10"], ["long", "2"]], right=["b"])
    assert text.splitlines() == ["a      b", "x     10", "long   2"]


def test_what_is_next_can_be_copied(capsys):
    next_step("amodal", "report", "my study")
    assert capsys.readouterr().out == "Next: amodal report 'my study'\n"


def test_progress_tells_the_time_that_is_left(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 10.0, 70.0, 130.0, 190.0])
    monkeypatch.setattr("amodal.cli.progress.time.monotonic", lambda: next(clock))
    progress = StudyProgress()
    for done in (2, 3, 4, 5):
        progress(done, 5, "a cell")
    assert capsys.readouterr().err.splitlines() == [
        "[2/5] a cell",
        "[3/5] a cell, about 2 min left",
        "[4/5] a cell, about 1 min left",
        "[5/5] a cell",
    ]
