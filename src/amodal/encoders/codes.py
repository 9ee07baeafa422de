"""Encoder of event codes: what happened, of which type, when."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.nn.ragged import order_steps, pad
from amodal.types import Modality
from amodal.values import Values

__all__ = ["CodesEncoder"]


class CodesEncoder(Encoder):
    """Attention over the last events, beside a bag of all of them."""

    kind = "codes"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        width, rate = settings.width, settings.dropout
        self.codes = nn.Embedding(len(modality.vocabulary) + 1, width)
        self.types = nn.Embedding(len(modality.types) + 1, width)
        self.time = nn.Sequential(nn.Linear(1, 16), nn.GELU(), nn.Linear(16, width))
        self.timeless = nn.Parameter(torch.zeros(width))
        self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        self.body = ResidualMLP(2 * width + 1, width, depth=1, dropout=rate)

    def forward(self, values: Values) -> Encoded:
        code, kind, time, offsets = self._events(values)
        events = self.codes(code) + self.types(kind) + self._times(time)
        tokens, present = pad(events, offsets, self.settings.max_events)
        pooled, tokens = self.course(tokens, present)
        bag = F.embedding_bag(code, self.codes.weight, offsets, mode="mean", include_last_offset=True)
        number = (offsets[1:] - offsets[:-1]).to(self.dtype).log1p()[:, None]
        return Encoded(self.body(torch.cat([pooled, bag, number], dim=1)), tokens, present)

    def _events(self, values: Values) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        data, offsets = values.data, values.offsets
        code, kind, time = data["code"] + 1, data["type"] + 1, data["time"].to(self.dtype)
        order = order_steps(time, offsets)
        if order is not None:
            code, kind, time = code[order], kind[order], time[order]
        return code, kind, time, offsets

    def _times(self, time: Tensor) -> Tensor:
        time, known = observed(time)
        return torch.where(known[:, None], self.time(time[:, None]), self.timeless)
