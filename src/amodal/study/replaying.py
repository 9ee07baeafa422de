"""The rows of a finished cell once more, as its model saw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, StorageError
from amodal.study.files import read_json
from amodal.study.results import Cell
from amodal.study.work import under

__all__ = ["replay"]


def replay(folder: str | Path, cell: str, data: Dataset) -> Dataset:
    """The test rows of an evaluation under its kept pattern of loss and noise.

    `amodal.load(folder / "fits" / ...)` predicts of them what the study's predictions hold.

    Args:
        folder: of the study.
        cell: id of the evaluation: the name of its file without ending.
        data: the data of the study.

    Raises:
        StorageError: there is no such evaluation, or a file of it is damaged.
        DataError: the data are others.
    """
    folder = Path(folder)
    path = folder / "evaluations" / f"{cell}.json"
    if not path.exists():
        raise StorageError(
            f"an evaluation is a file in the study's folder; {path.name} is not there; "
            f"see {folder.name}/evaluations for those that are"
        )
    record = read_json(path, "an evaluation")
    if data.fingerprint() != record["data"]:
        raise DataError(
            "a cell is replayed on the data that it was run on; these differ in their content; "
            "hand in the same"
        )
    place = {row: k for k, row in enumerate(data.row_id.tolist())}
    tested = Cell(folder, record, "").predicted.row_id
    rows = data.take(np.array([place[row] for row in tested.tolist()], dtype=np.int64))
    kept = record["pattern"] and folder / "shifts" / f"{record['pattern']}.parquet"
    return under(kept, rows, data=data)[0]
