"""A data set from a user's own CSV, Parquet and npz files, described by a TOML spec."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.arrays import assemble
from amodal.data.dataset import Dataset
from amodal.data.file_modalities import read_modality
from amodal.data.file_rows import Rows, read_rows
from amodal.data.file_target import read_target
from amodal.data.media import check_media
from amodal.data.spec import Spec, read_spec
from amodal.data.store import check_target_folder, file_facts, save_dataset
from amodal.types import LOST, NOT_MEASURED, PRESENT

__all__ = ["example_spec", "prepare_files", "read_files"]


def example_spec() -> str:
    """A commented spec to start from, with every kind of modality.

    >>> example_spec().splitlines()[0]
    '# A data set made of your own files. Write it with'
    """
    return package_files("amodal.data").joinpath("example.toml").read_text(encoding="utf-8")


def prepare_files(spec_path: str | Path, out: str | Path) -> Dataset:
    """Reads the files that a spec describes and stores the data set in the folder `out`.

    Args:
        spec_path: a TOML file; see `example_spec`.
        out: a new or empty folder, or a data set that is replaced.

    Raises:
        SettingError: the spec has an unknown key or a wrong value.
        DataError: the files break a rule.
        StorageError: a file cannot be read, or `out` cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("ill,age\\n0,40\\n1,50\\n")
    ...     text = '[rows]\\nfile = "a.csv"\\ntarget = "ill"\\n[modality.x]\\ncolumns = ["age"]\\n'
    ...     _ = Path(folder, "spec.toml").write_text(text)
    ...     data = prepare_files(f"{folder}/spec.toml", f"{folder}/out")
    ...     sorted(path.name for path in Path(folder, "out").iterdir())
    ['manifest.json', 'rows.parquet', 'x.parquet']
    >>> data.values["x"].data["numeric"].tolist(), data.target.tolist()
    ([[40.0], [50.0]], [0.0, 1.0])
    """
    check_target_folder(out)  # before a long reading
    data = read_files(spec_path)
    save_dataset(data, out)
    return data


def read_files(spec_path: str | Path) -> Dataset:
    """The data set that the files of a spec hold; see `prepare_files`.

    Raises:
        SettingError: the spec has an unknown key or a wrong value.
        DataError: the files break a rule.
        StorageError: a file cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("ill,age\\n0,40\\n1,\\n")
    ...     text = '[rows]\\nfile = "a.csv"\\ntarget = "ill"\\n[modality.x]\\ncolumns = ["age"]\\n'
    ...     _ = Path(folder, "spec.toml").write_text(text)
    ...     data = read_files(f"{folder}/spec.toml")
    >>> data.present.ravel().tolist()  # of a row without a cell the modality is absent
    [True, False]
    """
    spec = read_spec(spec_path)
    rows = read_rows(spec)
    packed, unmatched = {}, {}
    for m in spec.modalities:
        *packed[m.name], unmatched[m.name] = read_modality(m, rows)
    task, target = read_target(spec.rows, rows)
    columns: dict[str, Any] = {"row_id": rows.row_id, **rows.columns}
    columns["absence"] = _absence(spec, packed)
    found = {name: (modality, values) for name, (modality, values) in packed.items()}
    provenance = _provenance(spec, rows, unmatched)
    data = assemble(found, target, task=task, rows=columns, provenance=provenance)
    return check_media(data, unreadable={m.name: m.unreadable for m in spec.modalities})


def _absence(spec: Spec, packed: Mapping[str, Any]) -> np.ndarray:
    """Absent rows are `NOT_MEASURED`, or `LOST` where the spec says so of the modality."""
    columns = []
    for m in spec.modalities:
        present = packed[m.name][1].index >= 0
        columns.append(np.where(present, PRESENT, LOST if m.absent == "lost" else NOT_MEASURED))
    return np.column_stack(columns)


def _provenance(spec: Spec, rows: Rows, unmatched: Mapping[str, int]) -> dict[str, Any]:
    facts = {path.name: file_facts(path) for path in rows.paths}
    return {
        "kind": "files",
        "name": spec.name,
        "spec": spec.raw,
        "files": facts,
        "lines_of_other_rows": {name: k for name, k in unmatched.items() if k},
    }
