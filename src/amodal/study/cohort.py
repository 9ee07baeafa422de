"""Who the rows are: columns by which a study tells its results apart, and how groups differ.

Laid beside the cells when a study is run, for reports read results alone::

    cohort/<id>.parquet  row id and the columns that the plan names
    cohort/<id>.json     characteristics of the rows by outcome and split (exact; for one's eyes)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, SettingError, StorageError, unknown_name
from amodal.study.characteristics import characteristics, table_column
from amodal.study.files import digest, put_file, put_json, read_json
from amodal.study.plan import Plan

__all__ = ["UNKNOWN", "cohort_columns", "column_of", "read_cohort", "write_cohort"]

UNKNOWN = "not known"
_GROUP = "group"


def column_of(data: Dataset, spec: str) -> np.ndarray:
    """``str[n]``: the text of each row in a column that a plan names; `UNKNOWN` where it has none.

    ``"sex"`` is a fact of the data, ``"history.age"`` a column of the table ``history``,
    ``"group"`` the groups. Numbers behind colons cut: ``"history.age:18:65"`` gives "<18",
    "18 to <65" and "65 and over".

    Raises:
        UnknownNameError: no such fact, table or column.
        SettingError: cuts that are no rising numbers, or a column of numbers without cuts.
        DataError: texts that are cut and are no numbers.

    >>> from amodal.types import Modality
    >>> h = Modality("h", "table", features=("age",))
    >>> rows = {"facts": {"sex": ["f", "m", None]}}
    >>> d = Dataset.from_arrays({"h": [[17.0], [40.0], None]}, modalities=[h], rows=rows)
    >>> column_of(d, "sex").tolist(), column_of(d, "h.age:18:65").tolist()
    (['f', 'm', 'not known'], ['<18', '18 to <65', 'not known'])
    """
    name, *cuts = spec.split(":")
    edges = _edges(spec, cuts)
    cells = _cells(data, name)
    if edges:
        return _cut(name, cells, edges)
    if cells.dtype.kind == "f":
        raise SettingError(
            f"a column of numbers is cut into groups; {name!r} has no cuts; write them behind it, "
            f"as in {name}:18:65"
        )
    return np.where(cells == "", UNKNOWN, cells)


def _edges(spec: str, cuts: Sequence[str]) -> list[float]:
    try:
        edges = [float(x) for x in cuts]
    except ValueError:
        edges = [np.nan]
    if not all(np.isfinite(edges)) or edges != sorted(set(edges)):
        raise SettingError(
            f"cuts of a column are rising numbers, as in age:18:65; got {spec!r}; correct it"
        )
    return edges


def _cells(data: Dataset, name: str) -> np.ndarray:
    """Texts, or floats with NaN where unknown."""
    if name in data.facts:
        return data.facts[name]
    if name == _GROUP and data.group is not None:
        return data.group
    table, dot, column = name.partition(".")
    tables = {m.name: m for m in data.modalities if m.kind == "table"}
    known = [f"{m.name}.{c}" for m in tables.values() for c in (*m.features, *m.levels)]
    if not dot or f"{table}.{column}" not in known:
        groups = [_GROUP] if data.group is not None else []
        raise unknown_name("column of the rows", name, [*data.facts, *groups, *known] or ["(none)"])
    return table_column(data, table, column)


def _cut(name: str, cells: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    try:
        numbers = (
            np.where(cells == "", "nan", cells).astype(float) if cells.dtype.kind == "U" else cells
        )
    except ValueError:
        raise DataError(
            f"only numbers are cut into groups; the cells of {name!r} are texts; leave out the cuts"
        ) from None
    told = [f"{x:g}" for x in edges]
    labels = [f"<{told[0]}"]
    labels += [f"{a} to <{b}" for a, b in pairwise(told)]
    labels += [f"{told[-1]} and over", UNKNOWN]
    place = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, "right"))
    return np.array(labels)[place]


def cohort_columns(plan: Plan, data: Dataset) -> dict[str, np.ndarray]:
    """Spec -> column, for all that the plan names; errors as in `column_of`."""
    named = [*plan.subgroups, *filter(None, [plan.site])]
    return {spec: column_of(data, spec) for spec in dict.fromkeys(named)}


def _place(folder: Path, plan: Plan, fingerprint: str) -> Path:
    made = {
        "data": fingerprint,
        "columns": [*plan.subgroups, plan.site],
        "folds": plan.n_folds,
        "seed": plan.seeds[0],
        "form": 1,
    }
    return folder / "cohort" / digest(made, 16)


def write_cohort(
    folder: Path, plan: Plan, data: Dataset, *, parts: Mapping[str, np.ndarray] | None
) -> None:
    """Writes the columns and the characteristics, unless they are there.

    Args:
        folder: of the study.
        plan: names the columns.
        data: all rows.
        parts: "development" and "test" -> positions, of the first seed; None under folds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = _place(folder, plan, data.fingerprint())
    columns = cohort_columns(plan, data)
    if not place.with_suffix(".parquet").exists():
        every = {"row_id": data.row_id, "labelled": data.labelled, **columns}
        table = pa.table({k: pa.array(v.tolist()) for k, v in every.items()})
        put_file(place.with_suffix(".parquet"), lambda part: pq.write_table(table, part))
    if not place.with_suffix(".json").exists():
        put_json(place.with_suffix(".json"), characteristics(data, columns, parts=parts))


def read_cohort(
    folder: Path, plan: Plan, fingerprint: str
) -> tuple[dict[str, dict[str, str]], dict[str, str], dict[str, Any]] | None:
    """(spec -> row id -> text; the same of labelled rows and the site alone; characteristics).

    None where the study was run by a version that wrote none.

    Raises:
        StorageError: a file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = _place(folder, plan, fingerprint)
    if not place.with_suffix(".json").exists():
        return None
    try:
        with pq.ParquetFile(place.with_suffix(".parquet")) as file:
            table = file.read()
        ids = table["row_id"].to_pylist()
        specs = table.column_names[2:]
        columns = {s: dict(zip(ids, table[s].to_pylist(), strict=True)) for s in specs}
        known = table["labelled"].to_pylist()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StorageError(
            f"columns of the rows are a Parquet file; {place.name}.parquet cannot be read; delete "
            "the folder cohort and run the study again"
        ) from error
    site = columns.get(plan.site, {})
    labelled = {
        r: site[r] for r, is_known in zip(ids, known, strict=True) if is_known and r in site
    }
    return columns, labelled, read_json(place.with_suffix(".json"), "characteristics of the rows")
