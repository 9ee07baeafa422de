"""Notes and dictionaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amodal.clinical.concepts import concepts
from amodal.clinical.simulate.hindsight import CODED
from amodal.clinical.simulate.mimic4.tables import DIAGNOSES, HEAD, PROCEDURES, Stays, names_of
from amodal.clinical.simulate.planted import code_places
from amodal.clinical.simulate.writer import RawWriter, stamp

__all__ = ["write_dictionaries", "write_notes"]


def write_notes(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes discharge and radiology notes with a word that tells of severity."""
    words = np.array(["well", "stable", "guarded", "unwell", "critical"])
    for table, share, delay in (("note/discharge", 0.7, 600), ("note/radiology", 0.5, -600)):
        has = np.flatnonzero(rng.random(len(stays.hadm)) < share)
        word = words[code_places(rng, stays.severity, has, len(words))]
        letter = "DS" if "discharge" in table else "RR"
        time = np.maximum(
            stays.end[has] + rng.integers(-60, 60, len(has)) + delay, stays.begin[has]
        )
        writer.write(
            table,
            HEAD["note"],
            {
                "note_id": [
                    f"{s}-{letter}-{h}"
                    for s, h in zip(stays.subject[has], stays.hadm[has], strict=True)
                ],
                "subject_id": stays.subject[has],
                "hadm_id": stays.hadm[has],
                "note_type": np.full(len(has), letter),
                "note_seq": np.arange(len(has)),
                "charttime": stamp(time),
                "storetime": stamp(time + 30),
                "text": [
                    'Synthetic note, "made up".\nBrief Hospital Course:\n'
                    f"The patient was {w} on discharge.\nMedications on Admission:\nnone"
                    for w in word
                ],
            },
        )


def write_dictionaries(writer: RawWriter) -> None:
    """Writes the titles of codes, lab items and charted items."""
    for table, letter, size, what in (
        ("hosp/d_icd_diagnoses", "S", DIAGNOSES, "diagnosis"),
        ("hosp/d_icd_procedures", "P", PROCEDURES, "procedure"),
    ):
        titles = [f"Synthetic {what} {k:03d}" for k in range(size)]
        codes = names_of(letter, size).tolist()
        if what == "diagnosis":
            titles, codes = [*titles, CODED], [*codes, "SEND"]
        columns = {"icd_code": codes, "icd_version": np.full(len(codes), 10)}
        writer.write(table, "icd_code,icd_version,long_title", {**columns, "long_title": titles})
    labs = _items("labs")
    writer.write(
        "hosp/d_labitems",
        "itemid,label,fluid,category",
        {
            "itemid": [i for i, _, _ in labs],
            "label": [label for _, label, _ in labs],
            "fluid": [fluid for _, _, fluid in labs],
            "category": ["Synthetic"] * len(labs),
        },
    )
    vitals = _items("vitals")
    writer.write(
        "icu/d_items",
        "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,"
        "highnormalvalue",
        {
            "itemid": [i for i, _, _ in vitals],
            "label": [label for _, label, _ in vitals],
            "linksto": ["chartevents"] * len(vitals),
        },
    )


def _items(modality: str) -> Sequence[tuple[int, str, str]]:
    return sorted(
        (int(item.item), item.label, concept.fluid)
        for concept in concepts(modality)
        for item in concept.items
        if item.source == "mimic4"
    )
