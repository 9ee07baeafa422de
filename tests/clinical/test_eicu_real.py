"""The eICU demo, against counts made with pandas from the raw files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from amodal.clinical.eicu import eicu_choices, prepare_eicu

pytestmark = pytest.mark.xdist_group("eicu")  # what is prepared for all is prepared once


@pytest.fixture(scope="module")
def raw(real_data):
    return real_data / "eicu_demo"


@pytest.fixture(scope="module")
def patient(raw):
    t = pd.read_csv(raw / "patient.csv.gz")
    t["years"] = pd.to_numeric(t.age, errors="coerce")
    return t.sort_values(["patienthealthsystemstayid", "unitvisitnumber"])


@pytest.fixture(scope="module")
def plain(patient):
    """The unit stays that the `muse` rules keep, with both labels, in plain pandas."""
    start = -patient.hospitaladmitoffset
    following = start.groupby(patient.patienthealthsystemstayid).shift(-1)
    t = patient.assign(
        mortality=(patient.unitdischargestatus == "Expired").astype(float),
        readmission=(np.floor((following - start) / 1440) <= 15).astype(float),
    )
    kept = t.unitdischargeoffset.between(720, 14_400) & t.years.between(18, 89)
    return t[kept].set_index("patientunitstayid")


@pytest.fixture(scope="module")
def muse(raw):
    return prepare_eicu(raw, choices=eicu_choices(task="mortality", protocol="muse")).data


def test_muse_cohort_and_labels(raw, plain, muse):
    assert (len(plain), plain.mortality.sum(), plain.readmission.sum()) == (1647, 58, 192)
    ids = muse.row_id.astype(int)
    np.testing.assert_array_equal(np.sort(ids), np.sort(plain.index))
    np.testing.assert_array_equal(muse.target, plain.loc[ids].mortality)
    choices = eicu_choices(task="readmission", protocol="muse", modalities=("demographics",))
    other = prepare_eicu(raw, choices=choices).data
    np.testing.assert_array_equal(
        other.target, plain.loc[other.row_id.astype(int)].readmission.to_numpy()
    )


def test_muse_presence(raw, plain, muse):
    have: set[int] = set()
    for name, offset in (
        ("diagnosis", "diagnosisoffset"),
        ("treatment", "treatmentoffset"),
        ("medication", "drugstartoffset"),
    ):
        t = pd.read_csv(raw / f"{name}.csv.gz", low_memory=False)
        code = {"diagnosis": "diagnosisstring", "treatment": "treatmentstring"}.get(
            name, "drugname"
        )
        have |= set(t[(t[offset] < 720) & t[code].notna()].patientunitstayid)
    labs = pd.read_csv(raw / "lab.csv.gz")
    labs = labs[(labs.labresultoffset <= 720) & labs.labresult.notna()]
    scores = pd.read_csv(raw / "apacheApsVar.csv.gz").set_index("patientunitstayid")
    scores = scores.drop(columns="apacheapsvarid")
    scores = scores[(scores == -1).sum(axis=1) <= 12]
    expected = {
        "codes": plain.index.isin(have).sum(),
        "labs": plain.index.isin(labs.patientunitstayid).sum(),
        "apache": plain.index.isin(scores.index).sum(),
        "demographics": 1647,
    }
    assert dict(zip(muse.names, muse.present.sum(axis=0).tolist(), strict=True)) == expected
    assert muse.modality("apache").n_features == 36


@pytest.fixture(scope="module")
def clean(raw):
    return prepare_eicu(raw, choices=eicu_choices(task="mortality", split="hospital"))


def test_clean_mortality(patient, clean):
    data = clean.data
    adult = (patient.years >= 18) | (patient.age == "> 89")
    kept = patient[adult & (patient.unitdischargeoffset > 720)].set_index("patientunitstayid")
    status = kept.hospitaldischargestatus.map({"Expired": 1.0, "Alive": 0.0})
    assert len(data) == len(kept)
    np.testing.assert_array_equal(data.target, status.loc[data.row_id.astype(int)])
    kept = kept.loc[data.row_id.astype(int)]
    hospital, who = kept.hospitalid.to_numpy(), kept.uniquepid.to_numpy()
    pairs = kept.groupby(["uniquepid", "hospitalid"]).size().sort_index()
    usual = pairs.groupby("uniquepid").idxmax().map(lambda pair: pair[1])  # ties: the first by name
    several = kept.groupby("uniquepid").hospitalid.nunique() > 1
    assert data.facts["hospital"].tolist() == hospital.astype(str).tolist()
    alone = ~several.loc[who].to_numpy()
    assert data.group[alone].tolist() == usual.loc[who[alone]].astype(str).tolist()
    for name in np.unique(data.group):  # a hospital is on one side
        assert len(set(data.split[data.group == name])) == 1
    for name in np.unique(who):  # and so is every patient
        assert len(set(data.split[who == name])) == 1


def test_facts_of_stays_are_those_of_their_tables(raw, patient, clean):
    data, known = clean.data, patient.set_index("patientunitstayid")
    known = known.loc[data.row_id.astype(int)]
    places = pd.read_csv(raw / "hospital.csv.gz").set_index("hospitalid")
    region = places.region.reindex(known.hospitalid).fillna("").to_numpy()
    assert data.facts["region"].tolist() == region.tolist()
    assert data.facts["sex"].tolist() == known.gender.fillna("").str.strip().tolist()
    old = (known.age == "> 89") | (known.years >= 85)
    assert ((data.facts["age"] == "85 and over") == old.to_numpy()).all()
    assert set(data.facts) == {"sex", "race", "unit", "hospital", "region", "teaching", "age"}
    assert any("APACHE IVa" in note for note in clean.report["notes"])


@pytest.mark.slow
def test_clean_vitals_are_hourly_means(raw, clean):
    t = pd.read_csv(raw / "vitalPeriodic.csv.gz")
    t = t[t.observationoffset.between(-1440, 720) & t.heartrate.between(10, 300)]
    mean = t.assign(hour=t.observationoffset // 60).groupby(["patientunitstayid", "hour"]).heartrate
    mean = mean.mean()
    data = clean.data
    at = data.modality("vitals").features.index("heart_rate")
    values = data.values["vitals"]
    for k in np.flatnonzero(values.index >= 0)[:300]:
        span = slice(*values.offsets[values.index[k] : values.index[k] + 2])
        got = values.data["value"][span, at]
        own = mean[mean.index.get_level_values(0) == int(data.row_id[k])]
        np.testing.assert_allclose(got[~np.isnan(got)], own.to_numpy(), rtol=1e-5)


def test_clean_readmission(patient, raw):
    """Merged at 6 hours, no stepdown, alive at the end: in plain Python."""
    data = prepare_eicu(
        raw, choices=eicu_choices(task="readmission", modalities=("demographics",))
    ).data
    icu = patient[patient.unitstaytype != "stepdown/other"]
    icu = icu.assign(
        start=-icu.hospitaladmitoffset, stop=icu.unitdischargeoffset - icu.hospitaladmitoffset
    )
    blocks: list[dict] = []
    for line in icu.sort_values(["patienthealthsystemstayid", "start"]).to_dict("records"):
        same = blocks and blocks[-1]["last"]["patienthealthsystemstayid"]
        if same == line["patienthealthsystemstayid"] and line["start"] - blocks[-1]["stop"] <= 360:
            later = line["stop"] >= blocks[-1]["stop"]
            blocks[-1]["last"] = line if later else blocks[-1]["last"]
            blocks[-1]["stop"] = max(line["stop"], blocks[-1]["stop"])
        else:
            blocks.append({"stop": line["stop"], "last": line})
    expected = {}
    for k, block in enumerate(blocks):
        last, following = block["last"], blocks[k + 1 : k + 2]
        adult = last["years"] >= 18 or last["age"] == "> 89"
        stay = "patienthealthsystemstayid"
        again = bool(following) and following[0]["last"][stay] == last[stay]
        if adult and last["unitdischargestatus"] == "Alive":
            expected[str(last["patientunitstayid"])] = float(again)
    assert dict(zip(data.row_id.tolist(), data.target.tolist(), strict=True)) == expected
