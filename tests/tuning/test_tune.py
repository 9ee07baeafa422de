"""The search: seeded, resumable, the same budget for all, blind to test rows; its files."""

from __future__ import annotations

import csv
import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, StorageError, UnknownNameError
from amodal.methods import METHODS, get_method
from amodal.settings import resolve_settings
from amodal.space import Choice, Range, size_of
from amodal.study import Plan
from amodal.study.tuned import with_tuned
from amodal.tuning import Budget, tune
from amodal.tuning import run as runs
from amodal.tuning.run import _space
from amodal.tuning.trial import rows_of, score_of

pytest.importorskip("optuna")


def make_rows(n: int = 160, seed: int = 0) -> Dataset:
    """Two tables; a fifth of the rows is a published test part, a fifth validation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = (x[:, 0] + x[:, 1] + rng.normal(size=n) > 0).astype(int)
    split = np.array(["train", "train", "train", "valid", "test"])[np.arange(n) % 5]
    return Dataset.from_arrays({"a": x[:, :2], "b": x[:, 2:]}, y, rows={"split": split})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of a small data set."""
    folder = tmp_path_factory.mktemp("data") / "d"
    make_rows().save(folder)
    return folder


def plan_of(data, *methods, **more):
    return Plan(str(data), methods or ("mean", "qmf"), rates=(0, 0.5), **more)


@pytest.fixture
def bowl(monkeypatch):
    """Trials that cost nothing: a bowl over the settings. Returns what was tried."""
    tried = []

    def score(rows, name, settings, *, metric):
        tried.append((name, dict(settings)))
        if settings.get("width") == 64:
            raise ValueError("too wide\nfor this test")
        return (math.log(settings["lr"]) - math.log(3e-3)) ** 2 + settings["dropout"]

    monkeypatch.setattr(runs, "score_of", score)
    return tried


# -- where is looked ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_where_its_settings_lie(name):
    space, defaults = _space(name, {})
    method = get_method(name)
    for setting, where in space.items():
        assert where.holds(defaults[setting]), setting
        ends = where.values if isinstance(where, Choice) else (where.low, where.high)
        for value in ends:
            resolve_settings(method, {setting: value})
    assert 1 <= len(space) <= 6


def test_stated_settings_are_not_searched():
    space, defaults = _space("mean", {"lr": 0.01, "epochs": 3})
    assert set(space) == set(defaults) == {"width", "dropout", "weight_decay"}


def test_ranges_and_choices():
    assert size_of({"a": Choice((1, 2))}) == 2
    with pytest.raises(SettingError, match="range rises"):
        Range(1, 1)
    with pytest.raises(SettingError, match="above 0"):
        Range(0, 1, log=True)
    for bad in ((), (1, 1)):
        with pytest.raises(SettingError, match="differ"):
            Choice(bad)
    for bad in ((0, 0), (-1, 2.0)):
        with pytest.raises(SettingError, match="budget"):
            Budget(*bad)


# -- the search -----------------------------------------------------------------------------------


def test_same_budget_defaults_first_and_never_worse(data, bowl, tmp_path):
    found = tune(plan_of(data), tmp_path / "t", budget=Budget(trials=14))
    assert {spec: len(t) for spec, t in found.trials.items()} == {"mean": 14, "qmf": 14}
    for spec, trials in found.trials.items():
        first, best = trials[0], found.best(spec)
        assert (first.settings["lr"], first.settings["width"]) == (1e-3, 32)
        assert best.score < first.score
        assert best.score == min(t.score for t in trials if t.score is not None)
    # the two searches are drawn apart, and failures are told in one line
    assert found.trials["mean"][1].settings != found.trials["qmf"][1].settings
    failed = [t for t in found.trials["mean"] if t.score is None]
    assert {t.error for t in failed} == {"ValueError: too wide"}
    assert all(t.settings["width"] == 64 for t in failed)


