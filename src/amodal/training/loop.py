"""The one training loop: stages, validation, early stopping, exact resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from amodal.batch import Batch
from amodal.errors import SettingError
from amodal.methods.base import NeuralMethod
from amodal.stored import write_atomic
from amodal.training.feed import feed, part_size
from amodal.training.run import Epoch, History, Run, predict_batches, seed_of
from amodal.training.settings import TrainSettings

__all__ = ["device_of", "fit"]

_CHECKPOINT_SECONDS = 20.0


def fit(
    method: NeuralMethod,
    train: Batch,
    valid: Batch | None,
    settings: TrainSettings,
    *,
    seed: int = 0,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Callable[[Epoch, int], None] | None = None,
) -> History:
    """Trains `method` in place on the rows of `train` and leaves it in eval mode.

    Stages, a warm-up and a cosine for the learning rate, random losses, a running average of the
    weights, the best epoch by the validation metric, early stopping. With `folder`, the state is
    stored there from time to time and a log line is written per epoch (``log.jsonl``): the same call
    after a kill goes on where it stopped and ends with the same weights.

    Args:
        method: as built by its constructor.
        train: all training rows, on the CPU.
        valid: validation rows; None trains for all epochs.
        settings: see `TrainSettings`.
        seed: of everything random.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        folder: where checkpoint and log go.
        progress: called after each epoch with the `Epoch` and the number of epochs.

    Raises:
        DataError: the loss is not finite.
        CheckpointError: `folder` holds the checkpoint of another run.
    """
    settings = settings.for_rows(len(train))
    key = f"{seed_of(settings, seed, method.names, len(train)):x}"
    with torch.random.fork_rng(devices=_cuda_devices(device)):
        train = method.prepare_values(train)  # first, so that `prepare` need not do it again
        method.prepare(train)
        train = method.prepare_values(train)  # what can be read only after it
        run = Run(
            method, _to(train, device), _to(valid, device), settings, seed=seed, device=device
        )
        if folder is not None:
            run.resume(folder / "checkpoint", key)
        _epochs(run, key, folder, progress)
        if run.best_state:
            method.load_state_dict(run.best_state)
        method.eval()
        rows = torch.arange(len(run.train), device=run.fabric.device)
        method.finalise(feed(method, run.train, rows.split(part_size(method, run.train, 1024))))
        if run.valid is not None:
            kept_out = torch.arange(len(run.valid), device=run.fabric.device)
            method.examine(
                feed(method, run.valid, kept_out.split(part_size(method, run.valid, 1024)))
            )
            method.calibrate_conflict(predict_batches(method, run.valid))
    method.requires_grad_(True)
    return run.history


def _epochs(
    run: Run,
    key: str,
    folder: Path | None,
    progress: Callable[[Epoch, int], None] | None,
) -> None:
    saved = time.monotonic()
    start = len(run.history.epochs)
    _write_log(folder, run.history)
    for epoch in range(start, run.settings.epochs):
        if run.history.epochs and run.exhausted:
            break
        result = run.judge(epoch, run.train_epoch(epoch))
        run.history.epochs.append(result)
        _write_log(folder, run.history, last=True)
        if progress is not None:
            progress(result, run.settings.epochs)
        if folder is not None and time.monotonic() - saved > _CHECKPOINT_SECONDS:
            run.save(folder / "checkpoint", key)
            saved = time.monotonic()
    if folder is not None and len(run.history.epochs) > start:
        run.save(folder / "checkpoint", key)


def _write_log(folder: Path | None, history: History, *, last: bool = False) -> None:
    """Rewrites the log up to the epoch resumed from, then appends a line per epoch."""
    if folder is None:
        return
    lines = [_line(e) for e in history.epochs[-1 if last else 0 :]]
    if last:
        with open(folder / "log.jsonl", "a") as file:
            file.writelines(lines)
    else:
        write_atomic(folder / "log.jsonl", "".join(lines).encode())


def _line(epoch: Epoch) -> str:
    """One line of JSON, which has no NaN: without validation rows `valid` is null."""
    facts = asdict(epoch)
    if math.isnan(epoch.valid):
        facts["valid"] = None
    return json.dumps(facts) + "\n"


def _to(batch: Batch | None, device: str) -> Batch | None:
    return None if batch is None else batch.to(device_of(device))


def device_of(name: str) -> torch.device:
    """The device that ``cpu``, ``cuda``, ``mps`` or ``auto`` stands for on this machine.

    Raises:
        SettingError: there is no such device here.

    >>> device_of("cpu")
    device(type='cpu')
    """
    try:
        return Fabric(accelerator=name, devices=1).device
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise SettingError(
            f"device must be one that this machine has; {name!r} is not ({error}); choose cpu"
        ) from None


def _cuda_devices(device: str) -> list[int]:
    return [torch.cuda.current_device()] if device != "cpu" and torch.cuda.is_available() else []
