"""Noise on inputs: how much, where, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.nn.corruption import changed_only, corrupted
from amodal.testing import made_up


def test_noise_has_the_severity_told_and_times_codes_and_gaps_stay() -> None:
    data = made_up(n=400)
    batch = to_batch(Scaler.fit(data).apply(data))
    torch.manual_seed(0)
    noisy, severity = corrupted(batch)
    columns = dict(zip(batch.names, severity.T, strict=True))
    assert columns["c"].abs().sum() == 0
    for name in "tse":
        there = batch.present[:, batch.names.index(name)]
        assert columns[name][~there].abs().sum() == 0
        drawn = columns[name][there]
        assert drawn.min() >= 0.25
        assert drawn.max() <= 4.0
        assert drawn.log().mean().item() == pytest.approx(0.0, abs=0.15)
    before, after = batch.values["e"], noisy.values["e"]
    change = after.data["value"] - before.data["value"]
    scale = (change / columns["e"][columns["e"] > 0][:, None]).flatten()
    assert scale.std().item() == pytest.approx(1.0, abs=0.05)
    assert scale.mean().item() == pytest.approx(0.0, abs=0.05)
    assert torch.equal(noisy.values["s"].data["time"], batch.values["s"].data["time"])
    gaps = batch.values["t"].data["numeric"].isnan()
    assert torch.equal(noisy.values["t"].data["numeric"].isnan(), gaps)
    assert gaps.any()
    assert noisy.values["c"] is batch.values["c"]
    changed = changed_only(noisy, batch)
    assert len(changed.values["c"]) == 0
    assert (changed.values["c"].index == -1).all()
    assert all(changed.values[name] is noisy.values[name] for name in "tse")


def test_nothing_present_is_nothing_changed() -> None:
    data = made_up(n=10)
    empty = data.lose(np.ones(data.shape, dtype=bool))
    batch = to_batch(Scaler.fit(data).apply(empty))
    assert corrupted(batch)[1].abs().sum() == 0
