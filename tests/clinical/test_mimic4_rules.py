"""Each boundary of the rules for MIMIC-IV, on small made-up tables."""

from __future__ import annotations

import pytest

from amodal.clinical.mimic4 import cohort, labels

ADMISSIONS = {
    "admittime": "time",
    "dischtime": "time",
    "admission_type": "text",
    "discharge_location": "text",
}
PATIENTS = {"gender": "text", "dod": "time"}


@pytest.fixture
def admissions(table):
    """admissions("subject admit discharge [type place died]; ...") -> table; hadm_id from 1 on."""

    def make(text: str):
        out = [
            "subject_id hadm_id admittime dischtime admission_type discharge_location "
            "hospital_expire_flag"
        ]
        for k, line in enumerate(filter(None, map(str.strip, text.split(";"))), start=1):
            cells = line.split()
            cells += ["URGENT", "HOME", "0"][len(cells) - 3 :]
            out.append(" ".join([cells[0], str(k), *cells[1:]]))
        return table("\n".join(out), **ADMISSIONS)

    return make


@pytest.fixture
def patients(table):
    """patients("subject age [dod]; ...") -> table; ages are of the year 2150."""

    def make(text: str):
        out = ["subject_id gender anchor_age anchor_year dod"]
        for line in filter(None, map(str.strip, text.split(";"))):
            cells = [*line.split(), "-"][:3]
            out.append(f"{cells[0]} F {cells[1]} 2150 {cells[2]}")
        return table("\n".join(out), **PATIENTS)

    return make


# -- muse -----------------------------------------------------------------------------------------


def test_muse_stay_of_exactly_ten_days_stays(admissions, patients, lines):
    made = cohort.muse_candidates(
        admissions(
            "1 2150-01-01T00:00 2150-01-11T00:00;"  # 14,400 minutes
            "2 2150-01-01T00:00 2150-01-11T00:01;"  # one more: its floor in days is 10 too
        ),
        patients("1 50; 2 50"),
    )
    assert lines(made, "hadm_id", "removed_by") == [(1, None), (2, "longer than 14,400 minutes")]


def test_muse_ages_18_and_89_stay(admissions, patients, lines):
    made = cohort.muse_candidates(
        admissions(
            "1 2150-12-31 2151-01-02; 2 2150-12-31 2151-01-02; 3 2150-01-01 2150-01-02;"
            "4 2150-01-01 2150-01-02; 5 2151-01-01 2151-01-02"
        ),
        patients("1 17; 2 18; 3 89; 4 90; 5 17"),
    )
    removed = "younger than 18 or older than 89"
    assert lines(made, "hadm_id", "age", "removed_by") == [
        (1, 17, removed),
        (2, 18, None),
        (3, 89, None),
        (4, 90, removed),
        (5, 18, None),  # year(admittime) - anchor_year + anchor_age
    ]


def test_muse_next_admission_counts_also_where_it_is_removed(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01 2150-01-02;"
        "1 2150-01-05 2150-02-05;"  # too long to be a row
        "1 2150-05-01 2150-05-02 URGENT DIED 1"
    )
    made = labels.muse_readmission(cohort.muse_candidates(t, patients("1 50 2150-05-02")))
    assert lines(made, "hadm_id", "removed_by", "target") == [
        (1, None, 1),
        (2, "longer than 14,400 minutes", 0),
        (3, "died in hospital", None),
    ]


def test_muse_death_within_90_floored_days_from_midnight(admissions, patients, lines):
    cases = [
        ("2150-01-02T00:00", "2150-04-02", 1),  # 90.0 days: floor 90
        ("2150-01-02T00:01", "2150-04-02", 1),  # floor 89
        ("2150-01-02T00:01", "2150-04-03", 1),  # 90 days 23:59: floor 90
        ("2150-01-02T00:00", "2150-04-03", 0),  # 91.0 days: floor 91
        ("2150-01-02T12:00", "2150-01-02", 1),  # died on the day of discharge: floor -1
    ]
    t = cohort.muse_candidates(
        admissions(";".join(f"{k} 2150-01-01 {out}" for k, (out, _, _) in enumerate(cases))),
        patients(";".join(f"{k} 50 {dod}" for k, (_, dod, _) in enumerate(cases))),
    )
    found = lines(labels.muse_mortality(t), "subject_id", "target")
    assert found == [(k, target) for k, (_, _, target) in enumerate(cases)]


