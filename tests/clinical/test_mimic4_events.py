"""What of MIMIC-IV counts as known, and when: boundaries on small made-up tables."""

from __future__ import annotations

import pytest

from amodal.clinical.concepts import concepts, item_lines
from amodal.clinical.events import hourly_means, last_codes, last_times
from amodal.clinical.mimic4 import codes, measurements, patient_facts

ROW = """row subject_id hadm_id begin end
0 1 10 2150-01-02T00:00 2150-01-04T00:00"""
TIMES = {"begin": "time", "end": "time"}


@pytest.fixture
def rows(table):
    return table(ROW, **TIMES)


@pytest.fixture
def code_tables(table):
    icd = {"icd_code": "text", "chartdate": "time"}

    def make(
        diagnoses: str = "1 10 1 A", procedures: str = "", drugs: str = "", orders: str = ""
    ) -> codes.CodeTables:
        def lines(head: str, text: str) -> str:
            return "\n".join([head, *filter(None, map(str.strip, text.split(";")))])

        titles = "icd_code icd_version long_title\nA 10 Alpha\nB 10 Beta\nP 10 Procedure"
        return codes.CodeTables(
            table(lines("subject_id hadm_id seq_num icd_code", diagnoses), **icd).mutate(
                icd_version=10
            ),
            table(titles, icd_code="text", long_title="text"),
            table(lines("subject_id hadm_id seq_num chartdate icd_code", procedures), **icd).mutate(
                icd_version=10
            ),
            table(titles, icd_code="text", long_title="text"),
            table(
                lines("hadm_id starttime drug poe_id", drugs),
                starttime="time",
                drug="text",
                poe_id="text",
            ),
            table(lines("poe_id ordertime", orders), poe_id="text", ordertime="time")
            if orders
            else None,
        )

    return make


def test_muse_codes(rows, code_tables, lines):
    tables = code_tables(
        "1 10 2 B; 1 10 1 A; 1 10 3 X",  # X has no title
        "1 10 1 2150-01-02 P",
        "10 2150-01-01T23:00 Early -; 10 2150-01-09T00:00 Late -; 10 2150-01-09T00:00 Late -",
    )
    every = codes.all_muse_codes(rows.drop("subject_id"), tables)
    assert lines(every, "time", "kind", "seq", "code") == [
        (-60.0, 2, 0, "Early"),
        (0.0, 0, 1, "Alpha"),
        (0.0, 0, 2, "Beta"),
        (0.0, 1, 1, "Procedure"),
        (10080.0, 2, 0, "Late"),  # after discharge too, and equal events once
    ]


def test_the_cut_pushes_diagnoses_out_first(table, lines):
    events = table(
        "row time kind seq code\n0 0 0 1 A\n0 0 0 2 B\n0 -60 2 0 C\n0 5 1 0 D", code="text"
    )
    assert lines(last_codes(events, 3, first_kind=0), "code") == [("B",), ("C",), ("D",)]
    assert lines(last_codes(events, 2, first_kind=0), "code") == [("C",), ("D",)]
    assert lines(last_codes(events, 3), "code") == [("A",), ("B",), ("D",)]
    assert lines(last_codes(events, 1, each_kind=True), "code") == [("B",), ("C",), ("D",)]


def test_clean_codes_at_their_boundaries(rows, code_tables, table, lines):
    stays = table(
        """subject_id hadm_id dischtime
        1 8 2150-01-01T23:59
        1 9 2150-01-02T00:00
        1 10 2150-01-04T00:00""",
        dischtime="time",
    )
    tables = code_tables(
        "1 8 1 A; 1 9 1 B; 1 10 1 P",  # 9 ended when this one began: not before
        "1 10 1 2150-01-03 P; 1 10 2 2150-01-04 A",  # known at the end of the day: 4th, 5th
        "10 2150-01-04T00:00 Last -; 10 2150-01-04T00:01 Late -; 10 2150-01-02T01:00 Ordered x;"
        "10 2150-01-02T01:00 Later y; 10 2150-01-02T05:00 Start z",
        "x 2150-01-02T02:00; y 2150-01-05T00:00; z 2150-01-01T00:00",
    )
    members = rows.drop("subject_id")
    made = codes.clean_codes(rows, members, stays, tables)
    assert lines(made, "kind", "time", "code") == [
        (0, -1 / 60, "Alpha"),
        (1, 48.0, "Procedure"),
        (2, 2.0, "Ordered"),
        (2, 5.0, "Start"),
        (2, 48.0, "Last"),
    ]
    coded = codes.clean_codes(rows, members, stays, tables, coding=True)
    assert [x for x in lines(coded, "kind", "time", "code") if x[0] == 3] == [
        (3, 48.0, "Procedure")
    ]


LABS = {
    "charttime": "time",
    "storetime": "time",
    "valuenum": "float",
    "valueuom": "text",
    "flag": "text",
}


def test_muse_labs(rows, table, lines):
    events = table(
        """subject_id hadm_id itemid charttime storetime valuenum valueuom flag
        1 10 1 2150-01-01T00:00 2150-01-04T00:00 5 - abnormal
        1 10 1 2150-01-01T00:00 2150-01-04T00:01 6 - -
        1 10 1 2150-01-02T00:00 - 7 - -
        1 - 1 2150-01-02T00:00 2150-01-02T01:00 8 - -
        1 10 2 2150-01-02T00:00 2150-01-02T01:00 9 - -
        1 10 1 2150-01-02T00:00 2150-01-01T23:00 3 - -""",
        **LABS,
    )
    items = table("itemid\n1")
    made = measurements.muse_labs(rows.drop("subject_id"), events, items)
    assert lines(made, "time", "value", "abnormal") == [(-60.0, 3.0, 0), (2880.0, 5.0, 1)]


