"""What a fitted model says of the rows of a data set, as a table in a file."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import SettingError, StorageError
from amodal.stored import write_atomic
from amodal.types import LOST

if TYPE_CHECKING:
    import pyarrow as pa

    from amodal.model import Model

__all__ = ["check_table_path", "prediction_table", "write_table"]

_ENDINGS = (".parquet", ".csv")


def prediction_table(model: Model, data: Dataset) -> pa.Table:
    """What `model` says of the rows of `data`, one line a row, in their order.

    | column | values |
    |---|---|
    | ``row_id`` | of the data |
    | ``probability`` | of the second class (binary) |
    | ``probability_<class>`` | of each class or label |
    | ``mean``, ``std`` | of a real value, in its units |
    | ``text`` | what was written (sequence), with its ``log_probability`` and ``token_entropy`` |
    | ``reliability_<modality>`` | in [0, 1], 0 where absent; null where the method has none |
    | ``reliance_<modality>`` | as reliability; adds up to at most 1 |
    | ``absence_<modality>`` | 0 present, 1 not measured, 2 lost (or not among the data) |
    | ``conflict`` | p-value of "the modalities agree"; null where fewer than two are present |

    Args:
        model: fitted.
        data: rows with modalities that the model knows; needs no target.

    Raises:
        UnknownNameError: a modality that the model does not know.
        NotFittedError: the model was not fitted.
    """
    import pyarrow as pa

    found = model.predict(data)
    names = [m.name for m in model.modalities_]
    columns: dict[str, pa.Array] = {"row_id": pa.array(data.row_id.tolist(), pa.string())}
    outputs = found.outputs()
    for output, titles in model.task_.output_columns.items():
        if output == "text":
            columns[output] = pa.array(outputs[output].tolist(), pa.string())
        else:
            columns |= _columns(titles, outputs[output])
    for kind in ("reliability", "reliance"):
        values = getattr(found, kind)
        columns |= _columns([f"{kind}_{n}" for n in names], values, rows=len(data))
    absence = _absence(data, names)
    columns |= {f"absence_{n}": pa.array(absence[:, k]) for k, n in enumerate(names)}
    columns |= _columns(["conflict"], found.conflict, rows=len(data))
    facts = {
        "format": "amodal-predictions",
        "version": 1,
        "method": model.method,
        "task": model.task_.to_json(),
        "data": data.fingerprint(),
        "absence": {"0": "present", "1": "not measured", "2": "lost"},
    }
    return pa.table(columns).replace_schema_metadata({"amodal": json.dumps(facts)})


def _columns(names: Sequence[str], values: Any, *, rows: int = 0) -> dict[str, pa.Array]:
    """Float64 columns of ``[n]`` or ``[n, c]``; NaN, and a method that has none, become null."""
    import pyarrow as pa

    if values is None:
        return {name: pa.nulls(rows, pa.float64()) for name in names}
    array = np.asarray(values, dtype=np.float64)
    wide = array if array.ndim == 2 else array[:, None]
    return {n: pa.array(wide[:, k], from_pandas=True) for k, n in enumerate(names)}


def _absence(data: Dataset, names: Sequence[str]) -> np.ndarray:
    """``Int8[n, m]`` in the order of `names`; a modality that the data lack is lost in all rows."""
    absence = np.full((len(data), len(names)), LOST, dtype=np.int8)
    for k, name in enumerate(names):
        if name in data.names:
            absence[:, k] = data.absence[:, data.names.index(name)]
    return absence


def check_table_path(path: str | Path) -> Path:
    """`path`, if a table may be written there.

    Raises:
        SettingError: it does not end in .parquet or .csv.
        StorageError: it is a folder.

    >>> check_table_path("p.csv").name
    'p.csv'
    """
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise SettingError(
            f"predictions are written to a file that ends in {' or '.join(_ENDINGS)}; "
            f"got {path.name!r}; rename it"
        )
    if path.is_dir():
        raise StorageError(f"predictions are one file; {path} is a folder; name a file")
    return path


def write_table(table: pa.Table, path: str | Path) -> Path:
    """Writes `table` as Parquet or CSV, by the ending of `path`: whole or not at all.

    Raises:
        SettingError, StorageError: see `check_table_path`; or it cannot be written.

    >>> import pyarrow as pa
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_table(pa.table({"mean": [0.5, None]}), f"{folder}/p.csv")
    ...     path.read_text().splitlines()
    ['"mean"', '0.5', '']
    """
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    path, buffer = check_table_path(path), io.BytesIO()
    if path.suffix.lower() == ".csv":
        csv.write_csv(table, buffer)
    else:
        pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())
    return path