def pairs(cases: list[str], out: str) -> str:
    """Two admissions of each of some patients: until `out`, and again at each of `cases`."""
    return ";".join(f"{k} 2150-01-01 {out}; {k} {c} 2150-12-09" for k, c in enumerate(cases))


def test_muse_survival_needs_a_next_admission_after_90_floored_days(admissions, patients, lines):
    # floor 90, which is not more than 90; floor 91
    t = admissions(pairs(["2150-04-02T23:59", "2150-04-03T00:00"], "2150-01-02T00:00"))
    made = labels.muse_mortality(cohort.muse_candidates(t, patients("0 50; 1 50")))
    assert lines(made, "hadm_id", "target", "outcome") == [
        (1, None, "unknown"),
        (2, None, "unknown"),  # the last one
        (3, 0, "survived"),
        (4, None, "unknown"),
    ]


def test_muse_readmission_within_15_floored_days(admissions, patients, lines):
    t = admissions(pairs(["2150-01-17T23:59", "2150-01-18T00:00"], "2150-01-02T00:00"))
    made = labels.muse_readmission(cohort.muse_candidates(t, patients("0 50; 1 50")))
    assert lines(made, "hadm_id", "target") == [(1, 1), (2, None), (3, 0), (4, None)]


# -- clean: stays ---------------------------------------------------------------------------------


def test_admissions_24_hours_apart_are_one_stay(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01T00:00 2150-01-02T00:00 ELECTIVE HOME 0;"
        "1 2150-01-03T00:00 2150-01-04T00:00 URGENT REHAB 0;"  # exactly 24 hours later
        "1 2150-01-05T00:01 2150-01-06T00:00 URGENT HOME 0"  # a minute more than 24 hours
    )
    assert lines(cohort.merged_stays(t), "hadm_id", "stay_id") == [(1, 2), (2, 2), (3, 3)]
    made = cohort.clean_candidates(t, patients("1 50"))
    found = lines(made, "hadm_id", "merged", "admission_type", "discharge_location", "planned")
    assert found == [(2, 2, "ELECTIVE", "REHAB", True), (3, 1, "URGENT", "HOME", False)]
    assert lines(made, "hadm_id", "stay_seconds", "previous_stays") == [
        (2, 3 * 86_400, 0),
        (3, 86_400 - 60, 1),
    ]


def test_a_stay_inside_another_does_not_part_it(admissions, lines):
    t = admissions(
        "1 2150-01-01 2150-01-20; 1 2150-01-02 2150-01-03; 1 2150-01-20T12:00 2150-01-22;"
        "2 2150-01-01 2150-01-02"
    )
    assert lines(cohort.merged_stays(t), "hadm_id", "stay_id") == [(1, 3), (2, 3), (3, 3), (4, 4)]


def test_an_impossible_admission_is_removed_and_merges_with_none(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01 2150-01-02; 1 2150-01-02T05:00 2150-01-01T00:00; 1 2150-01-02T06:00 2150-01-03"
    )
    made = cohort.clean_candidates(t, patients("1 50"))
    assert lines(made, "hadm_id", "merged", "removed_by") == [
        (2, 1, "times missing or discharge before admission"),
        (3, 2, None),
    ]


