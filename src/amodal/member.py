"""`Member`: one fitted method with the scale of its training rows; a `Model` has one or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as pack_arrays
from safetensors.torch import load_file, save

from amodal.batch import Batch, Prediction
from amodal.data.dataset import Dataset
from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.ensemble import mix_predictions
from amodal.methods import get_method
from amodal.methods.base_rates import base_params
from amodal.nn.thinning import thinned
from amodal.settings import MethodSettings, method_of, resolve_settings, told
from amodal.stored import Described, write_atomic
from amodal.training import Epoch, History, device_of, fit, predict_batches
from amodal.training.checkpoint import clear_checkpoint

__all__ = ["Member", "fit_member", "load_member"]

_KIND = Described(
    "a stored model",
    "amodal-member",
    1,
    parts="member.json and the files that it names",
    remedy="train it again",
)


@dataclass(eq=False)
class Member:
    """A method, fitted, with what it needs to read other rows.

    Args:
        name: of the method in `METHODS`.
        settings: given by the user; defaults are the method's.
        scaler: of the training rows.
        method: the fitted `NeuralMethod` or classic method.
        base: ``[p]`` parameters of the training base rate, in units of the target.
        history: one dict per epoch (neural methods).
    """

    name: str
    settings: dict[str, Any]
    scaler: Scaler
    method: Any
    base: torch.Tensor
    history: list[dict] = field(default_factory=list)

    @property
    def neural(self) -> bool:
        """Whether torch trained it."""
        return isinstance(self.method, torch.nn.Module)

    def predict(self, data: Dataset, *, device: str = "cpu") -> Prediction:
        """The prediction for rows on the scale of the raw data, on the CPU."""
        scaled = self.scaler.apply(data)
        if self.neural:
            dtype = next(self.method.parameters()).dtype
            place = device_of(device)
            self.method.to(place)
            found = self._predict_batch(to_batch(scaled, place, dtype))
        else:
            found = self.method.predict(scaled).cpu()
        if found.task.kind == "regression":
            found = found.replace(params=self._unscaled(found.params))
        return found.replace(task=self.scaler.task)

    def _predict_batch(self, batch: Batch) -> Prediction:
        """All units, or the mixture of as many draws of dropout as the method is set to."""
        parts = []
        for draw in range(self.method.mc_dropout):
            with thinned(self.method, seed=draw):
                parts.append(predict_batches(self.method, batch).cpu())
        return mix_predictions(parts) if parts else predict_batches(self.method, batch).cpu()

    def _unscaled(self, params: torch.Tensor) -> torch.Tensor:
        mean, std = self.scaler.target_mean, self.scaler.target_std
        return torch.stack([params[:, 0] * std + mean, params[:, 1] + float(np.log(std))], 1)

    def save(self, folder: Path) -> None:
        """Writes weights, scale and settings; the JSON comes last and makes it complete."""
        facts, arrays = self.scaler.to_state()
        write_atomic(folder / "scaler.safetensors", pack_arrays(arrays))
        if self.neural:
            state = {k: v.cpu().contiguous() for k, v in self.method.state_dict().items()}
            write_atomic(folder / "weights.safetensors", save(state))
            extra: dict[str, Any] = {}
        else:
            from skops.io import dumps

            for name, estimator in self.method.estimators().items():
                write_atomic(folder / f"{name}.skops", dumps(estimator))
            extra = {"state": self.method.state(), "estimators": list(self.method.estimators())}
        body = {
            "method": self.name,
            "settings": told(self.settings),
            "scaler": facts,
            "base": self.base.tolist(),
            "history": self.history,
            **extra,
        }
        _KIND.write(folder / "member.json", body, indent=1)


def fit_member(
    name: str,
    settings: dict[str, Any],
    rows: dict[str, Dataset],
    *,
    seed: int,
    kept_out: bool = False,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Callable | None = None,
) -> Member:
    """Fits one method, choosing its epoch or regularisation on validation rows.

    Args:
        name: of the method.
        settings: given by the user.
        rows: "train", "valid", and "both" of them for the final fit; without the last a neural
            method keeps the weights that the validation rows chose.
        seed: of everything random.
        kept_out: validation rows are fitted on in no way, for they will calibrate: classic methods,
            whose last fit takes them in, choose their settings by folds of the training rows.
        device: where torch trains.
        folder: where checkpoints and the log go.
        progress: called after each epoch with the `Epoch` and the number of epochs.
    """
    kind = get_method(name)
    resolved = resolve_settings(kind, settings)
    if not hasattr(kind, "stages"):
        train, valid = (rows[k][rows[k].labelled] for k in ("train", "valid"))
        valid = valid[:0] if kept_out else valid
        scaler = Scaler.fit(rows["train"])
        method = kind(train.task, **resolved.method)
        method.fit(scaler.apply(train), scaler.apply(valid), seed=seed)
        return Member(name, settings, scaler, method, _base(train))
    count = len(rows["train"]) if resolved.train.unlabelled else int(rows["train"].labelled.sum())
    resolved = replace(resolved, train=resolved.train.for_rows(count))  # the final fit's, too
    work = _Training(kind, resolved, seed, device, progress)
    fitted, history = work.run(rows["train"], rows["valid"], folder)
    if resolved.train.refit and "both" in rows and len(rows["valid"]):
        again = None if folder is None else folder / "refit"
        last, _ = work.run(rows["both"], None, again, epochs=history.best_epoch + 1)
        last.method.inherit(fitted.method)
        fitted = last
    epochs = [asdict(e) for e in history.epochs]
    return Member(name, settings, fitted.scaler, fitted.method.cpu(), fitted.base, epochs)


def _base(train: Dataset) -> torch.Tensor:
    if train.task.kind == "sequence":
        return torch.zeros(0)  # what is written of nothing is learned
    known = train[train.labelled]
    weight = None if known.weight is None else torch.tensor(known.weight)
    return base_params(train.task, torch.tensor(known.target), weight)


@dataclass(frozen=True, eq=False)
class _Fitted:
    scaler: Scaler
    method: torch.nn.Module
    base: torch.Tensor


@dataclass(frozen=True)
class _Training:
    """What the fits of one neural member have in common."""

    kind: type
    resolved: MethodSettings
    seed: int
    device: str
    progress: Callable | None

    def run(
        self,
        train: Dataset,
        valid: Dataset | None,
        folder: Path | None,
        *,
        epochs: int | None = None,
    ) -> tuple[_Fitted, History]:
        """Trains from the start on `train`: to the epoch that `valid` chooses, or for `epochs`."""
        settings = self.resolved.train
        if epochs is not None:
            settings = replace(settings, epochs=epochs)
        read = {} if self.resolved.decoder is None else {"tokens": self.resolved.decoder.fit}
        scaler, base = Scaler.fit(train, **read), _base(train)
        rows = train if settings.unlabelled else train[train.labelled]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            method = method_of(self.kind, self.resolved, scaler.modalities, scaler.task)
        dtype = torch.float64 if settings.precision == "64" else torch.float32
        some = valid is not None and len(valid) > 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        history = fit(
            method.to(dtype),
            to_batch(scaler.apply(rows), dtype=dtype),
            to_batch(scaler.apply(valid), dtype=dtype) if some else None,
            settings,
            seed=self.seed,
            device=self.device,
            folder=folder,
            progress=self._told(final=epochs is not None),
        )
        return _Fitted(scaler, method, base), history

    def _told(self, *, final: bool) -> Callable[[Epoch, int], None] | None:
        """What is called after each epoch: an epoch of the final fit says that it is one."""
        if self.progress is None or not final:
            return self.progress
        return lambda epoch, epochs: self.progress(replace(epoch, final=True), epochs)


def finish_member(member: Member, folder: Path) -> None:
    """Stores a fitted member and removes the checkpoint that it no longer needs."""
    member.save(folder)
    clear_checkpoint(folder / "checkpoint")
    clear_checkpoint(folder / "refit" / "checkpoint")


def load_member(folder: Path) -> Member:
    """The member that `Member.save` wrote.

    Raises:
        CheckpointError: foreign, of another version, or truncated.
    """
    with _KIND.read(folder / "member.json") as body:
        scaler = Scaler.from_state(body["scaler"], load_arrays(folder / "scaler.safetensors"))
        method = _load_method(folder, body, scaler)
    base = torch.tensor(body["base"])
    return Member(body["method"], body["settings"], scaler, method, base, body["history"])


def _load_method(folder: Path, body: dict[str, Any], scaler: Scaler) -> Any:
    kind = get_method(body["method"])
    resolved = resolve_settings(kind, body["settings"])
    if not hasattr(kind, "stages"):
        from skops.io import load

        from amodal.methods.classic import TRUSTED

        method = kind(scaler.task, **resolved.method)
        found = {n: load(folder / f"{n}.skops", trusted=list(TRUSTED)) for n in body["estimators"]}
        method.restore(found, body["state"])
        return method
    with torch.random.fork_rng(devices=[]):
        method = method_of(kind, resolved, scaler.modalities, scaler.task)
    if resolved.train.precision == "64":
        method = method.double()
    method.load_state_dict(load_file(folder / "weights.safetensors"))
    return method.eval()
