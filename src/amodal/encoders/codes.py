"""Encoder of event codes: what happened, of which type, when."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.batch import Encoded
from amodal.encoders.base import Encoder, EncoderSettings, observed
from amodal.encoders.code_names import NamedCodes
from amodal.nn.blocks import ResidualMLP, Transformer
from amodal.nn.ragged import order_steps, pad
from amodal.types import Modality
from amodal.values import Values

__all__ = ["CodesEncoder"]

_STD = 0.1  # small, so that a few steps of training outweigh the start
_TIME_HIDDEN = 16


class CodesEncoder(Encoder):
    """Attention over the last events, beside a bag of all of them.

    An event is ``E[code] + T[type] + f(time)``, with f a small MLP of t and
    ``sign(t) log(1 + 100 |t|)``; an unknown time has a vector of its own, and so have an unknown
    code and an unknown type (-1, stored at position 0 of the embeddings; 0 at the start, not
    frozen). No other position enters: events of unknown time are a set. Pooled is an MLP of [the
    summary token of a `Transformer`; the mean of ``E[code]`` over all events, also those too long
    ago to be attended to; log(1 + their number)].

    With `EncoderSettings.names`, E[code] is ``L[code] + N[code] W``: a learned vector, and the
    frozen one of the code's name under a learned map, so that a rare code is read as others that
    are called alike. N is made once, in `fit`, and stored with the weights.

    The last `EncoderSettings.max_events` events by time are attended to; those of unknown time
    count as the earliest, and ties keep their order.

    Args:
        modality: its vocabulary and types fix the embeddings.
        settings: sizes.

    >>> encoder = CodesEncoder(Modality("a", "codes", vocabulary=("x",)), EncoderSettings(width=8))
    >>> encoder.codes.num_embeddings, encoder.codes.padding_idx
    (2, None)
    """

    kind = "codes"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings)
        width, rate = settings.width, settings.dropout
        self.codes = nn.Embedding(len(modality.vocabulary) + 1, width)
        self.types = nn.Embedding(len(modality.types) + 1, width)
        with torch.no_grad():
            for table in (self.codes.weight, self.types.weight):
                table *= _STD
                table[0] = 0.0
        self.time = nn.Sequential(
            nn.Linear(2, _TIME_HIDDEN), nn.GELU(), nn.Linear(_TIME_HIDDEN, width)
        )
        self.timeless = nn.Parameter(torch.zeros(width))
        self.named = NamedCodes(width) if settings.names else None
        self.course = Transformer(width, settings.heads, depth=settings.depth, dropout=rate)
        self.body = ResidualMLP(2 * width + 1, width, depth=1, dropout=rate)

    def fit(self, values: Values) -> None:
        if self.named is not None:
            self.named.fit(self.modality.vocabulary, self.settings)

    def forward(self, values: Values) -> Encoded:
        events, bag = self._read(values)
        tokens, present = pad(events, values.offsets, self.settings.max_events)
        summary, tokens = self.course(tokens, present)
        return Encoded(self.body(torch.cat([summary, bag], dim=1)), tokens, present)

    def pool(self, values: Values) -> Float[Tensor, "v d"]:
        events, bag = self._read(values)
        summary = self.course.summarise(events, values.offsets, self.settings.max_events)
        return self.body(torch.cat([summary, bag], dim=1))

    def _read(self, values: Values) -> tuple[Float[Tensor, "s d"], Float[Tensor, "v d1"]]:
        """The events, and the bag of each value: the mean of its codes and how many there are."""
        code, kind, time = self._events(values)
        offsets = values.offsets
        codes = self.codes.weight
        if self.named is not None:  # names are mapped once for each code that occurs
            used, code = torch.unique(code, return_inverse=True)
            codes = F.embedding(used, codes) + self.named(used)
        events = F.embedding(code, codes) + self.types(kind) + self._times(time)
        number = (offsets[1:] - offsets[:-1]).to(self.real).log1p()[:, None].to(self.dtype)
        bag = F.embedding_bag(code, codes, offsets, mode="mean", include_last_offset=True)
        return events, torch.cat([bag, number], dim=1)

    def _events(self, values: Values) -> tuple[Tensor, Tensor, Tensor]:
        data = values.data
        code, kind = data["code"].long() + 1, data["type"].long() + 1
        time = data["time"].to(self.real)
        order = order_steps(time, values.offsets)
        if order is not None:
            code, kind, time = code[order], kind[order], time[order]
        return code, kind, time

    def _times(self, time: Float[Tensor, " s"]) -> Float[Tensor, "s d"]:
        time, known = observed(time)
        scale = torch.stack([time, time.sign() * (100 * time.abs()).log1p()], dim=1)
        return torch.where(known[:, None], self.time(scale.to(self.dtype)), self.timeless)
