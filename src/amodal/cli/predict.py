"""``amodal predict``: a run and a data set -> a table of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amodal.cli.options import Data, Device, Run, check_device

__all__ = ["predict"]


def predict(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option(help="A file that ends in .parquet or .csv.")],
    device: Device = "cpu",
) -> None:
    """Predict every row of DATA, with or without outcomes, into a table.

    Columns: row_id; probability (or probability_CLASS, or mean and std, or text, log_probability
    and token_entropy); reliability_MODALITY, reliance_MODALITY and absence_MODALITY (0 present, 1
    not measured, 2 lost); conflict. What a method does not have is null.
    """
    from amodal.data.source import open_dataset
    from amodal.disclosure import shown_count
    from amodal.model import load
    from amodal.prediction_table import check_table_path, prediction_table, write_table

    check_table_path(out)
    model = load(run)
    model.device = check_device(device)
    found = open_dataset(data)
    table = prediction_table(model, found)
    write_table(table, out)
    typer.echo(f"Wrote {shown_count(table.num_rows)} predictions of {model.method} to {out}.")
    lacking = [m.name for m in model.modalities_ if m.name not in found.names]
    if lacking:
        typer.echo(f"The data lack {', '.join(lacking)}, which counts as lost in every row.")
