"""The files of a study: how its head, evaluations and failures are written; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from amodal.errors import AmodalError, StorageError
from amodal.metrics import score
from amodal.settings import keyed, told_spec
from amodal.study.cells import Evaluation, Fit, Job
from amodal.study.describe import versions
from amodal.study.files import put_json
from amodal.study.plan import Plan
from amodal.study.predictions import Predicted, write_predictions

__all__ = [
    "FORMAT",
    "check_format",
    "clear_failure",
    "failure_line",
    "failure_path",
    "write_evaluation",
    "write_failure",
    "write_head",
]

FORMAT = {"format": "amodal-study", "version": 1}


def check_format(facts: Mapping[str, Any], where: str, *, advice: str, kind: str = "study") -> None:
    """Refuses what another version of this package wrote.

    Args:
        facts: what a file of a study holds.
        where: the folder or the file.
        advice: what to do.
        kind: "study", or "evaluation" for a file of one.

    Raises:
        StorageError: the format or its version is another one.

    >>> check_format(FORMAT | {"version": 9}, "my-study", advice="choose another folder")
    Traceback (most recent call last):
    amodal.errors.StorageError: the format of a study is amodal-study version 1; my-study has
    amodal-study 9; choose another folder
    """
    known = ("amodal-" + kind, FORMAT["version"])
    found = (facts.get("format"), facts.get("version"))
    if found != known:
        raise StorageError(
            f"the format of a study is {known[0]} version {known[1]}; {where} has {found[0]} "
            f"{found[1]}; {advice}"
        )


def write_head(
    folder: Path, plan: Plan, jobs: Sequence[Job], *, description: Mapping[str, Any]
) -> None:
    """Writes ``study.json`` and the description of the data (`describe_data`).

    >>> from tempfile import TemporaryDirectory
    >>> from amodal.study.cells import expand
    >>> plan = Plan("builtin:digits", ("mean",), rates=(0, 0.5))
    >>> jobs = expand(plan, {"mean": ("mean", {})}, data="x", version="1")
    >>> with TemporaryDirectory() as folder:
    ...     write_head(Path(folder), plan, jobs, description={"fingerprint": "x"})
    ...     sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*.json"))
    ['data/x.json', 'study.json']
    """
    fingerprint = description["fingerprint"]
    put_json(folder / "data" / f"{fingerprint}.json", description)
    cells = {
        "fits": [job.fit.id for job in jobs],
        "evaluations": [e.id for job in jobs for e in job.evaluations],
    }
    facts = {
        "plan": plan.told().to_json(),
        "data": fingerprint,
        "versions": versions(),
        "cells": cells,
    }
    put_json(folder / "study.json", FORMAT | facts)


def write_evaluation(
    folder: Path, plan: Plan, cell: Evaluation, predicted: Predicted, *, facts: Mapping[str, Any]
) -> Path:
    """Writes the predictions, then the evaluation file, which makes the cell a finished one.

    Args:
        folder: of the study.
        plan: names the metrics and replicates.
        cell: which evaluation.
        predicted: labelled test rows under the shift.
        facts: what the caller knows: ``method`` (title, reference, year, family), ``shift``,
            ``absence`` (`LossRates.to_json`), ``fit_fingerprint``, ``fit_seconds``, ``seconds``.
    """
    write_predictions(folder / "predictions" / f"{cell.id}.parquet", predicted)
    metrics = score(
        predicted.task.kind,
        predicted.target,
        predicted.outputs,
        metrics=plan.metrics or None,
        weight=predicted.weight,
        group=predicted.group,
        replicates=plan.replicates,
    )
    own = {
        **_determined(cell),
        **facts,
        "method": {**_method(cell.fit), **facts["method"]},
        "keep_one": plan.keep_one,
        "task": predicted.task.to_json(),
        "modalities": list(predicted.names),
        "rows": len(predicted),
        "groups": len(np.unique(predicted.unit)),
        "metrics": {name: interval.to_json() for name, interval in metrics.items()},
        "versions": versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return put_json(folder / "evaluations" / f"{cell.id}.json", own)


def _method(fit: Fit) -> dict[str, Any]:
    return {"spec": told_spec(fit.method), "name": fit.name, "settings": keyed(fit.settings)}


def _determined(cell: Evaluation) -> dict[str, Any]:
    """What a cell's place in the plan determines."""
    fit, pattern = cell.fit, cell.pattern
    return {
        "format": "amodal-evaluation",
        "version": 1,
        "id": cell.id,
        "fit": fit.id,
        "mechanism": told_spec(cell.at.mechanism),
        "rate": cell.at.rate,
        "trained_under": {
            "mechanism": told_spec(fit.trained.mechanism),
            "rate": fit.trained.rate,
            "pattern": None if fit.trained.is_none else fit.trained.id,
            "hidden_labels": fit.hidden,
        },
        "pattern": None if pattern.is_none else pattern.id,
        "seed": fit.seed,
        "fold": fit.fold,
        "folds": fit.folds,
        "data": fit.data,
        "package": fit.version,
    }


def failure_line(error: Exception) -> str:
    """The error in one line.

    >>> failure_line(ValueError("two\\nlines"))
    'ValueError: two'
    """
    first = (str(error).strip() or "no text").splitlines()[0][:300]
    return first if isinstance(error, AmodalError) else f"{type(error).__name__}: {first}"


def write_failure(where: Path, fit: Fit, error: Exception) -> str:
    """Writes ``<where>.failed.json``: what went wrong, in one line, and at which line of code.

    >>> from tempfile import TemporaryDirectory
    >>> from amodal.study.cells import Pattern
    >>> fit = Fit("mean", "mean", {}, 0, 0, 0, Pattern("none", 0.0, 0, False, "x", "1"), "x", "1")
    >>> with TemporaryDirectory() as folder:
    ...     told = write_failure(Path(folder, "mean-s0"), fit, ValueError("no rows\\nmore"))
    ...     told, [p.name for p in Path(folder).iterdir()]
    ('ValueError: no rows', ['mean-s0.failed.json'])
    """
    trace, at = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        at = f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    facts = {
        "cell": where.name,
        "method": told_spec(fit.method),
        "seed": fit.seed,
        "fold": fit.fold,
    }
    facts |= {"data": fit.data, "package": fit.version, "error": failure_line(error), "at": at}
    put_json(failure_path(where), facts)
    return facts["error"]


def clear_failure(where: Path) -> None:
    """Removes the record of an earlier failure.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     failure_path(Path(folder, "mean-s0")).touch()
    ...     for _ in range(2):  # also where there is none
    ...         clear_failure(Path(folder, "mean-s0"))
    ...     list(Path(folder).iterdir())
    []
    """
    failure_path(where).unlink(missing_ok=True)


def failure_path(where: Path) -> Path:
    """Where it is recorded that a fit or an evaluation failed.

    >>> failure_path(Path("fits", "mean-s0-f0")).name
    'mean-s0-f0.failed.json'
    """
    return where.with_name(f"{where.name}.failed.json")
