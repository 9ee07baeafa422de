"""A synthetic eICU-CRD (2.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amodal.clinical.simulate.eicu.events import write_apache, write_codes, write_labs, write_vitals
from amodal.clinical.simulate.eicu.planted_later import write_hindsight
from amodal.clinical.simulate.eicu.stays import draw_stays, write_hospitals
from amodal.clinical.simulate.hindsight import own_generator
from amodal.clinical.simulate.writer import RawWriter, simulate

__all__ = ["simulate_eicu"]

_TOLD = (
    "SYNTHETIC DATA in the layout of eICU-CRD 2.0. Nobody in it exists; no row of eICU-CRD was "
    "used. rows {rows}, seed {seed}. What is planted stands in planted.csv.gz."
)


def simulate_eicu(
    out: str | Path, *, rows: int = 1_000, seed: int = 0, labs_per_row: float = 60.0
) -> Path:
    """Writes a synthetic eICU-CRD of `rows` unit stays into the new folder `out`.

    Beside the official tables lie `SYNTHETIC.txt` and ``planted.csv.gz`` with severity, risk of
    death and noise of every unit stay.

    Args:
        out: a new folder, or a synthetic one that is replaced.
        rows: number of unit stays.
        seed: the same seed gives the same bytes.
        labs_per_row: lab results of a stay, about.

    Raises:
        SettingError: fewer than one row.
        StorageError: the folder holds something else, or cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     one, same = (simulate_eicu(f"{folder}/{k}", rows=2, seed=7) for k in range(2))
    ...     (one / "lab.csv.gz").read_bytes() == (same / "lab.csv.gz").read_bytes()
    True
    """

    def chunk(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> None:
        stays = draw_stays(writer, number, size, rng)
        write_codes(writer, stays, rng)
        write_labs(writer, stays, rng, labs_per_row)
        write_vitals(writer, stays, rng)
        write_apache(writer, stays, rng)
        write_hindsight(writer, stays, own_generator(seed, number))

    return simulate(out, _TOLD, rows=rows, seed=seed, begin=write_hospitals, chunk=chunk)
