"""`tune`: searches the settings of the methods of a plan, and writes what was found.

Layout of the folder::

    tune.json     what was asked for: data, rows, metric, losses
    journal.log   every trial, as it was begun and finished (JSON lines of Optuna)
    trials.csv    every finished trial: method, settings, score, seconds, error
    tuned.toml    the best settings of each method, with the budget; a study names this file
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import amodal
from amodal.data.source import open_dataset
from amodal.errors import SettingError, StorageError
from amodal.methods import get_method
from amodal.metrics import default_metrics, select
from amodal.settings import coerce, told, told_spec
from amodal.space import Space, size_of
from amodal.study.files import canonical, digest, put_file, put_json, read_json, write_csv
from amodal.study.plan import Plan
from amodal.study.run import check_plan
from amodal.study.tuned import FORMAT, toml_text
from amodal.tuning.budget import Budget
from amodal.tuning.search import Trial, open_journal, search
from amodal.tuning.trial import Rows, rows_of, score_of

__all__ = ["Tuned", "tune"]

_HEAD = {"format": "amodal-tune", "version": 1}

Progress = Callable[[int, int, str], None]
"""Called as progress(finished trials, trials of the budget or 0, what was just done)."""


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        path: of ``tuned.toml``.
        trials: method spec -> its finished trials.
        metric: by which they were scored.
    """

    path: Path
    trials: Mapping[str, list[Trial]]
    metric: str

    def best(self, spec: str) -> Trial | None:
        """The trial with the lowest score; the earliest of several; None where all failed."""
        scored = [t for t in self.trials[spec] if t.score is not None]
        return min(scored, key=lambda t: t.score, default=None)


def tune(
    plan: Plan,
    out: str | Path,
    *,
    budget: Budget,
    metric: str = "",
    validation_folds: int = 0,
    progress: Progress | None = None,
) -> Tuned:
    """Searches the settings of each method of `plan` on validation rows, with the same budget.

    Test rows of the plan's first seed (and first fold) are set aside before anything else and never
    read. A trial is fitted on development rows without the validation rows and scored on these, as
    they are and under every mechanism and rate of the plan. Settings that the plan states are kept
    as they are. The same call goes on where it was killed; with a larger budget it goes further.

    Args:
        plan: data, methods, losses, first seed, folds, settings that are fixed.
        out: a folder: new, empty, or of the same search.
        budget: of each method.
        metric: by which trials are scored; empty for log loss (real targets: Gaussian likelihood).
        validation_folds: fit and score each trial so many times, each fold of the development rows
            being the validation rows once; 0 for one part. A few dozen rows rank settings by chance.
        progress: called after each trial, and once at the start.

    Raises:
        SettingError: a method, setting or metric of the plan has no meaning; one fold; Optuna is
            missing.
        DataError: the data have no target, or cannot be split.
        StorageError: the folder is of something else, in use, or cannot be written.
    """
    data = open_dataset(plan.data)
    models = check_plan(plan, data)
    metric = metric or _default_metric(data.task.kind)
    if next(iter(select(data.task.kind, [metric]).values())).samples is not None:
        raise SettingError(f"trials are scored by a metric of predictions; {metric} is none")
    rows = rows_of(plan, data, validation_folds)
    folder = _open_folder(Path(out), _asked(plan, rows, metric, data))
    found: dict[str, list[Trial]] = {}
    with _alone(folder):
        journal = open_journal(folder / "journal.log")
        report = progress or (lambda done, total, text: None)
        report(0, budget.trials * len(models), "searching")
        for spec, (name, settings) in models.items():
            space, defaults = _space(name, settings)
            before = sum(map(len, found.values()))
            found[spec] = search(
                journal,
                told_spec(spec),
                space,
                budget,
                defaults=defaults,
                evaluate=partial(_scored, rows, name, settings, metric),
                seed=rows.seed,
                told=lambda t, s=spec, b=before: report(
                    b + t.number + 1, budget.trials * len(models), _line(s, t)
                ),
            )
            tuned = Tuned(folder / "tuned.toml", dict(found), metric)
            _write(tuned, plan, models, budget=budget, rows=rows, data=data)
    return tuned


def _scored(
    rows: Rows, name: str, settings: Mapping[str, Any], metric: str, tried: Mapping[str, Any]
) -> float:
    return score_of(rows, name, {**settings, **tried}, metric=metric)


def _default_metric(kind: str) -> str:
    wanted = "gaussian_nll" if kind == "regression" else "log_loss"
    return wanted if wanted in default_metrics(kind) else default_metrics(kind)[0]


def _space(name: str, settings: Mapping[str, Any]) -> tuple[Space, dict[str, Any]]:
    """Where to look, without settings that are stated; and the defaults of these."""
    method = get_method(name)
    known = {**_defaults(), **method.settings(), **getattr(method, "defaults", {})}
    space = {k: where for k, where in method.search_space.items() if k not in settings}
    return space, {k: coerce(k, known[k], known[k]) for k in space}


