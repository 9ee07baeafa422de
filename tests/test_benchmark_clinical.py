"""The direct MUSE is right: the package's parts give the same with the same weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def clinical(benchmark_module):
    return benchmark_module("clinical_step")


def test_the_direct_way_gives_what_the_packages_parts_give(clinical: ModuleType) -> None:
    _, _, lines = clinical.same_results(40, 60)
    found = {name: (float(difference), float(largest)) for name, difference, largest in lines}
    assert set(found) >= {"text", "codes", "labs", "note", "logits", "loss"}
    for difference, largest in found.values():
        assert difference < 1e-5
        assert largest > 1e-3


def test_padded_rows_are_the_packed_ones(clinical: ModuleType) -> None:
    cohort = clinical.made_cohort(30, 50)
    codes = cohort.batch.values["codes"]
    assert cohort.padded.present.tolist() == cohort.batch.present.tolist()
    assert not bool(cohort.padded.present.all())
    for i in range(30):
        j = int(codes.index[i])
        own = codes.data["code"][codes.offsets[j] : codes.offsets[j + 1]] if j >= 0 else []
        assert int(cohort.padded.code_count[i]) == len(own)
        assert [x - 1 for x in cohort.padded.code[i].tolist() if x] == list(own)


@pytest.mark.slow
def test_command_replaces_its_part_and_no_other(clinical: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    out.write_text("# Another\n\nkept\n\n# One training step of the clinical model\n\nold\n")
    clinical.main(["--quick", "--out", str(out)])
    text = out.read_text()
    assert text.startswith("# Another\n\nkept\n\n# One training step of the clinical model\n")
    assert "old" not in text
    assert text.count("\n## ") == 2
    assert list(tmp_path.iterdir()) == [out]
