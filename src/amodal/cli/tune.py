"""``amodal tune``: the settings of methods, searched with the same budget for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amodal.cli.failures import UNFINISHED
from amodal.cli.options import Mechanisms, Methods, StudyData, many, numbers
from amodal.cli.show import heading, next_step, shown, table
from amodal.cli.study import settings_by_method
from amodal.settings import told_spec

if TYPE_CHECKING:
    from amodal.tuning import Tuned

__all__ = ["tune"]


def tune(
    data: StudyData,
    out: Annotated[Path, typer.Option(help="The folder of the search.")],
    methods: Methods = None,
    trials: Annotated[int, typer.Option(min=0, help="Per method; 0: no limit.")] = 0,
    seconds: Annotated[
        float, typer.Option(min=0, help="Of trials, per method; 0: no limit.")
    ] = 0.0,
    metric: Annotated[
        str, typer.Option(help="Scores a trial.", show_default="log_loss, or gaussian_nll")
    ] = "",
    validation_folds: Annotated[
        int,
        typer.Option(
            min=0, help="Each trial's score is a mean over so many folds; 0: one part of the rows."
        ),
    ] = 0,
    absent: Annotated[
        str | None, typer.Option(help="Rates of loss, with commas.", show_default="0,0.5")
    ] = None,
    mechanism: Mechanisms = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of split and search.")] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="[METHOD.]KEY=VALUE",
            help="A setting that is kept as it is; as in `amodal study`.",
        ),
    ] = [],  # noqa: B006 - typer hands in a list of its own
) -> None:
    """Search the settings of METHODS on validation rows of DATA, each with the same budget.

    Test rows are set aside first. The same call goes on where it was killed. A study takes what was
    found by `--tuned OUT/tuned.toml`, or by tuned = "..." in its file.
    """
    from amodal.cli.progress import TuneProgress
    from amodal.study import Plan, read_study_file
    from amodal.tuning import Budget
    from amodal.tuning import tune as search

    budget = Budget(trials, seconds)
    given = {
        "methods": methods and many(methods),
        "rates": absent and numbers("rates of loss", absent, float),
        "mechanisms": None if mechanism is None else many(mechanism),
        "seeds": None if seed is None else (seed,),
        "settings": settings_by_method(settings) or None,
    }
    given = {k: v for k, v in given.items() if v is not None}
    if data.endswith(".toml"):
        plan = read_study_file(data, given)
    else:
        plan = Plan.from_json({"data": data, "rates": (0.0, 0.5), **given})
    with TuneProgress() as progress:
        found = search(
            plan,
            out,
            budget=budget,
            metric=metric,
            validation_folds=validation_folds,
            progress=progress,
        )
    _show(found)
    if any(found.best(spec) is None for spec in found.trials):
        raise typer.Exit(UNFINISHED)


def _show(found: Tuned) -> None:
    heading(f"Mean {found.metric} on validation rows, turned so that lower is better.")
    rows = []
    for spec, trials in found.trials.items():
        best = found.best(spec)
        told = ", ".join(f"{k}={_brief(v)}" for k, v in best.settings.items()) if best else ""
        first = trials[0].score if trials else None
        scores = [shown(x, 4) for x in (first, best.score if best else None)]
        rows.append([told_spec(spec), str(len(trials)), *scores, told or "every trial failed"])
    columns = ["method", "trials", "defaults", "best", "settings"]
    table(columns, rows, right=("trials", "defaults", "best"))
    next_step("amodal", "study", "...", "--tuned", found.path)


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
