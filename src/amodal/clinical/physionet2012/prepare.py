"""Raw files of PhysioNet 2012 -> a `Dataset` of eleven clinical modalities."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from amodal.clinical.physionet2012.clean import clean_events
from amodal.clinical.physionet2012.layout import Raw, read_raw
from amodal.clinical.physionet2012.outcomes import Outcome, outcome_named, targets
from amodal.clinical.physionet2012.pack import (
    combine_repeats,
    is_descriptor,
    pack_series,
    pack_static,
)
from amodal.clinical.physionet2012.parse import Tables, parse_outcomes, parse_records
from amodal.clinical.physionet2012.rules import CATEGORIES, GROUPS, RESCALED, VARIABLES
from amodal.data.dataset import Dataset
from amodal.types import NOT_MEASURED, PRESENT, Modality

__all__ = ["prepare_physionet2012", "read_physionet2012"]


def read_physionet2012(raw: str | Path) -> Tables:
    """The raw files in `raw` as three tables, as they were written.

    See `prepare_physionet2012` for the layouts that are read.

    Raises:
        StorageError: `raw` does not exist, cannot be read, or is truncated.
        DataError: it is no raw set of the challenge.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "7.txt").write_text("Time,Parameter,Value\\n00:00,HR,\\n")
    ...     tables = read_physionet2012(folder)
    >>> tables.events.to_pylist(), tables.outcomes
    ([{'stay': 0, 'minute': 0, 'parameter': 'HR', 'value': None}], None)
    """
    return _tables(read_raw(raw))


def _tables(found: Raw) -> Tables:
    stays, events = parse_records(found.records)
    return Tables(stays, events, parse_outcomes(found.outcomes))


def prepare_physionet2012(
    raw: str | Path, out: str | Path | None = None, *, outcome: str = "in_hospital_death"
) -> Dataset:
    """A data set of one row for each intensive care stay, from the raw files of the challenge.

    Eleven modalities (`rules.GROUPS`): `static` is a table of what is known at admission, the
    others are series in hours since admission, at most 48. A group of which no value is left for a
    stay is `NOT_MEASURED`. Values are dropped and corrected by the tables in `rules`; several
    values of one variable at one minute are averaged (Urine: added up), of a descriptor the last
    line counts. Rows stand in ascending order of RecordID, which is both row id and group.

    Args:
        raw: a folder of files ``RecordID.txt``; a tar.gz or zip of one; or a folder that holds
            ``set-a``, ``set-a.tar.gz`` or ``set-a.zip`` (likewise b and c; all that are there are
            read). ``Outcomes-a.txt`` lies in or beside the set; without it no row has a label.
        out: where to write the data set; None writes nothing.
        outcome: what is predicted, one of `OUTCOMES`.

    Returns:
        The data set; ``provenance["counts"]`` says how many lines each rule dropped or changed.

    Raises:
        StorageError: `raw` cannot be read or is truncated, or `out` cannot be written.
        DataError: `raw` is no raw set of the challenge.
        UnknownNameError: `outcome` is none of `OUTCOMES`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "7.txt").write_text("Time,Parameter,Value\\n00:30,HR,80\\n")
    ...     _ = Path(folder, "Outcomes-a.txt").write_text("RecordID,In-hospital_death\\n7,1\\n")
    ...     data = prepare_physionet2012(folder)
    >>> [name for name, there in zip(data.names, data.present[0]) if there], data.target.tolist()
    (['vital_signs'], [1.0])
    """
    chosen = outcome_named(outcome)
    found = read_raw(raw)
    data = _dataset(_tables(found), chosen, _source(found, outcome))
    if out is not None:
        data.save(out)
    return data


def _source(found: Raw, outcome: str) -> dict[str, Any]:
    """What was read: the same for a folder and an archive of the same files."""
    digest = hashlib.sha256()
    for files in (found.records, found.outcomes):
        for name in sorted(files):
            digest.update(f"{name} {len(files[name])}\n".encode())
            digest.update(files[name])
    return {
        "source": "PhysioNet/CinC Challenge 2012",
        "sets": list(found.sets),
        "outcomes": sorted(found.outcomes),
        "outcome": outcome,
        "sha256": digest.hexdigest(),
        "files_ignored": found.ignored,
    }


def _dataset(tables: Tables, outcome: Outcome, source: dict[str, Any]) -> Dataset:
    n = tables.stays.num_rows
    clean = clean_events(tables.events)
    target = targets(tables.stays, tables.outcomes, outcome)
    descriptor = is_descriptor(clean)
    static, replaced = pack_static(clean.keep(descriptor), n)
    steps, combined = combine_repeats(clean.keep(~descriptor))
    series = {name: pack_series(steps, GROUPS[name], n) for name in GROUPS if name != "static"}
    values = {"static": static} | series
    absence = [np.where(v.index >= 0, PRESENT, NOT_MEASURED) for v in values.values()]
    row_id = np.array(tables.stays["record_id"].to_pylist(), dtype=str)
    counts = clean.counts | {"replaced_descriptors": replaced, "combined_repeats": combined}
    counts |= {"stays": n, "labelled": int((~np.isnan(target)).sum())}
    return Dataset(
        tuple(_modality(name) for name in GROUPS),
        values,
        np.stack(absence, axis=1).astype(np.int8),
        row_id,
        task=outcome.task,
        target=target,
        group=row_id.copy(),
        provenance=source | {"counts": counts, "rules": _rules()},
    )


def _rules() -> dict[str, Any]:
    return {
        "ranges": {k: [v.low, v.high, v.unit, v.repeats] for k, v in VARIABLES.items()},
        "rescaled": [list(r) for r in RESCALED],
    }


def _modality(name: str) -> Modality:
    if name != "static":
        return Modality(name, "series", features=GROUPS[name], time_unit="hours")
    numeric = tuple(v for v in GROUPS[name] if v not in CATEGORIES)
    levels = {v: tuple(CATEGORIES[v].values()) for v in GROUPS[name] if v in CATEGORIES}
    return Modality(name, "table", features=numeric, levels=levels)
