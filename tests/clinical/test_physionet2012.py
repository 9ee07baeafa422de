"""PhysioNet 2012: each rule on made-up stays, and all of them against a second implementation."""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from amodal.clinical import prepare_physionet2012, read_physionet2012
from amodal.clinical.physionet2012 import GROUPS, RESCALED, VARIABLES
from amodal.errors import DataError, UnknownNameError
from amodal.types import NOT_MEASURED, PRESENT

DOCS = Path(__file__).parents[2] / "docs" / "data" / "physionet2012.md"
DEAD = "1 6 1 5 3 1"
ALIVE = "2 9 4 8 -1 0"


def cells(data, row: int, variable: str, group: str | None = None):
    """[(hours, value)] of a variable of one row, NaN left out."""
    group = group or next(g for g, vs in GROUPS.items() if variable in vs and g != "static")
    values, feature = data.values[group], GROUPS[group].index(variable)
    at = values.index[row]
    if at < 0:
        return []
    steps = slice(values.offsets[at], values.offsets[at + 1])
    pairs = zip(values.data["time"][steps], values.data["value"][steps, feature], strict=True)
    return [(float(t), float(x)) for t, x in pairs if not math.isnan(x)]


def static(data, row: int = 0) -> dict:
    """The descriptors of a row, levels by name, missing ones left out."""
    values, modality = data.values["static"], data.modality("static")
    at = values.index[row]
    if at < 0:
        return {}
    numeric = dict(zip(modality.features, values.data["numeric"][at].tolist(), strict=True))
    out = {k: x for k, x in numeric.items() if not math.isnan(x)}
    for name, code in zip(modality.levels, values.data["categorical"][at], strict=True):
        if code >= 0:
            out[name] = modality.levels[name][code]
    return out


def test_in_and_out(write_raw):
    raw = write_raw(
        {
            "2": "00:00 Age 54; 00:00 Gender 0; 00:00 Height -1; 00:00 ICUType 4; 00:00 Weight -1",
            "1": "00:00 Age 70; 00:00 Gender 1; 00:00 Height 180; 00:00 ICUType 2;"
            "00:00 Weight 80.5; 00:07 HR 73; 00:07 Temp 36.5; 30:30 HR 60; 48:00 Lactate 1.5;"
            "01:00 Weight 81",
        },
        f"{DEAD};{ALIVE}",
    )
    data = prepare_physionet2012(raw)
    assert data.row_id.tolist() == data.group.tolist() == ["1", "2"]
    assert data.target.tolist() == [1.0, 0.0]
    assert data.task.kind == "binary"
    body = {"Age": 70, "Height": 180, "Weight": 80.5}
    assert static(data, 0) == body | {"Gender": "male", "ICUType": "cardiac surgery recovery"}
    assert static(data, 1) == {"Age": 54, "Gender": "female", "ICUType": "surgical"}
    assert cells(data, 0, "HR") == [(7 / 60, 73.0), (30.5, 60.0)]
    assert cells(data, 0, "Temp") == [(7 / 60, 36.5)]
    assert cells(data, 0, "Weight") == [(1.0, 81.0)]
    assert cells(data, 0, "Lactate") == [(48.0, 1.5)]
    assert data.values["vital_signs"].data["time"].tolist() == [7 / 60, 1.0, 30.5]
    present = {"static": [True, True], "vital_signs": [True, False], "lactate": [True, False]}
    for name, column in zip(data.names, data.absence.T, strict=True):
        here = present.get(name, [False, False])
        assert column.tolist() == [PRESENT if p else NOT_MEASURED for p in here], name


def test_modalities():
    assert " ".join(GROUPS) == (
        "static vital_signs invasive_pressure gcs urine blood_gas chemistry haematology lactate "
        "liver troponin"
    )
    grouped = [v for group in GROUPS.values() for v in group]
    assert sorted([*VARIABLES, "Weight"]) == sorted(grouped)


@pytest.mark.parametrize("name", VARIABLES)
def test_range_includes_both_ends(write_raw, name):
    low, high = VARIABLES[name].low, VARIABLES[name].high
    inside, outside = [low, high], [low - 0.01, high + 0.01]
    where = {"Age", "Gender", "Height", "ICUType"}
    stays = {str(k): f"00:10 {name} {x}" for k, x in enumerate([*inside, *outside])}
    data = prepare_physionet2012(write_raw(stays))
    found = [static(data, k) if name in where else cells(data, k, name) for k in range(4)]
    assert all(found[:2])
    assert not any(found[2:])
    assert data.provenance["counts"]["out_of_range"] == {name: 2}
    assert data.provenance["counts"]["kept"] == {name: 2}


