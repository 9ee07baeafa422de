"""Finds the tables of eICU-CRD in RAW, and tells the edition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from amodal.clinical.bigquery import Published, Warehouse, check_published
from amodal.clinical.raw import find_table
from amodal.clinical.raw_table import RawTable
from amodal.errors import DataError, StorageError

__all__ = [
    "APACHE_COLUMNS",
    "EDITIONS",
    "TABLES",
    "Edition",
    "EicuRaw",
    "edition_of",
    "find_eicu",
    "published_eicu",
]

APACHE_COLUMNS = (
    "intubated",
    "vent",
    "dialysis",
    "eyes",
    "motor",
    "verbal",
    "meds",
    "urine",
    "wbc",
    "temperature",
    "respiratoryrate",
    "sodium",
    "heartrate",
    "meanbp",
    "ph",
    "hematocrit",
    "creatinine",
    "albumin",
    "pao2",
    "pco2",
    "bun",
    "glucose",
    "bilirubin",
    "fio2",
)

_STAY = {"patientunitstayid": "int"}
_SYSTEMIC = ("systemicsystolic", "systemicdiastolic", "systemicmean")
_PERIODIC = ("temperature", "sao2", "heartrate", "respiration", *_SYSTEMIC)
_APERIODIC = ("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean")

TABLES: dict[str, RawTable] = {
    t.name: replace(t, since="eICU-CRD 2.0")
    for t in (
        RawTable(
            "patient",
            {
                **_STAY,
                "patienthealthsystemstayid": "int",
                "uniquepid": "text",
                "gender": "text",
                "age": "text",
                "hospitalid": "int",
                "hospitaladmitoffset": "int",
                "hospitaldischargestatus": "text",
                "unittype": "text",
                "unitvisitnumber": "int",
                "unitstaytype": "text",
                "unitdischargeoffset": "int",
                "unitdischargestatus": "text",
            },
            {
                "ethnicity": "text",
                "admissionheight": "float",
                "admissionweight": "float",
                "hospitaldischargeoffset": "int",
                "unitadmitsource": "text",
            },
            key=("patientunitstayid",),
        ),
        RawTable(
            "hospital",
            {"hospitalid": "int", "region": "text"},
            {"teachingstatus": "text"},
            key=("hospitalid",),
        ),
        RawTable("diagnosis", {**_STAY, "diagnosisoffset": "int", "diagnosisstring": "text"}),
        RawTable("treatment", {**_STAY, "treatmentoffset": "int", "treatmentstring": "text"}),
        RawTable(
            "medication",
            {
                **_STAY,
                "drugorderoffset": "int",
                "drugstartoffset": "int",
                "drugordercancelled": "text",
                "drugname": "text",
            },
        ),
        RawTable(
            "lab",
            {
                **_STAY,
                "labresultoffset": "int",
                "labname": "text",
                "labresult": "float",
                "labresultrevisedoffset": "int",
            },
            {"labmeasurenamesystem": "text"},
        ),
        RawTable(
            "vitalPeriodic",
            {**_STAY, "observationoffset": "int", **dict.fromkeys(_PERIODIC, "float")},
        ),
        RawTable(
            "vitalAperiodic",
            {**_STAY, "observationoffset": "int", **dict.fromkeys(_APERIODIC, "float")},
        ),
        RawTable("apacheApsVar", {**_STAY, **dict.fromkeys(APACHE_COLUMNS, "float")}),
        RawTable(
            "apachePatientResult",
            {**_STAY, "apacheversion": "text", "predictedhospitalmortality": "float"},
            {"predictedicumortality": "float"},
        ),
    )
}
"""Name -> what is read of it."""


@dataclass(frozen=True)
class Edition:
    """One published edition: its name and its number of unit stays."""

    name: str
    stays: int


EDITIONS = (Edition("2.0", 200_859), Edition("2.0.1 demo", 2_520))


@dataclass(frozen=True)
class EicuRaw:
    """The folder of one copy of eICU-CRD."""

    folder: Path

    def path(self, name: str, *, needed: bool = True) -> Path | None:
        """The file of table `name`.

        Raises:
            DataError: there is none and it is `needed`.
        """
        found = find_table((self.folder,), name)
        if found is None and needed:
            raise DataError(
                f"eICU-CRD has a table {name} (version 2.0); RAW has no {name}.csv or "
                f"{name}.csv.gz; fetch it, or leave out the modality that needs it with "
                "--modalities"
            )
        return found


def find_eicu(raw: str | Path) -> EicuRaw:
    """The folder that holds the tables: `raw` itself, or the one folder in it that has patient.

    Raises:
        StorageError: `raw` does not exist.
        DataError: the table patient is not in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "eicu").mkdir()
    ...     Path(folder, "eicu", "patient.csv.gz").touch()
    ...     found = find_eicu(folder)
    ...     found.folder.name, found.path("patient").name, found.path("lab", needed=False)
    ('eicu', 'patient.csv.gz', None)
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise StorageError(
            f"RAW must be a folder; {raw} is {'a file' if raw.exists() else 'not there'}; "
            "check the path"
        )
    for folder in (raw, *sorted(p for p in raw.iterdir() if p.is_dir())):
        if find_table((folder,), "patient") is not None:
            return EicuRaw(folder)
    mimic = any((raw / name).is_dir() for name in ("hosp", "HOSP", "core"))
    raise DataError(
        f"RAW holds the table patient of eICU-CRD; {raw.name} has none; "
        + (
            "it looks like MIMIC-IV; use `amodal prepare mimic4`"
            if mimic
            else "name the folder that holds patient.csv.gz"
        )
    )


def published_eicu(warehouse: Warehouse, raw: str) -> Published:
    """The tables that are published in `raw`, as "physionet-data.eicu_crd".

    >>> published_eicu(None, "physionet-data.eicu_crd").places["lab"]
    ('physionet-data.eicu_crd',)
    """
    check_published(raw, "physionet-data.eicu_crd")
    return Published(warehouse, "eICU-CRD", dict.fromkeys(TABLES, (raw,)), TABLES)


def edition_of(stays: int) -> Edition | None:
    """The published edition of so many unit stays, None where none has.

    >>> edition_of(2520).name
    '2.0.1 demo'
    """
    return next((e for e in EDITIONS if e.stays == stays), None)
