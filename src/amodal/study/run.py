"""`run_study`: does what a plan asks for and is not yet done, one file per finished cell.

Layout of a study's folder::

    study.json               the plan, as last asked for, and versions
    data/<fingerprint>.json  what the data consist of
    shifts/<id>.parquet      which pairs were lost or made worse: one per mechanism, rate and seed
    fits/<id>/               a fitted model (`amodal.load` reads it) and fit.json
    cohort/<id>.*            columns by which results are told apart, and characteristics of the rows
    evaluations/<id>.json    metrics of one model under one pattern of loss; names its fit
    predictions/<id>.parquet the predictions behind them
    probes/<fit>.json        what the reliability of a fitted model is worth, where the plan asks
    */<id>.failed.json       one line on what went wrong; tried again at the next run
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import amodal
from amodal.data.source import open_dataset
from amodal.data.splits import assign_splits
from amodal.errors import SettingError, StorageError, unknown_name
from amodal.methods import get_method
from amodal.metrics import select
from amodal.model import Model
from amodal.settings import parse_method
from amodal.shifts import NoShift, Shift, drawable, parse_shift
from amodal.study.cells import Job, Pattern, expand, merge_settings, points
from amodal.study.cohort import cohort_columns, write_cohort
from amodal.study.describe import describe_data, read_flow
from amodal.study.engines import RETURNED, backend, check_engine
from amodal.study.files import read_json, sweep_stale
from amodal.study.lock import locked
from amodal.study.plan import Plan
from amodal.study.records import check_format, failure_path, write_head
from amodal.study.work import Done, pattern_path, probe_path, run_job

__all__ = ["RERUN", "Outcome", "Progress", "absence_shift", "check_plan", "run_study"]

RERUN = ("missing", "failed", "all")
"""Which cells a run of a study runs: see `run_study`."""

Progress = Callable[[int, int, str], None]
"""Called as progress(finished cells, cells of the plan, what was just done)."""


@dataclass(frozen=True)
class Outcome:
    """What a run of a study did.

    Args:
        folder: of the study.
        cells: evaluations that the plan asks for.
        ran: evaluations finished by this run.
        failed: (cell, one line) of those that did not work.
        left: evaluations that failed in an earlier run and were not tried again.

    >>> Outcome(Path("study"), 10, 3, (("mean-s0", "no rows"),), left=2).skipped
    4
    """

    folder: Path
    cells: int
    ran: int
    failed: tuple[tuple[str, str], ...]
    left: int = 0

    @property
    def skipped(self) -> int:
        """Evaluations that an earlier run had finished."""
        return self.cells - self.ran - len(self.failed) - self.left


def run_study(
    plan: Plan,
    out: str | Path,
    *,
    rerun: str = "failed",
    engine: str = "processes",
    progress: Progress | None = None,
) -> Outcome:
    """Runs the cells of `plan` that are not finished in the folder `out`.

    A finished cell is a file under its final name and is not run again: a killed study goes on
    where it was, and a changed plan adds cells. A failed cell is recorded with one line and tried
    again at the next run; the others go on. Test rows depend on (seed, fold) alone, patterns of
    loss on (mechanism, rate, seed): both are the same for all methods. Whatever a model selects,
    it selects on development rows. Every process uses one torch thread, so that the number of jobs
    changes nothing in the results.

    Args:
        plan: what is compared.
        out: a folder: new, empty, or of a study on any data.
        rerun: one of `RERUN`: ``missing`` runs cells that were never run, ``failed`` those that
            failed too, ``all`` runs every cell of the plan anew, its fits included.
        engine: one of `ENGINES`: where jobs are done when there are several. ``ray``: on the Ray
            cluster that the environment variable RAY_ADDRESS names, else on one of this machine;
            folder and data must lie where all nodes see them. Changes nothing in the results.
        progress: called after each evaluation, and once at the start.

    Raises:
        SettingError: a method, mechanism, metric or setting of the plan has no meaning.
        UnknownNameError: `rerun` is none of `RERUN`, `engine` none of `ENGINES`.
        DataError: the data have no target, or cannot be split.
        StorageError: the folder is of something else, another process works on it, or it cannot be
            written.
    """
    if rerun not in RERUN:
        raise unknown_name("rerun policy", rerun, RERUN)
    check_engine(engine)
    folder = _open_folder(Path(out))
    data = open_dataset(plan.data)
    models = check_plan(plan, data)
    with locked(folder):
        return _run(plan, folder, data, models=models, rerun=rerun, engine=engine, told=progress)


def _run(
    plan: Plan,
    folder: Path,
    data: Any,
    *,
    models: dict[str, tuple[str, dict[str, Any]]],
    rerun: str,
    engine: str,
    told: Progress | None,
) -> Outcome:
    """`run_study`, with everything checked and the folder locked."""
    fingerprint, version = data.fingerprint(), amodal.__version__
    jobs = expand(plan, models, data=fingerprint, version=version, names=data.names)
    sweep_stale(folder)
    description = describe_data(data) | {"flow": read_flow(plan.data)}
    write_head(folder, plan, jobs, description=description)
    write_cohort(folder, plan, data, parts=_parts(plan, data))
    _draw_patterns(folder, data, jobs)
    if rerun == "all":
        _forget(folder, jobs)
    todo = [rest for job in jobs if (rest := _unfinished(folder, job, rerun)).cells]
    cells = sum(job.cells for job in jobs)
    left = sum(_unfinished(folder, job, "failed").cells for job in jobs)
    left -= sum(job.cells for job in todo)
    finished = cells - left - sum(job.cells for job in todo)
    report = told or (lambda done, total, text: None)
    report(finished, cells, f"{finished} of {cells} cells were finished before")
    ran, failed = 0, []
    for done in _work(folder, plan, todo, engine=engine):
        ran += done.error is None
        failed += [(done.cell, done.error)] if done.error else []
        report(finished + ran, cells, done.describe())
    return Outcome(folder, cells, ran, tuple(failed), left)


def _parts(plan: Plan, data: Any) -> dict[str, Any] | None:
    """Rows of development and test under the first seed; None under folds, where all are both."""
    if plan.folds > 1:
        return None
    parts = assign_splits(data, seed=plan.seeds[0])
    test = parts.pop("test")
    return {"development": np.concatenate(list(parts.values())), "test": test}


def _open_folder(folder: Path) -> Path:
    if folder.is_file():
        raise StorageError(f"a study is a folder; {folder} is a file; choose another name")
    known = folder / "study.json"
    if known.exists():
        facts = read_json(known, "the head of a study")
        check_format(facts, str(folder), advice="choose another folder")
    elif folder.exists() and any(not p.name.startswith(".lock") for p in folder.iterdir()):
        raise StorageError(
            f"a study needs a folder of its own; {folder} holds other files and no study.json; "
            "choose a new one"
        )
    return folder


def check_plan(plan: Plan, data: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Everything a plan names exists; spec -> (method, resolved settings)."""
    if data.task is None or not data.labelled.any():
        raise SettingError("a study needs data with a target; these have none; prepare others")
    if data.task.kind == "sequence" and plan.probe:
        raise SettingError(
            "a probe compares predictions of classes, labels and values; the task of these data is "
            "a sequence; leave probe out"
        )
    select(data.task.kind, plan.metrics or None)
    losses = points(plan, data.names) or [(m, 0.0) for m in plan.mechanisms]
    for mechanism, rate in losses:
        if isinstance(_shift(Pattern(mechanism, rate, 0, plan.keep_one, "", "")), NoShift):
            raise SettingError(
                f"the mechanisms of a study change the data; {mechanism!r} does not; rate 0 is the "
                "data as they are"
            )
    cohort_columns(plan, data)
    found = {spec: _settings(plan, spec) for spec in plan.methods}
    for name, settings in found.values():
        Model(name, **settings).check(data.task)
    for key in plan.settings:
        known = ["*", "neural", "classic", *plan.methods, *(n for n, _ in found.values())]
        if key not in known:
            raise SettingError(
                "settings of a study are for '*', 'neural', 'classic' or one of its methods; "
                f"got {key!r}; name one of these"
            )
    return found