def test_clean_keeps_adults_discharged_alive_of_any_length(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01 2150-09-01; 2 2150-01-01 2150-01-02; 3 2150-01-01 2150-01-02;"
        "4 2150-01-01 2150-01-02 URGENT DIED 1; 5 2150-01-01 2150-01-02 URGENT ACUTE_HOSPITAL 0;"
        "6 2150-01-01 2150-01-02 URGENT HOSPICE 0; 7 2150-01-01 2150-01-02 URGENT - 0;"
        "8 2150-01-01 2150-01-03; 9 2150-01-01 2150-01-03"
    )
    ages = "1 91; 2 17; 3 18; 4 50 2150-01-02; 5 50; 6 50; 7 50; 8 50 2150-01-02; 9 50 2150-01-03"
    made = cohort.clean_candidates(t, patients(ages))
    assert lines(made, "hadm_id", "removed_by", "hospice") == [
        (1, None, False),
        (2, "age unknown or under 18", False),
        (3, None, False),
        (4, "died in hospital", False),
        (5, "transferred to another acute hospital", False),
        (6, None, True),
        (7, None, False),
        (8, "death recorded before discharge", False),
        (9, None, False),  # died on the day of discharge
    ]


def test_flags_remove_nobody(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01 2150-01-02 EU_OBSERVATION AGAINST_ADVICE 0;"
        "2 2150-01-01 2150-01-02 SURGICAL_SAME_DAY_ADMISSION HOME 0"
    )
    made = cohort.clean_candidates(t, patients("1 50; 2 50"))
    assert lines(made, "observation", "against_advice", "planned", "removed_by") == [
        (False, False, True, None),
        (True, True, False, None),
    ]


# -- clean: labels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "dates"),
    [
        # the day of discharge, the last date of the window, the one after it, none recorded
        (90, ["2150-01-02", "2150-04-02", "2150-04-03", "-"]),
        (30, ["2150-01-02", "2150-02-01", "2150-02-02", "-"]),
        (365, ["2150-01-02", "2151-01-02", "2151-01-03", "-"]),
    ],
)
def test_clean_mortality_counts_dates(admissions, patients, lines, days, dates):
    t = cohort.clean_candidates(
        admissions(";".join(f"{k} 2150-01-01 2150-01-02T23:30" for k in range(4))),
        patients(";".join(f"{k} 50 {dod}" for k, dod in enumerate(dates))),
    )
    found = lines(labels.clean_mortality(t, days=days), "subject_id", "target")
    assert found == [(0, 1), (1, 1), (2, 0), (3, 0)]


def test_clean_readmission_window(admissions, patients, lines):
    again = ["2150-02-01T10:00", "2150-02-01T10:01", "2150-01-17T10:00", "2150-01-17T10:01"]
    t = admissions(pairs(again, "2150-01-02T10:00"))
    t = cohort.clean_candidates(t, patients("0 50; 1 50; 2 50; 3 50"))
    for days, targets in ((30, [1, 0, 1, 1]), (15, [0, 0, 1, 0])):
        made = labels.clean_readmission(t, days=days)
        first = made.filter(made.hadm_id % 2 == 1)
        assert [y for _, y in lines(first, "hadm_id", "target")] == targets
        last = made.filter(made.hadm_id % 2 == 0)
        assert lines(last, "target") == [(0,)] * 4  # a patient's last stay is labelled


def test_death_in_the_window_competes_with_readmission(admissions, patients, lines):
    t = admissions(
        "1 2150-01-01 2150-01-02; 2 2150-01-01 2150-01-02; 2 2150-01-05 2150-01-06;"
        "3 2150-01-01 2150-01-02"
    )
    who = patients("1 50 2150-02-01; 2 50 2150-01-20; 3 50 2150-02-02")
    made = labels.clean_readmission(cohort.clean_candidates(t, who), days=30)
    assert lines(made, "hadm_id", "target", "outcome") == [
        (1, 0, "died"),
        (2, 1, "readmitted"),
        (3, 0, "died"),
        (4, 0, "not readmitted"),  # died 31 dates later
    ]
