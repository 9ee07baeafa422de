"""Beam search for the most probable text; with one beam, greedy decoding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amodal.errors import SettingError
from amodal.nn.text_decoder import TextDecoder
from amodal.vocabulary import BEGIN, END, PAD, UNKNOWN

__all__ = ["Found", "beam_search", "length_penalty"]


def length_penalty(tokens: Tensor | int, alpha: float) -> Tensor | float:
    """lp(Y) = (5 + |Y|)^alpha / (5 + 1)^alpha, by which log probabilities are divided.

    |Y| counts the end. alpha = 0 compares probabilities as they are, which favours short texts.

    Reference: Wu et al., "Google's Neural Machine Translation System", 2016, equation 14, without
    its coverage penalty.

    >>> length_penalty(1, 0.6), length_penalty(7, 1.0)
    (1.0, 2.0)
    """
    return ((5 + tokens) / 6) ** alpha


@dataclass(frozen=True, eq=False)
class Found:
    """The texts that a search had finished when it stopped, the best first.

    It stops when none can become better than the first: further ones may.

    Args:
        ids: ``Int[n, k, t]`` tokens with their `END`, `PAD` behind it; all `PAD` where fewer than k
            texts were finished.
        score: ``Float[n, k]`` log probability over the length penalty; -inf where there is no text.
        log_prob: ``Float[n, k]`` log probability.
    """

    ids: Int[Tensor, "n k t"]
    score: Float[Tensor, "n k"]
    log_prob: Float[Tensor, "n k"]


@torch.no_grad()
def beam_search(
    decoder: TextDecoder,
    memory: Float[Tensor, "n s d"],
    there: Bool[Tensor, "n s"],
    *,
    beam: int = 4,
    alpha: float = 0.6,
) -> Found:
    """The best texts by log P(Y | memory) / lp(Y), as far as a beam of `beam` texts finds them.

    At each place the 2 k best continuations of a row's k texts are looked at. Those among the first
    k that end are finished and never changed again; the k best of the others go on. A row is done
    when k texts are finished, or none that goes on can do better than the best finished one: log
    probabilities only fall, so log P / lp(longest) bounds all that a text can still become. Keys and
    values of what was written are kept, not worked out anew. `UNKNOWN` is never written.

    Args:
        decoder: in eval mode.
        memory: what is read.
        there: which of it.
        beam: number k of texts that are followed, at least 1; 1 takes the likeliest token each time.
        alpha: of `length_penalty`, at least 0.

    Raises:
        SettingError: a beam below 1, a negative alpha.
    """
    if beam < 1 or not alpha >= 0:
        raise SettingError(
            "a search follows at least 1 text (beam), with a length penalty of at least 0; got beam "
            f"{beam}, length_penalty {alpha:g}; change them"
        )
    search = _Search(decoder, len(memory), beam, alpha, like=memory)
    state = decoder.start(memory, there)
    active = torch.arange(len(memory), device=memory.device)
    token = torch.full((len(active) * beam, 1), BEGIN, device=memory.device)
    for place in range(decoder.length + 1):
        if not len(active):
            break
        told, state = decoder.step(token, state, at=place)
        origin, going = search.advance(told[:, 0], active, place)
        kept = (origin + beam * torch.arange(len(active), device=origin.device)[:, None])[going]
        state, active = state.rows(going.nonzero()[:, 0], kept.flatten()), active[going]
        token = search.ids[active, :, place].reshape(-1, 1)
    return Found(search.done_ids, search.done_score, search.done_log_prob)


class _Search:
    """Texts that go on (`ids`, `log_prob`) and finished ones (`done_...`) of all rows."""

    def __init__(
        self, decoder: TextDecoder, n: int, beam: int, alpha: float, *, like: Tensor
    ) -> None:
        self.beam, self.alpha, self.longest = beam, alpha, decoder.length + 1
        real = torch.promote_types(like.dtype, torch.float32)
        shape = (n, beam, self.longest)
        self.ids = torch.full(shape, PAD, device=like.device)
        self.done_ids = self.ids.clone()
        self.log_prob = torch.full((n, beam), -torch.inf, dtype=real, device=like.device)
        self.done_score, self.done_log_prob = self.log_prob.clone(), self.log_prob.clone()
        self.log_prob[:, 0] = 0.0  # the beams of a row begin as one

    def advance(
        self, told: Float[Tensor, "b v"], active: Int[Tensor, " a"], place: int
    ) -> tuple[Int[Tensor, "a k"], Bool[Tensor, " a"]]:
        """One token more; which text each one that goes on came from, and which rows go on."""
        a, k, v = len(active), self.beam, told.shape[1]
        told = told.index_fill(1, torch.tensor([UNKNOWN], device=told.device), -torch.inf)
        told = told.masked_fill(told <= torch.finfo(told.dtype).min / 2, -torch.inf)
        total = (self.log_prob[active][..., None] + told.view(a, k, v)).flatten(1)
        best, which = total.topk(min(2 * k, k * v), 1)
        origin, token = which // v, which % v
        texts = self.ids[active[:, None], origin]
        texts[:, :, place] = token
        ends = (token == END) & (best > -torch.inf)
        self._finish(active, texts[:, :k], best[:, :k].masked_fill(~ends[:, :k], -torch.inf), place)
        rest, order = best.masked_fill(token == END, -torch.inf).topk(k, 1)
        self.ids[active] = texts.gather(1, order[..., None].expand(-1, -1, texts.shape[2]))
        self.log_prob[active] = rest
        return origin.gather(1, order), ~self._over(active)

    def _finish(self, active: Tensor, texts: Tensor, log_prob: Tensor, place: int) -> None:
        """Keeps the k best of the finished texts and those that end now."""
        score = log_prob / length_penalty(place + 1, self.alpha)
        every = torch.cat([self.done_score[active], score], 1)
        self.done_score[active], order = every.topk(self.beam, 1)
        every = torch.cat([self.done_log_prob[active], log_prob], 1)
        self.done_log_prob[active] = every.gather(1, order)
        every = torch.cat([self.done_ids[active], texts], 1)
        self.done_ids[active] = every.gather(1, order[..., None].expand(-1, -1, every.shape[2]))
        lost = self.done_score[active] == -torch.inf
        self.done_ids[active] = self.done_ids[active].masked_fill(lost[..., None], PAD)

    def _over(self, active: Tensor) -> Bool[Tensor, " a"]:
        best = self.log_prob[active].amax(1)
        bound = best / length_penalty(self.longest, self.alpha)
        finished = self.done_score[active]
        return (finished > -torch.inf).all(1) | (best == -torch.inf) | (finished[:, 0] >= bound)
