"""`Appraisal`: what readers ask of a prediction model beside its metrics, gathered in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amodal.analysis.calibrations import calibration_rows, curve_rows, risk_rows
from amodal.analysis.pooling import Pool
from amodal.analysis.sites import site_rows
from amodal.analysis.tipping import tipping_rows
from amodal.analysis.usefulness import (
    alert_rows,
    decision_rows,
    guarded,
    sample_size_rows,
    subgroup_rows,
)
from amodal.study.characteristics import shown_characteristics
from amodal.study.cohort import read_cohort
from amodal.study.files import write_csv

__all__ = ["Appraisal", "appraise", "write_appraisal"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Appraisal:
    """Tables as lists of rows, empty where they do not apply; small counts are hidden.

    Args:
        calibration: see `calibration_rows`.
        calibration_curves: see `curve_rows`.
        risk_coverage: see `risk_rows`.
        decision_curves: see `decision_rows`.
        alerts: see `alert_rows`.
        subgroups: see `subgroup_rows`.
        sites: see `site_rows`.
        sample_size: see `sample_size_rows`.
        tipping: see `tipping_rows`.
        characteristics: see `shown_characteristics`.
    """

    calibration: Rows = field(default_factory=tuple)
    calibration_curves: Rows = field(default_factory=tuple)
    risk_coverage: Rows = field(default_factory=tuple)
    decision_curves: Rows = field(default_factory=tuple)
    alerts: Rows = field(default_factory=tuple)
    subgroups: Rows = field(default_factory=tuple)
    sites: Rows = field(default_factory=tuple)
    sample_size: Rows = field(default_factory=tuple)
    tipping: Rows = field(default_factory=tuple)
    characteristics: Rows = field(default_factory=tuple)


def appraise(pool: Pool, *, progress: Callable[[int, int, str], None] | None = None) -> Appraisal:
    """Computes what is not kept yet, and reads the rest.

    Args:
        pool: of the study.
        progress: called as progress(done, all, what).
    """
    results = pool.results
    cohort = read_cohort(results.folder, results.plan, results.data["fingerprint"])
    columns, site, told = cohort or ({}, {}, {})
    steps: dict[str, Callable[[], Rows]] = {
        "calibration": lambda: calibration_rows(pool),
        "calibration_curves": lambda: curve_rows(pool),
        "risk_coverage": lambda: risk_rows(pool),
        "decision_curves": lambda: decision_rows(pool),
        "alerts": lambda: alert_rows(pool),
        "subgroups": lambda: subgroup_rows(pool, columns),
        "sites": lambda: site_rows(pool, site),
        "sample_size": lambda: guarded(sample_size_rows(pool)),
        "tipping": lambda: tipping_rows(pool),
        "characteristics": lambda: shown_characteristics(told),
    }
    found = {}
    for k, (name, compute) in enumerate(steps.items()):
        found[name] = tuple(compute())
        if progress is not None:
            progress(k + 1, len(steps), name.replace("_", " "))
    return Appraisal(**found)


def write_appraisal(appraisal: Appraisal, folder: Path) -> list[Path]:
    """Writes every table that has rows as CSV."""
    named: Iterable[tuple[str, Rows]] = vars(appraisal).items()
    return [write_csv(folder / f"{name}.csv", rows) for name, rows in named if rows]
