"""Lab events and vital signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from amodal.clinical.concepts import concepts
from amodal.clinical.simulate.mimic4.tables import DAY, HEAD, Stays, first_item, repeated
from amodal.clinical.simulate.planted import LABS, PANELS, VITALS, chance
from amodal.clinical.simulate.writer import RawWriter, stamp

__all__ = ["write_labs", "write_vitals"]


def write_labs(writer: RawWriter, stays: Stays, rng: np.random.Generator, per_row: float) -> None:
    """Writes lab events in panels; the sicker are measured more often."""
    known = {c.name: c for c in concepts("labs")}
    n, z = len(stays.hadm), stays.severity.z
    measured = rng.random(n) >= chance(-2.5 - 0.8 * z)  # the healthier are not measured at all
    days = (stays.end - stays.begin) / DAY
    draws = np.where(measured, 1 + rng.poisson(days * per_row / 55), 0)
    row, _ = repeated(draws)
    span = (stays.end - stays.begin)[row] + 360
    time = stays.begin[row] - 360 + (rng.random(len(row)) * span).astype(np.int64)
    parts: list[dict[str, Any]] = []
    for panel, (base, slope) in PANELS.items():
        has = rng.random(n) < chance(base + slope * z)
        taken = np.flatnonzero(has[row] & (rng.random(len(row)) < 0.75))
        for measure in LABS[panel]:
            item, unit = first_item(known[measure.concept])
            x = stays.severity.values(rng, measure, row[taken], "labs")
            odd = np.abs(x - measure.mean) > 2 * measure.sd
            parts.append({"at": taken, "x": x, "odd": odd, "item": item, "unit": unit})
    _write_lab_lines(writer, stays, rng, (row, time, parts))


def _write_lab_lines(
    writer: RawWriter, stays: Stays, rng: np.random.Generator, drawn: tuple[Any, ...]
) -> None:
    row, time, parts = drawn
    sizes = [len(p["at"]) for p in parts]
    at = np.concatenate([p["at"] for p in parts])
    n, x = len(at), np.concatenate([p["x"] for p in parts])
    late = rng.exponential(60, len(time)).astype(np.int64)  # a specimen is stored as a whole
    unknown = rng.random(len(time)) < 0.01
    stored = time[at] + late[at]
    who = row[at]
    outside = (time[at] < stays.begin[who]) | (rng.random(n) < 0.15)
    units = pa.array([p["unit"] for p in parts])
    writer.write(
        "hosp/labevents",
        HEAD["labevents"],
        {
            "labevent_id": stays.hadm.min() * 1_000 + np.arange(n),
            "subject_id": stays.subject[who],
            "hadm_id": pa.array(stays.hadm[who], mask=outside),
            "itemid": np.repeat([p["item"] for p in parts], sizes),
            "charttime": stamp(time[at]),
            "storetime": stamp(stored, unknown[at]),
            "value": x,
            "valuenum": x,
            "valueuom": units.take(pa.array(np.repeat(np.arange(len(parts)), sizes))),
            "flag": pa.array(
                np.full(n, "abnormal"), mask=~np.concatenate([p["odd"] for p in parts])
            ),
        },
    )


def write_vitals(writer: RawWriter, stays: Stays, rng: np.random.Generator) -> None:
    """Writes intensive-care stays and their hourly vital signs."""
    known = {c.name: c for c in concepts("vitals")}
    z = stays.severity.z
    icu = np.flatnonzero(rng.random(len(z)) < chance(-0.8 + 0.8 * z))
    hours = np.minimum((stays.end - stays.begin)[icu] // 60, 48)
    at, hour = repeated(hours)
    row = icu[at]
    time = stays.begin[row] + hour * 60 + rng.integers(0, 60, len(row))
    stay = 30_000_000 + stays.hadm
    for measure in VITALS:
        item, unit = first_item(known[measure.concept])
        x = stays.severity.values(rng, measure, row, "vitals")
        if measure.concept == "temperature":
            x = np.round(x * 1.8 + 32, 1)
            unit = "°F"
        writer.write(
            "icu/chartevents",
            HEAD["chartevents"],
            {
                "subject_id": stays.subject[row],
                "hadm_id": stays.hadm[row],
                "stay_id": stay[row],
                "charttime": stamp(time),
                "storetime": stamp(time + 20),
                "itemid": np.full(len(row), item),
                "value": x,
                "valuenum": x,
                "valueuom": np.full(len(row), unit),
            },
        )
    writer.write(
        "icu/icustays",
        HEAD["icustays"],
        {
            "subject_id": stays.subject[icu],
            "hadm_id": stays.hadm[icu],
            "stay_id": stay[icu],
            "intime": stamp(stays.begin[icu]),
            "outtime": stamp(stays.begin[icu] + hours * 60),
        },
    )
