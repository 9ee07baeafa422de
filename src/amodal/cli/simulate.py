"""``amodal simulate``: a synthetic raw database in its official layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from amodal.cli.show import heading, next_step

__all__ = ["app"]

app = typer.Typer(
    help="Write a synthetic raw database.", invoke_without_command=True, rich_markup_mode=None
)

Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="A new folder, or a synthetic one that is replaced.")
]
Rows = Annotated[int, typer.Option(min=1, help="Hospital admissions, or unit stays for eicu.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")]
Labs = Annotated[float, typer.Option(min=0, help="Laboratory values of a row, about.")]


@app.callback()
def _help(context: typer.Context) -> None:
    """Write a synthetic raw database in its official layout: nobody in it exists."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(short_help="MIMIC-IV with its notes.")
def mimic4(out: Out, rows: Rows = 1_000, seed: Seed = 0, labs_per_row: Labs = 75.0) -> None:
    """Write a synthetic MIMIC-IV: folders hosp, icu and note."""
    from amodal.clinical.simulate import simulate_mimic4

    _simulate(simulate_mimic4, "mimic4", out, rows=rows, seed=seed, labs_per_row=labs_per_row)


@app.command(short_help="eICU-CRD.")
def eicu(out: Out, rows: Rows = 1_000, seed: Seed = 0, labs_per_row: Labs = 60.0) -> None:
    """Write a synthetic eICU-CRD: one folder of tables."""
    from amodal.clinical.simulate import simulate_eicu

    _simulate(simulate_eicu, "eicu", out, rows=rows, seed=seed, labs_per_row=labs_per_row)


def _simulate(make: Callable[..., Path], name: str, out: Path, *, rows: int, **told: Any) -> None:
    make(out, rows=rows, **told)
    heading(f"Wrote a synthetic database of {rows:,} rows in {out}")
    typer.echo("  nobody in it exists; what is planted stands in planted.csv.gz")
    next_step("amodal", "prepare", name, out, "DATA", "--task", "mortality")
