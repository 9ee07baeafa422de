"""The end of a preparation, the same for every database: data set, report beside it, warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amodal.clinical.assemble import Prepared, assemble, parquet_bytes
from amodal.clinical.choices import Choices
from amodal.clinical.cohort_report import cohort_report, report_files
from amodal.clinical.features import Features
from amodal.clinical.row_facts import row_facts
from amodal.clinical.workspace import Workspace
from amodal.data.dataset import Dataset
from amodal.data.store import save_dataset
from amodal.types import Task

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "Told", "features_of", "prepare_into", "report_beside", "to_dataset"]


@dataclass(frozen=True)
class Source:
    """The database that rows come from.

    Args:
        name: as it is called.
        edition: which one; "" where RAW is none as a whole.
        columns: "row_id", "patient" and, where there are some, "hospital" and "region" -> its column.
        facts: what studies may report by -> its column, where there is one.
        age: the column of ages in years.
    """

    name: str
    edition: str
    columns: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=dict)
    age: str = "age"

    @property
    def title(self) -> str:
        """Name and edition.

        >>> Source("eICU-CRD", "", {}).title
        'eICU-CRD of unknown edition'
        """
        return f"{self.name} {self.edition or 'of unknown edition'}"


@dataclass(frozen=True)
class Told:
    """What the report tells beside the choices and the data.

    Args:
        candidates: what they are ("hospital admissions").
        removed: rule -> candidates that it removed, in order.
        columns: of ``cohort.parquet``.
        flags: columns that remove nobody.
        expected: (what, published value, value found).
        notes: sentences.
    """

    candidates: str
    removed: Mapping[str, int]
    columns: Sequence[str]
    flags: Sequence[str] = ()
    expected: Sequence[tuple[str, float, float]] = ()
    notes: Sequence[str] = ()


def prepare_into(
    work: Workspace, out: str | Path | None, make: Callable[[Workspace], Prepared]
) -> Prepared:
    """What `make` prepares, written to `out` unless that is None; `work` ends with it."""
    with work:
        with work.guarded():
            prepared = make(work)
        if out is not None:
            work.say("writing the data set")
            save_dataset(prepared.data, out, beside=prepared.beside)
    return prepared


def features_of(
    work: Workspace, choices: Choices, make: Callable[[str], Features]
) -> dict[str, Features]:
    """Each modality that was chosen, by `make`.

    >>> from types import SimpleNamespace
    >>> choices = Choices("mortality", "clean", 90, "", "discharge", ("codes", "labs"), "patient")
    >>> list(features_of(SimpleNamespace(say=print), choices, lambda name: None))
    making codes
    making labs
    ['codes', 'labs']
    """
    made = {}
    for name in choices.modalities:
        work.say(f"making {name}")
        made[name] = make(name)
    return made


def to_dataset(
    work: Workspace,
    rows: pa.Table,
    made: Mapping[str, Features],
    task: Task,
    *,
    choices: Choices,
    source: Source,
) -> Dataset:
    """The data set of the rows and their modalities, with where it comes from."""
    import pyarrow as pa

    there = rows.column_names
    columns = {name: rows[column] for name, column in source.columns.items() if column in there}
    data = assemble(
        pa.table({**columns, "target": rows["target"]}),
        {name: (f.modality, f.values) for name, f in made.items()},
        task,
        choices,
        provenance={
            "source": source.name,
            "edition": source.edition,
            "choices": choices.to_json(),
            "tables": work.sources,
            "made": {name: f.facts for name, f in made.items()},
        },
    )
    return data.replace(facts=row_facts(rows, source.facts, age=source.age))


def report_beside(
    data: Dataset, rows: pa.Table, *, choices: Choices, source: Source, told: Told
) -> Prepared:
    """The data set with its cohort report, the rows of the cohort, and a warning for each
    published count that was not found.

    Args:
        data: the data set, n rows.
        rows: n lines: "outcome", and the columns that `told` names.
        choices: how it was prepared.
        source: where from.
        told: what else is told.

    >>> import pyarrow as pa
    >>> data = Dataset.from_arrays({"labs": np.ones((20, 1))}, [0, 1] * 10)
    >>> choices = Choices("mortality", "clean", 90, "", "discharge", ("labs",), "patient")
    >>> told = Told("stays", {}, ("outcome",), expected=[("stays", 20, len(data)), ("dead", 9, 10)])
    >>> rows, source = pa.table({"outcome": ["x"] * 20}), Source("made up", "1", {})
    >>> made = report_beside(data, rows, choices=choices, source=source, told=told)
    >>> sorted(made.beside), made.warnings
    (['cohort.json', 'cohort.md', 'cohort.parquet'], ('dead: 9 published, 10 found',))
    """
    report = cohort_report(
        data,
        title=source.title,
        choices=choices.to_json(),
        removed=told.removed,
        candidates=told.candidates,
        outcome=np.array(rows["outcome"].to_pylist(), dtype=str),
        flags={name: _on(rows, name) for name in told.flags},
        expected=told.expected,
        notes=told.notes,
    )
    cohort = parquet_bytes(rows.select(list(told.columns)))
    beside = {**report_files(report), "cohort.parquet": cohort}
    warnings = tuple(
        f"{e['what']}: {e['published']:,} published, {e['found']:,} found"
        for e in report["expected"]
        if not e["agrees"]
    )
    return Prepared(data, report, beside, warnings)


def _on(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].to_numpy(zero_copy_only=False).astype(bool)
