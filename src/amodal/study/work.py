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
from amodal.methods import get_method
from amodal.model import Model, load
from amodal.settings import told_spec
from amodal.shifts import LossPattern, NoShift, shift_from_json
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
    "run_job",
    "split_rows",
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
            model = _fitted(folder, job.fit, development)
            clear_failure(where)
        except Exception as error:
            if _hopeless(error):
                raise
            line = write_failure(where, job.fit, error)
            for evaluation in job.evaluations:
                yield Done(evaluation.id, time.perf_counter() - started, f"the fit failed: {line}")
            return
        facts = read_json(where / "fit.json", "the head of a fit")
        for evaluation in job.evaluations:
            done = _evaluated(folder, plan, evaluation, test=test, model=model, fit=facts)
            yield replace(done, seconds=time.perf_counter() - started)  # the first holds the fit
            started = time.perf_counter()


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


def _fitted(folder: Path, fit: Fit, development: Dataset) -> Model:
    where = folder / "fits" / fit.id
    if where.exists():
        return load(where)
    if not fit.trained.is_none:
        development = LossPattern.load(pattern_path(folder, fit.trained)).apply(development)
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
        put_json(part / "fit.json", facts | {"rows": len(development), "seconds": seconds})

    put_folder(where, write)
    return model


def _evaluated(
    folder: Path,
    plan: Plan,
    cell: Evaluation,
    *,
    test: Dataset,
    model: Model,
    fit: Mapping[str, Any],
) -> Done:
    started = time.perf_counter()
    where = folder / "evaluations" / cell.id
    try:
        shifted, shift = _shifted(folder, cell.pattern, test)
        prediction = model.predict(shifted)
        predicted = Predicted.of(shifted, prediction)
        facts = {"method": _about(cell.fit.name), **shift}
        facts |= {"diagnostics": model.diagnostics(prediction)}
        facts |= {"fit_fingerprint": fit["fingerprint"], "fit_seconds": fit["seconds"]}
        facts |= {"seconds": time.perf_counter() - started}
        write_evaluation(folder, plan, cell, predicted, facts=facts)
        clear_failure(where)
    except Exception as error:
        if _hopeless(error):
            raise
        return Done(cell.id, error=write_failure(where, cell.fit, error))
    return Done(cell.id)


def _shifted(folder: Path, pattern: Pattern, test: Dataset) -> tuple[Dataset, dict[str, Any]]:
    """The test rows under a pattern of loss; the shift, and the rates that came out on them."""
    if pattern.is_none:
        lost, shifted = np.zeros(test.shape, dtype=bool), test
        spec = NoShift().to_json() | {"text": NoShift().describe()}
    else:
        drawn = LossPattern.load(pattern_path(folder, pattern))
        lost, shifted = lost_pairs(drawn, test), drawn.apply(test)
        spec = {**drawn.spec, "text": shift_from_json(drawn.spec).describe()}
    rates = LossPattern.measure(test, lost, requested=pattern.rate).rates
    return shifted, {"shift": spec, "absence": rates.to_json()}


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
    place = {row: k for k, row in enumerate(pattern.row_id.tolist())}
    rows = [place[row] for row in data.row_id.tolist()]
    return pattern.lost[rows][:, [pattern.names.index(name) for name in data.names]]


def _hopeless(error: BaseException | None) -> bool:
    """No other cell could be written either: the disk is full, or not ours to write on."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_DISK:
            return True
        error = error.__cause__ or error.__context__
    return False