def _settings(plan: Plan, spec: str) -> tuple[str, dict[str, Any]]:
    """The method that a spec names and its settings, refused here and not after hours."""
    name, own = parse_method(spec)
    method = get_method(name)
    family = "neural" if hasattr(method, "stages") else "classic"
    settings = merge_settings(plan, spec, name=name, family=family, own=own)
    if {"seed", "method"} & set(settings):
        raise SettingError("a study sets method and seed by itself; the settings name one; drop it")
    return name, settings


def absence_shift(pattern: Pattern) -> Any:
    """The shift that a pattern names, in a form that draws.

    Raises:
        SettingError, UnknownNameError: the mechanism has no meaning.
        DataError: it draws nothing.
    """
    return drawable(_shift(pattern))


def _shift(pattern: Pattern) -> Shift:
    """The shift of a pattern.

    Raises:
        SettingError, UnknownNameError: the mechanism has no meaning.
    """
    return parse_shift(pattern.mechanism, pattern.rate, pattern.seed, keep_one=pattern.keep_one)


def _draw_patterns(folder: Path, data: Any, jobs: Iterable[Job]) -> None:
    """Draws and saves what unfinished evaluations and fits lose and is not yet there."""
    wanted = {p for job in jobs for e in job.evaluations for p in (e.pattern, e.fit.trained)}
    for pattern in sorted((p for p in wanted if not p.is_none), key=lambda p: p.id):
        path = pattern_path(folder, pattern)
        if not path.exists():
            absence_shift(pattern).draw(data).save(path)


