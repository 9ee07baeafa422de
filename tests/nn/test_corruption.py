"""Noise on inputs: how much, where, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal.batch import Batch
from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.nn.corruption import changed_only, corrupted
from amodal.testing import made_up
from amodal.values import Values


def noisy(values: Values, **settings: float) -> tuple[Values, torch.Tensor]:
    """The values of one modality and the severity of each row."""
    absence = torch.where(values.index >= 0, 0, 1).to(torch.int8)[:, None]
    batch = Batch(("x",), {"x": values}, absence)
    found, severity = corrupted(batch, **settings)
    return found.values["x"], severity[:, 0]


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


def test_pixels_get_noise_of_their_own_scale_and_stay_pixels() -> None:
    torch.manual_seed(0)
    index = torch.tensor([0, -1, 1, 1])
    spread = torch.tensor([4.0, 8.0, 16.0]).view(3, 1, 1)
    pixels = (128 + spread * torch.randn(2, 3, 64, 64)).round().clamp(0, 255).to(torch.uint8)
    found, severity = noisy(Values({"pixels": pixels}, None, index))
    assert severity[1] == 0
    assert severity[2] == severity[3]
    assert found.data["pixels"].dtype == torch.uint8
    change = found.data["pixels"].float() - pixels.float()
    kept = (found.data["pixels"] > 0) & (found.data["pixels"] < 255)
    expected = severity[[0, 2]][:, None] * spread.flatten()
    for v in range(2):
        for c in range(2):  # the widest channel is clipped at 0 and 255
            assert kept[v, c].all()
            assert change[v, c].std().item() == pytest.approx(expected[v, c].item(), rel=0.05)
    same = noisy(Values({"pixels": pixels}, None, index), share=0.0)[0]
    assert torch.equal(same.data["pixels"], pixels)
    gone, _ = noisy(Values({"pixels": pixels // 2 + 64}, None, index), replaced=1.0)
    both = torch.stack([gone.data["pixels"][0, 0].flatten(), pixels[0, 0].flatten()]).float()
    assert abs(torch.corrcoef(both)[0, 1]) < 0.05


def test_frames_of_a_recording_share_a_part_of_their_noise() -> None:
    torch.manual_seed(0)
    lengths = torch.arange(0, 200 * 50 + 1, 50)
    values = Values({"frame": torch.zeros(10_000, 64)}, lengths, torch.arange(200))
    found, severity = noisy(values)
    frames = found.data["frame"].view(200, 50, 64) / severity[:, None, None]
    steady, own = frames.mean(1), frames.std(1)
    assert steady.std().item() == pytest.approx(1.0, abs=0.15)
    near = torch.corrcoef(steady.T).diagonal(1)
    assert near.min() > 0.9, "the spectrum is smooth"
    assert own.mean().item() == pytest.approx(0.5, abs=0.05)


def test_tokens_become_others_of_the_batch_by_severity() -> None:
    torch.manual_seed(0)
    token = torch.arange(20_000)
    values = Values({"token": token}, torch.tensor([0, 5_000, 20_000]), torch.tensor([1, 0, -1]))
    found, severity = noisy(values)
    changed = (found.data["token"] != token).float()
    for part, s in ((slice(0, 5_000), severity[1]), (slice(5_000, None), severity[0])):
        assert changed[part].mean().item() == pytest.approx(1 - float((-s).exp()), abs=0.02)
    assert severity[2] == 0
    none = Values({"token": token[:0]}, torch.tensor([0, 0]), torch.tensor([0]))
    assert len(noisy(none)[0].data["token"]) == 0
    gone, _ = noisy(values, replaced=1.0)
    assert (gone.data["token"] == token).float().mean() < 0.01


def test_nothing_present_is_nothing_changed() -> None:
    data = made_up(n=10)
    empty = data.lose(np.ones(data.shape, dtype=bool))
    batch = to_batch(Scaler.fit(data).apply(empty))
    assert corrupted(batch)[1].abs().sum() == 0
