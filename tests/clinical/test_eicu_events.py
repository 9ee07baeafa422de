"""What of eICU counts as known, and when: boundaries on small made-up tables."""

from __future__ import annotations

import pytest

from amodal.clinical.concepts import concepts, item_lines
from amodal.clinical.eicu import events, features
from amodal.clinical.eicu.layout import APACHE_COLUMNS


@pytest.fixture
def members(table):
    """Row 0 of one unit stay, predicted at minute 720; row 1 of two, the second 1,000 later."""
    return table("patientunitstayid row shift until\n1 0 0 720\n2 1 0 1500\n3 1 1000 1500")


@pytest.fixture
def code_tables(table):
    def make(diagnosis: str = "", treatment: str = "", medication: str = "") -> events.CodeTables:
        def lines(head: str, text: str) -> str:
            return "\n".join([head, *filter(None, map(str.strip, text.split(";")))])

        stay = "patientunitstayid"
        return events.CodeTables(
            table(
                lines(f"{stay} diagnosisoffset diagnosisstring", diagnosis), diagnosisstring="text"
            ),
            table(
                lines(f"{stay} treatmentoffset treatmentstring", treatment), treatmentstring="text"
            ),
            table(
                lines(
                    f"{stay} drugorderoffset drugstartoffset drugordercancelled drugname",
                    medication,
                ),
                drugordercancelled="text",
                drugname="text",
            ),
        )

    return make


def test_muse_codes_before_minute_720(members, code_tables, lines):
    one = members.filter(members.row == 0)
    tables = code_tables(
        "1 719 A; 1 720 B; 1 -9000 C; 1 719 A", "1 0 T; 1 0 -", "1 9999 5 Yes D; 1 0 720 No E"
    )
    assert lines(events.muse_codes(one, tables), "time", "kind", "code") == [
        (-9000.0, 0, "C"),
        (0.0, 1, "T"),
        (5.0, 2, "D"),
        (719.0, 0, "A"),
    ]


def test_clean_codes_known_at_the_time_of_prediction(members, code_tables, lines):
    tables = code_tables(
        "1 720 A; 1 721 B; 3 500 C; 3 501 D",
        "2 1500 T; 2 1501 U",
        "1 720 0 No E; 1 0 720 No F; 1 721 0 No G; 1 0 0 Yes H; 1 - 0 No I; 1 0 0 - J",
    )
    assert lines(events.clean_codes(members, tables), "row", "time", "code") == [
        (0, 0.0, "J"),
        (0, 12.0, "A"),
        (0, 12.0, "E"),
        (0, 12.0, "F"),
        (1, 25.0, "C"),  # minute 500 of a unit stay that began 1,000 minutes after the row
        (1, 25.0, "T"),
    ]


LAB = {"labname": "text", "labresult": "float", "labmeasurenamesystem": "text"}
LAB_HEAD = (
    "patientunitstayid labresultoffset labresultrevisedoffset labname labresult "
    "labmeasurenamesystem\n"
)


def test_muse_labs_until_minute_720(members, table, lines):
    lab = table(LAB_HEAD + "1 720 9999 pH 7.4 -\n1 721 721 pH 7.3 -\n1 5 5 pH - -", **LAB)
    one = members.filter(members.row == 0)
    assert lines(events.muse_labs(one, lab), "time", "labname", "value") == [(720.0, "pH", 7.4)]


def test_clean_labs_by_their_revision(members, table, lines, engine):
    lab = table(
        LAB_HEAD + "1 0 720 sodium 140 mmol/L\n1 0 721 sodium 141 -\n1 -1440 0 sodium 142 -\n"
        "1 -1441 0 sodium 143 -\n1 0 - sodium 144 -\n1 720 0 CRP 2 mg/dL\n1 0 0 CRP 3 stones\n"
        "3 500 500 sodium 145 -\n3 501 501 sodium 146 -\n1 0 0 WBC's_in_urine 8 -",
        **LAB,
    )
    made = events.clean_labs(members, lab, engine.arrow(item_lines("eicu", "labs")))
    assert lines(made, "row", "time", "value", "fate") == [
        (0, 0.0, None, "unit unknown"),
        (0, 0.0, 142.0, "kept"),
        (0, 12.0, 20.0, "kept"),  # 2 mg/dL are 20 mg/L
        (0, 12.0, 140.0, "kept"),
        (1, 25.0, 145.0, "kept"),
    ]


