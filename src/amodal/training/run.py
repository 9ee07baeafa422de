"""`Run`: what one training run consists of, an epoch of it, its judgement, and its resumption."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from amodal.batch import Batch, Prediction
from amodal.errors import CheckpointError, DataError
from amodal.methods.base import NeuralMethod
from amodal.metrics import select
from amodal.training import checkpoint as ck
from amodal.training.average import RunningAverage
from amodal.training.feed import feed, part_size
from amodal.training.loss_draws import lose_at_random
from amodal.training.order import draw_order, shared_file
from amodal.training.settings import PRECISIONS, TrainSettings

__all__ = ["Epoch", "History", "Run", "predict_batches", "seed_of"]

_STAGE_ONE = 0.2


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows gave: loss terms by name, and the validation metric.

    `best`: as good as the best so far, so that its weights were kept. `final`: of the last fit, on
    training and validation rows.
    """

    epoch: int
    stage: int
    terms: dict[str, float]
    monitor: str
    valid: float
    best: bool
    lr: float
    final: bool = False


@dataclass
class History:
    """The epochs of a run, in order, and which of them the weights come from."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1


def seed_of(*parts: Any) -> int:
    """A 63-bit seed from anything that prints: the same on every machine.

    >>> seed_of(0, "epoch", 1) == seed_of(0, "epoch", 1) != seed_of(0, "epoch", 2)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def predict_batches(
    method: NeuralMethod, batch: Batch, *, size: int = 1024, fabric: Fabric | None = None
) -> Prediction:
    """The prediction for all rows of `batch`, `size` rows at a time, in eval mode."""
    was_training = method.training
    method.eval()
    try:
        with torch.inference_mode():
            batch = method.prepare_values(batch)
            rows = torch.arange(len(batch), device=batch.absence.device)
            splits = rows.split(part_size(method, batch, size))
            parts = [method(part) for part in feed(method, batch, splits)]
            return Prediction.concat(parts)
    finally:
        method.train(was_training)


