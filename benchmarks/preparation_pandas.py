"""MIMIC-IV by the `muse` protocol in plain pandas: what the preparation is compared with.

The same rows, labels, codes and laboratory values, written the way such scripts are written: every
table read whole, filtered and joined in memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["prepare_pandas"]

LABELS = "Hematocrit|Platelet|WBC|Bilirubin|pH|Bicarbonate|Creatinine|Lactate|Potassium|Sodium"


def _read(raw: Path, name: str, **asked) -> pd.DataFrame:
    return pd.read_csv(raw / "hosp" / f"{name}.csv.gz", low_memory=False, **asked)


def cohort(raw: Path) -> pd.DataFrame:
    """The kept admissions by hadm_id, with the label of mortality."""
    a = _read(raw, "admissions", parse_dates=["admittime", "dischtime"])
    a = a.merge(_read(raw, "patients", parse_dates=["dod"]), on="subject_id")
    a = a.sort_values(["subject_id", "admittime"])
    following = a.groupby("subject_id").admittime.shift(-1)
    back = ((following - a.dischtime).dt.total_seconds() / 86_400).apply(np.floor)
    die = ((a.dod - a.dischtime).dt.total_seconds() / 86_400).apply(np.floor)
    late = following.notna() & (back > 90)
    a["target"] = np.where(a.dod.notna(), die <= 90, np.where(late, 0.0, np.nan)).astype(float)
    minutes = (a.dischtime - a.admittime).dt.total_seconds() / 60
    age = a.admittime.dt.year - a.anchor_year + a.anchor_age
    kept = (minutes <= 14_400) & age.between(18, 89) & (a.hospital_expire_flag == 0)
    return a[kept].sort_values(["subject_id", "hadm_id"]).set_index("hadm_id")


def codes(raw: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """hadm_id, time, kind, code: the last 50 events."""
    text, parts = {"icd_code": str}, []
    titles = {kind: _read(raw, f"d_icd_{kind}", dtype=text) for kind in ("diagnoses", "procedures")}
    for k, (name, names, time) in enumerate(
        (
            ("diagnoses_icd", "diagnoses", None),
            ("procedures_icd", "procedures", "chartdate"),
            ("prescriptions", None, "starttime"),
        )
    ):
        t = _read(raw, name, dtype=text, parse_dates=[time] if time else None)
        t = t[t.hadm_id.isin(rows.index)]
        if names:
            t = t.merge(titles[names], on=["icd_code", "icd_version"]).rename(
                columns={"long_title": "drug"}
            )
        begin = t.hadm_id.map(rows.admittime)
        minutes = 0.0 if time is None else (t[time] - begin).dt.total_seconds() / 60
        seq = t.seq_num if "seq_num" in t else 0
        part = {"hadm_id": t.hadm_id, "time": minutes, "kind": k, "seq": seq}
        parts.append(pd.DataFrame({**part, "code": t.drug.str.strip(), "early": k > 0}))
    events = pd.concat(parts).drop_duplicates(["hadm_id", "time", "kind", "code"])
    order = ["hadm_id", "early", "time", "kind", "seq", "code"]
    return events.sort_values(order).groupby("hadm_id").tail(50)


def labs(raw: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """One line a step, by hadm_id and time: z-scored values and flags, carried forward."""
    items = _read(raw, "d_labitems")
    items = items[items.label.fillna("").str.contains(LABELS)].itemid
    t = _read(raw, "labevents", parse_dates=["charttime", "storetime"])
    t = t[t.itemid.isin(items) & t.hadm_id.isin(rows.index) & t.valuenum.notna()]
    t = t[t.storetime <= t.hadm_id.map(rows.dischtime)]
    begin = t.hadm_id.map(rows.admittime)
    t = t.assign(
        time=(t.storetime - begin).dt.total_seconds() / 60,
        abnormal=(t.flag == "abnormal").astype(float),
    )
    place = t.groupby("hadm_id").time.rank(method="dense", ascending=False)
    t = t[place <= 50]
    t = t.sort_values(["hadm_id", "time", "itemid", "valuenum"])
    t["repeat"] = t.groupby(["hadm_id", "time", "itemid"]).cumcount()
    index = ["hadm_id", "time", "repeat"]
    value = t.pivot(index=index, columns="itemid", values="valuenum")
    value = (value - value.mean()) / value.std(ddof=0)
    flag = t.groupby(["hadm_id", "time", "itemid"]).abnormal.max().reset_index()
    flag = flag.assign(repeat=0).pivot(index=index, columns="itemid", values="abnormal")
    wide = value.join(flag.add_suffix(" abnormal"), how="left")
    return wide.groupby(level="hadm_id").ffill()


def prepare_pandas(raw: Path, out: Path) -> dict[str, float]:
    """Writes rows, codes and labs as Parquet into `out`; returns what is compared."""
    out.mkdir(parents=True, exist_ok=True)
    rows = cohort(raw)
    events, steps = codes(raw, rows), labs(raw, rows)
    rows[["subject_id", "target"]].to_parquet(out / "rows.parquet")
    events.drop(columns="early").to_parquet(out / "codes.parquet")
    wide = steps.reset_index()
    wide.columns = [str(c) for c in wide.columns]
    wide.to_parquet(out / "labs.parquet")
    return {
        "rows": float(len(rows)),
        "labelled": float(rows.target.notna().sum()),
        "positive": float(rows.target.sum()),
        "code events": float(len(events)),
        "lab steps": float(len(steps)),
        "sum of |z|": float(np.nansum(np.abs(steps.to_numpy()[:, : steps.shape[1] // 2]))),
    }
