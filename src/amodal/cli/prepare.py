"""``amodal prepare``: raw files -> a data set on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amodal.cli.clinical import eicu, mimic4
from amodal.cli.show import heading, next_step, prose, table
from amodal.errors import SettingError, StorageError

if TYPE_CHECKING:
    from amodal.data.dataset import Dataset

__all__ = ["app", "show_dataset"]

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


@app.command(short_help="Spoken and written digits with a clue, from FSDD recordings.")
def digits3(
    raw: Annotated[
        Path,
        typer.Argument(
            metavar="RAW", help="The Free Spoken Digit Dataset: a folder or zip of its recordings."
        ),
    ],
    out: Out,
    split: Annotated[
        str, typer.Option(help="What test rows share with no training row: recording or speaker.")
    ] = "recording",
    seed: Annotated[int, typer.Option(help="Of which image and which clue a row gets.")] = 0,
) -> None:
    """Prepare digits3: recordings paired by class with images of digits and a written clue."""
    from amodal.collections import prepare_digits3

    show_dataset(prepare_digits3(raw, out, split=split, seed=seed), out)


@app.command(short_help="easy-VQA, from its official files.")
def easyvqa(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="easy-VQA: its folder or zip.")],
    out: Out,
) -> None:
    """Prepare easy-VQA: questions about images of one coloured shape."""
    from amodal.collections import prepare_easyvqa

    show_dataset(prepare_easyvqa(raw, out), out)


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
    typer.echo(f"Wrote {spec}.")
    next_step(f"edit it, then amodal prepare files {spec} OUT")


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


# -- what was prepared ----------------------------------------------------------------------------


def show_dataset(data: Dataset, out: Path) -> None:
    """Prints counts of rows, labels, classes and of absence; those under ten are not shown."""
    from amodal.disclosure import shown_count, shown_share
    from amodal.study.describe import describe_data

    facts = describe_data(data)
    n, labelled = facts["rows"], facts["labelled"]
    heading(f"Prepared {shown_count(n)} rows in {out}")
    parts = [f"{shown_count(labelled, n)} with an outcome" if labelled else "without outcomes"]
    if facts["groups"] not in (None, n):
        parts.append(f"{shown_count(facts['groups'])} groups")
    typer.echo("  " + ", ".join(parts))
    for line in (_target(facts), _split(facts), _removed(data)):
        if line:
            prose(f"  {line}")
    rows = []
    for m in facts["modalities"]:
        absent = [shown_share(m[k] / n if n else None, n) for k in ("not_measured", "lost")]
        size = f"{m['features']:,}" if m["features"] else ""
        rows.append([m["name"], m["kind"], size, *absent])
    typer.echo()
    columns = ("modality", "kind", "features", "not measured", "lost")
    table(columns, rows, right=columns[2:])
    if labelled:
        method = "imro" if data.task.kind == "sequence" else "aum"
        next_step(f"amodal train {out} --method {method} --out RUN")


def _target(facts: dict) -> str:
    from amodal.disclosure import shown_count, shown_counts

    target, task = facts.get("target"), facts["task"]
    if not target:
        return ""
    name = f"{task['name']} ({task['kind']})" if task.get("name") else task["kind"]
    if "counts" in target:
        told = shown_counts(target["counts"])
    elif "positive" in target:
        told = {k: shown_count(v, facts["labelled"]) for k, v in target["positive"].items()}
    elif facts["labelled"] < 10:
        return name  # mean and deviation of a few rows tell their values
    else:
        told = {k: f"{v:.4g}" for k, v in target.items()}
    first = [f"{k} {v}" for k, v in list(told.items())[:12]]
    return f"{name}: " + ", ".join(first) + (", ..." if len(told) > 12 else "")


def _split(facts: dict) -> str:
    from amodal.disclosure import shown_counts

    if not facts["published_split"]:
        return ""
    told = shown_counts(facts["published_split"])
    return "published split: " + ", ".join(f"{k or 'free'} {v}" for k, v in told.items())


def _removed(data: Dataset) -> str:
    """What cleaning did to the raw values, where the reader counted it."""
    from amodal.disclosure import shown_count

    counts = data.provenance.get("counts", {})
    other = data.provenance.get("lines_of_other_rows", {})
    total = {k: sum(v.values()) if isinstance(v, Mapping) else v for k, v in counts.items()}
    told = {k.replace("_", " "): v for k, v in total.items() if k not in ("stays", "labelled")}
    told |= {f"lines of {name} without a row": v for name, v in other.items()}
    words = [f"{k} {shown_count(v)}" for k, v in told.items() if v]
    return "raw values: " + ", ".join(words) if words else ""
