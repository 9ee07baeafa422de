"""One fitted member: what it is fitted on, and how it is stored while it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from amodal.data.scaling import Scaler
from amodal.data.splits import split_development
from amodal.member import fit_member
from amodal.testing import made_up

SMALL = {"width": 8, "heads": 2, "epochs": 4, "batch_size": 16, "dropout": 0.0}


def parts(n: int = 120) -> dict:
    data = made_up(n=n)
    rows = split_development(data, seed=0, valid=0.25, calibration=0.0)
    return {"train": data[rows["train"]], "valid": data[rows["valid"]], "both": data}


def test_the_last_fit_sees_training_and_validation_rows(tmp_path) -> None:
    rows = parts()
    member = fit_member("aum", SMALL, rows, seed=3, folder=tmp_path)
    for name, value in Scaler.fit(rows["both"]).to_state()[1].items():
        np.testing.assert_array_equal(member.scaler.to_state()[1][name], value)
    logs = [
        [json.loads(line) for line in (tmp_path / f / "log.jsonl").read_text().splitlines()]
        for f in (".", "refit")
    ]
    chosen = [e["epoch"] for e in logs[0] if e["best"]][-1]
    assert len(logs[1]) == chosen + 1  # its schedule ends at the chosen epoch
    assert all(e["valid"] is None for e in logs[1])
    assert [e["valid"] for e in member.history] == [e["valid"] for e in logs[0]]


def test_without_refit_the_chosen_weights_stay() -> None:
    """Other labels of validation rows may choose another epoch, but enter no weight."""
    rows = parts()
    kept = fit_member("aum", {**SMALL, "epochs": 1, "refit": False}, rows, seed=3)
    valid = rows["valid"].replace(target=1 - rows["valid"].target)
    flipped = fit_member(
        "aum", {**SMALL, "epochs": 1, "refit": False}, {**rows, "valid": valid}, seed=3
    )
    for name, value in kept.method.state_dict().items():
        assert torch.equal(value, flipped.method.state_dict()[name]), name


@pytest.mark.slow
def test_conflict_is_calibrated_on_rows_that_were_kept_out() -> None:
    """A refit has none; it takes the quantiles of the first fit."""
    rows = parts(400)
    plain = fit_member("aum", {**SMALL, "refit": False}, rows, seed=3)
    again = fit_member("aum", SMALL, rows, seed=3)
    quantiles = plain.method.conflict_quantiles
    assert not torch.equal(quantiles, torch.linspace(0, 1, 101))
    assert torch.equal(again.method.conflict_quantiles, quantiles)
    assert not torch.equal(plain.method.head.last.weight, again.method.head.last.weight)
