"""The MIMIC-IV demo, against counts made with pandas from the raw files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from amodal.clinical.mimic4 import mimic4_choices, prepare_mimic4
from amodal.clinical.mimic4.measurements import MUSE_LABELS
from amodal.data.dataset import Dataset

pytestmark = pytest.mark.xdist_group("mimic4")  # what is prepared for all is prepared once


@pytest.fixture(scope="module")
def raw(real_data):
    return real_data / "mimic4_demo"


def read(raw, name: str, **types) -> pd.DataFrame:
    return pd.read_csv(raw / f"{name}.csv.gz", low_memory=False, **types)


@pytest.fixture(scope="module")
def plain(raw):
    """The admissions that the `muse` rules keep, with both labels, in plain pandas."""
    a = read(raw, "hosp/admissions", parse_dates=["admittime", "dischtime"])
    a = a.merge(read(raw, "hosp/patients", parse_dates=["dod"]), on="subject_id")
    a = a.sort_values(["subject_id", "admittime"])
    day = 86_400
    following = a.groupby("subject_id").admittime.shift(-1)
    back = ((following - a.dischtime).dt.total_seconds() / day).apply(np.floor)
    die = ((a.dod - a.dischtime).dt.total_seconds() / day).apply(np.floor)
    a["mortality"] = np.where(
        a.dod.notna(), die <= 90, np.where(following.notna() & (back > 90), 0.0, np.nan)
    ).astype(float)
    a["readmission"] = np.where(following.notna(), back <= 15, np.nan).astype(float)
    minutes = (a.dischtime - a.admittime).dt.total_seconds() / 60
    age = a.admittime.dt.year - a.anchor_year + a.anchor_age
    kept = (minutes <= 14_400) & (age >= 18) & (age <= 89) & (a.hospital_expire_flag == 0)
    return a[kept].set_index("hadm_id")


@pytest.fixture(scope="module")
def muse(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("mimic4") / "muse"
    choices = mimic4_choices(task="mortality", protocol="muse")
    return prepare_mimic4(raw, out, choices=choices), out


def test_muse_cohort_and_labels(raw, plain, muse):
    assert (len(plain), plain.subject_id.nunique()) == (201, 79)
    assert (plain.mortality.notna().sum(), plain.mortality.sum()) == (101, 10)
    assert (plain.readmission.notna().sum(), plain.readmission.sum()) == (135, 27)
    data = muse[0].data
    told = plain.loc[data.row_id.astype(int)]
    assert len(data) == 201
    np.testing.assert_array_equal(data.target, told.mortality.to_numpy())
    choices = mimic4_choices(task="readmission", protocol="muse", modalities=("codes",))
    other = prepare_mimic4(raw, choices=choices).data
    np.testing.assert_array_equal(
        other.target, plain.loc[other.row_id.astype(int)].readmission.to_numpy()
    )
    counts = dict(zip(*np.unique(data.split, return_counts=True), strict=True))
    labelled = {s: int(data[data.split == s].labelled.sum()) for s in counts}
    assert labelled == {"train": 71, "valid": 10, "test": 20}


def test_muse_codes(raw, plain, muse):
    text = {"icd_code": str}
    names = {
        "diagnosis": read(raw, "hosp/diagnoses_icd", dtype=text),
        "procedure": read(raw, "hosp/procedures_icd", dtype=text, parse_dates=["chartdate"]),
        "prescription": read(raw, "hosp/prescriptions", parse_dates=["starttime"]),
    }
    present = {k: plain.index.isin(t.hadm_id).sum() for k, t in names.items()}
    assert present == {"diagnosis": 201, "procedure": 123, "prescription": 177}
    told = muse[0].data.provenance["made"]["codes"]
    assert {k: v["rows_before_cut"] for k, v in told.items()} == present
    # the last 50 by time, diagnoses before all: 55 rows keep none
    rows = []
    kinds = [("diagnosis", None, "icd_code"), ("procedure", "chartdate", "icd_code")]
    kinds += [("prescription", "starttime", "drug")]
    for k, (kind, time, code) in enumerate(kinds):
        t = names[kind][names[kind].hadm_id.isin(plain.index)].copy()
        begin = t.hadm_id.map(plain.admittime)
        t["time"] = -np.inf if time is None else (t[time] - begin).dt.total_seconds()
        t["kind"], t["code"] = k, t[code].str.strip()
        rows.append(t[["hadm_id", "time", "kind", "code"]])
    events = pd.concat(rows).drop_duplicates()
    last = (
        events.sort_values(["hadm_id", "time", "kind"], kind="stable").groupby("hadm_id").tail(50)
    )
    assert 201 - last[last.kind == 0].hadm_id.nunique() == 55
    assert told["diagnosis"]["rows_after_cut"] == 201 - 55
    lengths = last.groupby("hadm_id").size()
    values = muse[0].data.values["codes"]
    ids = muse[0].data.row_id.astype(int)
    assert values.lengths[values.index].tolist() == lengths.loc[ids].tolist()


def test_muse_labs(raw, plain, muse):
    d = read(raw, "hosp/d_labitems")
    items = d[d.label.fillna("").apply(lambda x: any(w in x for w in MUSE_LABELS))].itemid
    times = ["charttime", "storetime"]
    t = read(raw, "hosp/labevents", parse_dates=times)
    t = t[t.itemid.isin(items) & t.hadm_id.isin(plain.index) & t.valuenum.notna()]
    t = t[t.storetime <= t.hadm_id.map(plain.dischtime)]
    steps = t.groupby("hadm_id").storetime.nunique().clip(upper=50)
    data = muse[0].data
    values = data.values["labs"]
    assert data.present[:, data.names.index("labs")].sum() == len(steps)
    own = {str(int(k)): v for k, v in steps.items()}
    for k in np.flatnonzero(values.index >= 0):
        span = slice(*values.offsets[values.index[k] : values.index[k] + 2])
        assert len(np.unique(values.data["time"][span])) == own[data.row_id[k]]
    width = data.modality("labs").n_features
    assert width == 2 * data.provenance["made"]["labs"]["items"]
    z = values.data["value"]
    assert not np.isnan(z[:, : width // 2]).all(axis=0).any()
    assert set(np.unique(z[:, width // 2 :][~np.isnan(z[:, width // 2 :])])) == {0.0, 1.0}


def test_a_second_run_writes_the_same_bytes(raw, muse):
    before = {p.name: p.read_bytes() for p in muse[1].iterdir()}
    prepare_mimic4(raw, muse[1], choices=mimic4_choices(task="mortality", protocol="muse"))
    assert {p.name: p.read_bytes() for p in muse[1].iterdir()} == before
    assert [p.name for p in muse[1].parent.iterdir()] == ["muse"]
    assert Dataset.load(muse[1]).fingerprint() == muse[0].data.fingerprint()


@pytest.fixture(scope="module")
def clean(raw):
    choices = mimic4_choices(task="readmission", modalities=("labs", "demographics"))
    return prepare_mimic4(raw, choices=choices).data


def test_clean_cohort(raw, clean):
    """Stays in plain Python: merged at 24 hours, adults discharged alive, not transferred."""
    a = read(raw, "hosp/admissions", parse_dates=["admittime", "dischtime"])
    p = read(raw, "hosp/patients", parse_dates=["dod"]).set_index("subject_id")
    day = pd.Timedelta(days=1)
    stays = []
    for subject, group in a.sort_values(["subject_id", "admittime"]).groupby("subject_id"):
        blocks: list[dict] = []
        for line in group.to_dict("records"):
            if blocks and line["admittime"] - blocks[-1]["out"] <= day:
                blocks[-1] |= {"last": line, "out": max(blocks[-1]["out"], line["dischtime"])}
            else:
                blocks.append({"in": line["admittime"], "out": line["dischtime"], "last": line})
        for k, block in enumerate(blocks):
            after = blocks[k + 1]["in"] if k + 1 < len(blocks) else None
            stays.append((subject, block, after))
    kept = {}
    for subject, block, after in stays:
        last, who = block["last"], p.loc[subject]
        dead = last["hospital_expire_flag"] or last["discharge_location"] in ("DIED",)
        age = block["in"].year - who.anchor_year + who.anchor_age
        early = who.dod is not pd.NaT and who.dod < block["out"].normalize()
        if age >= 18 and not dead and last["discharge_location"] != "ACUTE HOSPITAL" and not early:
            kept[last["hadm_id"]] = after is not None and after - block["out"] <= 30 * day
    assert set(clean.row_id.astype(int)) == set(kept)
    assert clean.target.tolist() == [float(kept[int(k)]) for k in clean.row_id]
    assert len(np.unique(clean.group)) <= 100
    for subject in np.unique(clean.group):
        assert len(set(clean.split[clean.group == subject])) == 1


@pytest.mark.slow
def test_clean_labs_against_pandas(raw, clean):
    """Creatinine of each row: linked by patient and time, known at discharge."""
    t = read(raw, "hosp/labevents", parse_dates=["charttime", "storetime"])
    t = t[t.itemid.isin([50912, 52546]) & t.valuenum.between(0.05, 30) & t.storetime.notna()]
    a = read(raw, "hosp/admissions", parse_dates=["admittime", "dischtime"]).set_index("hadm_id")
    merged = clean.modality("labs").features.index("creatinine")
    values = clean.values["labs"]
    checked = 0
    for k, hadm in enumerate(clean.row_id.astype(int)):
        line = a.loc[hadm]
        others = a[(a.subject_id == line.subject_id) & (a.dischtime <= line.dischtime)]
        if len(others) > 1 and (line.admittime - others.dischtime.drop(hadm)).min().days <= 1:
            continue  # a merged stay begins earlier
        own = t[
            (t.subject_id == line.subject_id)
            & (t.charttime >= line.admittime - pd.Timedelta(days=1))
            & (t.storetime <= line.dischtime)
        ]
        if values.index[k] < 0:
            assert own.empty
            continue
        span = slice(*values.offsets[values.index[k] : values.index[k] + 2])
        got = values.data["value"][span, merged]
        got = sorted(got[~np.isnan(got)].tolist())
        if len(np.unique(values.data["time"][span])) < 128:
            np.testing.assert_allclose(got, sorted(own.valuenum), rtol=1e-6)
            checked += 1
    assert checked > 100
