"""The work of one process: one fit, and its evaluations under every pattern of loss."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from amodal.data.dataset import Dataset
from amodal.data.splits import assign_splits, folds
from amodal.errors import AmodalError, CheckpointError
from amodal.methods import get_method
from amodal.model import Model, load
from amodal.settings import told_spec
from amodal.shifts import LossPattern, NoShift, drawable, hide_labels, shift_from_json
from amodal.study.cells import Evaluation, Fit, Job, Pattern
from amodal.study.files import digest_folder, put_folder, put_json, read_json
from amodal.study.plan import Plan
from amodal.study.predictions import Predicted
from amodal.study.records import clear_failure, write_evaluation, write_failure

__all__ = [
    "Done",
    "development_rows",
    "lost_pairs",
    "one_thread",
    "pattern_path",
    "probe_path",
    "run_job",
    "split_rows",
    "under",
]

_NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Done:
    """A cell that was run: finished, or failed with one line."""

    cell: str
    seconds: float = 0.0
    error: str | None = None

    def describe(self) -> str:
        """One line for people.

        >>> Done("mean-none-s0-f0", 1.25).describe()
        'mean-none-s0-f0: 1.2 s'
        """
        return f"{self.cell}: {f'failed: {self.error}' if self.error else f'{self.seconds:.1f} s'}"


def pattern_path(folder: Path, pattern: Pattern) -> Path:
    """Where a pattern of loss is kept.

    >>> pattern = Pattern("mcar", 0.5, 0, False, data="x", version="1")
    >>> pattern_path(Path("study"), pattern).name == f"{pattern.id}.parquet"
    True
    """
    return folder / "shifts" / f"{pattern.id}.parquet"


def probe_path(folder: Path, fit: Fit) -> Path:
    """Where it is kept what the reliability of a fit is worth."""
    return folder / "probes" / f"{fit.id}.json"


def split_rows(data: Dataset, fit: Fit) -> tuple[Dataset, Dataset]:
    """Development rows (for fitting, selection, calibration) and labelled test rows of a fit.

    One split per seed as `assign_splits` draws it, or fold `fit.fold` of `folds`: both depend on
    the data, the seed and the fold alone.

    >>> d = Dataset.from_arrays({"a": np.zeros((20, 1))}, [0, 1, np.nan, 1] * 5)
    >>> none = Pattern("none", 0.0, 0, False, "x", "1")
    >>> test = [split_rows(d, Fit("mean", "mean", {}, 0, f, 4, none, "x", "1"))[1] for f in range(4)]
    >>> rows = np.concatenate([part.row_id for part in test])
    >>> len(rows), len(set(rows))  # every labelled row is tested once
    (15, 15)
    """
    development, test = development_rows(data, seed=fit.seed, fold=fit.fold, parts=fit.folds)
    return development, data.take(test[data.labelled[test]])


def development_rows(
    data: Dataset, *, seed: int, fold: int = 0, parts: int = 0
) -> tuple[Dataset, np.ndarray]:
    """(development rows; positions of the test rows) of fold `fold` of `parts`, or of one split."""
    if parts > 1:
        train, test = folds(data, parts, seed=seed)[fold]
        return data.take(train).replace(split=None), test
    drawn = assign_splits(data, seed=seed)
    test = drawn.pop("test")
    label = np.full(len(data), "", dtype="<U12")
    for name, rows in drawn.items():
        label[rows] = name
    kept = np.flatnonzero(label != "")
    return data.take(kept).replace(split=label[kept]), test


def run_job(folder: Path, plan: Plan, job: Job, *, data: Dataset) -> Iterator[Done]:
    """Fits (or loads) the model of a job and runs its evaluations; failures become `Done`s.

    Raises:
        StorageError: the folder cannot be written: nothing else could be recorded either.
    """
    started = time.perf_counter()
    where = folder / "fits" / job.fit.id
    with one_thread():
        try:
            development, test = split_rows(data, job.fit)
            model = _fitted(folder, job.fit, development, data=data)
            clear_failure(where)
        except Exception as error:
            if _hopeless(error):
                raise
            line = write_failure(where, job.fit, error)
            for evaluation in job.evaluations:
                yield Done(evaluation.id, time.perf_counter() - started, f"the fit failed: {line}")
            if job.probe:
                yield Done(f"probe of {job.fit.id}", error=f"the fit failed: {line}")
            return
        facts = read_json(where / "fit.json", "the head of a fit")
        for evaluation in job.evaluations:
            rows = (data, test)
            done = _evaluated(folder, plan, evaluation, rows=rows, model=model, fit=facts)
            yield replace(done, seconds=time.perf_counter() - started)  # the first holds the fit
            started = time.perf_counter()
        if job.probe:
            done = _probed(folder, plan, job.fit, rows=(development, test), model=model)
            yield replace(done, seconds=time.perf_counter() - started)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums come out the same whatever the number of jobs and cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):  # scikit-learn's and numpy's
            yield
    finally:
        torch.set_num_threads(before)


def _fitted(folder: Path, fit: Fit, development: Dataset, *, data: Dataset) -> Model:
    where = folder / "fits" / fit.id
    if where.exists():
        return _stored(where)
    development, shift = under(_kept(folder, fit.trained), development, data=data)
    if fit.hidden:
        development = hide_labels(development, fit.hidden, seed=fit.seed)
    started = time.perf_counter()
    model = Model(fit.name, seed=fit.seed, **fit.settings).fit(development)
    seconds = time.perf_counter() - started

    def write(part: Path) -> None:
        model.save(part)
        facts = {
            "fit": fit.id,
            **fit.key,
            "method": told_spec(fit.method),
            "fingerprint": digest_folder(part),
        }
        facts |= {"rows": len(development), "labelled": int(development.labelled.sum())}
        put_json(part / "fit.json", facts | {"absence": shift["absence"], "seconds": seconds})

    put_folder(where, write)
    return model


def _stored(where: Path) -> Model:
    """A fit of an earlier run. One that cannot be read is not overwritten: it may be needed."""
    try:
        return load(where)
    except AmodalError as error:
        raise CheckpointError(
            f"fits of an earlier run are read again; {where.name} cannot be ({error}); delete that "
            "folder in fits, and run the study again"
        ) from error


def _evaluated(
    folder: Path,
    plan: Plan,
    cell: Evaluation,
    *,
    rows: tuple[Dataset, Dataset],
    model: Model,
    fit: Mapping[str, Any],
) -> Done:
    """One evaluation; `rows` are all rows and the test rows."""
    started = time.perf_counter()
    where = folder / "evaluations" / cell.id
    try:
        shifted, shift = under(_kept(folder, cell.pattern), rows[1], data=rows[0])
        prediction = model.predict(shifted)
        predicted = Predicted.of(shifted, prediction)
        facts = {"method": _about(cell.fit.name), **shift}
        facts |= {"diagnostics": model.diagnostics(prediction)}
        if not cell.fit.trained.is_none:
            facts["trained_absence"] = fit.get("absence")
        facts |= {"fit_fingerprint": fit["fingerprint"], "fit_seconds": fit["seconds"]}
        facts |= {"seconds": time.perf_counter() - started}
        write_evaluation(folder, plan, cell, predicted, facts=facts)
        clear_failure(where)
    except Exception as error:
        if _hopeless(error):
            raise
        return Done(cell.id, error=write_failure(where, cell.fit, error))
    return Done(cell.id)


def _probed(
    folder: Path, plan: Plan, fit: Fit, *, rows: tuple[Dataset, Dataset], model: Model
) -> Done:
    """What the reliability of a fitted model is worth; `rows` are development and test rows."""
    from amodal.study.probe import probe, write_probe

    where = probe_path(folder, fit)
    try:
        found = probe(model, rows[1], rows[0], seed=fit.seed, replicates=plan.replicates)
        write_probe(where, fit, found)
        clear_failure(where.with_suffix(""))
    except Exception as error:
        if _hopeless(error):
            raise
        line = write_failure(where.with_suffix(""), fit, error)
        return Done(f"probe of {fit.id}", error=line)
    return Done(f"probe of {fit.id}")


def _kept(folder: Path, pattern: Pattern) -> Path | None:
    return None if pattern.is_none else pattern_path(folder, pattern)


def under(path: Path | None, rows: Dataset, *, data: Dataset) -> tuple[Dataset, dict[str, Any]]:
    """Some rows under a kept pattern; the shift, and the rates that came out on them.

    What is lost is read from the file. Changes of values are made anew on all rows, as they were
    when the pattern was drawn: their numbers are keyed, and the standard deviations are those of
    all rows.

    Args:
        path: of the pattern; None for the rows as they are.
        rows: some rows of `data`.
        data: all rows, as the pattern was drawn for.
    """
    if path is None:
        lost = np.zeros(rows.shape, dtype=bool)
        spec = NoShift().to_json() | {"text": NoShift().describe()}
        rates = LossPattern.measure(rows, lost, requested=0.0).rates
        return rows, {"shift": spec, "absence": rates.to_json()}
    drawn = LossPattern.load(path)
    shift = drawable(shift_from_json(drawn.spec))
    lost, worse = lost_pairs(drawn, rows), 0.0
    source = rows
    if drawn.worse is not None:
        at = _places(data.row_id, rows.row_id)
        changed = shift.noisy(data).take(at)
        source = rows.replace(values=changed.values)
        touched = drawn.worse[_places(drawn.row_id, rows.row_id)][rows.present]
        worse = float(touched.mean()) if len(touched) else float("nan")
    measured = LossPattern.measure(
        rows, lost, requested=drawn.rates.requested, columns=shift.columns(rows)
    )
    rates = replace(measured.rates, worse=worse)
    spec = {**drawn.spec, "text": shift.describe()}
    return drawn.apply(source), {"shift": spec, "absence": rates.to_json()}


def _about(name: str) -> dict[str, Any]:
    """What a report says of a method."""
    method = get_method(name)
    family = "neural" if hasattr(method, "stages") else "classic"
    told = {"title": method.title, "reference": method.reference, "year": method.year}
    return {**told, "family": family}


def lost_pairs(pattern: LossPattern, data: Dataset) -> np.ndarray:
    """``Bool[n, m]``: the pairs of `data` that `pattern` loses, joined by row id and name.

    >>> d = Dataset.from_arrays({"a": np.zeros((2, 1))}, rows={"row_id": ["p", "q"]})
    >>> pattern = LossPattern.measure(d, np.array([[True], [False]]), requested=0.5)
    >>> lost_pairs(pattern, d[::-1]).tolist()
    [[False], [True]]
    """
    columns = [pattern.names.index(name) for name in data.names]
    return pattern.lost[_places(pattern.row_id, data.row_id)][:, columns]


def _places(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``Int[n]`` where each of `wanted` stands in `known`."""
    place = {row: k for k, row in enumerate(known.tolist())}
    return np.array([place[row] for row in wanted.tolist()], dtype=np.int64)


def _hopeless(error: BaseException | None) -> bool:
    """No other cell could be written either: the disk is full, or not ours to write on."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_DISK:
            return True
        error = error.__cause__ or error.__context__
    return False
