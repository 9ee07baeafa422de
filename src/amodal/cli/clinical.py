"""``amodal prepare mimic4`` and ``amodal prepare eicu``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from amodal.clinical.assemble import Prepared

__all__ = ["eicu", "mimic4"]

Raw = Annotated[Path, typer.Argument(metavar="RAW", help="The folder of the database, as it is.")]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="A new folder, or a data set that is replaced.")
]
TaskName = Annotated[str, typer.Option("--task", help="mortality or readmission.")]
Protocol = Annotated[
    str, typer.Option(help="clean, or muse: the published cohort with its flaws, to compare with.")
]
PredictAt = Annotated[
    str | None, typer.Option(help="When is predicted; the documentation of the data lists what.")
]
Modalities = Annotated[
    str | None, typer.Option(help="Which modalities to make, separated by commas; all by default.")
]
Split = Annotated[
    str | None,
    typer.Option(help="What stays on one side: patient, row; eicu: hospital, region."),
]
Seed = Annotated[int, typer.Option(help="Of the split and of --mask-labels.")]
MaskLabels = Annotated[
    float, typer.Option(help="Share of the labels that is taken away at random.")
]
Edition = Annotated[str, typer.Option(help="any, or full or demo to refuse the other one.")]
Threads = Annotated[int, typer.Option(help="Threads of DuckDB, or of a local Spark.")]
Memory = Annotated[
    str | None,
    typer.Option(help="Of DuckDB (800MB; more goes to disk beside OUT) or a local Spark (2GB)."),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="duckdb, spark (local), or bigquery: RAW is a name there.")
]
KeepTables = Annotated[
    bool, typer.Option("--keep-tables", help="Leave the converted tables in a folder beside OUT.")
]


def _shared(
    raw: Raw,
    out: Out,
    task: TaskName,
    protocol: Protocol = "clean",
    modalities: Modalities = None,
    split: Split = None,
    seed: Seed = 0,
    mask_labels: MaskLabels = 0.0,
    edition: Edition = "any",
    threads: Threads = 2,
    memory: Memory = None,
    keep_tables: KeepTables = False,
    engine: EngineName = "duckdb",
) -> Asked:
    """What both commands ask for."""
    from amodal.clinical.workspace import Machine

    machine = Machine(threads=threads, memory=memory, keep_tables=keep_tables, engine=engine)
    choices = {
        "task": task,
        "protocol": protocol,
        "modalities": _names(modalities),
        "split": split,
        "seed": seed,
        "mask_labels": mask_labels,
    }
    return Asked(choices, raw, out, {"edition": edition, "machine": machine, "say": _say})


class Asked(NamedTuple):
    """What was asked of both commands.

    Args:
        choices: arguments of `mimic4_choices` and `eicu_choices`.
        raw: the folder of the database.
        out: where the data set goes.
        run: arguments of `prepare_mimic4` and `prepare_eicu`.
    """

    choices: dict[str, Any]
    raw: Path
    out: Path
    run: dict[str, Any]


_FIRST = ("raw", "out", "task", "protocol")


def _command(own: Callable[..., Any]) -> Callable[..., None]:
    """The command `own`, with the options of `_shared` around its own."""
    shared = inspect.signature(_shared, eval_str=True).parameters
    mine = list(inspect.signature(own, eval_str=True).parameters.values())[1:]

    @wraps(own)
    def run(**given: Any) -> None:
        asked = _shared(**{name: given.pop(name) for name in shared})
        _show(own(asked, **given), asked.out)

    first, last = ([p for p in shared.values() if (p.name in _FIRST) == f] for f in (True, False))
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*first, *mine, *last)]
    run.__signature__ = inspect.Signature(parameters)  # what typer reads
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


@_command
def mimic4(
    asked: Asked,
    window: Annotated[
        int | None,
        typer.Option(help="Days after discharge: 90, 30 or 365 (mortality), 30 or 15."),
    ] = None,
    predict_at: PredictAt = None,
    notes: Annotated[
        Path | None, typer.Option(help="The folder of MIMIC-IV-Note: adds the modality note.")
    ] = None,
) -> Any:
    """Prepare MIMIC-IV: hospital stays, from its folders hosp and icu (csv or csv.gz)."""
    from amodal.clinical.mimic4 import mimic4_choices, prepare_mimic4

    choices = mimic4_choices(
        **asked.choices, window=window, predict_at=predict_at, notes=notes is not None
    )
    return prepare_mimic4(asked.raw, asked.out, choices=choices, notes=notes, **asked.run)


@_command
def eicu(
    asked: Asked,
    outcome: Annotated[
        str | None, typer.Option(help="Of mortality: death in the hospital, or in the unit: icu.")
    ] = None,
) -> Any:
    """Prepare eICU-CRD: stays in intensive care, from its folder of tables (csv or csv.gz)."""
    from amodal.clinical.eicu import eicu_choices, prepare_eicu

    choices = eicu_choices(**asked.choices, outcome=outcome)
    return prepare_eicu(asked.raw, asked.out, choices=choices, **asked.run)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(t.strip() for t in text.split(",") if t.strip()) if text else None


def _say(line: str) -> None:
    typer.echo(f"  {line}", err=True)


def _show(made: Prepared, out: Path) -> None:
    from amodal.cli.prepared import show_dataset

    show_dataset(made.data, out)
    typer.echo(f"\nWho became a row and who did not: {out / 'cohort.md'}")
    for note in made.report["notes"]:
        typer.echo(f"  {note}")
    for warning in made.warnings:
        typer.echo(f"warning: not the published count: {warning}", err=True)
