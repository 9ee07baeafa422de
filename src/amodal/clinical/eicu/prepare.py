"""eICU-CRD, from its official folder to a `Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.clinical.assemble import Prepared
from amodal.clinical.choices import Choices, check_edition, choose
from amodal.clinical.cohort_rules import removed_counts
from amodal.clinical.eicu import cohort as rules
from amodal.clinical.eicu import labels
from amodal.clinical.eicu.features import Cohort, make_modality
from amodal.clinical.eicu.layout import TABLES, Edition, edition_of, find_eicu, published_eicu
from amodal.clinical.finish import (
    Source,
    Told,
    features_of,
    prepare_into,
    report_beside,
    to_dataset,
)
from amodal.clinical.leaks import LATER_HOURS, leak_notes, selected
from amodal.clinical.workspace import Machine, Workspace
from amodal.data.store import check_target_folder
from amodal.disclosure import is_small, shown_count
from amodal.errors import DataError
from amodal.types import Task

if TYPE_CHECKING:
    import ibis

__all__ = ["eicu_choices", "prepare_eicu"]

_MUSE_2_0 = {"unit stays": 158_248, "patients": 120_892}
"""What the `muse` rules leave of version 2.0 (published)."""
_COLUMNS = {
    "row_id": "patientunitstayid",
    "patient": "uniquepid",
    "hospital": "hospitalid",
    "region": "region",
}
_FACTS = {
    "sex": "gender",
    "race": "ethnicity",
    "unit": "unittype",
    "hospital": "hospitalid",
    "region": "region",
    "teaching": "teachingstatus",
}
_KEPT = ("patientunitstayid", "uniquepid", "hospitalid", "outcome", "ethnicity", "unittype")
_IMPOSSIBLE = 0.01
"""A larger share of unit stays that end before they begin is no slip."""
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
    muse = protocol == "muse"
    deaths = ("icu",) if muse else ("hospital", "icu")
    third = "apache" if muse else "vitals"
    names = ("codes", "labs", third, "demographics")
    leaks = () if muse else ("stored", "later", "coded", "selected")
    if task == "mortality" and not muse:
        leaks = (*leaks, "apache")
        names = (*names, "apache") if "apache" in (asked.get("leaks") or ()) else names
    offered = {
        "window": (labels.MUSE_READMISSION_DAYS if muse and task == "readmission" else None,),
        "outcome": deaths if task == "mortality" else ("",),
        "predict_at": ("12h",) if muse or task == "mortality" else ("icu discharge",),
        "split": (*(("row", "patient") if muse else ("patient", "row")), "hospital", "region"),
        "modalities": names,
        "leaks": leaks,
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
        raw: the folder that holds ``patient.csv.gz`` and the other tables, csv or csv.gz;
            with engine "bigquery" where they are published, as ``physionet-data.eicu_crd``.
        out: where to write the data set and its cohort report; None writes nothing.
        choices: from `eicu_choices`.
        edition: "any", or "full" or "demo" to refuse the other.
        machine: engine, threads and memory.
        say: is told what is being done.

    Returns:
        The data set, its cohort report and warnings.

    Raises:
        StorageError: a file cannot be read or is truncated, or `out` cannot be written.
        DataError: a table or column is lacking or breaks a rule.
    """
    if out is not None:
        check_target_folder(out)
    machine = machine or Machine()
    if machine.engine == "bigquery":
        found = published_eicu(machine.warehouse(), str(raw))
    else:
        found = find_eicu(raw)
    places = ("hospital",) if choices.split == "region" else ()
    for name in ("patient", *places, *(t for m in choices.modalities for t in _NEEDED[m])):
        found.path(name)
    work = Workspace(found, TABLES, out=out, machine=machine, say=say)
    return prepare_into(work, out, lambda work: _prepare(work, choices, edition))


_NEEDED = {
    "codes": ("diagnosis", "treatment", "medication"),
    "labs": ("lab",),
    "vitals": ("vitalPeriodic",),
    "apache": ("apacheApsVar",),
    "demographics": (),
}


