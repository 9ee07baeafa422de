"""Runs of tokens that are counted: what of a text is linear in its words."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.nn.ragged import segment_ids, segment_sum

__all__ = ["NGrams"]

_LEAST = 2  # a run that one text has tells that text from others, and nothing of new ones
_MOST = 2**14  # runs with a vector
_ENOUGH = 50_000  # texts that runs are taken from
_GAIN = 12.0
"""Chosen on questions about photographs, training rows alone, of 1, 4, 12 and 30: 30 told no more,
and fitted noise sooner."""


class NGrams(nn.Module):
    """``12 sum_g E[g] / sqrt(k)`` over the k known runs g of 1 to `longest` tokens of a text.

    A run that occurs twice counts twice. Known are runs that at least two training texts have, at
    most 16,384 of them, those of the most texts first; others count as not there, and a text without
    a known run gets 0. E is 0 at the start: before it has learned, nothing is added. The factor 12
    makes what is added move faster than single weights do, since a step of Adam moves each weight
    alike, however rare its run is.

    Runs are the nodes of a tree: run ``(t_1 ... t_n)`` is known as the pair of run ``(t_1 ...
    t_{n-1})`` and token t_n, stored as one number ``p V + t_n``, p the place of the shorter run from
    1, 0 for none, V the number of tokens. Sorted, these numbers give each run its place.

    Args:
        tokens: number V of tokens.
        width: size d of the vectors.
        longest: number of tokens in the longest run, at least 1.

    Shapes: tokens ``[s]`` and offsets ``[v + 1] -> [v, width]``.

    Reference: bags of n-grams, Joulin et al., "Bag of Tricks for Efficient Text Classification",
    EACL 2017; beside a deep network, Cheng et al., "Wide & Deep Learning", DLRS 2016.

    >>> grams = NGrams(tokens=10, width=1, longest=2)
    >>> offsets = torch.tensor([0, 3, 5, 6])
    >>> grams.fit(torch.tensor([7, 8, 9, 7, 8, 9]), offsets)  # texts 7 8 9, 7 8 and 9
    >>> grams.runs()
    [(7,), (8,), (9,), (7, 8)]
    >>> grams.places(torch.tensor([9, 7, 8, 5]), torch.tensor([0, 4])).tolist()  # 0 is none
    [[3, 0], [1, 0], [2, 4], [0, 0]]
    """

    def __init__(self, tokens: int, width: int, longest: int) -> None:
        super().__init__()
        self.tokens, self.longest = tokens, longest
        self.register_buffer("keys", torch.zeros(0, dtype=torch.int64))
        self.weight = nn.Parameter(torch.zeros(1, width))

    @torch.no_grad()
    def fit(self, token: Int[Tensor, " s"], offsets: Int[Tensor, " v1"]) -> None:
        """Takes the runs from training texts; a new E."""
        token, offsets = _some(token, offsets)
        text = segment_ids(offsets)
        before, begin, keys, counts = None, 0, [], []
        for _ in range(self.longest):
            key = self._key(token, before, offsets)
            own, number = _texts_with(key, text, len(offsets) - 1)
            known = number >= _LEAST
            own, number = own[known], number[known]
            before = _place(own, key)
            before = torch.where(before > 0, before + begin, 0)
            begin += len(own)
            keys.append(own)
            counts.append(number)
        self.keys = self._kept(torch.cat(keys), torch.cat(counts))
        self.weight = nn.Parameter(self.weight.new_zeros(len(self.keys) + 1, self.weight.shape[1]))

    def _kept(self, keys: Int[Tensor, " g"], counts: Int[Tensor, " g"]) -> Int[Tensor, " k"]:
        """The runs of the most texts; of as many, shorter ones. No run is kept without its start."""
        kept = counts.argsort(descending=True, stable=True)[:_MOST].sort().values
        place = torch.zeros(len(keys) + 1, dtype=torch.int64, device=keys.device)
        place[kept + 1] = torch.arange(1, len(kept) + 1, device=keys.device)
        before, last = keys[kept] // self.tokens, keys[kept] % self.tokens
        return place[before] * self.tokens + last

    def _key(
        self, token: Int[Tensor, " s"], before: Int[Tensor, " s"] | None, offsets: Tensor
    ) -> Int[Tensor, " s"]:
        """The number of the run that ends at each token, -1 for none; `before`: one token less."""
        if before is None:
            return token
        before = before.roll(1)
        begins = offsets[:-1]
        before[begins[begins < len(before)]] = 0  # what begins a text follows on nothing
        return torch.where(before > 0, before * self.tokens + token, -1)

    def places(
        self, token: Int[Tensor, " s"], offsets: Int[Tensor, " v1"]
    ) -> Int[Tensor, "s longest"]:
        """The places of the runs that end at each token, by their number of tokens; 0 for unknown."""
        found: list[Tensor] = []
        for _ in range(self.longest):
            key = self._key(token, found[-1] if found else None, offsets)
            found.append(_place(self.keys, key))
        return torch.stack(found, 1)

    def runs(self) -> list[tuple[int, ...]]:
        """The tokens of every known run, in order of places."""
        found: list[tuple[int, ...]] = [()]
        for key in self.keys.tolist():
            found.append((*found[key // self.tokens], key % self.tokens))
        return found[1:]

    def forward(
        self, token: Int[Tensor, " s"], offsets: Int[Tensor, " v1"]
    ) -> Float[Tensor, "v d"]:
        place = self.places(token, offsets)
        known = (place > 0).sum(1, keepdim=True).to(self.weight.dtype)
        total = F.embedding_bag(
            place.flatten(),
            self.weight,
            offsets * self.longest,
            mode="sum",
            include_last_offset=True,
            padding_idx=0,
        )
        return total * (_GAIN / segment_sum(known, offsets).clamp_min(1).sqrt())

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        keys, weight = state.get(f"{prefix}keys"), state.get(f"{prefix}weight")
        if keys is not None and keys.shape != self.keys.shape:  # known only to who wrote it
            self.keys = torch.empty_like(keys, device=self.keys.device)
        if weight is not None and weight.shape != self.weight.shape:
            self.weight = nn.Parameter(self.weight.new_zeros(weight.shape))
        super()._load_from_state_dict(state, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{len(self.keys)} runs of up to {self.longest} tokens"


def _place(keys: Int[Tensor, " g"], key: Int[Tensor, " s"]) -> Int[Tensor, " s"]:
    """Where `key` stands among the sorted `keys`, from 1; 0 where it does not."""
    if len(keys) == 0:
        return torch.zeros_like(key)
    at = torch.searchsorted(keys, key).clamp_max(len(keys) - 1)
    return torch.where(keys[at] == key, at + 1, 0)


def _texts_with(
    key: Int[Tensor, " s"], text: Int[Tensor, " s"], texts: int
) -> tuple[Int[Tensor, " g"], Int[Tensor, " g"]]:
    """The distinct runs, sorted, and how many texts have each."""
    own, inverse = torch.unique(key[key >= 0], return_inverse=True)
    pairs = torch.unique(inverse * texts + text[key >= 0])
    return own, torch.bincount(pairs // max(texts, 1), minlength=len(own))


def _some(token: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens of at most 50,000 texts, evenly spaced."""
    count = len(offsets) - 1
    if count <= _ENOUGH:
        return token, offsets
    chosen = torch.zeros(count, dtype=torch.bool, device=token.device)
    chosen[torch.linspace(0, count - 1, _ENOUGH, device=token.device).long()] = True
    lengths = offsets.diff()[chosen]
    return token[chosen[segment_ids(offsets)]], F.pad(lengths.cumsum(0), (1, 0))
