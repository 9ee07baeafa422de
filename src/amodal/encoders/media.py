"""What the encoders of texts, images and audio share: sources, memory, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Encoded, take_values
from amodal.embed.backbone import Backbone, build_backbone, hidden_states, read_backbone
from amodal.encoders.base import Encoder, EncoderSettings
from amodal.encoders.stored import StoredText
from amodal.media.decode import decode_many
from amodal.nn.blocks import ResidualMLP, Transformer, drop
from amodal.types import Modality
from amodal.values import Values

__all__ = ["MediaEncoder"]

_SAMPLE = 512  # values that statistics are taken from
_PROBE = 8
_AT_ONCE = 128  # values that are encoded together where no gradient is wanted
_MIB = 2**20


class MediaEncoder(Encoder):
    """A transformer over the tokens of a text, an image or a recording.

    Built in: tokens of the kind, with a learned vector for each position, through `Transformer`;
    pooled is a `ResidualMLP` of [the summary token; the mean of the tokens], or their largest
    entries (`EncoderSettings.pool`). With a checkpoint:
    its last hidden states h under ``W h``, normalised; pooled is the same of [the first; the mean
    of the others]. A checkpoint is read in `fit` and stored whole with the model, which then needs
    it no more.

    Args:
        modality: of which nothing but the kind counts.
        settings: sizes and choices.
        positions: the most tokens that a value has, where the network is built in.
    """

    def __init__(self, modality: Modality, settings: EncoderSettings, positions: int) -> None:
        super().__init__(modality, settings)
        width, rate = settings.width, settings.dropout
        self.register_buffer("fitted", torch.tensor(False))
        self.record = StoredText()
        self.backbone: nn.Module | None = None
        self.course: Transformer | None = None
        if self.source:
            self.norm = nn.LayerNorm(width)
            self._seed = int(torch.randint(2**31, (1,)))  # of what `fit` will add
        else:
            self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
            self.position = nn.Parameter(torch.randn(positions, width) * 0.02)
            self.body = ResidualMLP(2 * width, width, depth=settings.blocks, dropout=rate)

    @property
    def source(self) -> str:
        """The checkpoint; empty for the network that is built in."""
        return getattr(self.settings, self.kind)

    # -- before training --------------------------------------------------------------------------

    def fit(self, values: Values) -> None:
        if self.source:
            self._adopt(read_backbone(self.source, self.kind))
        self.fit_values(values)
        self.fitted.fill_(True)

    def fit_values(self, values: Values) -> None:
        """Takes from training values what the kind needs; the checkpoint has been read."""

    def _adopt(self, found: Backbone) -> None:
        """Puts a checkpoint behind the encoder, on its device and in its type."""
        like = self.norm.weight
        width = found.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self.project = nn.Linear(width, self.width).to(like)
            self.gather = nn.Linear(2 * width, self.width).to(like)
        self.backbone = found.module.to(like).train(self.training)
        self.record.write(found.to_text())

    def sample(self, values: Values) -> Values:
        """At most 512 of the values, evenly spaced, decoded."""
        return self.load(_some(values, _SAMPLE))

    def prepare(self, values: Values) -> Values:
        """Decodes sources, each once, where the result fits into `EncoderSettings.media_memory`."""
        if "source" not in values.data or not bool(self.fitted):
            return values
        return values if self._too_large(values) else self.load(values)

    def load(self, values: Values) -> Values:
        """The values decoded, whatever memory that takes."""
        if "source" not in values.data:
            return values
        return self.filled(values, decode_many(self.decoder, values.data["source"].tolist()))

    def _too_large(self, values: Values) -> bool:
        if len(values) <= _PROBE:
            return False
        probe = self.load(_some(values, _PROBE))
        size = sum(x.numel() * x.element_size() for x in probe.data.values()) / _PROBE
        return size * len(values) > self.settings.media_memory * _MIB

    # -- encoding ---------------------------------------------------------------------------------

    def forward(self, values: Values) -> Encoded:
        if torch.is_grad_enabled() or len(values) <= _AT_ONCE:
            return self._encode(self.load(values))
        every = torch.arange(len(values), device=values.index.device)
        whole = Values(values.data, values.offsets, every)
        parts = [self._encode(self.load(take_values(whole, x))) for x in every.split(_AT_ONCE)]
        return _joined(parts)

    def _encode(self, values: Values) -> Encoded:
        if self.backbone is not None:
            return self._from_checkpoint(values)
        x, present = self.tokens(values)
        summary, tokens = self.course(x + self.position[: x.shape[1]], present)
        pooled = _pooled(tokens, present, self.settings.pool)
        return Encoded(self.body(torch.cat([summary, pooled], dim=1)), tokens, present)

    def _from_checkpoint(self, values: Values) -> Encoded:
        if len(values) == 0:  # networks of others do not all take an empty batch
            none = self.norm.weight.new_zeros(0, 1, self.width)
            told = none[:, 0] + 0 * self.gather.weight.sum()
            return Encoded(told, none, none[..., 0].bool())
        hidden, present = hidden_states(self.backbone, *self.inputs(values))
        rest, others = hidden[:, 1:], present[:, 1:]
        rest = torch.where(others[..., None], rest, rest.new_zeros(()))
        mean = rest.sum(1) / others.sum(1, keepdim=True).clamp_min(1).to(rest.dtype)
        both = torch.cat([hidden[:, 0], mean], dim=1).to(self.dtype)
        tokens = self.norm(self.project(rest.to(self.dtype)))
        pooled = drop(self.norm(self.gather(both)), self.settings.dropout, self.training, by=self)
        return Encoded(pooled, torch.where(others[..., None], tokens, 0), others)

    @abstractmethod
    def tokens(self, values: Values) -> tuple[Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        """The tokens of decoded values, and which of them are there."""

    @abstractmethod
    def inputs(self, values: Values) -> tuple[dict[str, Tensor], Bool[Tensor, "v t"] | None]:
        """What a checkpoint is called with, and which of its tokens are there; None for all."""

    # -- storing ----------------------------------------------------------------------------------

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        content = state.get(f"{prefix}record.content")
        if self.source and self.backbone is None and content is not None and len(content):
            self._adopt(build_backbone(bytes(content.cpu().numpy()).decode(), self.kind))
        super()._load_from_state_dict(state, prefix, *rest)


def _pooled(
    tokens: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"], pool: str
) -> Float[Tensor, "v d"]:
    """The mean or the largest entries of the tokens that are there; 0 without any."""
    if pool == "mean" or tokens.shape[1] == 0:
        return tokens.sum(1) / present.sum(1, keepdim=True).clamp_min(1).to(tokens.dtype)
    least = torch.finfo(tokens.dtype).min
    top = tokens.masked_fill(~present[..., None], least).amax(1)
    return torch.where(present.any(1, keepdim=True), top, top.new_zeros(()))


def _some(values: Values, most: int) -> Values:
    """At most `most` of the values, evenly spaced; the index is that of the values."""
    device, count = values.index.device, len(values)
    rows = torch.linspace(0, max(count - 1, 0), min(count, most)).long().unique().to(device)
    every = torch.arange(count, device=device)
    return take_values(Values(values.data, values.offsets, every), rows)


def _joined(parts: Sequence[Encoded]) -> Encoded:
    """One after the other; tokens padded to the longest."""
    pooled = torch.cat([p.pooled for p in parts])
    longest = max(p.tokens.shape[1] for p in parts)

    def padded(x: Tensor) -> Tensor:
        more = x.new_zeros(len(x), longest - x.shape[1], *x.shape[2:])
        return torch.cat([x, more], dim=1)

    present = torch.cat([padded(p.token_present) for p in parts])
    return Encoded(pooled, torch.cat([padded(p.tokens) for p in parts]), present)


def stacked(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """``[v, *shape]``, also for no arrays."""
    return np.stack(arrays) if arrays else np.zeros((0, *shape), dtype=np.uint8)
