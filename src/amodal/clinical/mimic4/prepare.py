"""MIMIC-IV, from its official folders to a `Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.clinical.assemble import Prepared
from amodal.clinical.choices import Choices, check_edition, choose
from amodal.clinical.cohort_rules import removed_counts
from amodal.clinical.finish import (
    Source,
    Told,
    features_of,
    prepare_into,
    report_beside,
    to_dataset,
)
from amodal.clinical.leaks import LATER_HOURS, leak_notes, selected
from amodal.clinical.mimic4 import cohort as rules
from amodal.clinical.mimic4 import labels
from amodal.clinical.mimic4.features import Cohort, make_modality
from amodal.clinical.mimic4.layout import (
    TABLES,
    Edition,
    before_2,
    edition_of,
    find_mimic4,
    published_mimic4,
)
from amodal.clinical.workspace import Machine, Workspace
from amodal.data.store import check_target_folder
from amodal.errors import DataError
from amodal.types import Task

if TYPE_CHECKING:
    import ibis

__all__ = ["mimic4_choices", "prepare_mimic4"]

_COLUMNS = {"row_id": "hadm_id", "patient": "subject_id"}
_FACTS = {"sex": "gender", "race": "race", "insurance": "insurance"}
_KEPT = ("hadm_id", "subject_id", "admittime", "dischtime", "outcome")
_FLAGS = ("hospice", "against_advice", "observation", "planned")
_MUSE_2_0 = {"rows": 389_761, "patients": 172_113, "mortality": 0.58, "readmission": 0.41}
"""What the `muse` rules leave of version 2.0, and the shares without label (published)."""
_FULL_PATIENTS = 100_000
"""A copy of more patients is a full one, of an edition known or not."""
_IMPOSSIBLE = 0.01
"""A larger share of admissions that end before they begin is no slip."""


def mimic4_choices(
    *, task: str, protocol: str = "clean", notes: bool = False, **asked: Any
) -> Choices:
    """The choices for MIMIC-IV; see `amodal.clinical.choices.choose`.

    >>> mimic4_choices(task="readmission").window
    30
    >>> mimic4_choices(task="mortality", protocol="muse").modalities
    ('codes', 'labs')
    """
    muse = protocol == "muse"
    windows = labels.MORTALITY_WINDOWS if task == "mortality" else labels.READMISSION_WINDOWS
    if muse:
        mortality = task == "mortality"
        windows = (labels.MUSE_MORTALITY_DAYS if mortality else labels.MUSE_READMISSION_DAYS,)
    names = ("codes", "labs") if muse else ("codes", "labs", "vitals", "demographics")
    offered = {
        "window": windows,
        "outcome": ("",),
        "predict_at": ("discharge",) if muse else ("discharge", "coding"),
        "split": ("row", "patient") if muse else ("patient", "row"),
        "modalities": (*names, "note") if notes else names,
        "leaks": () if muse else ("stored", "later", "coded", "selected"),
    }
    return choose(offered, task=task, protocol=protocol, **asked)


def prepare_mimic4(
    raw: str | Path,
    out: str | Path | None = None,
    *,
    choices: Choices,
    notes: str | Path | None = None,
    edition: str = "any",
    machine: Machine | None = None,
    say: Callable[[str], None] | None = None,
) -> Prepared:
    """A data set of one row for each hospital stay, from the official folders of MIMIC-IV.

    Args:
        raw: the folder that holds ``hosp`` and ``icu`` (``core`` in 1.0), csv or csv.gz; with
            engine "bigquery" where they are published, as ``physionet-data.mimiciv_3_1``.
        out: where to write the data set and its cohort report; None writes nothing.
        choices: from `mimic4_choices`.
        notes: the folder of MIMIC-IV-Note, or where it is published:
            ``physionet-data.mimiciv_note``.
        edition: "any", or "full" or "demo" to refuse the other.
        machine: engine, threads and memory.
        say: is told what is being done.

    Returns:
        The data set, its cohort report and warnings.

    Raises:
        StorageError: a file cannot be read or is truncated, or `out` cannot be written.
        DataError: a table or column is lacking or breaks a rule, or this version does not support
            the task.
    """
    if out is not None:
        check_target_folder(out)
    machine = machine or Machine()
    if machine.engine == "bigquery":
        found = published_mimic4(machine.warehouse(), str(raw), notes and str(notes))
    else:
        found = find_mimic4(raw, notes)
    _refuse_version(found, choices)
    _check_tables(found, choices)
    work = Workspace(found, TABLES, out=out, machine=machine, say=say)
    return prepare_into(work, out, lambda work: _prepare(work, choices, edition))


def _refuse_version(found: Any, choices: Choices) -> None:
    if choices.task == "mortality" and before_2(found):
        raise DataError(
            "death after discharge is known from MIMIC-IV 2.0 on; RAW is an earlier version, which "
            "holds deaths in hospital only and would turn deaths into survivors; use 2.0 or later"
        )


_NEEDED = {
    "codes": (
        "diagnoses_icd",
        "d_icd_diagnoses",
        "procedures_icd",
        "d_icd_procedures",
        "prescriptions",
    ),
    "labs": ("labevents", "d_labitems"),
    "vitals": ("chartevents",),
    "demographics": (),
    "note": ("discharge",),
}


def _check_tables(found: Any, choices: Choices) -> None:
    """All tables are there, before minutes of reading."""
    for name in ("patients", "admissions", *(t for m in choices.modalities for t in _NEEDED[m])):
        found.path(name)


def _prepare(work: Workspace, choices: Choices, edition: str) -> Prepared:
    patients, admissions = work.table("patients"), work.table("admissions")
    n_patients, n_admissions = work.engine.count(patients), work.engine.count(admissions)
    known = edition_of(n_patients, n_admissions)
    _check_edition(edition, known, n_patients)
    candidates = _candidates(work, admissions, patients, choices)
    _refuse_impossible(work, admissions, n_admissions)
    cohort = _cohort(work, candidates, admissions, choices)
    made = features_of(work, choices, lambda name: make_modality(name, work, cohort, choices))
    rows = work.engine.fetch(cohort.stays.order_by("row"))
    source = Source("MIMIC-IV", known.name if known else "", _COLUMNS, _FACTS)
    data = to_dataset(work, rows, made, _task(choices), choices=choices, source=source)
    notes = [*leak_notes(choices.leaks), *(note for f in made.values() for note in f.notes)]
    if known is None:
        notes.append("RAW is no published edition as a whole: no published counts to compare with")
    muse = choices.protocol == "muse"
    flags = () if muse else _FLAGS
    told = Told(
        "hospital admissions" if muse else "stays (admissions merged)",
        removed_counts(work.engine, candidates, rules.MUSE_RULES if muse else rules.CLEAN_RULES),
        (*_KEPT, *flags, *(c for c in ("race", "insurance") if c in rows.column_names)),
        flags,
        _expected(data, rows, choices, known) if n_patients > _FULL_PATIENTS else (),
        notes,
    )
    return report_beside(data, rows, choices=choices, source=source, told=told)


def _check_edition(edition: str, known: Edition | None, patients: int) -> None:
    check_edition(edition)
    demo = known is not None and "demo" in known.name
    if edition == "full" and (demo or patients < 1_000):
        raise DataError(
            "the full MIMIC-IV was announced; RAW holds "
            f"{'the demo' if demo else 'a part of it'} ({patients} patients); name the full "
            "folders, or leave out --edition"
        )
    if edition == "demo" and not demo:
        raise DataError(
            f"the demo was announced; RAW holds {patients:,} patients, the demo 100; name the "
            "demo's folder, or leave out --edition"
        )


def _candidates(
    work: Workspace, admissions: ibis.Table, patients: ibis.Table, choices: Choices
) -> ibis.Table:
    muse = choices.protocol == "muse"
    make = rules.muse_candidates if muse else rules.clean_candidates
    t = make(admissions, patients)
    label = _LABELS[choices.protocol, choices.task]
    t = label(t) if muse else label(t, days=choices.window)
    if "selected" in choices.leaks:
        t = selected(t, _LABELS["muse", choices.task], rules.muse_keeps)
    return work.engine.keep(t, "candidates")


_LABELS: dict[tuple[str, str], Any] = {
    ("muse", "mortality"): labels.muse_mortality,
    ("muse", "readmission"): labels.muse_readmission,
    ("clean", "mortality"): labels.clean_mortality,
    ("clean", "readmission"): labels.clean_readmission,
}


def _refuse_impossible(work: Workspace, admissions: ibis.Table, n: int) -> None:
    wrong = work.engine.count(admissions.filter(admissions.dischtime < admissions.admittime))
    if wrong > max(_IMPOSSIBLE * n, 1):
        raise DataError(
            f"an admission ends after it begins; in {wrong} of {n} dischtime lies before "
            "admittime; fetch admissions again"
        )


def _cohort(
    work: Workspace, candidates: ibis.Table, admissions: ibis.Table, choices: Choices
) -> Cohort:
    import ibis

    kept = candidates.filter(candidates.removed_by.isnull())
    row = ibis.row_number().over(order_by=["subject_id", "hadm_id"]).cast("int64")
    stays = work.engine.keep(kept.mutate(row=row), "stays")
    end = stays.dischtime
    if "later" in choices.leaks:
        end = end + ibis.interval(hours=LATER_HOURS)
    rows = stays.select("row", "subject_id", "hadm_id", begin="admittime", end=end)
    if choices.protocol == "muse":
        members = rows.drop("subject_id")
    else:
        members = work.engine.keep(rules.members(admissions, rows), "members")
    return Cohort(stays, rows, members, admissions, work.engine.count(stays))


def _task(choices: Choices) -> Task:
    if choices.task == "mortality":
        return Task("binary", ("survived", "died"), f"death within {choices.window} days")
    return Task(
        "binary", ("not readmitted", "readmitted"), f"readmission within {choices.window} days"
    )


def _expected(data: Any, rows: Any, choices: Choices, known: Edition | None) -> list[tuple]:
    """Counts published of 2.0; a full copy of another known edition is not compared."""
    if choices.protocol != "muse" or (known is not None and known.name != "2.0"):
        return []
    unlabelled = round(1 - float(data.labelled.mean()), 4)
    patients = len(np.unique(rows["subject_id"].to_numpy()))
    return [
        ("hospital admissions", _MUSE_2_0["rows"], len(data)),
        ("patients", _MUSE_2_0["patients"], patients),
        (f"share without {choices.task} label", _MUSE_2_0[choices.task], unlabelled),
    ]