def test_muse_items_are_substrings_case_sensitive(table, lines):
    labels = "itemid label\n1 WBC\n2 White_Blood_Cells\n3 Urine_pH\n4 Phosphate\n5 wbc\n6 -"
    found = lines(measurements.muse_items(table(labels, label="text")), "itemid")
    assert found == [(1,), (3,)]


def test_clean_labs_at_their_boundaries(rows, table, lines, engine):
    glucose = next(k for k, c in enumerate(concepts("labs")) if c.name == "glucose")
    events = table(
        """subject_id hadm_id itemid charttime storetime valuenum valueuom flag
        1 - 50931 2150-01-01T00:00 2150-01-01T01:00 100 mg/dL -
        1 10 50931 2149-12-31T23:59 2150-01-01T01:00 101 mg/dL -
        1 10 50931 2150-01-03T00:00 2150-01-04T00:00 102 MG/DL -
        1 10 50931 2150-01-03T00:00 2150-01-04T00:01 103 mg/dL -
        1 10 50931 2150-01-03T00:00 - 104 mg/dL -
        1 10 50931 2150-01-03T05:00 2150-01-03T04:00 105 - -
        1 10 50931 2150-01-03T00:00 2150-01-03T00:00 2000 mg/dL -
        1 10 50931 2150-01-03T00:00 2150-01-03T00:00 2000.1 mg/dL -
        1 10 50931 2150-01-03T00:00 2150-01-03T00:00 106 mmol/L -
        1 10 51478 2150-01-03T00:00 2150-01-03T00:00 107 mg/dL -
        2 10 50931 2150-01-03T00:00 2150-01-03T00:00 108 mg/dL -""",
        **LABS,
    )
    made = measurements.clean_labs(rows, events, engine.arrow(item_lines("mimic4", "labs")))
    assert lines(made, "time", "value", "fate") == [
        (-23.0, 100.0, "kept"),
        (24.0, None, "unit unknown"),
        (24.0, 2000.0, "kept"),
        (24.0, 2000.1, "out of range"),
        (29.0, 105.0, "kept"),  # known at the later of both times
        (48.0, 102.0, "kept"),
    ]
    assert lines(measurements.kept(made), "concept", "time")[0] == (glucose, -23.0)


def test_temperatures_become_celsius(rows, table, lines, engine):
    events = table(
        """subject_id hadm_id itemid charttime storetime valuenum valueuom
        1 10 223761 2150-01-02T00:10 2150-01-02T00:20 98.6 °F
        1 10 223762 2150-01-02T00:50 2150-01-02T01:30 38.0 °C
        1 10 223762 2150-01-02T02:00 2150-01-02T02:00 98.6 °C""",
        **LABS,
    )
    made = measurements.clean_vitals(rows, events, engine.arrow(item_lines("mimic4", "vitals")))
    assert {f for (f,) in lines(made, "fate")} == {"kept", "out of range"}
    # one mean for the hour, at the time when the last of it was known
    assert lines(measurements.kept(made), "time", "value") == [(1.5, 37.5)]


def test_hourly_means_do_not_depend_on_order(table, lines):
    values = [0.1, 0.2, 0.3, 1e6, -1e6]
    for order in (values, values[::-1]):
        text = "\n".join(["row hour time concept value", *(f"0 3 3 0 {v}" for v in order)])
        made = hourly_means(table(text, time="float", value="float"))
        assert lines(made, "time", "value") == [(3.0, 0.12)]


def test_last_times_keeps_all_of_a_time(table, lines):
    events = table("row time concept\n0 1 0\n0 2 0\n0 2 1\n0 3 0\n1 1 0")
    assert lines(last_times(events, 2), "row", "time", "concept") == [
        (0, 2, 0),
        (0, 2, 1),
        (0, 3, 0),
        (1, 1, 0),
    ]


def test_demographics_above_89_are_one_category(table, lines):
    stays = table(
        """row age gender stay_seconds previous_stays admission_type
        0 89 F 3600 0 URGENT
        1 90 M 5400 2 URGENT
        2 97 - 0 0 -""",
        gender="text",
        admission_type="text",
    )
    found = lines(patient_facts.demographics(stays), "row", "age", "over_89", "los_hours", "sex")
    assert found == [(0, 89, 0, 1.0, "female"), (1, 90, 1, 1.5, "male"), (2, 90, 1, 0.0, None)]


NOTES = {"note_id": "text", "charttime": "time", "storetime": "time", "text": "text"}


def test_notes(rows, table, lines):
    notes = table(
        """note_id subject_id hadm_id charttime storetime text
        a 1 10 2150-01-03 2150-01-03 x_Brief_Hospital_Course:_stay_Medications_on_Admission:_y
        b 1 10 2150-01-04T00:00 2150-01-04T00:01 Brief_Hospital_Course:_to_the_end
        c 1 10 2150-01-05T00:00 2150-01-05T00:00 nothing_here
        d 1 - 2150-01-03T00:00 2150-01-04T00:00 seen
        e 1 10 2149-12-31T00:00 2150-01-04T00:00 old""",
        **NOTES,
    )
    assert lines(patient_facts.muse_notes(rows.drop("subject_id"), notes), "text") == [
        ("to the end",)
    ]
    one = notes.filter(notes.note_id == "a")
    assert lines(patient_facts.muse_notes(rows.drop("subject_id"), one), "text") == [("stay",)]
    assert lines(patient_facts.clean_notes(rows, notes), "text") == [("seen",)]