@pytest.mark.parametrize("name", VARIABLES)
def test_minus_one_is_missing(write_raw, name):
    data = prepare_physionet2012(write_raw({"1": f"00:00 {name} -1; 01:00 {name} -1.0"}))
    assert not data.present.any()
    assert data.provenance["counts"]["missing_code"] == {name: 2}


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("pH", 735, 7.35),
        ("pH", 650, 6.5),
        ("pH", 73.5, 7.35),
        ("Height", 1.8, 180.0),
        ("Height", 70, 177.8),
        ("Height", 431.8, 170.0),
        ("FiO2", 40, 0.4),
    ],
)
def test_known_slips_of_units_are_put_right(write_raw, name, written, meant):
    data = prepare_physionet2012(write_raw({"1": f"00:00 {name} {written}"}))
    found = static(data)[name] if name == "Height" else cells(data, 0, name)[0][1]
    assert found == pytest.approx(meant, abs=1e-6)
    assert sum(data.provenance["counts"]["rescaled"].values()) == 1


def test_rescaled_ranges_touch_no_possible_value():
    for rule in RESCALED:
        limit = VARIABLES[rule.variable]
        assert rule.high < limit.low or rule.low > limit.high, rule
        assert limit.low <= rule.low * rule.factor, rule
        assert rule.high * rule.factor <= limit.high, rule


def test_repeats_are_averaged_urine_added_up_and_of_descriptors_the_last_counts(write_raw):
    lines = "01:00 HR 80; 01:00 HR 90; 01:00 HR 0; 02:00 Urine 100; 02:00 Urine 40; 00:00 Age 60;"
    data = prepare_physionet2012(write_raw({"1": lines + "00:00 Age 61; 00:00 Age -1"}))
    assert cells(data, 0, "HR") == [(1.0, 85.0)]
    assert cells(data, 0, "Urine") == [(2.0, 140.0)]
    assert static(data) == {"Age": 61.0}
    counts = data.provenance["counts"]
    assert counts["combined_repeats"] == {"HR": 1, "Urine": 1}
    assert counts["replaced_descriptors"] == {"Age": 1}
    assert counts["out_of_range"] == {"HR": 1}


def test_documented_ranges_are_those_of_the_rules():
    table = DOCS.read_text().split("| variable | unit | lowest | highest |")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    documented = {name: (unit, float(low), float(high)) for name, unit, low, high in rows}
    assert documented == {name: (v.unit, v.low, v.high) for name, v in VARIABLES.items()}


def test_categories_without_a_name_are_dropped(write_raw):
    lines = {"1": "00:00 Gender 0.5; 00:00 ICUType 2.5", "2": "00:00 Gender 1; 00:00 ICUType 3"}
    data = prepare_physionet2012(write_raw(lines))
    assert static(data, 0) == {}
    assert static(data, 1) == {"Gender": "male", "ICUType": "medical"}
    assert data.provenance["counts"]["out_of_range"] == {"Gender": 1, "ICUType": 1}


def test_ventilation_alone_makes_blood_gas_present(write_raw):
    data = prepare_physionet2012(write_raw({"1": "03:00 MechVent 1"}))
    assert cells(data, 0, "MechVent") == [(3.0, 1.0)]
    assert data.present[0].tolist() == [n == "blood_gas" for n in data.names]


def test_lines_after_48_hours_are_dropped_and_counted(write_raw):
    data = prepare_physionet2012(write_raw({"1": "48:00 HR 80; 48:01 HR 90; 4000:00 HR 99"}))
    assert cells(data, 0, "HR") == [(48.0, 80.0)]
    assert data.provenance["counts"]["after_48_hours"] == {"HR": 2}


def test_unknown_and_nameless_parameters_are_counted_and_empty_values_are_missing(write_raw):
    raw = write_raw({"1": "01:00 HR 80; 01:00 Mood 5; 02:00 TropI 3; 02:00 HR 70"})
    file = raw / "1.txt"
    file.write_text(file.read_text() + "03:00,,5\n03:00,HR,\n03:00,HR,NaN\n")
    data = prepare_physionet2012(raw)
    assert cells(data, 0, "HR") == [(1.0, 80.0), (2.0, 70.0)]
    assert cells(data, 0, "TroponinI") == [(2.0, 3.0)]
    assert data.provenance["counts"]["unknown_parameter"] == 2
    assert data.provenance["counts"]["empty"] == {"HR": 2}


def test_a_stay_of_which_nothing_is_known_is_a_row(write_raw):
    raw = write_raw({"1": "", "2": "01:00 HR 80"})
    (raw / "3.txt").write_text("Time,Parameter,Value\n")
    data = prepare_physionet2012(raw)
    assert data.row_id.tolist() == ["1", "2", "3"]
    assert data.present.sum(axis=1).tolist() == [0, 1, 0]
    alone = raw.parent / "alone"
    alone.mkdir()
    (alone / "3.txt").write_text("Time,Parameter,Value")
    assert prepare_physionet2012(alone).present.tolist() == [[False] * len(GROUPS)]


