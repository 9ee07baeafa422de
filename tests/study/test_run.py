"""Running studies: nothing twice, nothing lost, nothing leaked.

Most tests run with a stand-in for the models, which fits at once; those at the end with real ones.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from amodal import load
from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.errors import CheckpointError, DataError, SettingError, StorageError, UnknownNameError
from amodal.shifts import LossPattern
from amodal.study import Plan, read_results, run_study, work
from amodal.study.results import At

METRICS = ("auroc", "brier")


def _data(rows: int = 90, seed: int = 0, **columns) -> Dataset:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows, 2))
    y = (a[:, 0] + b[:, 0] + 0.5 * rng.normal(size=rows) > 0).astype(int)
    a[rng.random(rows) < 0.1] = np.nan
    columns = {"row_id": [f"r{k:03d}" for k in range(rows)], **columns}
    return Dataset.from_arrays({"a": a, "b": b}, y, rows=columns)


@pytest.fixture
def data(tmp_path):
    """A small prepared data set."""
    return _data().save(tmp_path / "data")


def _plan(data, methods=("pattern", "logistic"), **changes) -> Plan:
    start = {"rates": (0, 0.5), "metrics": METRICS, "replicates": 20}
    return Plan(str(data), methods, **{**start, **changes})


def _files(folder, *kinds):
    return {
        p.relative_to(folder).as_posix(): p.stat().st_mtime_ns
        for kind in kinds
        for p in (folder / kind).iterdir()
    }


class StandIn:
    """A model that knows the base rate, and how many modalities a row has."""

    fits: list[tuple[str, Dataset]] = []  # noqa: RUF012 - cleared for each test

    def __init__(self, method: str, *, seed: int = 0, **settings):
        self.method, self.seed, self.rate = method, seed, 0.5

    def fit(self, data: Dataset) -> StandIn:
        StandIn.fits.append((self.method, data))
        self.rate = float(np.nanmean(data.target))
        return self

    def predict(self, data: Dataset) -> Prediction:
        present = torch.as_tensor(data.present)
        slope = len(self.method) + self.seed
        logit = self.rate + slope * (present.sum(1).double() - 1) + 0.1 * torch.arange(len(data))
        return Prediction(data.task, logit[:, None], present, reliance=present / 2)

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        return {}

    def save(self, folder):
        facts = {"method": self.method, "seed": self.seed, "rate": self.rate}
        (folder / "model.json").write_text(json.dumps(facts))


def _load(folder):
    try:
        facts = json.loads((folder / "model.json").read_text())
    except ValueError:
        raise CheckpointError("a stored model is described by model.json; train again") from None
    model = StandIn(facts["method"], seed=facts["seed"])
    model.rate = facts["rate"]
    return model


@pytest.fixture
def fits(monkeypatch):
    """Stand-ins in the place of models; (method, development rows) of every fit."""
    StandIn.fits = []
    monkeypatch.setattr(work, "Model", StandIn)
    monkeypatch.setattr(work, "load", _load)
    return StandIn.fits


def _count(fits):
    return sorted(method for method, _ in fits)


def test_a_study_is_run_once(data, tmp_path, fits):
    out, told = tmp_path / "study", []
    first = run_study(_plan(data), out, progress=lambda *x: told.append(x))
    assert (first.cells, first.ran, first.skipped, first.failed) == (4, 4, 0, ())
    assert _count(fits) == ["logistic", "pattern"]
    assert [done for done, _, _ in told] == [0, 1, 2, 3, 4]
    assert all(total == 4 for _, total, _ in told)
    before = _files(out, "fits", "evaluations", "predictions", "shifts")
    again = run_study(_plan(data), out)
    assert (again.ran, again.skipped) == (0, 4)
    assert _files(out, "fits", "evaluations", "predictions", "shifts") == before
    assert _count(fits) == ["logistic", "pattern"]
    assert not list(out.rglob("*.part"))


def test_a_killed_study_goes_on_where_it_was(data, tmp_path, fits, monkeypatch):
    out, plain = tmp_path / "study", work.write_evaluation

    def killed(folder, plan, cell, predicted, **facts):
        if cell.fit.name == "logistic" and not cell.pattern.is_none:
            raise KeyboardInterrupt
        return plain(folder, plan, cell, predicted, **facts)

    monkeypatch.setattr(work, "write_evaluation", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(_plan(data), out)
    assert len(_files(out, "evaluations")) == 3
    monkeypatch.setattr(work, "write_evaluation", plain)
    again = run_study(_plan(data), out)
    assert (again.ran, again.skipped) == (1, 3)
    assert _count(fits) == ["logistic", "pattern"]  # the stored fit is loaded, not fitted again
    one = read_results(out).group("logistic", At("mcar", 0.5))[0].predicted
    straight = tmp_path / "straight"
    run_study(_plan(data), straight)
    two = read_results(straight).group("logistic", At("mcar", 0.5))[0].predicted
    np.testing.assert_array_equal(one.outputs["probability"], two.outputs["probability"])


def test_a_changed_plan_adds_cells(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",)), out)
    more = run_study(_plan(data, rates=(0, 0.3, 0.5)), out)
    assert (more.cells, more.ran, more.skipped) == (6, 4, 2)
    assert _count(fits) == ["logistic", "pattern"]
    results = read_results(out)
    assert results.methods == ("pattern", "logistic")
    assert (len(results.cells), results.unfinished, results.left_out) == (6, 0, 0)


def test_other_settings_are_other_cells(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",), rates=(0,)), out)
    changed = _plan(data, ("pattern",), rates=(0,), settings={"pattern": {"calibrate": "none"}})
    assert run_study(changed, out).ran == 1
    assert read_results(out).methods == ("pattern (calibrate=none)", "pattern (defaults)")


def test_a_failed_cell_stops_no_other_and_is_tried_again(data, tmp_path, fits, monkeypatch):
    out, plain = tmp_path / "study", StandIn.predict

    def broken(self, rows):
        if self.method == "pattern" and not rows.present.any(axis=1).all():
            raise RuntimeError("the loss is not finite\nand more")
        return plain(self, rows)

    monkeypatch.setattr(StandIn, "predict", broken)
    first = run_study(_plan(data), out)
    assert (first.ran, len(first.failed)) == (3, 1)
    cell, line = first.failed[0]
    assert cell.startswith("pattern-mcar0.5")
    assert line == "RuntimeError: the loss is not finite"
    results = read_results(out)
    assert results.failed[0]["error"] == line
    assert results.failed[0]["at"].startswith("test_run.py:")
    assert results.unfinished == 1
    monkeypatch.setattr(StandIn, "predict", plain)
    assert run_study(_plan(data), out).ran == 1
    assert read_results(out).failed == ()
    assert not list(out.rglob("*.failed.json"))


def test_a_fit_that_fails_fails_its_cells(data, tmp_path, fits, monkeypatch):
    out = tmp_path / "study"

    def broken(self, *args, **kwargs):
        raise DataError("rows are too few; got 3; add some")

    monkeypatch.setattr(StandIn, "fit", broken)
    found = run_study(_plan(data, ("pattern",)), out)
    assert (found.ran, len(found.failed)) == (0, 2)
    assert found.failed[0][1] == "the fit failed: rows are too few; got 3; add some"
    assert len(read_results(out).failed) == 1


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("tmc", "tmc is for binary or multiclass or multilabel tasks; this one is regression"),
        ("mean:ensemble=0", "ensemble must be at least 1; got 0"),
        ("mean:calibrate=temp", "unknown calibration 'temp'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_fit(tmp_path, method, message):
    rows = np.random.default_rng(0).normal(size=(40, 2))
    data = Dataset.from_arrays({"a": rows}, rows[:, 0]).save(tmp_path / "data")
    with pytest.raises(SettingError, match=message):
        run_study(Plan(str(data), ("mean", method)), tmp_path / "study")
    assert not list((tmp_path / "study").rglob("*")), "nothing is written"


def test_a_full_disk_stops_the_study(data, tmp_path, fits, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work, "write_evaluation", full)
    with pytest.raises(OSError, match="No space left"):
        run_study(_plan(data), tmp_path / "study")
    assert list((tmp_path / "study" / "fits").glob("*.failed.json")) == []


def test_methods_share_test_rows_and_patterns(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, seeds=2, folds=3), out)
    results, dataset = read_results(out), Dataset.load(data)
    seen = {}
    for at in (At("none", 0.0), At("mcar", 0.5)):
        for unit in results.units("pattern", at):
            one, two = (
                next(c for c in results.group(m, at) if c.unit == unit).predicted
                for m in ("pattern", "logistic")
            )
            np.testing.assert_array_equal(one.row_id, two.row_id)
            np.testing.assert_array_equal(one.absence, two.absence)
            seen.setdefault((at, unit[0]), []).append(one)
    for parts in seen.values():
        rows = np.concatenate([p.row_id for p in parts])
        assert sorted(rows) == sorted(dataset.row_id)  # every row is tested once per seed
    assert len(list((out / "shifts").iterdir())) == 2  # one per seed, for both methods
    for path in (out / "shifts").iterdir():
        pattern = LossPattern.load(path)
        seed = pattern.spec["seed"]
        for p in seen[At("mcar", 0.5), seed]:
            expected = pattern.apply(dataset[np.isin(dataset.row_id, p.row_id)]).absence
            np.testing.assert_array_equal(p.absence, expected)
    splits = [np.concatenate([p.row_id for p in seen[At("none", 0.0), s]][:1]) for s in (0, 1)]
    assert set(splits[0]) != set(splits[1])


def test_the_record_of_an_evaluation(data, tmp_path):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",)), out)
    cell = read_results(out).group("pattern", At("mcar", 0.5))[0]
    record, p = cell.record, cell.predicted
    assert (out / "fits" / record["fit"] / "fit.json").exists()
    assert (out / "shifts" / f"{record['pattern']}.parquet").exists()
    assert record["data"] == Dataset.load(data).fingerprint()
    assert record["absence"]["requested"] == 0.5
    assert record["absence"]["achieved"] == pytest.approx((p.absence == 2).mean())
    nothing = (p.absence > 0).all(axis=1)
    assert record["absence"]["empty_rows"] == pytest.approx(nothing.mean())
    assert record["shift"]["shift"] == "mcar"
    assert "completely at random" in record["shift"]["text"]
    assert record["method"]["family"] == "classic"
    assert set(record["metrics"]) == set(METRICS)
    assert record["versions"]["torch"] == torch.__version__
    known = json.loads((out / "fits" / record["fit"] / "fit.json").read_text())
    assert known["fingerprint"] == record["fit_fingerprint"]


def test_training_under_loss_fits_once_per_rate(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",), rates=(0, 0.3, 0.6), absent_at="both"), out)
    lost = [float((rows.absence == 2).mean()) for _, rows in fits]
    assert lost[0] == 0
    np.testing.assert_allclose(lost, [0, 0.3, 0.6], atol=0.1)
    results = read_results(out)
    assert results.rates("mcar") == (0.0, 0.3, 0.6)
    assert results.unfinished == 0
    pattern = LossPattern.load(next((out / "shifts").glob("mcar0.6*")))
    rows = fits[2][1]
    places = [pattern.row_id.tolist().index(r) for r in rows.row_id]
    np.testing.assert_array_equal(rows.absence == 2, pattern.lost[places])


def test_development_rows_come_with_their_parts(data, tmp_path, fits):
    run_study(_plan(data, ("pattern",), rates=(0,)), tmp_path / "one")
    run_study(_plan(data, ("pattern",), rates=(0,), folds=3), tmp_path / "three")
    one, folds = fits[0][1], fits[1:]
    assert set(one.split) == {"train", "valid", "calibration"}
    assert all(rows.split is None for _, rows in folds)
    tested = read_results(tmp_path / "one").cells[0].predicted.row_id
    assert not set(tested) & set(one.row_id)
    assert len(tested) + len(one) == 90


def test_labels_of_test_rows_change_no_trained_weight_and_no_prediction(tmp_path):
    """With a published split, what is learned does not depend on the labels of test rows."""
    split = np.where(np.arange(90) % 3 == 0, "test", "")
    plain = _data(split=split)
    rng = np.random.default_rng(1)
    test = np.flatnonzero(split == "test")
    target = plain.target.copy()
    target[test] = rng.permutation(target[test])
    shuffled = plain.replace(target=target)
    found, weights = [], []
    methods = ("logistic", "attention:epochs=2:width=8")
    for name, one in (("plain", plain), ("shuffled", shuffled)):
        one.save(tmp_path / name)
        out = tmp_path / f"{name}-study"
        run_study(_plan(tmp_path / name, methods, rates=(0.5,)), out)
        p = read_results(out).group("logistic", At("mcar", 0.5))[0].predicted
        found.append(p)
        fits = [load(path.parent) for path in sorted((out / "fits").glob("*/model.json"))]
        network = next(f for f in fits if f.method == "attention").members_[0].method
        weights.append({k: v.numpy() for k, v in network.state_dict().items()})
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])
    assert (found[0].target != found[1].target).any()
    np.testing.assert_array_equal(found[0].row_id, found[1].row_id)
    np.testing.assert_array_equal(*(p.outputs["probability"] for p in found))


def test_unlabelled_rows_are_not_scored(tmp_path, fits):
    plain = _data()
    target = plain.target.copy()
    target[::4] = np.nan
    plain.replace(target=target).save(tmp_path / "data")
    out = tmp_path / "study"
    run_study(_plan(tmp_path / "data", ("pattern",), folds=3, rates=(0,)), out)
    rows = np.concatenate([c.predicted.row_id for c in read_results(out).cells])
    assert sorted(rows) == sorted(plain.row_id[~np.isnan(target)])


@pytest.mark.processes
def test_the_number_of_jobs_changes_nothing(data, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    plan = {"methods": ("pattern",), "seeds": 2, "rates": (0, 0.5)}
    run_study(_plan(data, **plan), one)
    outcome = run_study(_plan(data, **plan, jobs=2), two)
    assert (outcome.ran, outcome.failed) == (4, ())
    assert _files(one, "predictions").keys() == _files(two, "predictions").keys()
    for a, b in zip(read_results(one).cells, read_results(two).cells, strict=True):
        np.testing.assert_array_equal(*(c.predicted.outputs["probability"] for c in (a, b)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": ("bosting",)}, UnknownNameError, "did you mean 'boosting'"),
        ({"mechanisms": ("mcra",)}, UnknownNameError, "did you mean 'mcar'"),
        ({"mechanisms": ("none",)}, SettingError, "shift 'none' changes nothing"),
        ({"mechanisms": ("mcar+mnar",)}, SettingError, "names several; leave one"),
        ({"mechanisms": ("natural",), "unequal": ("a=0.5",)}, SettingError, "use 'mcar' for these"),
        (
            {"unequal": ("aa=0.5",)},
            UnknownNameError,
            "unknown modality with a rate of its own 'aa'",
        ),
        ({"mechanisms": ("mnar:odds=2",)}, UnknownNameError, "unknown setting of shift 'mnar'"),
        ({"metrics": ("rmse",)}, SettingError, "is for regression targets"),
        ({"metrics": ("briar",)}, UnknownNameError, "did you mean 'brier'"),
        ({"settings": {"*": {"widht": 3}}}, UnknownNameError, "unknown setting"),
        ({"settings": {"aum": {"width": 3}}}, SettingError, "or one of its methods; got 'aum'"),
        ({"settings": {"*": {"seed": 3}}}, SettingError, "a study sets method and seed by itself"),
    ],
)
def test_a_plan_without_meaning_is_refused_before_anything_is_written(
    data, tmp_path, change, error, message
):
    out = tmp_path / "study"
    with pytest.raises(error, match=message):
        run_study(_plan(data, **{"methods": ("pattern",), **change}), out)
    assert not out.exists()


def test_data_without_labels_are_refused(tmp_path):
    _data().replace(target=None, task=None).save(tmp_path / "data")
    with pytest.raises(SettingError, match="a study needs data with a target; these have none"):
        run_study(_plan(tmp_path / "data"), tmp_path / "study")


def test_the_folder_of_something_else_is_left_alone(data, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "letters.txt").write_text("dear")
    with pytest.raises(StorageError, match=r"holds other files and no study\.json"):
        run_study(_plan(data), other)
    assert [p.name for p in other.iterdir()] == ["letters.txt"]
    with pytest.raises(StorageError, match="is a file; choose another name"):
        run_study(_plan(data), other / "letters.txt")
    shutil.rmtree(other)
    other.mkdir()
    (other / "study.json").write_text(json.dumps({"format": "amodal-study", "version": 99}))
    with pytest.raises(StorageError, match=r"other has amodal-study 99; choose another folder"):
        run_study(_plan(data), other)


def test_a_report_reads_no_files_of_another_version(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",)), out)
    for path in (next((out / "evaluations").glob("*.json")), out / "study.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
        with pytest.raises(StorageError, match=r"has amodal-\w+ 99; run the study anew"):
            read_results(out)


def test_a_stored_fit_that_is_damaged_fails_its_cells(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data, ("pattern",)), out)
    for path in (out / "evaluations").iterdir():
        path.unlink()
    fit = next((out / "fits").iterdir())
    (fit / "model.json").write_text("{")
    found = run_study(_plan(data, ("pattern",)), out)
    assert (found.ran, len(found.failed)) == (0, 2)
    assert "the fit failed" in found.failed[0][1]


def test_failed_cells_are_left_alone_on_request(data, tmp_path, fits, monkeypatch):
    out, plain = tmp_path / "study", StandIn.predict

    def broken(self, rows):
        if self.method == "pattern" and not rows.present.any(axis=1).all():
            raise RuntimeError("no")
        return plain(self, rows)

    monkeypatch.setattr(StandIn, "predict", broken)
    run_study(_plan(data), out)
    monkeypatch.setattr(StandIn, "predict", plain)
    found = run_study(_plan(data), out, rerun="missing")
    assert (found.ran, found.skipped, found.left, found.failed) == (0, 3, 1, ())
    assert len(read_results(out).failed) == 1
    assert run_study(_plan(data), out, rerun="failed").ran == 1


def test_all_cells_run_anew_on_request(data, tmp_path, fits):
    out = tmp_path / "study"
    run_study(_plan(data), out)
    before, count = _files(out, "evaluations", "predictions"), len(StandIn.fits)
    patterns = _files(out, "shifts")
    found = run_study(_plan(data), out, rerun="all")
    assert (found.ran, found.skipped, len(StandIn.fits)) == (4, 0, 2 * count)
    after = _files(out, "evaluations", "predictions")
    assert after.keys() == before.keys()
    assert all(after[k] > before[k] for k in before)
    assert _files(out, "shifts") == patterns


def test_the_rerun_policy_has_a_name(data, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'missing'"):
        run_study(_plan(data), tmp_path / "study", rerun="mising")
    assert not (tmp_path / "study").exists()
