"""The search of one method: Optuna's tree-structured Parzen estimator, resumable trial by trial."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.errors import SettingError
from amodal.space import Choice, Range, Space, size_of
from amodal.study.files import digest
from amodal.study.records import failure_line
from amodal.tuning.budget import Budget

if TYPE_CHECKING:
    import optuna

__all__ = ["Trial", "open_journal", "search", "trials_of"]

_START = 8
"""Trials drawn at random before the estimator takes over, the defaults included."""

Told = Callable[["Trial"], None]


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
        number: from 0, without those that were killed.
        settings: that were tried.
        score: lower is better; None where it failed.
        seconds: that it took; 0 where the same settings were tried before.
        error: in one line; empty where there was none.
    """

    number: int
    settings: Mapping[str, Any]
    score: float | None
    seconds: float
    error: str = ""


def open_journal(path: Path) -> Any:
    """The journal that keeps all trials, a file of JSON lines.

    Raises:
        SettingError: Optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise SettingError(
            "settings are searched by Optuna, which is an extra; it is not installed; "
            "pip install 'amodal[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the storage is new does not concern who tunes
        return JournalStorage(JournalFileBackend(str(path)))


def search(
    journal: Any,
    spec: str,
    space: Space,
    budget: Budget,
    *,
    defaults: Mapping[str, Any],
    evaluate: Callable[[Mapping[str, Any]], float],
    seed: int,
    told: Told,
) -> list[Trial]:
    """Tries settings until the budget is spent, or all that there are were tried.

    The defaults come first, so that what is found is never worse than they are on the validation
    rows. The draw of a trial is seeded by `seed`, `spec` and its number and depends on the finished
    trials alone: a search that was killed and goes on finds what it would have found.

    Args:
        journal: as `open_journal` gives it.
        spec: the method.
        space: where to look.
        budget: of this method, earlier calls included.
        defaults: the value of each setting of `space` to begin with.
        evaluate: settings -> score, lower is better; what it raises makes a failed trial.
        seed: of the search.
        told: called after each trial.

    Returns:
        All finished trials, in order.
    """
    study = _study(journal, spec)
    while True:
        done = trials_of(study)
        distinct = {_key(t.settings) for t in done}
        whole = size_of(space)
        if budget.spent(len(done), sum(t.seconds for t in done)):
            return done
        if whole is not None and len(distinct) >= whole:
            return done
        told(_one(study, space, done, defaults=defaults, evaluate=evaluate, seed=(seed, spec)))


def _study(journal: Any, spec: str) -> optuna.Study:
    """The study of a method, with what a killed process left behind closed."""
    import optuna

    study = optuna.create_study(
        storage=journal, study_name=spec, direction="minimize", load_if_exists=True
    )
    for stale in study.get_trials(deepcopy=False):
        if not stale.state.is_finished():
            study.tell(stale.number, state=optuna.trial.TrialState.FAIL)
    return study


def trials_of(study: optuna.Study) -> list[Trial]:
    """The finished trials of a study, numbered anew."""
    kept = [t for t in study.get_trials(deepcopy=False) if "seconds" in t.user_attrs]
    kept = [t for t in kept if t.state.name == "COMPLETE" or t.user_attrs.get("error")]
    return [
        Trial(
            k,
            dict(t.user_attrs["settings"]),
            t.value if t.state.name == "COMPLETE" else None,
            float(t.user_attrs["seconds"]),
            str(t.user_attrs.get("error", "")),
        )
        for k, t in enumerate(kept)
    ]


def _one(
    study: optuna.Study,
    space: Space,
    done: list[Trial],
    *,
    defaults: Mapping[str, Any],
    evaluate: Callable[[Mapping[str, Any]], float],
    seed: tuple[int, str],
) -> Trial:
    import optuna

    drawn = int(digest([*seed, len(done)]), 16) % 2**31
    study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=_START)
    if not done:
        study.enqueue_trial(dict(defaults))
    trial = study.ask({name: _distribution(where) for name, where in space.items()})
    settings = dict(trial.params)
    started = time.perf_counter()
    value, error = None, ""
    same = [t for t in done if _key(t.settings) == _key(settings)]
    try:
        value = same[0].score if same else evaluate(settings)
        error = same[0].error if same else ""
    except Exception as problem:
        error = failure_line(problem)
    seconds = 0.0 if same else time.perf_counter() - started
    # before `tell`, in one step with it: a trial killed in between counts as never begun
    for key, x in (("settings", settings), ("error", error), ("seconds", seconds)):
        trial.set_user_attr(key, x)
    if value is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, value)
    return Trial(len(done), settings, value, seconds, error)


def _distribution(where: Range | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(where, Choice):
        return CategoricalDistribution(where.values)
    return FloatDistribution(where.low, where.high, log=where.log)


def _key(settings: Mapping[str, Any]) -> str:
    return digest(dict(settings), 16)
