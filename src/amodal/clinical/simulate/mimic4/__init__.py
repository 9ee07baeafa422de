"""A synthetic MIMIC-IV (2.2) with its notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amodal.clinical.simulate.hindsight import own_generator
from amodal.clinical.simulate.mimic4.codes import write_codes
from amodal.clinical.simulate.mimic4.measurements import write_labs, write_vitals
from amodal.clinical.simulate.mimic4.notes import write_dictionaries, write_notes
from amodal.clinical.simulate.mimic4.planted_later import write_hindsight
from amodal.clinical.simulate.mimic4.stays import draw_stays
from amodal.clinical.simulate.writer import RawWriter, simulate

__all__ = ["simulate_mimic4"]

_TOLD = (
    "SYNTHETIC DATA in the layout of MIMIC-IV 2.2 and MIMIC-IV-Note. Nobody in it exists; no row "
    "of MIMIC-IV was used. rows {rows}, seed {seed}. What is planted stands in planted.csv.gz."
)


def simulate_mimic4(
    out: str | Path, *, rows: int = 1_000, seed: int = 0, labs_per_row: float = 75.0
) -> Path:
    """Writes a synthetic MIMIC-IV of `rows` admissions into the new folder `out`.

    The folder has hosp, icu and note, as the official ones have, `SYNTHETIC.txt`, and
    ``planted.csv.gz`` with severity, risk of death and noise of every admission.

    Args:
        out: a new folder, or a synthetic one that is replaced.
        rows: number of admissions.
        seed: the same seed gives the same bytes.
        labs_per_row: lab events of an admission, about.

    Raises:
        SettingError: fewer than one row.
        StorageError: the folder holds something else, or cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     raw = simulate_mimic4(f"{folder}/raw", rows=2)
    ...     sorted(p.name for p in raw.iterdir())
    ['SYNTHETIC.txt', 'hosp', 'icu', 'note', 'planted.csv.gz']
    """

    def chunk(writer: RawWriter, number: int, size: int, rng: np.random.Generator) -> None:
        stays = draw_stays(writer, number, size, rng)
        write_codes(writer, stays, rng)
        write_labs(writer, stays, rng, labs_per_row)
        write_vitals(writer, stays, rng)
        write_notes(writer, stays, rng)
        write_hindsight(writer, stays, own_generator(seed, number))

    return simulate(out, _TOLD, rows=rows, seed=seed, begin=write_dictionaries, chunk=chunk)
