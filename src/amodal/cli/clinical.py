"""``amodal prepare mimic4`` and ``amodal prepare eicu``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    str | None, typer.Option(help="What stays on one side: patient, row, and for eicu hospital.")
]
Seed = Annotated[int, typer.Option(help="Of the split and of --mask-labels.")]
MaskLabels = Annotated[
    float, typer.Option(help="Share of the labels that is taken away at random.")
]
Edition = Annotated[str, typer.Option(help="any, or full or demo to refuse the other one.")]
Threads = Annotated[int, typer.Option(help="Threads of DuckDB.")]
Memory = Annotated[
    str, typer.Option(help="Memory of DuckDB; what is more goes to disk beside OUT.")
]
KeepTables = Annotated[
    bool, typer.Option("--keep-tables", help="Leave the converted tables in a folder beside OUT.")
]


def mimic4(
    raw: Raw,
    out: Out,
    task: TaskName,
    protocol: Protocol = "clean",
    window: Annotated[
        int | None,
        typer.Option(help="Days after discharge: 90, 30 or 365 (mortality), 30 or 15."),
    ] = None,
    predict_at: PredictAt = None,
    notes: Annotated[
        Path | None, typer.Option(help="The folder of MIMIC-IV-Note: adds the modality note.")
    ] = None,
    modalities: Modalities = None,
    split: Split = None,
    seed: Seed = 0,
    mask_labels: MaskLabels = 0.0,
    edition: Edition = "any",
    threads: Threads = 2,
    memory: Memory = "800MB",
    keep_tables: KeepTables = False,
) -> None:
    """Prepare MIMIC-IV: hospital stays, from its folders hosp and icu (csv or csv.gz)."""
    from amodal.clinical.mimic4 import mimic4_choices, prepare_mimic4

    choices = mimic4_choices(
        task=task,
        protocol=protocol,
        notes=notes is not None,
        window=window,
        predict_at=predict_at,
        modalities=_names(modalities),
        split=split,
        seed=seed,
        mask_labels=mask_labels,
    )
    made = prepare_mimic4(
        raw,
        out,
        choices=choices,
        notes=notes,
        edition=edition,
        machine=_machine(threads, memory, keep_tables),
        say=_say,
    )
    _show(made, out)


def eicu(
    raw: Raw,
    out: Out,
    task: TaskName,
    protocol: Protocol = "clean",
    outcome: Annotated[
        str | None, typer.Option(help="Of mortality: death in the hospital, or in the unit: icu.")
    ] = None,
    modalities: Modalities = None,
    split: Split = None,
    seed: Seed = 0,
    mask_labels: MaskLabels = 0.0,
    edition: Edition = "any",
    threads: Threads = 2,
    memory: Memory = "800MB",
    keep_tables: KeepTables = False,
) -> None:
    """Prepare eICU-CRD: stays in intensive care, from its folder of tables (csv or csv.gz)."""
    from amodal.clinical.eicu import eicu_choices, prepare_eicu

    choices = eicu_choices(
        task=task,
        protocol=protocol,
        outcome=outcome,
        modalities=_names(modalities),
        split=split,
        seed=seed,
        mask_labels=mask_labels,
    )
    made = prepare_eicu(
        raw,
        out,
        choices=choices,
        edition=edition,
        machine=_machine(threads, memory, keep_tables),
        say=_say,
    )
    _show(made, out)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(t.strip() for t in text.split(",") if t.strip()) if text else None


def _machine(threads: int, memory: str, keep_tables: bool) -> Any:
    from amodal.clinical.workspace import Machine

    return Machine(threads=threads, memory=memory, keep_tables=keep_tables)


def _say(line: str) -> None:
    typer.echo(f"  {line}", err=True)


def _show(made: Prepared, out: Path) -> None:
    from amodal.cli.prepare import show_dataset

    show_dataset(made.data, out)
    typer.echo(f"\nWho became a row and who did not: {out / 'cohort.md'}")
    for note in made.report["notes"]:
        typer.echo(f"  {note}")
    for warning in made.warnings:
        typer.echo(f"warning: not the published count: {warning}", err=True)
