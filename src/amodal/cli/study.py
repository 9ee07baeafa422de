"""``amodal study``: methods x rates x mechanisms x seeds on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amodal.cli.failures import UNFINISHED
from amodal.cli.options import Mechanisms, Methods, StudyData, many, numbers, rates_of_loss
from amodal.cli.show import heading, next_step
from amodal.errors import SettingError

if TYPE_CHECKING:
    from amodal.study import Outcome

__all__ = ["settings_by_method", "study"]

_FEW = 5


def study(
    data: StudyData,
    out: Annotated[Path, typer.Option(help="The folder of the study.")],
    methods: Methods = None,
    absent: Annotated[
        str | None,
        typer.Option(
            help="Rates of loss, with commas; labs=0.7/notes=0.1 for one rate per modality.",
            show_default="0,0.3,0.5,0.7",
        ),
    ] = None,
    mechanism: Mechanisms = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many; or a list such as 0,5,7.", show_default="1")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=0, help="Cross-validation; 0: one split per seed.")
    ] = None,
    absent_at: Annotated[
        str | None, typer.Option(help="test, training, or both.", show_default="test")
    ] = None,
    hidden_labels: Annotated[
        float | None,
        typer.Option("--hide-labels", help="Share of training labels that are hidden."),
    ] = None,
    probe: Annotated[
        bool | None,
        typer.Option("--probe/--no-probe", help="Measure what reliability is worth."),
    ] = None,
    keep_one: Annotated[
        bool | None,
        typer.Option("--keep-one/--lose-all", help="A row never loses all that it has."),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="[METHOD.]KEY=VALUE",
            help="A setting of one method (or of neural, classic); without METHOD of all neural "
            "ones. May be given several times.",
        ),
    ] = [],  # noqa: B006 - typer hands in a list of its own
    metrics: Annotated[
        str | None, typer.Option(help="Names, with commas, the primary one first.")
    ] = None,
    replicates: Annotated[
        int | None, typer.Option(min=1, help="Of the bootstrap.", show_default="1000")
    ] = None,
    focus: Annotated[str | None, typer.Option(help="Methods that the study is about.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Method that all are compared with.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Of non-inferiority, in the primary metric.")
    ] = None,
    subgroups: Annotated[
        str | None,
        typer.Option(help="Columns to tell results apart by: sex,demographics.age:18:65."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Column of the site; results are pooled over sites.")
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(help="Risks to act from, with commas.", show_default="0.05,0.1,0.2,0.5"),
    ] = None,
    tuned: Annotated[
        Path | None, typer.Option(help="A tuned.toml that `amodal tune` wrote.")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--data", help="Other data than the study file names.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="1")] = None,
    engine: Annotated[
        str, typer.Option(help="processes of this machine, or ray (a cluster).")
    ] = "processes",
    rerun: Annotated[
        str, typer.Option(help="missing cells only; failed ones too; or all of them.")
    ] = "failed",
) -> None:
    """Compare methods on DATA while modalities get lost.

    Each finished cell is a file and is not run again: repeated after a kill, the call goes on
    where it was; with more methods, rates or seeds it adds cells.
    """
    from amodal.cli.progress import StudyProgress
    from amodal.study import Plan, read_study_file, run_study
    from amodal.study.tuned import with_tuned

    given = {
        "data": on,
        "methods": methods and many(methods),
        "rates": absent and rates_of_loss(absent),
        "mechanisms": None if mechanism is None else many(mechanism),
        "seeds": seeds and _seeds(seeds),
        "folds": folds,
        "absent_at": absent_at,
        "hidden_labels": hidden_labels,
        "probe": probe,
        "keep_one": keep_one,
        "metrics": None if metrics is None else many(metrics),
        "replicates": replicates,
        "jobs": jobs,
        "focus": None if focus is None else many(focus),
        "reference": reference,
        "margin": margin,
        "subgroups": None if subgroups is None else many(subgroups),
        "site": site,
        "thresholds": None if thresholds is None else numbers("thresholds", thresholds, float),
        "settings": settings_by_method(settings) or None,
    }
    given = {k: v for k, v in given.items() if v is not None}
    if data.endswith(".toml"):
        plan = read_study_file(data, given | ({"tuned": tuned} if tuned else {}))
    else:
        plan = Plan.from_json({"data": data, **given})
        plan = with_tuned(plan, tuned) if tuned else plan
    with StudyProgress() as progress:
        outcome = run_study(plan, out, rerun=rerun, engine=engine, progress=progress)
    _show(outcome, out)
    if outcome.failed:
        raise typer.Exit(UNFINISHED)


def _seeds(text: str) -> Any:
    """``"3"`` is how many, ``"0,5"`` or ``"3,"`` which.

    >>> _seeds("3"), _seeds("3,"), _seeds("0,5")
    (3, (3,), (0, 5))
    """
    found = numbers("seeds", text, int)
    return found[0] if len(found) == 1 and "," not in text else tuple(found)


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
        family = "*" if name in ("ensemble", "cross", "calibrate") else "neural"
        typed = parse_method(f"_:{name}={value}")[1]
        found.setdefault(method or family, {}).update(typed)
    return found


def _show(outcome: Outcome, out: Path) -> None:
    cells = "1 cell" if outcome.cells == 1 else f"{outcome.cells} cells"
    heading(
        f"{cells}: {outcome.ran} run now, {outcome.skipped} finished before, "
        f"{len(outcome.failed)} failed"
        + (f", {outcome.left} that failed before left alone." if outcome.left else ".")
    )
    for cell, line in outcome.failed[:_FEW]:
        typer.echo(f"  {cell}: {line}", err=True)
    if outcome.failed:
        more = len(outcome.failed) - _FEW
        rest = f"  ... and {more} more" if more > 0 else ""
        typer.echo(
            f"{rest}\n  Failed cells are tried again by the same call.".lstrip("\n"), err=True
        )
    next_step("amodal", "report", out)
