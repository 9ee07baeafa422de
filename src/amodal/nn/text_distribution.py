"""`TextDistribution`: what a decoder says of texts, given what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from amodal.nn.text_decoder import TextDecoder, unpack_memory
from amodal.nn.text_search import beam_search
from amodal.vocabulary import PAD

__all__ = ["TextDistribution", "Written"]

_AT_ONCE = 2**24
"""Log probabilities that are worked out together."""
_SEARCHED = 512
"""Texts that are followed together."""


@dataclass(frozen=True, eq=False)
class Written:
    """The text that a search found for each row.

    Args:
        ids: ``Int[n, t]`` its tokens with `END`, then `PAD`.
        log_prob: ``Float[n]`` log P(text | row), in nats.
        entropy: ``Float[n]`` mean over its places of the entropy of the next token, in nats.
    """

    ids: Int[Tensor, "n t"]
    log_prob: Float[Tensor, " n"]
    entropy: Float[Tensor, " n"]


@contextmanager
def _all_units(module: nn.Module) -> Iterator[None]:
    """Without dropout, and as it was behind it."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


class TextDistribution(Distribution):
    """A distribution over texts for each of n rows: P(Y) = prod_t p(y_t | y_1 ... y_t-1, memory).

    Its entropy has no closed form: a sum over all texts. `Written.entropy` is the mean entropy of a
    token along the text that was found.

    Args:
        decoder: used in eval mode, on its device.
        params: ``Float[n, p]`` memories, see `amodal.nn.text_decoder.pack_memory`.
    """

    has_rsample = False

    def __init__(self, decoder: TextDecoder, params: Float[Tensor, "n p"]) -> None:
        self.decoder, self.params = decoder, params
        super().__init__(params.shape[:1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P of texts, in nats.

        Args:
            value: ``[n, t]`` tokens with their `END`, then `PAD`; or ``[n, r, t]``, r texts per row.

        Returns:
            ``Float[n]`` or ``Float[n, r]``; 0 for a text of nothing but `PAD`.
        """
        return self.measure(value)[0]

    @torch.no_grad()
    def measure(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """log P, and the mean entropy of a token, of texts; shapes as in `log_prob`."""
        shape = value.shape[:-1]
        texts = value.reshape(-1, value.shape[-1]).long()
        each = max(1, len(texts)) // max(1, len(self.params))
        row = torch.arange(len(texts)) // max(1, each)
        size = texts.shape[1] * len(self.decoder.bias)
        found = [
            self._measured(texts[part], row[part])
            for part in torch.arange(len(texts)).split(max(1, _AT_ONCE // max(1, size)))
        ]
        like = self.params.new_zeros(0)
        return tuple(torch.cat([like, *(f[k] for f in found)]).view(shape) for k in (0, 1))

    def _measured(self, ids: Int[Tensor, "b t"], row: Int[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        if not ids.shape[1]:
            none = self.params.new_zeros(len(ids))
            return none, none
        device = self.decoder.bias.device
        ids = ids.to(device)
        used, place = torch.unique(row, return_inverse=True)
        with _all_units(self.decoder):
            memory = self._memory(self.params[used.to(self.params.device)])
            log_p = self.decoder.at_tokens(ids, *memory, place.to(device))
        real = ids != PAD
        told = log_p.gather(1, ids[real][:, None])[:, 0]
        entropy = -torch.where(log_p > -1e4, log_p.exp() * log_p, 0.0).sum(-1)
        count = real.sum(1).clamp_min(1)
        found = (log_p.new_zeros(ids.shape).masked_scatter(real, x).sum(1) for x in (told, entropy))
        log_prob, entropy = (x.to(self.params) for x in found)
        return log_prob, entropy / count

    def _memory(self, params: Tensor) -> tuple[Tensor, Tensor]:
        return unpack_memory(params.to(self.decoder.bias), self.decoder.width)

    @torch.no_grad()
    def write(self, *, beam: int, alpha: float) -> Written:
        """The best text of each row, see `amodal.nn.text_search.beam_search`."""
        length = self.decoder.length + 1
        ids = [torch.full((0, length), PAD, dtype=torch.long)]
        with _all_units(self.decoder):
            for params in self.params.split(max(1, _SEARCHED // beam)):
                memory = self._memory(params)
                found = beam_search(self.decoder, *memory, beam=beam, alpha=alpha)
                ids.append(found.ids[:, 0].cpu())
        texts = torch.cat(ids).to(self.params.device)
        return Written(texts, *self.measure(texts))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Int[Tensor, "*s n t"]:  # noqa: B008
        """Texts drawn token by token."""
        count = torch.Size(sample_shape).numel()
        n, length = len(self.params), self.decoder.length + 1
        with _all_units(self.decoder):
            state = self.decoder.start(*self._memory(self.params))
            row = torch.arange(n, device=state.there.device).repeat(count)
            drawn = self.decoder.draw(state.rows(row))
        return drawn.to(self.params.device).view(*sample_shape, n, length)