def _prepare(work: Workspace, choices: Choices, edition: str) -> Prepared:
    patient = _placed(work, work.table("patient"))
    stays = work.engine.count(patient)
    known = edition_of(stays)
    _check_edition(edition, stays)
    _refuse_impossible(work, patient, stays)
    candidates = _candidates(work, patient, choices)
    cohort = _cohort(work, candidates, patient, choices)
    made = features_of(work, choices, lambda name: make_modality(name, work, cohort, choices))
    rows = work.engine.fetch(cohort.stays.order_by("row"))
    source = Source("eICU-CRD", known.name if known else "", _COLUMNS, _FACTS, "years")
    data = to_dataset(work, rows, made, _task(choices), choices=choices, source=source)
    muse, mortality = choices.protocol == "muse", choices.task == "mortality"
    notes = [_TRANSFERS] if muse and not mortality else []
    notes += [*leak_notes(choices.leaks), *(note for f in made.values() for note in f.notes)]
    notes += _comparator(work, cohort, choices)
    if known is None:
        notes.append("RAW is no published edition as a whole: no counts to compare with")
    told = Told(
        "unit stays" if muse or mortality else "stays (units merged)",
        removed_counts(work.engine, candidates, _rules(choices)),
        _KEPT,
        expected=_expected(data, rows, choices, known),
        notes=notes,
    )
    return report_beside(data, rows, choices=choices, source=source, told=told)


def _rules(choices: Choices) -> tuple[str, ...]:
    if choices.protocol == "muse":
        return rules.MUSE_RULES
    return rules.MORTALITY_RULES if choices.task == "mortality" else rules.READMISSION_RULES


def _placed(work: Workspace, patient: ibis.Table) -> ibis.Table:
    """Beside each stay the region of its hospital, and whether that teaches, where RAW tells."""
    if not work.has("hospital"):
        return patient
    places = work.table("hospital")
    return patient.left_join(places, "hospitalid").drop("hospitalid_right")


def _check_edition(edition: str, stays: int) -> None:
    check_edition(edition)
    full = stays > 100_000
    if edition != "any" and (edition == "full") != full:
        raise DataError(
            f"the {edition} eICU-CRD was announced; RAW holds {stays:,} unit stays, the full one "
            "200,859 and the demo 2,520; name the other folder, or leave out --edition"
        )


def _refuse_impossible(work: Workspace, patient: ibis.Table, n: int) -> None:
    wrong = work.engine.count(patient.filter(patient.unitdischargeoffset < 0))
    if wrong > max(_IMPOSSIBLE * n, 1):
        raise DataError(
            f"a unit stay ends after it begins; in {shown_count(wrong, n)} of {n:,} "
            "unitdischargeoffset lies before admission; fetch patient again"
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
    if "selected" in choices.leaks:  # each stay has a label: muse leaves out whole stays
        t = selected(t, lambda x: x, rules.muse_keeps)
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
    if "later" in choices.leaks:
        members = members.mutate(until=members.until + LATER_HOURS * 60)
    members = work.engine.keep(members, "members")
    return Cohort(stays, members, work.engine.count(stays))


def _task(choices: Choices) -> Task:
    if choices.task == "mortality":
        where = "hospital" if choices.outcome == "hospital" else "unit"
        return Task("binary", ("survived", "died"), f"death in the {where}")
    if choices.protocol == "muse":
        return Task("binary", ("no", "yes"), "next unit stay")
    return Task("binary", ("not readmitted", "readmitted"), "readmission to intensive care")


def _comparator(work: Workspace, cohort: Cohort, choices: Choices) -> list[str]:
    """How well APACHE IVa itself predicts, where its predictions are there."""
    if choices.task != "mortality" or not work.has("apachePatientResult"):
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


def _expected(data: Any, rows: Any, choices: Choices, known: Edition | None) -> list[tuple]:
    """Counts published of the `muse` cohort of 2.0."""
    if choices.protocol != "muse" or known is None or known.name != "2.0":
        return []
    patients = len(set(rows["uniquepid"].to_pylist()))
    return [
        ("unit stays", _MUSE_2_0["unit stays"], len(data)),
        ("patients", _MUSE_2_0["patients"], patients),
    ]
