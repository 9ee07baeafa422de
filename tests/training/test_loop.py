"""The training loop: resume, stages, early stopping, random losses, precision."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.encoders import EncoderSettings
from amodal.errors import CheckpointError, DataError, SettingError, StorageError
from amodal.methods.aum import AUM
from amodal.stored import write_atomic
from amodal.testing import made_up
from amodal.training import TrainSettings, fit, loop
from amodal.training import checkpoint as ck
from amodal.training.loss_draws import lose_at_random
from amodal.training.run import Run

ENCODER = EncoderSettings(width=8, depth=1, heads=2, dropout=0.1)


def parts(**settings):
    data = made_up(n=80)
    scaler = Scaler.fit(data)
    batch = to_batch(scaler.apply(data))
    torch.manual_seed(0)
    method = AUM(scaler.modalities, scaler.task, encoder=ENCODER, **settings)
    return method, batch.rows(torch.arange(60)), batch.rows(torch.arange(60, 80))


class KilledError(Exception):
    pass


def test_a_killed_run_ends_with_the_same_weights(tmp_path, monkeypatch) -> None:
    settings = TrainSettings(epochs=6, batch_size=16)
    whole, train, valid = parts()
    fit(whole, train, valid, settings, seed=1, folder=_new(tmp_path / "whole"))
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)

    def die(epoch, epochs) -> None:
        if epoch.epoch == 3:
            raise KilledError

    killed, train, valid = parts()
    folder = _new(tmp_path / "killed")
    with pytest.raises(KilledError):
        fit(killed, train, valid, settings, seed=1, folder=folder, progress=die)
    assert (folder / "checkpoint" / "checkpoint.json").exists()
    again, train, valid = parts()
    fit(again, train, valid, settings, seed=1, folder=folder)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    logs = [(tmp_path / f / "log.jsonl").read_text() for f in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert [json.loads(x)["epoch"] for x in logs[0].splitlines()] == list(range(6))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    method, train, valid = parts()
    fit(method, train, valid, TrainSettings(epochs=2), folder=_new(tmp_path / "a"))
    with pytest.raises(CheckpointError, match="belongs to others"):
        fit(method, train, valid, TrainSettings(epochs=3), folder=tmp_path / "a")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": "other", "version": 1}'])
def test_a_foreign_checkpoint_is_one_sentence(tmp_path, content: bytes) -> None:
    write_atomic(tmp_path / "checkpoint.json", content)
    with pytest.raises(CheckpointError, match="delete the folder"):
        ck.load_checkpoint(tmp_path)


def test_a_truncated_checkpoint_is_one_sentence(tmp_path) -> None:
    ck.save_checkpoint(tmp_path, 0, {"a": torch.ones(100)}, {})
    path = tmp_path / "epoch-00000.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot be read"):
        ck.load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_stage_one_leaves_the_variance_heads_alone() -> None:
    seen = []
    method, train, valid = parts()

    def look(epoch, epochs) -> None:
        seen.append((epoch.stage, bool(method.variance_head.last.weight.abs().sum() > 0)))

    fit(method, train, valid, TrainSettings(epochs=10, patience=0), progress=look)
    assert seen[:2] == [(1, False), (1, False)]
    assert seen[-1] == (2, True)


@pytest.mark.parametrize("monitor", ["", "auroc"])
def test_early_stopping_counts_from_the_last_stage(monitor) -> None:
    method, train, valid = parts()
    settings = TrainSettings(epochs=60, patience=4, lr=0.02, monitor=monitor)
    history = fit(method, train, valid, settings)
    best = history.best_epoch
    assert best >= 12
    assert history.epochs[-1].epoch - best <= 4
    assert not any(e.best for e in history.epochs[:12])
    if monitor:  # no loss per row: the best epoch itself
        values = [e.valid for e in history.epochs if e.stage == 2]
        assert history.epochs[best].valid == max(values)
    assert method.training is False


def test_the_last_epoch_that_is_as_good_as_the_best_is_kept() -> None:
    """The rule by hand, from the losses of the validation rows after each epoch."""
    method, train, valid = parts()
    run = Run(method, train, valid, TrainSettings(epochs=9), seed=0, device="cpu")
    rng = np.random.default_rng(0)
    losses = [torch.tensor(rng.normal(m, 0.1, 50)) for m in (0.50, 0.45, 0.46, 0.60, 0.44, 0.47)]
    kept = [run._good(float(x.mean()), x) for x in losses]
    best, expected = None, []
    for x in losses:
        if best is None or x.mean() < best.mean():
            best = x
            expected.append(True)
            continue
        worse = (x - best).numpy()
        expected.append(bool(worse.mean() <= 2 * worse.std(ddof=1) / 50**0.5))
    assert kept == expected
    assert kept[3] is False
    assert len(set(kept)) == 2


def test_without_validation_rows_all_epochs_run() -> None:
    method, train, _ = parts()
    history = fit(method, train, None, TrainSettings(epochs=5, patience=1))
    assert len(history.epochs) == 5
    assert history.best_epoch == 4


def test_random_losses_have_the_mean_rate_and_leave_one() -> None:
    _, train, _ = parts()
    big = train.rows(torch.arange(60).repeat(50))
    generator = torch.Generator().manual_seed(0)
    lost = lose_at_random(big, 0.3, generator)
    had = big.present.any(1)
    assert lost.present[had].any(1).all()
    missing = big.absence == 1
    rate = float((lost.absence[missing] == 2).float().mean())
    assert rate == pytest.approx(0.3, abs=0.02)
    assert lose_at_random(big, 0.0, generator) is big


@pytest.mark.slow
def test_bf16_and_double_learn_about_the_same() -> None:
    found = {}
    for precision in ("32", "64", "bf16"):
        method, train, valid = parts()
        dtype = torch.float64 if precision == "64" else torch.float32
        train, valid = train.to("cpu", dtype), valid.to("cpu", dtype)
        settings = TrainSettings(epochs=8, precision=precision)
        found[precision] = fit(method.to(dtype), train, valid, settings).epochs[-1].valid
    assert found["64"] == pytest.approx(found["32"], abs=0.02)
    assert found["bf16"] == pytest.approx(found["32"], abs=0.1)


def test_a_loss_that_is_not_finite_is_one_sentence() -> None:
    method, train, valid = parts()
    with torch.no_grad():
        method.head.last.weight.fill_(float("inf"))
    with pytest.raises(DataError, match="a loss must be finite"):
        fit(method, train, valid, TrainSettings(epochs=1))


def test_the_global_random_state_is_left_alone() -> None:
    method, train, valid = parts()
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(method, train, valid, TrainSettings(epochs=1))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "bad", [{"epochs": -1}, {"lose": 0.9}, {"precision": "16"}, {"ema": 1.0}, {"lr": -1.0}]
)
def test_bad_settings(bad: dict) -> None:
    with pytest.raises(SettingError):
        TrainSettings(**bad)


def _new(path):
    path.mkdir()
    return path
