"""``amodal report``: a study -> one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that `amodal study` wrote.")
    ],
    beside: Annotated[
        list[Path],
        typer.Option(
            help="A study on other data, for ranks over data sets; may be given several times."
        ),
    ] = [],  # noqa: B006 - typer hands in a list of its own
) -> None:
    """Write the report of a study: one HTML page that needs nothing else, and its tables."""
    from amodal.report import build_report

    path = build_report(folder, beside=beside)
    typer.echo(f"Report: {path}")
