"""``amodal study``: methods x rates x mechanisms x seeds on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amodal.cli.failures import UNFINISHED
from amodal.cli.options import Data, Metrics, many, numbers
from amodal.cli.show import heading, next_step
from amodal.errors import SettingError

if TYPE_CHECKING:
    from amodal.study import Outcome

__all__ = ["settings_by_method", "study"]

_FEW = 5


def study(
    data: Data,
    methods: Annotated[str, typer.Option(help="Names or name:key=value:..., with commas.")],
    out: Annotated[Path, typer.Option(help="The folder of the study.")],
    absent: Annotated[str, typer.Option(help="Rates of loss, with commas.")] = "0,0.3,0.5,0.7",
    mechanism: Annotated[str, typer.Option(help="Mechanisms of loss, with commas.")] = "mcar",
    seeds: Annotated[str, typer.Option(help="How many; or a list such as 0,5,7.")] = "1",
    folds: Annotated[int, typer.Option(min=0, help="Cross-validation; 0: one split per seed.")] = 0,
    absent_at: Annotated[str, typer.Option(help="test, or both (training rows too).")] = "test",
    keep_one: Annotated[
        bool, typer.Option("--keep-one", help="A row never loses all that it has.")
    ] = False,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="[METHOD.]KEY=VALUE",
            help="A setting of one method (or of neural, classic); without METHOD of all neural "
            "ones. May be given several times.",
        ),
    ] = [],  # noqa: B006 - typer hands in a list of its own
    metrics: Metrics = "",
    replicates: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 1000,
    focus: Annotated[str, typer.Option(help="Methods that the study is about.")] = "",
    reference: Annotated[str, typer.Option(help="Method that all are compared with.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Compare methods on DATA while modalities get lost.

    Each finished cell is a file and is never run again: repeated after a kill, the call goes on
    where it was; with more methods, rates or seeds it adds cells.
    """
    from amodal.cli.progress import StudyProgress
    from amodal.study import Plan, run_study

    count = numbers("seeds", seeds, int)
    plan = Plan(
        data,
        tuple(many(methods)),
        rates=tuple(numbers("rates of loss", absent, float)),
        mechanisms=tuple(many(mechanism)),
        seeds=count[0] if len(count) == 1 and "," not in seeds else tuple(count),
        folds=folds,
        absent_at=absent_at,
        keep_one=keep_one,
        settings=settings_by_method(settings),
        metrics=tuple(many(metrics)),
        replicates=replicates,
        jobs=jobs,
        focus=tuple(many(focus)),
        reference=reference,
    )
    with StudyProgress() as progress:
        outcome = run_study(plan, out, progress=progress)
    _show(outcome, out)
    if outcome.failed:
        raise typer.Exit(UNFINISHED)


def settings_by_method(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``[METHOD.]KEY=VALUE`` as the settings of a plan: method or family -> settings.

    Raises:
        SettingError: a text that is none.

    >>> settings_by_method(["epochs=3", "boosting.depth=2", "ensemble=4"])
    {'neural': {'epochs': 3}, 'boosting': {'depth': 2}, '*': {'ensemble': 4}}
    """
    from amodal.settings import parse_method, parse_pairs

    found: dict[str, dict[str, Any]] = {}
    for key, value in parse_pairs(pairs).items():
        method, dot, name = key.rpartition(".")
        if not name or (dot and not method):
            raise SettingError(
                f"a setting of a study is written [METHOD.]KEY=VALUE; got {key!r}; write it so"
            )
        family = "*" if name in ("ensemble", "calibrate") else "neural"
        typed = parse_method(f"_:{name}={value}")[1]
        found.setdefault(method or family, {}).update(typed)
    return found


def _show(outcome: Outcome, out: Path) -> None:
    heading(
        f"{outcome.cells} cells: {outcome.ran} run now, {outcome.skipped} finished before, "
        f"{len(outcome.failed)} failed."
    )
    for cell, line in outcome.failed[:_FEW]:
        typer.echo(f"  {cell}: {line}", err=True)
    if outcome.failed:
        more = len(outcome.failed) - _FEW
        rest = f"  ... and {more} more" if more > 0 else ""
        typer.echo(
            f"{rest}\n  Failed cells are tried again by the same call.".lstrip("\n"), err=True
        )
    next_step(f"amodal report {out}")