def test_clean_vitals_are_hourly_means_of_what_is_plausible(members, table, lines):
    names = [c.name for c in concepts("vitals")]
    columns = (
        "temperature sao2 heartrate respiration systemicsystolic systemicdiastolic systemicmean"
    )
    periodic = table(
        f"patientunitstayid observationoffset {columns}\n"
        "1 60 - - 80 - 100 - -\n1 65 - - 90 - 0 - -\n1 119 - - 0 - - - -\n"
        "1 720 - - 70 - - - -\n1 721 - - 71 - - - -\n3 -1000 - - 60 - - - -",
        **dict.fromkeys(columns.split(), "float"),
    )
    cuff = "noninvasivesystolic noninvasivediastolic noninvasivemean"
    aperiodic = table(
        f"patientunitstayid observationoffset {cuff}\n1 100 130 - -",
        **dict.fromkeys(cuff.split(), "float"),
    )
    tables = {"vitalPeriodic": periodic, "vitalAperiodic": aperiodic}
    made = events.clean_vitals(members, tables, concepts("vitals"))
    found = [
        (row, time, names[concept], value)
        for row, time, concept, value in lines(made, "row", "time", "concept", "value")
    ]
    assert found == [
        # minute 100 is when the last of hour 1 was observed; pressures by line and cuff are one
        (0, 100 / 60, "heart_rate", 85.0),
        (0, 100 / 60, "systolic_pressure", 115.0),
        (0, 12.0, "heart_rate", 70.0),
        (1, 0.0, "heart_rate", 60.0),
    ]


def test_apache_variables(members, table, engine):
    def line(stay: int, values: dict[str, float], missing: int) -> str:
        free = [c for c in APACHE_COLUMNS if c not in values]
        cells = {**dict.fromkeys(free[:missing], -1), **dict.fromkeys(free[missing:], 7), **values}
        return " ".join([str(stay), *(str(cells[c]) for c in APACHE_COLUMNS)])

    head = " ".join(["patientunitstayid", *APACHE_COLUMNS])
    raw = table(
        "\n".join(
            [
                head,
                line(1, {"eyes": 3, "motor": 6, "verbal": 1}, 12),  # half are missing: stays
                line(2, {"eyes": 3, "motor": 6, "verbal": 1}, 13),
                line(3, {"eyes": -1}, 0),
            ]
        ),
        **dict.fromkeys(APACHE_COLUMNS, "float"),
    )
    all_rows = table("patientunitstayid row\n1 0\n2 1\n3 2")
    found = engine.fetch(events.apache(all_rows, raw).order_by("row")).to_pylist()
    assert [line["row"] for line in found] == [0, 2]
    assert len(events.APACHE_FEATURES) == 36
    assert [found[0][f"eyes_{k}"] for k in (1, 2, 3, 4)] == [0, 0, 1, 0]
    assert [found[1][f"eyes_{k}"] for k in (1, 2, 3, 4)] == [None] * 4
    assert sum(v is None for v in found[0].values()) == 12


def test_demographics(table, lines):
    stays = table(
        "row years over_89 gender ethnicity admissionheight admissionweight unittype "
        """hospitaladmitoffset unitvisitnumber
        0 90 1 Female - 170 19.9 MICU -90 1
        1 50 0 Other - 0.5 80 - 0 2""",
        gender="text",
        ethnicity="text",
        unittype="text",
        admissionheight="float",
        admissionweight="float",
    )
    found = lines(
        features.demographics(stays), "row", "sex", "height_cm", "weight_kg", "hours_in_hospital"
    )
    assert found == [(0, "female", 170.0, None, 1.5), (1, None, None, 80.0, 0.0)]
