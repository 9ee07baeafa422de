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
) -> None:
    """Write the report of a study: one HTML page that needs nothing else, and its tables."""
    from amodal.report import build_report

    path = build_report(folder)
    typer.echo(f"Report: {path}")
