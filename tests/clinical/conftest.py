"""Made-up raw sets in the official layouts, and where the real ones lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HEADER = "Time,Parameter,Value\n"


def stay_text(record: str, lines: str) -> str:
    """The file of one stay: header, its RecordID, and `lines` ("00:10 HR 80; 01:00 HR 90")."""
    rows = [f"00:00,RecordID,{record}"]
    rows += [",".join(line.split()) for line in lines.split(";") if line.strip()]
    return HEADER + "\n".join(rows) + "\n"


@pytest.fixture
def write_raw(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder ``set-a`` of stays ``RecordID -> lines`` and, where given, outcomes."""

    def write(stays: Mapping[str, str], outcomes: str | None = None, name: str = "set-a") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for record, lines in stays.items():
            (folder / f"{record}.txt").write_text(stay_text(record, lines))
        if outcomes is not None:
            head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
            rows = "".join(",".join(line.split()) + "\n" for line in outcomes.split(";"))
            (tmp_path / f"Outcomes-{name[-1]}.txt").write_text(head + rows)
        return folder

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data."""
    folder = os.environ.get("AMODAL_TEST_DATA")
    if not folder:
        pytest.skip("AMODAL_TEST_DATA is not set: no real data to test with")
    return Path(folder)
