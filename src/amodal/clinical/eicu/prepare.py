"""eICU-CRD, from its official folder to a `Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.clinical.assemble import Prepared, assemble, parquet_bytes
from amodal.clinical.choices import Choices, choose
from amodal.clinical.cohort_report import cohort_report, report_files
from amodal.clinical.eicu import cohort as rules
from amodal.clinical.eicu import labels
from amodal.clinical.eicu.features import Cohort, make_modality
from amodal.clinical.eicu.layout import TABLES, EicuRaw, edition_of, find_eicu
from amodal.clinical.workspace import Machine, Workspace
from amodal.data.store import check_target_folder, save_dataset
from amodal.disclosure import is_small
from amodal.errors import DataError, SettingError
from amodal.types import Task

if TYPE_CHECKING:
    import ibis

__all__ = ["eicu_choices", "prepare_eicu"]

_MUSE_2_0 = {"unit stays": 158_248, "patients": 120_892}
"""What the `muse` rules leave of version 2.0 (published)."""
_TRANSFERS = (
    "a next unit stay of the same hospital stay counts as readmission: mostly transfers between "
    "units"
)


def eicu_choices(*, task: str, protocol: str = "clean", **asked: Any) -> Choices:
    """The choices for eICU; see `amodal.clinical.choices.choose`.

    >>> eicu_choices(task="mortality").outcome
    'hospital'
    >>> eicu_choices(task="mortality", protocol="muse").modalities
    ('codes', 'labs', 'apache', 'demographics')
    """
    if task not in ("mortality", "readmission") or protocol not in ("clean", "muse"):
        raise SettingError(
            "the task is mortality or readmission and the protocol clean or muse; got "
            f"{task!r} and {protocol!r}; choose of these"
        )
    muse = protocol == "muse"
    deaths = ("icu",) if muse else ("hospital", "icu")
    third = "apache" if muse else "vitals"
    offered = {
        "window": (labels.MUSE_READMISSION_DAYS if muse and task == "readmission" else None,),
        "outcome": deaths if task == "mortality" else ("",),
        "predict_at": ("12h",) if muse or task == "mortality" else ("icu discharge",),
        "split": ("row", "patient", "hospital") if muse else ("patient", "hospital", "row"),
        "modalities": ("codes", "labs", third, "demographics"),
    }
    return choose(offered, task=task, protocol=protocol, **asked)


def prepare_eicu(
    raw: str | Path,
    out: str | Path | None = None,
    *,
    choices: Choices,
    edition: str = "any",
    machine: Machine | None = None,
    say: Callable[[str], None] | None = None,
) -> Prepared:
    """A data set of one row for each stay in intensive care, from the official folder of eICU-CRD.

    Args:
        raw: the folder that holds ``patient.csv.gz`` and the other tables, csv or csv.gz.
        out: where to write the data set and its cohort report; None writes nothing.
        choices: from `eicu_choices`.
        edition: "any", or "full" or "demo" to refuse the other.
        machine: threads and memory.
        say: is told what is being done.

    Returns:
        The data set, its cohort report and warnings.

    Raises:
        StorageError: a file cannot be read or is truncated, or `out` cannot be written.
        DataError: a table or column is lacking or breaks a rule.
    """
    if out is not None:
        check_target_folder(out)
    found = find_eicu(raw)
    for name in ("patient", *(t for m in choices.modalities for t in _NEEDED[m])):
        found.path(name)
    with Workspace(found.path, TABLES, out=out, machine=machine, say=say) as work:
        prepared = _prepare(work, found, choices, edition)
        if out is not None:
            work.say("writing the data set")
            save_dataset(prepared.data, out, beside=prepared.beside)
    return prepared


_NEEDED = {
    "codes": ("diagnosis", "treatment", "medication"),
    "labs": ("lab",),
    "vitals": ("vitalPeriodic",),
    "apache": ("apacheApsVar",),
    "demographics": (),
}


def _prepare(work: Workspace, found: EicuRaw, choices: Choices, edition: str) -> Prepared:
    patient = work.table("patient")
    stays = work.engine.count(patient)
    known = edition_of(stays)
    _check_edition(edition, stays)
    candidates = _candidates(work, patient, choices)
    cohort = _cohort(work, candidates, patient, choices)
    made = {}
    for name in choices.modalities:
        work.say(f"making {name}")
        made[name] = make_modality(name, work, found, cohort, choices)
    rows = work.engine.fetch(cohort.stays.order_by("row"))
    provenance = {
        "source": "eICU-CRD",
        "edition": known.name if known else "",
        "choices": choices.to_json(),
        "tables": work.sources,
        "made": {name: f.facts for name, f in made.items()},
    }
    data = assemble(
        _row_columns(rows),
        {name: (f.modality, f.values) for name, f in made.items()},
        _task(choices),
        choices,
        provenance=provenance,
    )
    notes = [note for f in made.values() for note in f.notes]
    notes += _comparator(work, found, cohort, choices)
    removed = _removed(work, candidates, choices)
    return _finish(data, rows, removed, (choices, known, notes))


def _check_edition(edition: str, stays: int) -> None:
    if edition not in ("any", "full", "demo"):
        raise SettingError(
            f"the edition is any, full or demo; got {edition!r}; choose one of these"
        )
    full = stays > 100_000
    if edition != "any" and (edition == "full") != full:
        raise DataError(
            f"the {edition} eICU-CRD was announced; RAW holds {stays:,} unit stays, the full one "
            "200,859 and the demo 2,520; name the other folder, or leave out --edition"
        )


def _candidates(work: Workspace, patient: ibis.Table, choices: Choices) -> ibis.Table:
    if choices.protocol == "muse":
        t = rules.muse_candidates(patient)
        label = labels.muse_mortality if choices.task == "mortality" else labels.muse_readmission
        t = label(t)
    elif choices.task == "mortality":
        t = labels.clean_mortality(rules.mortality_candidates(patient), where=choices.outcome)
    else:
        t = labels.clean_readmission(rules.readmission_candidates(patient))
    return work.engine.keep(t, "candidates")


def _cohort(
    work: Workspace, candidates: ibis.Table, patient: ibis.Table, choices: Choices
) -> Cohort:
    import ibis

    kept = candidates.filter(candidates.removed_by.isnull())
    row = ibis.row_number().over(order_by="patientunitstayid").cast("int64")
    stays = work.engine.keep(kept.mutate(row=row), "stays")
    if choices.protocol == "clean" and choices.task == "readmission":
        wanted = stays.select("row", "begin", "end", block="patientunitstayid")
        parts = rules.merged_stays(patient).select("patientunitstayid", "block", "start")
        t = parts.inner_join(wanted, "block")
        members = t.select(
            "patientunitstayid", "row", shift=t.start - t.begin, until=t.end - t.begin
        )
    else:
        members = stays.select(
            "patientunitstayid",
            "row",
            shift=ibis.literal(0, "int64"),
            until=ibis.literal(rules.PREDICTION_MINUTE, "int64"),
        )
    members = work.engine.keep(members, "members")
    return Cohort(stays, members, work.engine.count(stays))


def _row_columns(rows: Any) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "row_id": rows["patientunitstayid"],
            "target": rows["target"],
            "patient": rows["uniquepid"],
            "hospital": rows["hospitalid"],
        }
    )


def _task(choices: Choices) -> Task:
    if choices.task == "mortality":
        where = "hospital" if choices.outcome == "hospital" else "unit"
        return Task("binary", ("survived", "died"), f"death in the {where}")
    if choices.protocol == "muse":
        return Task("binary", ("no", "yes"), "next unit stay")
    return Task("binary", ("not readmitted", "readmitted"), "readmission to intensive care")


def _removed(work: Workspace, candidates: ibis.Table, choices: Choices) -> dict[str, int]:
    """Rule -> candidates that it removed, in the order of the rules."""
    t = candidates.filter(candidates.removed_by.notnull())
    found = work.engine.fetch(t.group_by("removed_by").agg(n=t.count()))
    counts = dict(zip(found["removed_by"].to_pylist(), found["n"].to_pylist(), strict=True))
    order = rules.MORTALITY_RULES if choices.task == "mortality" else rules.READMISSION_RULES
    if choices.protocol == "muse":
        order = rules.MUSE_RULES
    return {rule: counts.get(rule, 0) for rule in order}


def _comparator(work: Workspace, found: EicuRaw, cohort: Cohort, choices: Choices) -> list[str]:
    """How well APACHE IVa itself predicts, where its predictions are there."""
    if choices.task != "mortality" or found.path("apachePatientResult", needed=False) is None:
        return []
    t = work.table("apachePatientResult")
    hospital = choices.outcome == "hospital"
    own = t.predictedhospitalmortality if hospital else t.predictedicumortality
    t = t.mutate(own=own).filter((t.apacheversion == "IVa") & (own >= 0))
    t = t.group_by("patientunitstayid").agg(own=t.own.max())
    joined = cohort.stays.inner_join(t, "patientunitstayid").filter(lambda x: x.target.notnull())
    pairs = work.engine.fetch(joined.select("target", "own"))
    target, score = pairs["target"].to_numpy(), pairs["own"].to_numpy()
    deaths = int(target.sum())
    if min(deaths, len(target) - deaths) == 0 or is_small(deaths):
        return []
    from sklearn.metrics import roc_auc_score

    return [
        f"APACHE IVa's own prediction, from 24 hours of data: AUROC "
        f"{roc_auc_score(target, score):.3f} over {len(target):,} rows that have one"
    ]


def _finish(data: Any, rows: Any, removed: dict[str, int], told: tuple) -> Prepared:
    choices, known, notes = told
    muse = choices.protocol == "muse"
    if muse and choices.task == "readmission":
        notes = [_TRANSFERS, *notes]
    if known is None:
        notes = [*notes, "RAW is no published edition as a whole: no counts to compare with"]
    expected = []
    if muse and known is not None and known.name == "2.0":
        patients = len(set(rows["uniquepid"].to_pylist()))
        expected = [
            ("unit stays", _MUSE_2_0["unit stays"], len(data)),
            ("patients", _MUSE_2_0["patients"], patients),
        ]
    report = cohort_report(
        data,
        title=f"eICU-CRD {known.name if known else 'of unknown edition'}",
        choices=choices.to_json(),
        removed=removed,
        candidates="unit stays" if muse or choices.task == "mortality" else "stays (units merged)",
        outcome=np.array(rows["outcome"].to_pylist(), dtype=str),
        flags={},
        expected=expected,
        notes=notes,
    )
    keep = ("patientunitstayid", "uniquepid", "hospitalid", "outcome", "ethnicity", "unittype")
    beside = {**report_files(report), "cohort.parquet": parquet_bytes(rows.select(keep))}
    warnings = tuple(
        f"{e['what']}: {e['published']:,} published, {e['found']:,} found"
        for e in report["expected"]
        if not e["agrees"]
    )
    return Prepared(data, report, beside, warnings)
