"""Each boundary of the rules for eICU, on small made-up tables."""

from __future__ import annotations

import pytest

from amodal.clinical.eicu import cohort, labels

TYPES = dict.fromkeys(
    ("age", "unitstaytype", "unitdischargestatus", "hospitaldischargestatus"), "text"
)
HEAD = (
    "patientunitstayid patienthealthsystemstayid hospitaladmitoffset unitvisitnumber "
    "unitdischargeoffset age unitstaytype unitdischargestatus hospitaldischargestatus"
)


@pytest.fixture
def patient(table):
    """patient("hospital_stay admit_offset minutes [age type unit_status hospital_status]; ...")"""

    def make(text: str):
        out, visits = [HEAD], {}
        for k, line in enumerate(filter(None, map(str.strip, text.split(";"))), start=1):
            cells = line.split()
            stay, offset, minutes = cells[:3]
            rest = cells[3:] + ["50", "admit", "Alive", "Alive"][len(cells) - 3 :]
            visits[stay] = visits.get(stay, 0) + 1
            out.append(f"{k} {stay} {offset} {visits[stay]} {minutes} {' '.join(rest)}")
        return table("\n".join(out), **TYPES)

    return make


def test_muse_bounds_of_stay_and_age(patient, lines):
    made = cohort.muse_candidates(
        patient(
            "1 0 719; 2 0 720; 3 0 14400; 4 0 14401; 5 0 1000 17; 6 0 1000 18; 7 0 1000 89;"
            "8 0 1000 >_89; 9 0 1000 -"
        )
    )
    short, long, age = cohort.MUSE_RULES
    removed = [short, None, None, long, age, None, None, age, age]
    assert lines(made, "patientunitstayid", "removed_by") == list(enumerate(removed, start=1))


def test_muse_readmission_counts_from_start_to_start(patient, lines):
    # 15 days 23:59 later: floor 15; 16 days later
    t = patient("1 0 1000; 1 -23039 1000; 2 0 1000; 2 -23040 1000")
    made = labels.muse_readmission(cohort.muse_candidates(t))
    assert lines(made, "patientunitstayid", "target") == [(1, 1), (2, 0), (3, 0), (4, 0)]


def test_muse_next_stay_is_by_visit_number_among_all(patient, lines):
    made = labels.muse_readmission(
        cohort.muse_candidates(patient("1 0 1000; 1 -2000 100; 2 0 900"))
    )
    short = cohort.MUSE_RULES[0]
    assert lines(made, "patientunitstayid", "removed_by", "target") == [
        (1, None, 1),  # the next one is too short to be a row
        (2, short, 0),
        (3, None, 0),
    ]


def test_muse_mortality_is_of_the_unit(patient, lines):
    t = patient(
        "1 0 800 50 admit Expired Expired; 2 0 800 50 admit Alive Expired; 3 0 800 50 admit - Alive"
    )
    found = lines(labels.muse_mortality(t), "patientunitstayid", "target", "outcome")
    assert found == [(1, 1, "died"), (2, 0, "survived"), (3, None, "unknown")]


def test_clean_mortality_of_those_in_the_unit_after_720_minutes(patient, lines):
    made = cohort.mortality_candidates(
        patient(
            "1 0 720; 2 0 721; 3 0 99999; 4 0 1000 17; 5 0 1000 >_89; 6 0 1000 -; 7 0 - 50;"
            "8 0 1000 50 stepdown/other"
        )
    )
    time, age, gone = cohort.MORTALITY_RULES
    removed = [gone, None, None, age, None, age, time, None]
    assert lines(made, "patientunitstayid", "removed_by") == list(enumerate(removed, start=1))
    assert lines(made.filter(made.patientunitstayid == 5), "years", "over_89") == [(90, True)]


def test_clean_mortality_of_hospital_or_unit(patient, lines):
    t = patient(
        "1 0 800 50 admit Alive Expired; 2 0 800 50 admit Expired Expired; 3 0 800 50 admit Alive -"
    )
    assert lines(labels.clean_mortality(t), "patientunitstayid", "target") == [
        (1, 1),
        (2, 1),
        (3, None),
    ]
    assert lines(labels.clean_mortality(t, where="icu"), "patientunitstayid", "target") == [
        (1, 0),
        (2, 1),
        (3, 0),
    ]


def test_unit_stays_six_hours_apart_are_one(patient, lines):
    t = patient(
        "1 0 1000;"  # hospital minutes 0 to 1000
        "1 -1360 500;"  # begins 360 minutes later: the same stay, until 1860
        "1 -2221 100;"  # 361 minutes later: another
        "2 -50 100"
    )
    assert lines(cohort.merged_stays(t), "patientunitstayid", "block") == [
        (1, 2),
        (2, 2),
        (3, 3),
        (4, 4),
    ]
    made = labels.clean_readmission(cohort.readmission_candidates(t))
    assert lines(made, "patientunitstayid", "begin", "end", "merged", "target") == [
        (2, 0, 1860, 2, 1),
        (3, 2221, 2321, 1, 0),
        (4, 50, 150, 1, 0),
    ]


def test_stepdown_is_never_a_row_nor_a_readmission(patient, lines):
    t = patient(
        "1 0 1000; 1 -1000 500 50 stepdown/other; 2 0 1000; 2 -1000 100 50 stepdown/other; 2 -5000 9"
    )
    made = labels.clean_readmission(cohort.readmission_candidates(t))
    step = cohort.READMISSION_RULES[0]
    assert lines(made, "patientunitstayid", "removed_by", "target") == [
        (1, None, 0),
        (2, step, 0),
        (3, None, 1),
        (4, step, 0),
        (5, None, 0),
    ]


def test_death_competes_with_readmission(patient, lines):
    t = patient(
        "1 0 1000 50 admit Alive Expired; 2 0 1000 50 admit Expired Expired; 3 0 1000;"
        "4 0 1000 50 admit Alive Expired; 4 -9000 100 50 readmit Expired Expired"
    )
    made = labels.clean_readmission(cohort.readmission_candidates(t))
    gone = cohort.READMISSION_RULES[3]
    assert lines(made, "patientunitstayid", "removed_by", "target", "outcome") == [
        (1, None, 0, "died"),
        (2, gone, 0, "died"),
        (3, None, 0, "not readmitted"),
        (4, None, 1, "readmitted"),
        (5, gone, 0, "died"),
    ]