class Run:
    """The moving parts of one run; `amodal.training.loop.fit` drives it."""

    def __init__(
        self,
        method: NeuralMethod,
        train: Batch,
        valid: Batch | None,
        settings: TrainSettings,
        *,
        seed: int,
        device: str,
    ) -> None:
        settings = settings.for_rows(len(train))
        self.settings, self.seed = settings, seed
        self.fabric = Fabric(
            accelerator=device, devices=1, precision=PRECISIONS[settings.precision]
        )
        self.method = method.to(self.fabric.device)
        self.train = train
        self.valid = None if valid is None else method.prepare_values(valid)
        name = settings.monitor or method.task.monitor
        self.monitor = select(method.task.kind, [name])[name]
        optimizer = torch.optim.AdamW(
            method.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.module, self.optimizer = self.fabric.setup(method, optimizer)
        self.module.mark_forward_method("loss")
        self.average = RunningAverage(self.method, settings.ema) if settings.ema else None
        self.steps = math.ceil(len(train) / settings.batch_size)
        self.shared = shared_file(method, train) if settings.together else None
        self.best_state: dict[str, Tensor] = {}
        self.best_value, self.best_rows = math.nan, torch.zeros(0)
        self.history = History()

    @property
    def evaluated(self) -> NeuralMethod:
        """The method with the weights that are judged: the running average where there is one."""
        return self.average.module if self.average is not None else self.method

    @property
    def first_of_last_stage(self) -> int:
        """The epoch from which early stopping counts."""
        return int(_STAGE_ONE * self.settings.epochs) if self.method.stages > 1 else 0

    def stage(self, epoch: int) -> int:
        return 2 if self.method.stages > 1 and epoch >= self.first_of_last_stage else 1

    def rate(self, step: int) -> float:
        """The learning rate: linear warm-up over 5% of the steps, then a cosine to 1%."""
        total = self.settings.epochs * self.steps
        warm = max(1, total // 20)
        if step < warm:
            return self.settings.lr * (step + 1) / warm
        done = (step - warm) / max(1, total - warm)
        return self.settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass. All randomness comes from (seed, epoch), so that a resumed run is the same."""
        self.method.train()
        self.method.begin_stage(self.stage(epoch))
        self.method.begin_epoch(epoch / self.settings.epochs)
        generator = torch.Generator().manual_seed(seed_of(self.seed, "rows", epoch))
        order = draw_order(len(self.train), self.settings.batch_size, self.shared, generator)
        sums: dict[str, float] = {}
        torch.manual_seed(seed_of(self.seed, "epoch", epoch))
        parts = order.split(self.settings.batch_size)
        for number, batch in enumerate(feed(self.method, self.train, parts)):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(epoch * self.steps + number)
            batch = lose_at_random(batch, self.settings.lose, generator)
            terms = self.module.loss(batch)
            self._step(sum(terms.values()), epoch)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(batch)
        return {name: value / len(self.train) for name, value in sums.items()}

    def _step(self, loss: Tensor, epoch: int) -> None:
        if not bool(torch.isfinite(loss.detach())):
            raise DataError(
                f"a loss must be finite; it was {float(loss.detach())} in epoch {epoch}; "
                "lower lr or look for extreme values in the data"
            )
        if not loss.requires_grad:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.settings.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()

    def validate(self) -> tuple[float, Tensor]:
        """The watched metric on the validation rows, NaN where there are none; and each row's loss."""
        if self.valid is None or not bool(self.valid.labelled.any()):
            return math.nan, torch.zeros(0)
        known = self.valid.rows(self.valid.labelled.nonzero()[:, 0])
        found = predict_batches(self.evaluated, known)
        outputs = found.outputs(known.target)
        value = float(self.monitor(found.answers(known.target), outputs))
        if found.task.kind == "sequence" and self.monitor.name == found.task.monitor:
            tokens = outputs["reference_tokens"]
            return value, torch.as_tensor(-outputs["reference_log_prob"] / tokens.mean())
        if known.target.ndim > 1 or self.monitor.name != self.method.task.monitor:
            return value, torch.zeros(0)
        return value, -found.task.dist(found.params).log_prob(known.target).cpu()

    def judge(self, epoch: int, terms: dict[str, float]) -> Epoch:
        """Keeps the weights of the last epoch, in the last stage, that is as good as the best.

        As good as: the mean difference of the rows' losses lies within two standard errors. Of epochs
        that validation rows cannot tell apart, the last is the one whose learning rate has come
        down; a few hundred rows choose too early as a rule. Where another metric than the loss is
        watched, the best epoch is kept. In the manner of the one-standard-error rule of Breiman et
        al., 1984.
        """
        value, rows = self.validate()
        counted = epoch >= self.first_of_last_stage
        kept = counted and (math.isnan(value) or self._good(value, rows))
        if kept:
            self.best_state = {
                k: v.detach().clone() for k, v in self.evaluated.state_dict().items()
            }
            self.history.best_epoch = epoch
        lr = self.optimizer.param_groups[0]["lr"]
        return Epoch(epoch, self.stage(epoch), terms, self.monitor.name, value, kept, lr)

    def _good(self, value: float, rows: Tensor) -> bool:
        sign = 1.0 if self.monitor.higher_is_better else -1.0
        if math.isnan(self.best_value) or sign * value > sign * self.best_value:
            self.best_value, self.best_rows = value, rows
            return True
        if len(rows) < 2:
            return False
        worse = rows - self.best_rows
        return bool(worse.mean() <= 2 * worse.std() / len(rows) ** 0.5)

    @property
    def exhausted(self) -> bool:
        """True when the metric has not improved for `patience` epochs."""
        if not self.settings.patience or self.history.best_epoch < 0:
            return False
        return self.history.epochs[-1].epoch - self.history.best_epoch >= self.settings.patience

    # -- resume -----------------------------------------------------------------------------------

    def save(self, folder: Path, key: str) -> None:
        optimizer, groups = ck.pack_optimizer(self.optimizer.state_dict())
        tensors = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in self.best_state.items()} | optimizer
        tensors |= {"rows/best": self.best_rows}
        if self.average is not None:
            tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        facts = {
            "key": key,
            "groups": groups,
            "history": [asdict(e) for e in self.history.epochs],
            "best_epoch": self.history.best_epoch,
            "best_value": None if math.isnan(self.best_value) else self.best_value,
        }
        ck.save_checkpoint(folder, self.history.epochs[-1].epoch, tensors, facts)

    def resume(self, folder: Path, key: str) -> None:
        found = ck.load_checkpoint(folder)
        if found is None:
            return
        tensors, facts = found
        if facts.get("key") != key:
            raise CheckpointError(
                "a run resumes with the settings and data that it began with; the checkpoint in "
                f"{folder.parent.name!r} belongs to others; choose another folder or delete it"
            )

        def part(name: str) -> dict[str, Tensor]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{name}/")}

        self.method.load_state_dict(part("method"))
        self.best_state = {k: v.to(self.fabric.device) for k, v in part("best").items()}
        self.optimizer.load_state_dict(ck.unpack_optimizer(tensors, facts["groups"]))
        if self.average is not None:
            self.average.load_state_dict(part("average"))
        self.history.epochs = [Epoch(**e) for e in facts["history"]]
        self.history.best_epoch = facts["best_epoch"]
        value = facts["best_value"]
        self.best_value = math.nan if value is None else value
        self.best_rows = tensors["rows/best"]