def _defaults() -> dict[str, Any]:
    from amodal.encoders import EncoderSettings
    from amodal.training import TrainSettings

    return {f.name: f.default for kind in (EncoderSettings, TrainSettings) for f in fields(kind)}


def _line(spec: str, t: Trial) -> str:
    """One line for people."""
    outcome = f"failed: {t.error}" if t.score is None else f"{t.score:.4f}"
    return f"{told_spec(spec)}, trial {t.number + 1}: {outcome} ({t.seconds:.1f} s)"


# -- files ----------------------------------------------------------------------------------------


def _asked(plan: Plan, rows: Rows, metric: str, data: Any) -> dict[str, Any]:
    """What determines the score of a trial."""
    first = rows.parts[0]
    return {
        **_HEAD,
        "data": str(data.provenance.get("name") or Path(plan.data).name),
        "development": rows.fingerprint,
        "rows": {"fit": len(first.fit), "validation": len(first.held[0][1])},
        "validation_folds": len(rows.parts) if len(rows.parts) > 1 else 0,
        "losses": [name for name, _ in first.held],
        "metric": metric,
        "seed": rows.seed,
        "folds": plan.folds,
        "settings": {told_spec(k): told(v) for k, v in plan.settings.items()},
        "amodal": amodal.__version__,
    }


def _open_folder(folder: Path, asked: Mapping[str, Any]) -> Path:
    head = folder / "tune.json"
    if folder.is_file():
        raise StorageError(f"a search writes a folder; {folder} is a file; choose another name")
    if head.exists():
        found = read_json(head, "the head of a search")
        if canonical(found) != canonical(dict(asked)):
            differ = [k for k in asked if canonical(found.get(k)) != canonical(asked[k])]
            raise StorageError(
                "a folder holds one search: the same rows, losses, metric and fixed settings; "
                f"{folder} holds one with other {', '.join(differ)}; choose another folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise StorageError(
            f"a search needs a folder of its own; {folder} holds other files; choose a new one"
        )
    else:
        put_json(head, asked)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuses a second process on the same folder; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - not on Windows
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                f"one process searches in a folder at a time; another one does in {folder}; wait "
                "for it, or choose another folder"
            ) from None
        yield


def _write(
    tuned: Tuned,
    plan: Plan,
    models: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    budget: Budget,
    rows: Rows,
    data: Any,
) -> None:
    asked = _asked(plan, rows, tuned.metric, data)
    kept = {k: v for k, v in asked.items() if k not in ("format", "version", "settings", "rows")}
    sizes = {f"{k}_rows": n for k, n in asked["rows"].items()}
    limits = {"trials": budget.trials, "seconds": float(budget.seconds)}
    tables: dict[str, dict[str, Any]] = {"tuned": {**FORMAT, **limits, **kept, **sizes}}
    text = toml_text(tables)
    for spec, trials in tuned.trials.items():
        name, settings = models[spec]
        text += "\n" + _table("found", spec, _found(tuned, spec, trials, _space(name, settings)[0]))
        best = tuned.best(spec)
        text += "\n" + _table("settings", spec, {} if best is None else dict(best.settings))
    head = '# Settings found by `amodal tune`. A study takes them by tuned = "tuned.toml".\n\n'
    put_file(tuned.path, lambda part: part.write_text(head + text, encoding="utf-8"))
    lines = [_csv_row(spec, t) for spec, trials in tuned.trials.items() for t in trials]
    if lines:
        write_csv(tuned.path.with_name("trials.csv"), lines)


def _table(part: str, spec: str, values: Mapping[str, Any]) -> str:
    """``[part."spec"]`` and its lines."""
    inner = toml_text({told_spec(spec): values})
    return inner.replace("[", f"[{part}.", 1)


def _found(tuned: Tuned, spec: str, trials: list[Trial], space: Space) -> dict[str, Any]:
    best, whole = tuned.best(spec), size_of(space)
    distinct = {digest(dict(t.settings)) for t in trials}
    facts: dict[str, Any] = {
        "trials": len(trials),
        "failed": sum(t.score is None for t in trials),
        "seconds": round(sum(t.seconds for t in trials), 1),
        "all_tried": whole is not None and len(distinct) >= whole,
        "searched": sorted(space),
    }
    if best is not None:
        facts["score"] = best.score
    if trials and trials[0].score is not None:
        facts["score_of_defaults"] = trials[0].score
    return facts


def _csv_row(spec: str, t: Trial) -> dict[str, Any]:
    return {
        "method": told_spec(spec),
        "trial": t.number,
        "settings": canonical(dict(t.settings)),
        "score": t.score,
        "seconds": t.seconds,
        "error": t.error,
    }