def _unfinished(folder: Path, job: Job, rerun: str) -> Job:
    """What of a job is to be done."""
    where = folder / "evaluations"
    kept = [e for e in job.evaluations if not (where / f"{e.id}.json").exists()]
    if rerun == "missing":
        if failure_path(folder / "fits" / job.fit.id).exists():
            kept = []
        kept = [e for e in kept if not failure_path(where / e.id).exists()]
    return Job(job.fit, tuple(kept), job.probe and _unprobed(folder, job, rerun))


def _unprobed(folder: Path, job: Job, rerun: str) -> bool:
    where = probe_path(folder, job.fit)
    failed = failure_path(where.with_suffix("")).exists()
    failed = failed or failure_path(folder / "fits" / job.fit.id).exists()
    return not where.exists() and not (rerun == "missing" and failed)


def _forget(folder: Path, jobs: Iterable[Job]) -> None:
    """Removes the results of all cells of `jobs`; an evaluation goes before what it rests on."""
    for job in jobs:
        for e in job.evaluations:
            (folder / "evaluations" / f"{e.id}.json").unlink(missing_ok=True)
            (folder / "predictions" / f"{e.id}.parquet").unlink(missing_ok=True)
        probe_path(folder, job.fit).unlink(missing_ok=True)
        shutil.rmtree(folder / "fits" / job.fit.id, ignore_errors=True)


def _work(folder: Path, plan: Plan, jobs: list[Job], *, engine: str) -> Iterator[Done]:
    """The cells of `jobs`, as they are finished."""
    if engine == "processes" and (plan.jobs == 1 or len(jobs) < 2):
        data = open_dataset(plan.data) if jobs else None
        for job in jobs:
            yield from run_job(folder, plan, job, data=data)
        return
    if not jobs:
        return
    from joblib import Parallel, delayed

    count = min(plan.jobs, len(jobs))
    with backend(engine, count):
        pool = Parallel(n_jobs=count, return_as=RETURNED[engine])
        where = (folder.resolve(), plan) if engine == "ray" else (folder, plan)
        for cells in pool(delayed(_in_process)(*where, job) for job in jobs):
            yield from cells


@lru_cache(maxsize=1)
def _opened(reference: str) -> Any:
    return open_dataset(reference)


def _in_process(folder: Path, plan: Plan, job: Job) -> list[Done]:
    return list(run_job(folder, plan, job, data=_opened(plan.data)))
