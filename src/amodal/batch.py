"""The nouns on a device: `Batch`, `Encoded`, `Prediction`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amodal.errors import SettingError
from amodal.types import LOST, NOT_MEASURED, PRESENT, Task
from amodal.values import Values

__all__ = ["Batch", "Encoded", "Prediction", "take_values"]


def take_values(values: Values, rows: Int[Tensor, " p"]) -> Values:
    """The values of `rows` (tensors), in order, without those that no row has.

    >>> v = Values({"value": torch.tensor([[1.0], [2.0]])}, None, torch.tensor([1, -1, 1]))
    >>> take_values(v, torch.tensor([0, 2])).index.tolist()
    [0, 0]
    """
    picked = values.index[rows]
    has = picked >= 0
    used, inverse = torch.unique(picked[has], return_inverse=True)
    index = torch.full_like(picked, -1)
    index[has] = inverse
    whole = {k: x[used] for k, x in values.whole.items()}
    if values.offsets is None:
        data = {k: _picked(x, used) for k, x in values.data.items()}
        return Values(data, None, index, whole)
    lengths = values.lengths[used]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    shift = values.offsets[:-1][used] - offsets[:-1]
    total = int(offsets[-1])
    steps = torch.arange(total, device=lengths.device)
    steps = steps + torch.repeat_interleave(shift, lengths, output_size=total)
    return Values({k: x[steps] for k, x in values.data.items()}, offsets, index, whole)


def _picked(x: Tensor | np.ndarray, used: Int[Tensor, " p"]) -> Tensor | np.ndarray:
    """Texts and paths are no numbers: they stay in an array of numpy's."""
    return x[used] if isinstance(x, Tensor) else x[used.cpu().numpy()]


