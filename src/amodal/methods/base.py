"""What every neural method shares: encoding present rows, evidence of absence, base rates, loss."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Batch, Encoded, Prediction
from amodal.encoders import EncoderSettings, make_encoder
from amodal.errors import SettingError, unknown_name
from amodal.methods.base_rates import base_params, class_weights
from amodal.methods.parts import PatternEmbedding, spread
from amodal.methods.sequence import DecoderSettings, TextHead
from amodal.nn.gaussian import full
from amodal.space import Choice, Range, Space
from amodal.types import Modality, Task

__all__ = ["CLASS_WEIGHT", "NeuralMethod"]

CLASS_WEIGHT = ("none", "balanced")


class NeuralMethod(nn.Module):
    """Base of the methods that torch trains: override `predict_params`, and `loss` if need be.

    A subclass encodes with `encode`, ends with `finish`, and lists its settings as keyword
    arguments: the constructor is the configuration, and its defaults are the method's.

    Args:
        modalities: what the rows consist of, after scaling.
        task: what is predicted.
        encoder: settings shared by the encoders of all modalities.
        decoder: how texts are written, where the task is a sequence.
        pattern: learn from which modalities were not measured.
        class_weight: ``none``, or ``balanced``: classes weigh equally in the loss, and the logits
            are corrected for it afterwards, so that probabilities stay probabilities.
        mc_dropout: draws of dropout that a prediction averages over (`amodal.nn.thinning`); 0
            predicts with all units.

    Raises:
        SettingError: a kind of task that is not among `tasks`; draws below 0, or of no dropout.

    A row with nothing present predicts the base rate of the training rows, exactly.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    year: ClassVar[int] = 0
    stages: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel", "regression")
    """Kinds of task that it predicts."""
    reports: ClassVar[tuple[str, ...]] = ()
    """Which of ``reliability``, ``reliance`` and ``conflict`` its predictions have."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether rows without a label teach it anything (``unlabelled=true``)."""
    search_space: ClassVar[Space] = {
        "lr": Range(3e-4, 1e-2, log=True),
        "width": Choice((16, 32, 64)),
        "dropout": Range(0.05, 0.6),
        "weight_decay": Range(0.01, 5.0, log=True),
    }
    """Where `amodal tune` looks for settings."""

    def __init__(
        self,
        modalities: Sequence[Modality],
        task: Task,
        *,
        encoder: EncoderSettings | None = None,
        decoder: DecoderSettings | None = None,
        pattern: bool = True,
        class_weight: str = "none",
        mc_dropout: int = 0,
    ) -> None:
        super().__init__()
        if class_weight not in CLASS_WEIGHT:
            raise unknown_name("class_weight", class_weight, CLASS_WEIGHT)
        if task.kind not in self.tasks:
            raise SettingError(
                f"{self.name} is for {' or '.join(self.tasks)} tasks; this one is {task.kind}; "
                "choose another method"
            )
        encoder = encoder or EncoderSettings()
        if mc_dropout < 0 or (mc_dropout and not encoder.dropout):
            raise SettingError(
                "mc_dropout is a number of draws from 0, and needs dropout above 0; got "
                f"{mc_dropout} and dropout {encoder.dropout}; change one"
            )
        if mc_dropout and task.kind == "sequence":
            raise SettingError(
                "mc_dropout averages over distributions of one value; this task is a sequence; "
                "leave it out"
            )
        self.mc_dropout = mc_dropout
        self.names = tuple(m.name for m in modalities)
        self.task, self.width = task, encoder.width
        self.encoders = nn.ModuleList(make_encoder(m, encoder) for m in modalities)
        self.pattern = PatternEmbedding(len(self.names), self.width) if pattern else None
        self.class_weight = class_weight if task.kind in ("binary", "multiclass") else "none"
        self.register_buffer("base", torch.zeros(task.param_size))
        self.text_head: TextHead | None = None
        if task.kind == "sequence":
            self.text_head = TextHead(task, encoder, decoder or DecoderSettings())

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Names and defaults of the method's own settings, those of its bases included."""
        found: dict[str, Any] = {}
        for c in reversed(cls.__mro__):
            if "__init__" in vars(c) and issubclass(c, NeuralMethod):
                for p in inspect.signature(c).parameters.values():
                    if p.kind is p.KEYWORD_ONLY and p.name not in ("encoder", "decoder"):
                        found[p.name] = p.default
        return found

    # -- what training calls --------------------------------------------------------------------

    def prepare(self, train: Batch) -> None:
        """Takes base rates, rates of absence and quantiles from training rows, before any step."""
        if train.target is not None:
            self.base.copy_(base_params(self.task, train.target.cpu(), _cpu(train.weight)))
            if self.text_head is not None:
                self.text_head.begin(self.base)
        if self.pattern is not None:
            self.pattern.fit(train)
        for name, encoder in zip(self.names, self.encoders, strict=True):
            encoder.fit(train.values[name])

    def begin_stage(self, stage: int) -> None:
        """Called when stage 1, 2, ... begins; methods with several stages freeze parts here."""

    def begin_epoch(self, done: float) -> None:
        """Called before each epoch with the share of the epochs that is done, in [0, 1)."""

    def finalise(self, batches: Iterable[Batch]) -> None:
        """Called once after training with the training rows: statistics for prediction."""

    def calibrate_conflict(self, predictions: Prediction) -> None:
        """Called once with predictions of validation rows; methods that report conflict use it."""

    def examine(self, batches: Iterable[Batch]) -> None:
        """Called once after training with the validation rows: what only rows kept out can tell."""

    def inherit(self, earlier: NeuralMethod) -> None:
        """Called on a method refitted on all rows: takes what only rows kept out could tell."""

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        """Alarms and shares that tell whether the method works as it is meant to."""
        return {}

    @torch.no_grad()
    def prepare_values(self, batch: Batch) -> Batch:
        """The batch with everything worked out that depends on no parameter, for repeated use."""
        values = {
            name: encoder.prepare(batch.values[name])
            for name, encoder in zip(self.names, self.encoders, strict=True)
        }
        return batch.with_values({**batch.values, **values})

    # -- what methods build on ------------------------------------------------------------------

    def encode(self, batch: Batch) -> Float[Tensor, "n m d"]:
        """The pooled vector of every present pair; 0 where absent. Encoders see present rows only."""
        pooled = [
            spread(encoder.pool(batch.values[name]), batch.values[name])
            for name, encoder in zip(self.names, self.encoders, strict=True)
        ]
        return torch.stack(pooled, 1)

    def encode_tokens(self, batch: Batch) -> list[Encoded]:
        """Pooled vector and tokens of every value, modality by modality, in the order of `names`.

        The pooled vector leads the tokens, and is the only one where an encoder has none: so every
        value has one, and what the pooled vector holds beside them (summaries, numbers of events)
        is not lost. A value that many rows share is encoded once; what is absent, never.
        ``batch.values[name].index`` says which value a row has.
        """
        found = []
        for name, encoder in zip(self.names, self.encoders, strict=True):
            encoded = encoder(batch.values[name])
            tokens = encoded.pooled[:, None]
            there = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
            if encoded.tokens is not None:
                tokens = torch.cat([tokens, encoded.tokens.to(tokens.dtype)], 1)
                there = torch.cat([there, encoded.token_present], 1)
            found.append(Encoded(encoded.pooled, tokens, there))
        return found

    def evidence(self, batch: Batch) -> Float[Tensor, "n d"]:
        """The embedding of what was not measured; 0 where the setting is off."""
        if self.pattern is None:
            return self.base.new_zeros(len(batch), self.width)
        return self.pattern(batch)

    def with_evidence(self, x: Float[Tensor, "*v n d"], batch: Batch) -> Float[Tensor, "*v n e"]:
        """[x ; evidence of what was not measured], in the dtype of x: what heads read."""
        evidence = self.evidence(batch).to(x.dtype).expand(*x.shape[:-1], -1)
        return torch.cat([x, evidence], -1)

    def finish(
        self, params: Float[Tensor, "n p"], present: Bool[Tensor, "n m"], **fields: Any
    ) -> Prediction:
        """A `Prediction` from raw parameters: class weights undone, empty rows at the base rate.

        The parameters of a sequence are its memory (`TextHead.memory`), which is empty for such rows.
        """
        params = full(params)
        if self.text_head is not None:
            return Prediction(self.task, params, present, text_head=self.text_head, **fields)
        if self.class_weight == "balanced":
            shift = class_weights(self.task, self.base).log()
            shift = shift[1:] - shift[:1] if self.task.kind == "binary" else shift
            params = params - shift
        params = torch.where(present.any(1, keepdim=True), params, self.base)
        return Prediction(self.task, params, present, **fields)

    def task_loss(
        self,
        params: Float[Tensor, "*v n p"],
        batch: Batch,
        *,
        there: Bool[Tensor, "*v n"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean negative log likelihood of the labelled rows that have anything present.

        `params` are raw: with class weights, the loss weighs the rows and `finish` undoes it.
        With several views of the same rows, `there` says which rows have anything in which view.
        """
        if self.text_head is not None:
            return self.text_head.loss(params, batch)
        there = batch.present.any(1) if there is None else there
        use = batch.labelled & there
        if not bool(use.any()):
            return params.sum() * 0.0
        row = use.nonzero()[:, -1]
        target = batch.target[row]
        nll = -self.task.dist(full(params[use])).log_prob(target)
        weight = torch.ones_like(nll) if batch.weight is None else batch.weight[row]
        if self.class_weight == "balanced":
            weight = weight * class_weights(self.task, self.base)[target.long()]
        return (weight * nll).sum() / weight.sum()

    # -- what a method overrides ------------------------------------------------------------------

    def predict_params(self, batch: Batch) -> tuple[Float[Tensor, "n p"], dict[str, Any]]:
        """Raw parameters and the other fields of the `Prediction`."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Prediction:
        params, fields = self.predict_params(batch)
        return self.finish(params, batch.present, **fields)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss by name; their sum is what training minimises."""
        params, _ = self.predict_params(batch)
        return {"task": self.task_loss(params, batch)}


def _cpu(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.cpu()
