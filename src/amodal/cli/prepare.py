"""``amodal prepare``: raw files -> a data set on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amodal.cli.clinical import eicu, mimic4
from amodal.cli.collections import COLLECTIONS
from amodal.cli.prepared import show_dataset
from amodal.cli.show import next_step
from amodal.errors import SettingError, StorageError

__all__ = ["app"]

app = typer.Typer(
    help="Prepare raw files as a data set.", invoke_without_command=True, rich_markup_mode=None
)

Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="A new folder, or a data set that is replaced.")
]


@app.callback()
def _help(context: typer.Context) -> None:
    """Prepare raw files as a data set: a folder that every other command takes as DATA."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(short_help="The PhysioNet/CinC Challenge 2012, from its raw files.")
def physionet2012(
    raw: Annotated[
        Path,
        typer.Argument(
            metavar="RAW",
            help="The raw set: a folder of text files, its tar.gz or zip, or the folder that "
            "holds set-a and Outcomes-a.txt (likewise b and c).",
        ),
    ],
    out: Out,
    outcome: Annotated[
        str,
        typer.Option(help="in_hospital_death, or another one that Outcomes-*.txt gives."),
    ] = "in_hospital_death",
) -> None:
    """Prepare the PhysioNet/CinC Challenge 2012: the first 48 hours of intensive care stays."""
    from amodal.clinical import prepare_physionet2012
    from amodal.data.store import check_target_folder

    check_target_folder(out)  # before minutes of reading
    data = prepare_physionet2012(raw, out, outcome=outcome)
    show_dataset(data, out)


app.command(short_help="MIMIC-IV, from its official folders.")(mimic4)
app.command(short_help="eICU-CRD, from its official folder.")(eicu)


for _name, (_command, _short) in COLLECTIONS.items():
    app.command(_name, short_help=_short)(_command)


@app.command(short_help="Your own CSV, Parquet and npz files, by a TOML spec.")
def files(
    spec: Annotated[
        Path | None, typer.Argument(metavar="[SPEC]", help="A TOML spec of your files.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="A new folder, or a data set that is replaced."),
    ] = None,
    example: Annotated[
        bool,
        typer.Option("--example", help="Write a starter spec: to SPEC, or print it without one."),
    ] = False,
) -> None:
    """Prepare your own CSV, Parquet and npz files, as a TOML spec describes them."""
    from amodal.data.files import example_spec, prepare_files

    if example and out is not None:
        raise SettingError(
            "--example writes a spec and prepares nothing; OUT was given too; leave one out"
        )
    if example:
        _write_example(example_spec(), spec)
    elif spec is None or out is None:
        raise SettingError(
            "files are prepared from a spec into a folder; got "
            f"{'neither' if spec is None else 'no folder'}; write `amodal prepare files SPEC.toml "
            "OUT`, and see `amodal prepare files --example` for a spec to start from"
        )
    else:
        show_dataset(prepare_files(spec, out), out)


def _write_example(text: str, spec: Path | None) -> None:
    if spec is None:
        typer.echo(text, nl=False)
        return
    try:
        with spec.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StorageError(
            f"a starter spec is written into a new file; {spec} is there already; name another"
        ) from None
    except OSError as error:
        raise StorageError(
            f"{spec} could not be written: {error.strerror}; choose another place"
        ) from None
    typer.echo(f"Wrote {spec}; edit it.")
    next_step("amodal", "prepare", "files", spec, "OUT")


@app.command(short_help="A built-in data set, into a folder.")
def builtin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="digits, wdbc, diabetes or simulate.")
    ],
    out: Out,
) -> None:
    """Write a built-in data set into a folder."""
    from amodal.data.source import PREFIX, open_dataset

    data = open_dataset(PREFIX + name.removeprefix(PREFIX))
    data.save(out)
    show_dataset(data, out)