def test_a_killed_search_finds_what_it_would_have_found(data, bowl, tmp_path, monkeypatch):
    whole = tune(plan_of(data), tmp_path / "whole", budget=Budget(trials=12))
    fine, calls = runs.score_of, []

    def killed(*args, **options):
        calls.append(1)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return fine(*args, **options)

    monkeypatch.setattr(runs, "score_of", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(plan_of(data), tmp_path / "part", budget=Budget(trials=12))
    done = []
    again = tune(
        plan_of(data),
        tmp_path / "part",
        budget=Budget(trials=12),
        progress=lambda k, n, text: done.append(text),
    )
    for spec in ("mean", "qmf"):
        told = [[(t.number, t.settings, t.score) for t in f.trials[spec]] for f in (whole, again)]
        assert told[0] == told[1]
    assert len(done) == 1 + 24 - 14
    more = tune(plan_of(data), tmp_path / "part", budget=Budget(trials=13))
    assert more.trials["mean"][:12] == again.trials["mean"]
    assert len(more.trials["mean"]) == 13


def test_seeds_differ_and_seconds_end_a_search(data, bowl, tmp_path, monkeypatch):
    a, b = (
        tune(plan_of(data, seeds=(s,)), tmp_path / f"s{s}", budget=Budget(trials=3)) for s in (0, 1)
    )
    assert a.trials["mean"][0].settings == b.trials["mean"][0].settings
    assert a.trials["mean"][1].settings != b.trials["mean"][1].settings
    clock = iter(np.arange(0, 1000, 2.0))
    monkeypatch.setattr("amodal.tuning.search.time.perf_counter", lambda: float(next(clock)))
    timed = tune(plan_of(data, "mean"), tmp_path / "t", budget=Budget(seconds=7))
    assert [t.seconds for t in timed.trials["mean"]] == [2.0] * 4


def test_few_settings_are_tried_once_each(data, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "score_of", lambda r, n, s, metric: calls.append(s) or 1.0)
    found = tune(plan_of(data, "pattern"), tmp_path / "t", budget=Budget(trials=50))
    assert sorted(s["augment"] for s in calls) == [False, True]
    assert found.best("pattern").settings == {"augment": True}  # the earliest of equals
    text = tomllib.loads(found.path.read_text())
    assert text["found"]["pattern"]["all_tried"] is True


def test_where_every_trial_fails(data, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise DataError("no; nothing; nothing to do")

    monkeypatch.setattr(runs, "score_of", fail)
    found = tune(plan_of(data, "mean"), tmp_path / "t", budget=Budget(trials=2))
    assert found.best("mean") is None
    text = tomllib.loads(found.path.read_text())
    assert (text["found"]["mean"]["failed"], text["settings"]["mean"]) == (2, {})


# -- rows -----------------------------------------------------------------------------------------


def test_test_rows_are_never_read(tmp_path):
    """Shuffled labels and other values of test rows change no trial."""
    first = make_rows()
    rng = np.random.default_rng(9)
    test = first.split == "test"
    target = first.target.copy()
    target[test] = 1 - rng.permutation(target[test])
    table = first.values["a"]
    numeric = table.data["numeric"].copy()
    numeric[table.index[test]] = 1e6
    values = {
        **first.values,
        "a": type(table)({**table.data, "numeric": numeric}, None, table.index),
    }
    other = first.replace(target=target, values=values)
    assert first.fingerprint() != other.fingerprint()
    found = []
    for name, rows in (("first", first), ("other", other)):
        rows.save(tmp_path / name)
        plan = plan_of(tmp_path / name, "logistic")
        found.append(tune(plan, tmp_path / f"{name}-t", budget=Budget(trials=2)))
    a, b = ([(t.settings, t.score) for t in f.trials["logistic"]] for f in found)
    assert a == b
    assert all(score is not None for _, score in a)


def test_rows_of_a_search():
    data = make_rows()
    plan = Plan("x", ("mean",), rates=(0, 0.5), mechanisms=("mcar", "mnar"))
    (part,) = rows_of(plan, data).parts
    assert [name for name, _ in part.held] == ["as they are", "mcar0.5", "mnar0.5"]
    held, fitted = part.held[0][1], part.fit
    assert set(data.row_id[data.split == "valid"]) <= set(held.row_id)
    assert not set(held.row_id) & set(fitted.row_id)
    assert not (set(held.row_id) | set(fitted.row_id)) & set(data.row_id[data.split == "test"])
    assert part.held[1][1].present.mean() == pytest.approx(0.5, abs=0.2)
    assert (part.held[1][1].row_id == held.row_id).all()
    (folded,) = rows_of(Plan("x", ("mean",), rates=(0,), folds=4), data.replace(split=None)).parts
    assert len(folded.fit) + len(folded.held[0][1]) == 120


def test_folds_of_validation_rows():
    """Every development row is a validation row once, under the losses that it always has."""
    data = make_rows()
    plan = Plan("x", ("mean",), rates=(0, 0.5))
    parts = rows_of(plan, data, 4).parts
    (whole,) = rows_of(plan, data).parts
    development = set(data.row_id[data.split != "test"])
    seen = [i for part in parts for i in part.held[0][1].row_id]
    assert sorted(seen) == sorted(development)
    for part in parts:
        assert set(part.fit.row_id) == development - set(part.held[0][1].row_id)
        assert part.fit.split is None
        assert (part.held[1][1].row_id == part.held[0][1].row_id).all()
    lost = {i: there for p in parts for i, there in zip(seen_of(p), present_of(p), strict=True)}
    for i, there in zip(seen_of(whole), present_of(whole), strict=True):
        assert lost[i] == there


def seen_of(part):
    return part.held[1][1].row_id.tolist()


def present_of(part):
    return part.held[1][1].present.tolist()


def test_a_score_is_the_mean_over_folds(tmp_path):
    data = make_rows()
    rows = rows_of(Plan("x", ("pattern",), rates=(0, 0.5)), data, 3)
    whole = score_of(rows, "pattern", {}, metric="log_loss")
    each = [
        score_of(replace(rows, parts=(part,)), "pattern", {}, metric="log_loss")
        for part in rows.parts
    ]
    assert whole == pytest.approx(np.mean(each))
    assert len(set(each)) == 3
    data.save(tmp_path / "d")
    plan, one = plan_of(tmp_path / "d", "pattern"), Budget(trials=1)
    found = tune(plan, tmp_path / "t", budget=one, validation_folds=3)
    assert found.trials["pattern"][0].score == pytest.approx(whole)
    told = with_tuned(plan, found.path).tuned
    assert "on 3 folds of development rows" in told
    with pytest.raises(StorageError, match="with other rows, validation_folds"):
        tune(plan, tmp_path / "t", budget=one)
    with pytest.raises(SettingError, match="at least 2 folds"):
        tune(plan, tmp_path / "u", budget=one, validation_folds=1)


# -- files and what is refused --------------------------------------------------------------------


def test_files(data, bowl, tmp_path):
    found = tune(plan_of(data, "mean", "qmf:rank=0.2"), tmp_path / "t", budget=Budget(trials=3))
    text = tomllib.loads(found.path.read_text())
    assert (text["tuned"]["trials"], text["tuned"]["metric"]) == (3, "log_loss")
    assert text["tuned"]["losses"] == ["as they are", "mcar0.5"]
    assert set(text["settings"]) == {"mean", "qmf:rank=0.2"}
    assert text["settings"]["mean"] == found.best("mean").settings
    assert "rank" not in text["settings"]["qmf:rank=0.2"]
    with (tmp_path / "t" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["method"], r["trial"]) for r in rows[:4]] == [
        ("mean", "0"),
        ("mean", "1"),
        ("mean", "2"),
        ("qmf:rank=0.2", "0"),
    ]


def test_a_folder_holds_one_search(data, bowl, tmp_path):
    budget = Budget(trials=1)
    tune(plan_of(data, "mean"), tmp_path / "t", budget=budget)
    with pytest.raises(StorageError, match="with other metric"):
        tune(plan_of(data, "mean"), tmp_path / "t", budget=budget, metric="brier")
    with pytest.raises(StorageError, match="with other losses"):
        tune(Plan(str(data), ("mean",), rates=(0,)), tmp_path / "t", budget=budget)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(StorageError, match="holds other files"):
        tune(plan_of(data, "mean"), tmp_path, budget=budget)
    with pytest.raises(StorageError, match="is a file"):
        tune(plan_of(data, "mean"), tmp_path / "mine.txt", budget=budget)


def test_one_process_at_a_time(data, bowl, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    tune(plan_of(data, "mean"), tmp_path / "t", budget=Budget(trials=1))
    with (tmp_path / "t" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="one process searches"):
            tune(plan_of(data, "mean"), tmp_path / "t", budget=Budget(trials=2))


def test_refused_before_any_trial(data, bowl, tmp_path):
    budget = Budget(trials=1)
    with pytest.raises(UnknownNameError, match="did you mean 'brier'"):
        tune(plan_of(data, "mean"), tmp_path / "t", budget=budget, metric="bryer")
    with pytest.raises(SettingError, match="of predictions"):
        tune(plan_of(data, "mean"), tmp_path / "t", budget=budget, metric="ece_of_perfect")
    plan = plan_of(data, "mean", settings={"mean": {"lrr": 1}})
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        tune(plan, tmp_path / "t", budget=budget)
    assert not bowl
    assert not (tmp_path / "t").exists()
