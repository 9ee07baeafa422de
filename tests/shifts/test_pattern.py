"""Patterns of loss: rates counted by hand, files, replay on other rows and orders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amodal.data.dataset import Dataset
from amodal.errors import DataError, StorageError, UnknownNameError
from amodal.shifts import LossPattern, LossRates, Mcar, MnarTarget
from amodal.types import LOST, NOT_MEASURED, PRESENT

NAN = float("nan")


def four_rows() -> Dataset:
    """`a` present in rows 0 to 2, `b` in rows 0 and 3."""
    return Dataset.from_arrays(
        {"a": [[1.0], [2.0], [3.0], [NAN]], "b": [[1.0], [NAN], [NAN], [4.0]]},
        [0, 1, 0, 1],
        rows={"row_id": ["p0", "p1", "p2", "p3"]},
    )


LOSS = np.array([[True, False], [True, True], [False, True], [False, True]])


def test_rates_by_hand() -> None:
    rates = LossPattern.measure(four_rows(), LOSS, requested=0.5).rates
    assert rates.requested == rates.expected == 0.5
    assert rates.achieved == 5 / 8
    assert rates.achieved_present == 3 / 5  # a0, a1, b3 of a0, a1, a2, b0, b3
    assert rates.natural_absence == 3 / 8
    assert rates.empty_before == 0
    assert rates.empty_rows == 2 / 4  # p1 and p3
    assert rates.neutral == rates.kept_rows == 0
    assert rates.per_modality["a"] == {
        "expected": 0.5,
        "achieved": 2 / 4,
        "achieved_present": 2 / 3,
        "natural_absence": 1 / 4,
    }
    assert rates.per_modality["b"]["achieved_present"] == 1 / 2


def test_rates_of_some_modalities_count_their_pairs_only() -> None:
    lost = LOSS & np.array([True, False])
    rates = LossPattern.measure(four_rows(), lost, requested=0.5, columns=np.array([0])).rates
    assert rates.achieved == 2 / 4
    assert list(rates.per_modality) == ["a"]
    assert rates.empty_rows == 1 / 4  # p1; p0 still has b


def test_apply_joins_rows_and_modalities_by_name() -> None:
    data = four_rows()
    pattern = LossPattern.measure(data, LOSS, requested=0.5)
    part = pattern.apply(data[[3, 1]].select(["b", "a"]))
    assert part.absence.tolist() == [[LOST, NOT_MEASURED], [LOST, LOST]]
    assert pattern.apply(data).absence[2].tolist() == [PRESENT, LOST]
    assert data.absence[2].tolist() == [PRESENT, NOT_MEASURED]


def test_apply_names_how_many_rows_are_missing() -> None:
    data = four_rows()
    pattern = LossPattern.measure(data[[0, 2]], LOSS[[0, 2]], requested=0.5)
    with pytest.raises(DataError, match="2 of 4 rows are not in it") as caught:
        pattern.apply(data)
    assert "p1" not in str(caught.value)
    empty = LossPattern.measure(data[:0], LOSS[:0], requested=0.5)
    with pytest.raises(DataError, match="4 of 4 rows"):
        empty.apply(data)
    assert len(empty.apply(data[:0])) == 0


def test_apply_names_a_modality_that_the_pattern_lacks() -> None:
    data = four_rows()
    pattern = LossPattern.measure(data.select(["a"]), LOSS[:, :1], requested=0.5)
    with pytest.raises(UnknownNameError, match="unknown modality of the pattern of loss 'b'"):
        pattern.apply(data)


def test_apply_is_recorded_in_the_provenance() -> None:
    shift = Mcar(0.5, seed=2)
    changed = shift.draw(four_rows()).apply(four_rows())
    assert changed.provenance["shifts"] == [shift.to_json()]
    assert shift(four_rows()).provenance["shifts"] == [shift.to_json()]


def test_save_load_replay(tmp_path: Path) -> None:
    data = four_rows()
    drawn = MnarTarget(0.4, seed=5, odds_ratio=9).draw(data)
    path = drawn.save(tmp_path / "masks" / "fold0.parquet")
    found = LossPattern.load(path)
    assert found.row_id.tolist() == drawn.row_id.tolist()
    assert found.names == drawn.names
    assert np.array_equal(found.lost, drawn.lost)
    assert found.spec == drawn.spec
    assert found.spec["label_in_pattern"] is True
    assert found.rates == drawn.rates
    assert found.apply(data).fingerprint() == drawn.apply(data).fingerprint()
    assert [p.name for p in path.parent.iterdir()] == ["fold0.parquet"]


def test_save_of_nothing_keeps_undefined_rates(tmp_path: Path) -> None:
    drawn = Mcar(0.5).draw(four_rows()[:0])
    assert np.isnan(drawn.rates.achieved)
    assert "NaN" not in json.dumps(drawn.rates.to_json())
    found = LossPattern.load(drawn.save(tmp_path / "empty.parquet"))
    assert np.isnan(found.rates.achieved)
    assert found.lost.shape == (0, 2)


def test_a_modality_may_be_called_row_id(tmp_path: Path) -> None:
    data = Dataset.from_arrays({"row_id": [[1.0], [2.0]]})
    drawn = Mcar(1.0).draw(data)
    assert LossPattern.load(drawn.save(tmp_path / "x.parquet")).names == ("row_id",)


def test_files_that_are_no_pattern(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing or cannot be read"):
        LossPattern.load(tmp_path / "none.parquet")
    whole = Mcar(0.5).draw(four_rows()).save(tmp_path / "whole.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(StorageError, match="missing or cannot be read"):
        LossPattern.load(cut)
    pq.write_table(pa.table({"row_id": ["a"]}), tmp_path / "foreign.parquet")
    with pytest.raises(StorageError, match="has none; save it again"):
        LossPattern.load(tmp_path / "foreign.parquet")
    table = pq.read_table(whole)
    facts = json.loads(table.schema.metadata[b"amodal"]) | {"version": 99}
    pq.write_table(
        table.replace_schema_metadata({"amodal": json.dumps(facts)}), tmp_path / "later.parquet"
    )
    with pytest.raises(StorageError, match="amodal-loss-pattern 99"):
        LossPattern.load(tmp_path / "later.parquet")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        Mcar(0.5).draw(four_rows()).save(tmp_path / "file" / "mask.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="could not be written"):
        Mcar(0.5).draw(four_rows()).save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_shape_is_checked_and_the_array_is_frozen() -> None:
    rates = Mcar(0.5).draw(four_rows()).rates
    with pytest.raises(DataError, match=r"\(2, 1\); got \(1, 1\)"):
        LossPattern(np.array(["a", "b"]), ("a",), np.zeros((1, 1), dtype=bool), {}, rates)
    pattern = LossPattern.measure(four_rows(), LOSS, requested=0.5)
    with pytest.raises(ValueError, match="read-only"):
        pattern.lost[0, 0] = False
    LOSS[0, 0] = True  # what was handed in stays the caller's


def test_rates_in_words_say_what_keep_one_did() -> None:
    rates = LossRates(0.5, 0.5, 0.4, 0.3, 0.1, 0.0, 0.0, 0.0, 0.25, {})
    assert "kept in 25.0% of the rows" in rates.describe()
    assert "kept" not in LossRates(**{**asdict(rates), "kept_rows": 0.0}).describe()