@dataclass(frozen=True, eq=False)
class Batch:
    """A mini-batch of n rows and m modalities on one device.

    Args:
        names: names of the m modalities, in the order of the columns of `absence`.
        values: modality name -> `Values` of tensors: present rows only. The sources of texts,
            images and audio are an array of numpy's until an encoder has read them.
        absence: ``Int8[n, m]`` of `PRESENT`, `NOT_MEASURED`, `LOST`.
        target: ``Float[n]`` (``multilabel``: ``[n, L]``; ``sequence``: ``[n, r, t]`` tokens of up
            to r references), NaN where unlabelled; None without.
        weight: ``Float[n]`` sample weights; None for equal ones.

    >>> values = Values({"value": torch.tensor([[5.0], [6.0]])}, None, torch.tensor([0, 1]))
    >>> batch = Batch(("a",), {"a": values}, torch.zeros(2, 1, dtype=torch.int8))
    >>> left = batch.drop(torch.tensor([[True], [False]]))
    >>> left.absence.tolist(), left.values["a"].data["value"].tolist()  # the value is gone
    ([[2], [0]], [[6.0]])
    """

    names: tuple[str, ...]
    values: Mapping[str, Values]
    absence: Int[Tensor, "n m"]
    target: Float[Tensor, "n *l"] | None = None
    weight: Float[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return self.absence.shape[0]

    @property
    def present(self) -> Bool[Tensor, "n m"]:
        """True where a modality is there."""
        return self.absence == PRESENT

    @property
    def not_measured(self) -> Bool[Tensor, "n m"]:
        """True where nobody measured a modality."""
        return self.absence == NOT_MEASURED

    @property
    def lost(self) -> Bool[Tensor, "n m"]:
        """True where a modality did not arrive."""
        return self.absence == LOST

    @property
    def labelled(self) -> Bool[Tensor, " n"]:
        """True where the target is known."""
        if self.target is None:
            return torch.zeros(len(self), dtype=torch.bool, device=self.absence.device)
        known = ~self.target.isnan()
        return known if known.ndim == 1 else known.flatten(1).all(dim=1)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """The same on another device, floats in another type."""

        def move(x: Tensor | np.ndarray | None) -> Tensor | np.ndarray | None:
            if not isinstance(x, Tensor):
                return x
            return x.to(device, dtype if x.is_floating_point() else None)

        values = {
            name: Values(
                {k: move(x) for k, x in v.data.items()},
                move(v.offsets),
                move(v.index),
                {k: move(x) for k, x in v.whole.items()},
            )
            for name, v in self.values.items()
        }
        return Batch(self.names, values, move(self.absence), move(self.target), move(self.weight))

    def with_values(self, values: Mapping[str, Values]) -> Batch:
        """The same rows with other `values`."""
        return replace(self, values=values)

    def rows(self, rows: Int[Tensor, " p"]) -> Batch:
        """The rows at positions `rows`."""
        pick = {
            k: None if (x := getattr(self, k)) is None else x[rows] for k in ("target", "weight")
        }
        values = {name: take_values(v, rows) for name, v in self.values.items()}
        return replace(self, values=values, absence=self.absence[rows], **pick)

    def drop(self, remove: Bool[Tensor, "n m"]) -> Batch:
        """A second view: the pairs of `remove` become `LOST` and their values go."""
        absence = torch.where(remove, torch.full_like(self.absence, LOST), self.absence)
        every = torch.arange(len(self), device=absence.device)
        values = {}
        for k, name in enumerate(self.names):
            v = self.values[name]
            hidden = torch.where(remove[:, k], torch.full_like(v.index, -1), v.index)
            values[name] = take_values(Values(v.data, v.offsets, hidden, v.whole), every)
        return replace(self, values=values, absence=absence)


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder returns for the v values of a modality.

    Args:
        pooled: ``Float[v, d]`` one vector per value.
        tokens: ``Float[v, t, d]`` one vector per token, where the encoder has them.
        token_present: ``Bool[v, t]`` false at padding.
    """

    pooled: Float[Tensor, "v d"]
    tokens: Float[Tensor, "v t d"] | None = None
    token_present: Bool[Tensor, "v t"] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A distribution over the target, how good each modality is, and how far it was relied on.

    Args:
        task: what is predicted.
        params: ``Float[n, p]`` parameters of `Task.dist`; of a sequence what its decoder reads.
        present: ``Bool[n, m]`` which modalities the rows had.
        reliability: ``Float[n, m]`` in [0, 1]: the quality of each modality of this row, not
            normalised over modalities; 0 where absent; None where a method has none.
        reliance: ``Float[n, m]`` in [0, 1]: the share of the prediction that rests on each modality,
            summing to at most 1 over modalities; 0 where absent; None where a method has none.
        variance: ``Float[n, d]`` of the fused representation.
        conflict: ``Float[n]`` p-value of "the present modalities agree"; NaN below two of them.
        text_head: of a sequence: what writes texts, a `amodal.methods.sequence.TextHead`.

    Reliability is not correctness, not causation, and no ground to skip a measurement.

    >>> p = Prediction(Task("binary"), torch.zeros(1, 1), torch.ones(1, 2, dtype=torch.bool))
    >>> p.mean.item(), p.outputs()["probability"].tolist(), p.reliability
    (0.5, [0.5], None)
    """

    task: Task
    params: Float[Tensor, "n p"]
    present: Bool[Tensor, "n m"]
    reliability: Float[Tensor, "n m"] | None = None
    reliance: Float[Tensor, "n m"] | None = None
    variance: Float[Tensor, "n d"] | None = None
    conflict: Float[Tensor, " n"] | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    text_head: Any = None

    def __len__(self) -> int:
        return self.params.shape[0]

    @property
    def dist(self) -> torch.distributions.Distribution:
        """The predicted distribution, batch shape ``[n]``.

        Of a sequence a `amodal.nn.text_distribution.TextDistribution` over texts: ``log_prob`` of
        tokens is the sum of their log probabilities.
        """
        if self.task.kind == "sequence":
            return self.text_head.distribution(self.params)
        return self.task.dist(self.params)

    @property
    def mean(self) -> Tensor:
        """Probability ``[n]`` (binary), probabilities ``[n, C]``, or mean ``[n]`` (regression)."""
        if self.task.kind == "sequence":
            raise SettingError("texts have no mean; this task is a sequence; use prediction.texts")
        if self.task.kind == "multiclass":
            return self.params.softmax(-1)
        if self.task.kind == "multilabel":
            return self.params.sigmoid()
        return self.dist.mean

    @property
    def std(self) -> Tensor:
        """Standard deviation ``[n]`` of a predicted real value (regression)."""
        return self.dist.stddev

    @cached_property
    def written(self) -> Any:
        """Of a sequence: tokens, log probability and mean entropy of the text that is written.

        Searched for when it is first asked for; see `amodal.nn.text_distribution.Written`.
        """
        if self.text_head is None:
            raise SettingError(
                f"texts are predicted for sequence tasks; this one is {self.task.kind}; use mean"
            )
        return self.text_head.write(self.params)

    @property
    def texts(self) -> list[str]:
        """Of a sequence: the text that is written for each row."""
        return self.text_head.texts(self.written.ids) if self.text_head else self.written

    def uncertainty(self) -> Float[Tensor, " n"]:
        """Entropy of the predicted distribution, in nats.

        That of a distribution over texts is a sum over all texts, which nobody can work out: of a
        sequence it is the mean entropy of a token along the text that is written.

        >>> p = Prediction(Task("binary"), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
        >>> round(float(p.uncertainty()), 4)
        0.6931
        """
        if self.task.kind == "sequence":
            return self.written.entropy
        if self.task.kind == "multilabel":
            return self.dist.base_dist.entropy().sum(-1)
        return self.dist.entropy()

    def outputs(self, target: Tensor | None = None) -> Mapping[str, np.ndarray]:
        """The arrays that metrics read: ``probability``, or ``mean`` and ``std`` (numpy, float64).

        Of a sequence ``text`` and what `amodal.methods.sequence.TextOutputs` lists; metrics that
        ask how likely references are need their tokens, `target`.
        """
        if self.task.kind == "sequence":
            return self.text_head.outputs(self, target)
        if self.task.kind == "regression":
            found = {"mean": self.mean, "std": self.std}
        else:
            found = {"probability": self.mean}
        return {k: x.detach().cpu().double().numpy() for k, x in found.items()}

    def answers(self, target: Tensor) -> np.ndarray:
        """A `Batch.target` as metrics read it: numbers, or the references of a sequence."""
        if self.task.kind == "sequence":
            return self.text_head.answers(target)
        return target.cpu().double().numpy()

    def replace(self, **changes) -> Prediction:
        """The same prediction with some fields changed."""
        return replace(self, **changes)

    def cpu(self) -> Prediction:
        """The same, detached, on the CPU, in float32."""
        return self._map(lambda x: x.detach().cpu().float() if x.is_floating_point() else x.cpu())

    def rows(self, rows: Tensor) -> Prediction:
        """The prediction for the rows at `rows`."""
        return self._map(lambda x: x[rows])

    @classmethod
    def concat(cls, parts: list[Prediction]) -> Prediction:
        """Predictions of consecutive rows, put together."""
        first = parts[0]
        if first.text_head is not None:  # memories of as many tokens as the batch needed
            joined_params = first.text_head.join([p.params for p in parts])
            rows = joined_params.split([len(p) for p in parts])
            parts = [p.replace(params=x) for p, x in zip(parts, rows, strict=True)]
        joined = {
            f.name: torch.cat([getattr(p, f.name) for p in parts])
            for f in fields(cls)
            if isinstance(getattr(first, f.name), Tensor)
        }
        extra = {k: torch.cat([p.extra[k] for p in parts]) for k in first.extra}
        return replace(first, extra=extra, **joined)

    def _map(self, change) -> Prediction:
        changed = {
            f.name: change(x)
            for f in fields(self)
            if isinstance(x := getattr(self, f.name), Tensor)
        }
        return replace(self, extra={k: change(x) for k, x in self.extra.items()}, **changed)
