"""Leaks let in on purpose: each lets in what it says, and the clean rules keep it out."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.concepts import item_lines
from amodal.clinical.eicu import cohort as eicu_rules
from amodal.clinical.eicu import events as eicu_events
from amodal.clinical.leaks import LEAKS, leak_notes, selected
from amodal.clinical.mimic4 import cohort, labels, measurements
from amodal.clinical.simulate import simulate_eicu, simulate_mimic4
from amodal.clinical.simulate.hindsight import CODED
from amodal.data.dataset import Dataset
from amodal.errors import UnknownNameError

# -- pieces, on made-up tables --------------------------------------------------------------------

LABS = {"charttime": "time", "storetime": "time", "valuenum": "float", "valueuom": "text"}


def test_values_of_mimic4_stored_after_the_end_leak_only_on_purpose(table, lines, engine):
    rows = table(
        "row subject_id begin end\n0 1 2150-01-02T00:00 2150-01-04T00:00", begin="time", end="time"
    )
    events = table(
        """subject_id hadm_id itemid charttime storetime valuenum valueuom
        1 10 50931 2150-01-03T00:00 2150-01-03T01:00 100 mg/dL
        1 10 50931 2150-01-03T23:00 2150-01-04T00:01 200 mg/dL
        1 10 50931 2150-01-04T00:01 2150-01-04T00:02 300 mg/dL""",
        **LABS,
    )
    items = engine.arrow(item_lines("mimic4", "labs"))
    clean = measurements.clean_labs(rows, events, items)
    assert lines(clean, "time", "value") == [(25.0, 100.0)]
    leaky = measurements.clean_labs(rows, events, items, stored=False)
    assert lines(leaky, "time", "value") == [(24.0, 100.0), (47.0, 200.0)]


def test_values_of_eicu_revised_after_the_prediction_leak_only_on_purpose(table, lines, engine):
    members = table("patientunitstayid row shift until\n1 0 0 720")
    drawn = "labresultoffset labresultrevisedoffset"
    lab = table(
        f"""patientunitstayid {drawn} labname labresult labmeasurenamesystem
        1 60 120 glucose 100 mg/dL
        1 660 721 glucose 200 mg/dL
        1 721 722 glucose 300 mg/dL""",
        labname="text",
        labresult="float",
        labmeasurenamesystem="text",
    )
    items = engine.arrow(item_lines("eicu", "labs"))
    clean = eicu_events.clean_labs(members, lab, items)
    assert lines(clean, "time", "value") == [(2.0, 100.0)]
    leaky = eicu_events.clean_labs(members, lab, items, stored=False)
    assert lines(leaky, "time", "value") == [(1.0, 100.0), (11.0, 200.0)]


def test_codes_of_eicu_entered_later_leak_only_on_purpose(table, lines):
    stay = "patientunitstayid"
    members = table(f"{stay} row shift until\n1 0 0 720")
    tables = eicu_events.CodeTables(
        table(f"{stay} diagnosisoffset diagnosisstring\n1 720 A\n1 9000 B", diagnosisstring="text"),
        table(f"{stay} treatmentoffset treatmentstring\n1 721 T", treatmentstring="text"),
        table(
            f"{stay} drugorderoffset drugstartoffset drugordercancelled drugname\n1 900 60 No D",
            drugordercancelled="text",
            drugname="text",
        ),
    )

    def found(*leaks: str) -> list[str]:
        return sorted(
            c for (c,) in lines(eicu_events.clean_codes(members, tables, leaks=leaks), "code")
        )

    assert found() == ["A"]
    assert found("coded") == ["A", "B"]
    assert found("stored") == ["A", "D"]


def test_labels_kept_where_muse_keeps_them(table, lines):
    times = {"dischtime": "time", "next_admittime": "time", "dod": "time", "outcome": "text"}
    stays = table(
        """hadm_id dischtime next_admittime dod stay_seconds age hospital_expire_flag target outcome
        1 2150-01-01T12:00 - 2150-01-20 3600 50 0 1 died
        2 2150-01-01T12:00 - - 3600 50 0 0 survived
        3 2150-01-01T12:00 2150-08-01T12:00 - 3600 50 0 0 survived
        4 2150-01-01T12:00 - 2150-01-20 864001 50 0 1 died
        5 2150-01-01T12:00 - 2150-01-20 864000 50 0 1 died
        6 2150-01-01T12:00 - 2150-01-20 3600 91 0 1 died""",
        **times,
    )
    found = selected(stays, labels.muse_mortality, cohort.muse_keeps)
    assert lines(found, "hadm_id", "target", "outcome") == [
        (1, 1, "died"),
        (2, None, "survived"),  # no later admission: the future decides who is labelled
        (3, 0, "survived"),
        (4, None, "died"),  # a second above ten days
        (5, 1, "died"),
        (6, None, "died"),
    ]
    assert found.columns == stays.columns


def test_stays_of_eicu_that_muse_leaves_out_lose_their_label(table, lines):
    stays = table(
        """stay unitdischargeoffset years over_89 target outcome
        1 719 50 false 0 a
        2 720 50 false 0 a
        3 14400 89 false 1 b
        4 14401 50 false 1 b
        5 800 90 true 1 b
        6 800 - false 0 a""",
        over_89="text",
        outcome="text",
    )
    stays = stays.mutate(over_89=stays.over_89 == "true")
    found = selected(stays, lambda t: t, eicu_rules.muse_keeps)
    assert [t for _, t in lines(found, "stay", "target")] == [None, 0, 1, None, None, None]


# -- choices --------------------------------------------------------------------------------------


def test_leaks_are_of_the_clean_rules_and_told():
    for choose in (mimic4_choices, eicu_choices):
        with pytest.raises(UnknownNameError, match="leak"):
            choose(task="mortality", protocol="muse", leaks=("stored",))
        with pytest.raises(UnknownNameError, match="did you mean 'stored'"):
            choose(task="mortality", leaks=("store",))
        assert "leaks" not in choose(task="mortality").to_json()
    with pytest.raises(UnknownNameError, match="apache"):
        eicu_choices(task="readmission", leaks=("apache",))
    made = eicu_choices(task="mortality", leaks=("apache", "later"))
    assert made.to_json()["leaks"] == ["apache", "later"]
    assert made.modalities[-1] == "apache"
    assert len(leak_notes(tuple(LEAKS))) == len(LEAKS) == 5


# -- synthetic folders plant what each could exploit ----------------------------------------------


@pytest.fixture(scope="module")
def mimic4(tmp_path_factory) -> Path:
    return simulate_mimic4(tmp_path_factory.mktemp("m") / "raw", rows=300, seed=2, labs_per_row=2)


@pytest.fixture(scope="module")
def eicu(tmp_path_factory) -> Path:
    return simulate_eicu(tmp_path_factory.mktemp("e") / "raw", rows=300, seed=2, labs_per_row=2)


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_patients_have_habits(mimic4, eicu):
    drugs = defaultdict(lambda: defaultdict(set))
    for line in read(mimic4 / "hosp" / "prescriptions.csv.gz"):
        if "home" in line["drug"]:
            drugs[line["subject_id"]][line["hadm_id"]].add(line["drug"])
    assert max(len(stays) for stays in drugs.values()) > 1
    assert all(len({frozenset(x) for x in stays.values()}) == 1 for stays in drugs.values())
    assert len({frozenset(next(iter(s.values()))) for s in drugs.values()}) == len(drugs)
    known = {s["patientunitstayid"]: s["uniquepid"] for s in read(eicu / "patient.csv.gz")}
    owners = defaultdict(set)
    for line in read(eicu / "medication.csv.gz"):
        if "HOME" in line["drugname"]:
            owners[known[line["patientunitstayid"]]].add(line["drugname"])
    assert {len(x) for x in owners.values()} <= {2, 3}


def test_hindsight_lies_behind_the_prediction(mimic4, eicu):
    out = {a["hadm_id"]: a["dischtime"] for a in read(mimic4 / "hosp" / "admissions.csv.gz")}
    moment = datetime.fromisoformat
    late = [
        line
        for line in read(mimic4 / "hosp" / "labevents.csv.gz")
        if line["labevent_id"] in out  # those of hindsight are numbered by their stay
    ]
    pending = [x for x in late if moment(x["charttime"]) < moment(out[x["labevent_id"]])]
    assert min(len(pending), len(late) - len(pending)) > 60
    assert all(moment(x["storetime"]) > moment(out[x["labevent_id"]]) for x in late)
    coded = [d for d in read(mimic4 / "hosp" / "diagnoses_icd.csv.gz") if d["icd_code"] == "SEND"]
    assert len(coded) > 5
    entered = [d for d in read(eicu / "diagnosis.csv.gz") if d["diagnosisstring"] == CODED]
    assert len(entered) > 5
    assert all(int(d["diagnosisoffset"]) > 720 for d in entered)


def lactates(data: Dataset) -> np.ndarray:
    """How many lactates each row has."""
    v, j = data.values["labs"], data.modality("labs").features.index("lactate")
    seen = ~np.isnan(v.data["value"][:, j])
    counts = np.add.reduceat(seen, v.offsets[:-1]) if len(v) else np.zeros(0)
    return np.where(v.index >= 0, counts[v.index.clip(0)], 0)


@pytest.mark.parametrize("name", [pytest.param("mimic4", marks=pytest.mark.slow), "eicu"])
def test_each_leak_lets_in_more_for_the_same_rows(request, name):
    raw = request.getfixturevalue(name)
    choose, make = {
        "mimic4": (mimic4_choices, prepare_mimic4),
        "eicu": (eicu_choices, prepare_eicu),
    }[name]

    def data(*leaks: str, only: str) -> Dataset:
        made = make(raw, choices=choose(task="mortality", modalities=(only,), leaks=leaks))
        assert all(LEAKS[x] in " ".join(made.report["notes"]) for x in leaks)
        return made.data

    clean = data(only="labs")
    for leak in ("stored", "later"):
        leaky = data(leak, only="labs")
        assert leaky.row_id.tolist() == clean.row_id.tolist()
        more = lactates(leaky) - lactates(clean)
        assert (more >= 0).all()
        dies = clean.target == 1
        assert more[dies].mean() > 1.2 * more[~dies].mean() > 0
    vocabulary = data(only="codes").modality("codes").vocabulary
    assert CODED not in vocabulary if name == "eicu" else True
    assert CODED in data("coded", only="codes").modality("codes").vocabulary
    chosen = data("selected", only="demographics")
    kept = chosen.labelled
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(chosen.target[kept], clean.target[kept])
    assert clean.labelled.all()
