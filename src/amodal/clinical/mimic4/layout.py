"""Finds the tables of MIMIC-IV in RAW and MIMIC-IV-Note in NOTES, and tells the version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amodal.clinical.bigquery import Published, Warehouse, check_published
from amodal.clinical.raw import find_table, header_of
from amodal.clinical.raw_table import RawTable
from amodal.errors import DataError, StorageError

__all__ = [
    "EDITIONS",
    "TABLES",
    "Edition",
    "Mimic4Raw",
    "before_2",
    "edition_of",
    "find_mimic4",
    "published_mimic4",
]

_ICD = {"icd_code": "text", "icd_version": "int"}
_EVENT = {"subject_id": "int", "hadm_id": "int"}
_MEASURED = {**_EVENT, "itemid": "int", "charttime": "time", "storetime": "time"}

TABLES: dict[str, RawTable] = {
    t.name: t
    for t in (
        RawTable(
            "patients",
            {
                "subject_id": "int",
                "gender": "text",
                "anchor_age": "int",
                "anchor_year": "int",
                "anchor_year_group": "text",
                "dod": "time",
            },
            key=("subject_id",),
            since="every version since 1.0",
        ),
        RawTable(
            "admissions",
            {
                **_EVENT,
                "admittime": "time",
                "dischtime": "time",
                "admission_type": "text",
                "discharge_location": "text",
                "hospital_expire_flag": "int",
            },
            {"admission_location": "text", "insurance": "text", "race": "text"},
            key=("hadm_id",),
            since="every version since 1.0",
            aliases={"race": "ethnicity"},
        ),
        RawTable("diagnoses_icd", {**_EVENT, "seq_num": "int", **_ICD}),
        RawTable(
            "d_icd_diagnoses", {**_ICD, "long_title": "text"}, key=("icd_code", "icd_version")
        ),
        RawTable("procedures_icd", {**_EVENT, "seq_num": "int", "chartdate": "time", **_ICD}),
        RawTable(
            "d_icd_procedures", {**_ICD, "long_title": "text"}, key=("icd_code", "icd_version")
        ),
        RawTable(
            "prescriptions", {**_EVENT, "starttime": "time", "drug": "text"}, {"poe_id": "text"}
        ),
        RawTable("poe", {"poe_id": "text", "ordertime": "time"}),
        RawTable(
            "drgcodes", {**_EVENT, "drg_type": "text", "drg_code": "text"}, {"description": "text"}
        ),
        RawTable(
            "labevents",
            {**_MEASURED, "valuenum": "float", "valueuom": "text", "flag": "text"},
            since="every version since 1.0",
        ),
        RawTable(
            "d_labitems", {"itemid": "int", "label": "text", "fluid": "text"}, key=("itemid",)
        ),
        RawTable(
            "chartevents",
            {**_MEASURED, "valuenum": "float", "valueuom": "text"},
            since="every version since 1.0, in icu",
        ),
        RawTable(
            "discharge",
            {"note_id": "text", **_EVENT, "charttime": "time", "storetime": "time", "text": "text"},
            since="MIMIC-IV-Note 2.2",
        ),
        RawTable(
            "radiology",
            {"note_id": "text", **_EVENT, "charttime": "time", "storetime": "time", "text": "text"},
            since="MIMIC-IV-Note 2.2",
        ),
    )
}
"""Name -> what is read of it."""

_FOLDERS = ("hosp", "icu", "core")
_NOTES = ("discharge", "radiology")


@dataclass(frozen=True)
class Edition:
    """One published edition: its name and its numbers of patients and admissions."""

    name: str
    patients: int
    admissions: int


EDITIONS: tuple[Edition, ...] = (
    Edition("1.0", 382_278, 523_740),
    Edition("2.0", 315_460, 454_324),
    Edition("2.2", 299_712, 431_231),
    Edition("3.0 or 3.1", 364_627, 546_028),
    Edition("2.2 demo", 100, 275),
)


@dataclass(frozen=True)
class Mimic4Raw:
    """The folders of one copy of MIMIC-IV, and of its notes."""

    folders: tuple[Path, ...]
    notes: tuple[Path, ...]
    core: bool

    def path(self, name: str, *, needed: bool = True) -> Path | None:
        """The file of table `name`.

        Raises:
            DataError: there is none and it is `needed`.
        """
        places = self.notes if name in _NOTES else self.folders
        found = find_table(places, name)
        if found is None and needed:
            since = TABLES[name].since
            raise DataError(
                f"MIMIC-IV has a table {name}{f' ({since})' if since else ''}; RAW has no "
                f"{name}.csv or {name}.csv.gz; fetch it, or leave out the modality that needs it "
                "with --modalities"
            )
        return found

    def columns(self, name: str) -> list[str]:
        """The names of the columns of a table that is there."""
        return header_of(self.path(name))


def before_2(found: Mimic4Raw | Published) -> bool:
    """Whether this is a version below 2.0: a folder core, or admissions with ethnicity.

    >>> from types import SimpleNamespace
    >>> def version(column):
    ...     return SimpleNamespace(columns=lambda table: ["hadm_id", column])
    >>> before_2(version("ethnicity")), before_2(version("race"))
    (True, False)
    """
    names = [n.lower() for n in found.columns("admissions")]
    core = isinstance(found, Mimic4Raw) and found.core
    return core or ("ethnicity" in names and "race" not in names)


def published_mimic4(warehouse: Warehouse, raw: str, notes: str | None = None) -> Published:
    """The tables that are published as `raw` with "_hosp", "_icu" and "_core" behind it, and
    `notes`.

    Args:
        warehouse: where.
        raw: "project.name", as "physionet-data.mimiciv_3_1".
        notes: "project.data set", as "physionet-data.mimiciv_note".

    >>> found = published_mimic4(None, "own.iv_3_1", "own.note")
    >>> found.places["labevents"], found.places["discharge"]
    (('own.iv_3_1_hosp', 'own.iv_3_1_icu', 'own.iv_3_1_core'), ('own.note',))
    """
    check_published(raw, "physionet-data.mimiciv_3_1")
    hospital = tuple(f"{raw}_{part}" for part in _FOLDERS)
    if notes is not None:
        check_published(notes, "physionet-data.mimiciv_note")
    places = dict.fromkeys(_NOTES, (notes,) if notes else ())
    return Published(
        warehouse, "MIMIC-IV", {name: places.get(name, hospital) for name in TABLES}, TABLES
    )


def find_mimic4(raw: str | Path, notes: str | Path | None = None) -> Mimic4Raw:
    """The folders in `raw` that hold tables: hosp, icu and core (any case), or `raw` itself.

    Raises:
        StorageError: `raw` or `notes` does not exist.
        DataError: neither patients nor admissions are in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("hosp", "core"):
    ...         Path(folder, name).mkdir()
    ...     Path(folder, "core", "admissions.csv").touch()
    ...     found = find_mimic4(folder)
    ...     found.core, found.path("admissions").name, found.path("labevents", needed=False)
    (True, 'admissions.csv', None)
    """
    found = _folders(Path(raw), "RAW", _FOLDERS)
    core = any(p.name.lower() == "core" for p in found)
    places = () if notes is None else _folders(Path(notes), "NOTES", ("note",))
    layout = Mimic4Raw(found, places, core)
    if find_table(found, "admissions") is None and find_table(found, "patients") is None:
        hint = (
            "it looks like eICU; use `amodal prepare eicu`"
            if find_table(found, "patient") is not None
            else "name the folder that holds hosp and icu"
        )
        raise DataError(
            f"RAW holds the tables patients and admissions of MIMIC-IV; {Path(raw).name} has "
            f"neither; {hint}"
        )
    if notes is not None and find_table(places, "discharge") is None:
        raise DataError(
            f"NOTES holds the table discharge of MIMIC-IV-Note; {Path(notes).name} has none; name "
            "the folder that holds note"
        )
    return layout


def _folders(root: Path, what: str, names: tuple[str, ...]) -> tuple[Path, ...]:
    if not root.is_dir():
        raise StorageError(
            f"{what} must be a folder; {root} is {'a file' if root.exists() else 'not there'}; "
            "check the path"
        )
    inside = {p.name.lower(): p for p in sorted(root.iterdir()) if p.is_dir()}
    return (*(inside[n] for n in names if n in inside), root)


def edition_of(patients: int, admissions: int) -> Edition | None:
    """The published edition of so many patients and admissions, None where none has.

    >>> edition_of(100, 275).name
    '2.2 demo'
    """
    for edition in EDITIONS:
        if (edition.patients, edition.admissions) == (patients, admissions):
            return edition
    return None