def test_outcomes(write_raw):
    stays = {str(k): "01:00 HR 80" for k in range(1, 6)}
    raw = write_raw(stays, f"{ALIVE};9 1 1 1 1 1;{DEAD};4 1 1 -1 -1 -1;5 1 1 2.5 -1")
    outcomes = raw.parent / "Outcomes-a.txt"
    outcomes.write_text(outcomes.read_text().replace("2.5,-1\n", "2.5,-1,\n"))  # 5 has no outcome
    data = prepare_physionet2012(raw)
    assert np.array_equal(data.target, [1, 0, np.nan, np.nan, np.nan], equal_nan=True)
    assert data.provenance["counts"]["labelled"] == 2
    stay = prepare_physionet2012(raw, outcome="length_of_stay")
    assert np.array_equal(stay.target, [5, 8, np.nan, np.nan, 2.5], equal_nan=True)
    assert stay.task.kind == "regression"
    with pytest.raises(UnknownNameError, match="did you mean 'length_of_stay'"):
        prepare_physionet2012(raw, outcome="length_of_stays")


def test_without_outcomes_every_row_is_unlabelled_and_has_the_task(write_raw):
    data = prepare_physionet2012(write_raw({"1": "01:00 HR 80"}))
    assert data.labelled.tolist() == [False]
    assert data.task.classes == ("survived", "died")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RecordID,In-hospital_death\n1,2\n", "1 lines hold something else"),
        ("RecordID,Survival\n1,2\n", "need the column In-hospital_death"),
        ("RecordID,In-hospital_death\n77,1\n", "none of the RecordIDs"),
        ("RecordID,In-hospital_death\n1,1\n1,0\n", "1 lines repeat one"),
        ("RecordID,In-hospital_death\n1\n", "has 2 numbers"),
        ("RecordID,In-hospital_death\n1,yes\n", "has 2 numbers"),
        ("ID,In-hospital_death\n1,1\n", "names RecordID"),
        ("", "names RecordID"),
    ],
)
def test_bad_outcomes(write_raw, text, message):
    raw = write_raw({"1": "01:00 HR 80"})
    (raw.parent / "Outcomes-a.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        prepare_physionet2012(raw)


def test_raw_tables_are_as_written(write_raw):
    raw = write_raw({"10": "00:00 Age -1; 01:30 pH 735", "9": ""}, DEAD)
    stays, events, outcomes = read_physionet2012(raw)
    assert stays["record_id"].to_pylist() == ["9", "10"]
    assert [tuple(e.values()) for e in events.to_pylist()] == [
        (0, 0, "RecordID", 9.0),
        (1, 0, "RecordID", 10.0),
        (1, 0, "Age", -1.0),
        (1, 90, "pH", 735.0),
    ]
    assert outcomes["In-hospital_death"].to_pylist() == [1.0]


def brute_force(stays):
    """(row, variable, hours or None for a descriptor) -> value, by the stated rules."""
    values = defaultdict(list)
    for row, lines in enumerate(stays):
        for minute, name, x in lines:
            for rule in RESCALED:
                if rule.variable == name and rule.low <= x <= rule.high:
                    x = round(x * rule.factor, 6)
                    break
            if x == -1 or not VARIABLES[name].low <= x <= VARIABLES[name].high:
                continue
            if name in ("Gender", "ICUType") and x != int(x):
                continue
            fixed = name in ("Age", "Gender", "Height", "ICUType")
            fixed |= name == "Weight" and minute == 0
            values[row, name, None if fixed else minute / 60].append(x)
    out = {}
    for (row, name, hours), xs in values.items():
        total = sum(xs) if name == "Urine" else sum(xs) / len(xs)
        out[row, name, hours] = xs[-1] if hours is None else total
    return out


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_line_by_line_implementation(write_raw, seed):
    draw = random.Random(seed)
    candidates = [-1, 0, 1, 2, 3, 7.4, 20, 36.6, 70, 99.5, 120, 400, 735, 2500]
    stays = [
        [
            (draw.choice([0, 0, 1, 59, 60, 2880]), draw.choice(list(VARIABLES)), x)
            for x in draw.choices(candidates, k=draw.choice([0, 1, 200]))
        ]
        for _ in range(8)
    ]
    text = {
        str(k): ";".join(f"{m // 60:02}:{m % 60:02} {name} {x}" for m, name, x in lines)
        for k, lines in enumerate(stays)
    }
    data = prepare_physionet2012(write_raw(text))
    found = {}
    levels = {n: k for k, n in enumerate(data.modality("static").levels["ICUType"], start=1)}
    levels |= {"female": 0, "male": 1}
    for row in range(len(data)):
        for name, x in static(data, row).items():
            found[row, name, None] = levels.get(x, x)
        for name in VARIABLES:
            if name not in ("Age", "Gender", "Height", "ICUType"):
                found |= {(row, name, t): x for t, x in cells(data, row, name)}
    assert found == pytest.approx(brute_force(stays), rel=1e-12)
