"""Cells: which there are, and that a name changes with all that determines the result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amodal.study.cells import Evaluation, Fit, Pattern, expand, merge_settings
from amodal.study.plan import Plan


def _pattern(**changes) -> Pattern:
    start = Pattern("mcar", 0.5, 0, False, "data", "1.0")
    return replace(start, **changes)


def _fit(**changes) -> Fit:
    none = Pattern("none", 0.0, 0, False, "data", "1.0")
    start = Fit("aum:beta=1", "aum", {"beta": 1}, 0, 0, 0, none, "data", "1.0")
    return replace(start, **changes)


def test_names_are_readable():
    assert _fit().id.startswith("aum_beta-1-s0-f0-")
    assert _fit(trained=_pattern()).id.startswith("aum_beta-1-mcar0.5-s0-f0-")
    assert Evaluation(_fit(), _pattern()).id.startswith("aum_beta-1-mcar0.5-s0-f0-")
    assert _pattern().id.startswith("mcar0.5-s0-")


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"beta": 2}},
        {"seed": 1},
        {"fold": 1},
        {"folds": 5},
        {"data": "other"},
        {"version": "1.1"},
        {"trained": _pattern()},
        {"name": "other"},
    ],
)
def test_a_fit_is_another_one_when_anything_that_determines_it_changes(change):
    assert _fit(**change).id != _fit().id
    assert Evaluation(_fit(**change), _pattern()).id != Evaluation(_fit(), _pattern()).id


def test_how_a_spec_is_written_changes_no_hash():
    by_spec = _fit(method="aum:beta=1", settings={"beta": 1, "width": 8})
    by_table = _fit(method="aum", settings={"width": 8, "beta": 1})
    assert by_spec.id.rsplit("-", 1)[1] == by_table.id.rsplit("-", 1)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "mnar"},
        {"rate": 0.3},
        {"seed": 1},
        {"keep_one": True},
        {"data": "other"},
        {"version": "2"},
    ],
)
def test_a_pattern_is_another_one_when_anything_that_determines_it_changes(change):
    assert _pattern(**change).id != _pattern().id
    assert Evaluation(_fit(), _pattern(**change)).id != Evaluation(_fit(), _pattern()).id


def _expand(**changes):
    plan = Plan("d", ("mean", "aum"), rates=(0, 0.3, 0.5), mechanisms=("mcar", "mnar"), **changes)
    models = {"mean": ("mean", {}), "aum": ("aum", {})}
    return expand(plan, models, data="x", version="1")


def test_absence_at_test_fits_once():
    jobs = _expand(seeds=2, folds=3)
    assert len(jobs) == 2 * 2 * 3
    labels = [e.pattern.label for e in jobs[0].evaluations]
    assert labels == ["none", "mcar0.3", "mcar0.5", "mnar0.3", "mnar0.5"]
    assert all(job.fit.trained.is_none for job in jobs)


def test_absence_at_both_fits_once_per_rate():
    jobs = _expand(absent_at="both")
    assert len(jobs) == 2 * 5
    assert all(job.evaluations[0].pattern == job.fit.trained for job in jobs)
    assert all(len(job.evaluations) == 1 for job in jobs)


def test_the_cell_without_loss_is_the_same_in_both_modes():
    test, both = _expand(), _expand(absent_at="both")
    assert test[0].evaluations[0].id == both[0].evaluations[0].id


def test_methods_share_patterns_and_one_split_is_no_fold():
    jobs = _expand()
    assert jobs[0].evaluations[1].pattern.id == jobs[1].evaluations[1].pattern.id
    assert _expand(folds=1)[0].fit.id == jobs[0].fit.id
    ids = [e.id for job in jobs for e in job.evaluations]
    assert len(set(ids)) == len(ids)


def test_the_nearer_setting_wins():
    settings = {
        "*": {"a": 0, "b": 0, "c": 0, "d": 0, "e": 0},
        "neural": {"b": 1, "c": 1, "d": 1, "e": 1},
        "aum": {"c": 2, "d": 2, "e": 2},
        "aum:e=4": {"d": 3, "e": 3},
    }
    plan = Plan("d", ("aum:e=4",), settings=settings)
    merged = merge_settings(plan, "aum:e=4", name="aum", family="neural", own={"e": 4})
    assert merged == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}


@pytest.fixture
def checkpoints(monkeypatch):
    """Folders whose content is one file stand in for text checkpoints."""
    from pathlib import Path
    from types import SimpleNamespace

    from amodal.encoders import code_names

    def make(name: str) -> SimpleNamespace:
        return SimpleNamespace(kind="text", key=(Path(name) / "weights").read_text())

    monkeypatch.setattr(code_names, "make_embedder", make)


def test_a_fit_knows_the_encoder_of_names_by_its_content(tmp_path, checkpoints):
    places = [tmp_path / k / "bert" for k in "abc"]
    for place, content in zip(places, ("one", "one", "other"), strict=True):
        place.mkdir(parents=True)
        (place / "weights").write_text(content)

    def fit(place, **settings) -> Fit:
        spec = f"aum:names={place}"
        return _fit(method=spec, settings={"names": str(place), **settings})

    one, moved, other = map(fit, places)
    assert one.id == moved.id == fit(places[0], names_cache=str(tmp_path)).id != other.id
    assert "names-bert" in one.id
    for found in (one.id, str(one.key), Evaluation(one, _pattern()).id):
        assert str(tmp_path) not in found
        assert tmp_path.name not in found
    (places[0] / "weights").write_text("changed")
    assert fit(places[0]).id not in (moved.id, other.id)


def test_a_told_plan_names_no_place_of_a_machine(tmp_path):
    spec = f"aum:names={tmp_path}/bert:names_cache={tmp_path}"
    plan = Plan("d", (spec, "mean"), focus=(spec,), settings={spec: {"names_cache": "/x/y"}})
    told = plan.told()
    assert told.methods == ("aum:names=bert", "mean")
    assert told.focus == ("aum:names=bert",)
    assert told.settings == {"aum:names=bert": {}}
    assert str(tmp_path) not in str(told.to_json())
