"""A transformer decoder that writes a text while it reads a memory of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.nn.blocks import FeedForward, drop
from amodal.nn.gaussian import full
from amodal.vocabulary import BEGIN, END, PAD

__all__ = ["State", "TextDecoder", "join_memories", "pack_memory", "unpack_memory"]

_STD = 0.1


def pack_memory(tokens: Float[Tensor, "n s d"], there: Bool[Tensor, "n s"]) -> Tensor:
    """A memory as the parameters of a prediction, ``Float[n, s (d + 1)]``; 0 where nothing is there.

    Selected, not multiplied: what stands where a token is absent is not read.

    >>> pack_memory(torch.tensor([[[5.0], [torch.nan]]]), torch.tensor([[True, False]])).tolist()
    [[5.0, 0.0, 1.0, 0.0]]
    """
    kept = torch.where(there[..., None], tokens, tokens.new_zeros(()))
    return torch.cat([kept.flatten(1), there.to(tokens.dtype)], 1)


def unpack_memory(params: Tensor, width: int) -> tuple[Tensor, Bool[Tensor, "n s"]]:
    """The tokens of width d that `pack_memory` packed, and which of them are there.

    >>> tokens, there = unpack_memory(torch.tensor([[5.0, 0.0, 1.0, 0.0]]), 1)
    >>> tokens.tolist(), there.tolist()
    ([[[5.0], [0.0]]], [[True, False]])
    """
    size = params.shape[1] // (width + 1)
    tokens, there = params.split([size * width, size], 1)
    return tokens.unflatten(1, (size, width)), there > 0.5


def join_memories(parts: list[Tensor], width: int) -> Tensor:
    """Memories of consecutive rows put together; those of fewer tokens get absent ones.

    >>> one, two = torch.tensor([[5.0, 1.0]]), torch.tensor([[6.0, 7.0, 1.0, 1.0]])
    >>> join_memories([one, two], 1).tolist()
    [[5.0, 0.0, 1.0, 0.0], [6.0, 7.0, 1.0, 1.0]]
    """
    longest = max(p.shape[1] for p in parts) // (width + 1)
    padded = []
    for part in parts:
        tokens, there = unpack_memory(part, width)
        short = longest - there.shape[1]
        padded.append(pack_memory(F.pad(tokens, (0, 0, 0, short)), F.pad(there, (0, short))))
    return torch.cat(padded)


@dataclass(frozen=True, eq=False)
class State:
    """What a decoder keeps between tokens: keys and values, layer by layer.

    Args:
        memory: of what is read: ``[n, heads, s + 1, d / heads]`` each. Texts that read the same
            stand together and share it: there are b texts, a multiple of n.
        there: ``Bool[n, s + 1]`` which of it is there.
        past: of the tokens written so far, ``[b, heads, t, d / heads]``; None before the first.
    """

    memory: tuple[tuple[Tensor, Tensor], ...]
    there: Bool[Tensor, "b s"]
    past: tuple[tuple[Tensor, Tensor], ...] | None = None

    def rows(self, rows: Int[Tensor, " n"], texts: Int[Tensor, " b"] | None = None) -> State:
        """The state of other rows and of their texts (None: one each); both may repeat."""
        texts = rows if texts is None else texts
        memory = tuple((k[rows], v[rows]) for k, v in self.memory)
        past = None if self.past is None else tuple((k[texts], v[texts]) for k, v in self.past)
        return State(memory, self.there[rows], past)


class _Block(nn.Module):
    """Pre-norm: x + self(norm(x)), then x + cross(norm(x), memory), then x + FeedForward(x)."""

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.own, self.cross = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width, bias=False)
        self.ask = nn.Linear(width, width)
        self.told = nn.Linear(width, 2 * width)
        self.take = nn.Linear(width, width, bias=False)
        self.feed = FeedForward(width, hidden=4 * width, dropout=dropout)

    def split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def memory(self, tokens: Float[Tensor, "b s d"]) -> tuple[Tensor, Tensor]:
        """Keys and values of what is read."""
        key, value = self.told(tokens).chunk(2, -1)
        return self.split(key), self.split(value)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        memory: tuple[Tensor, Tensor],
        there: Bool[Tensor, "b s"],
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Tensor, Tensor]]:
        """What comes out, and keys and values of all tokens so far."""
        q, k, v = (self.split(z) for z in self.qkv(self.own(x)).chunk(3, -1))
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self._drop(self.mix(mixed.transpose(1, 2).flatten(2)))
        x = x + self._drop(self.take(self._read(self.ask(self.cross(x)), memory, there)))
        return x + self._drop(self.feed(x)), (k, v)

    def _read(self, ask: Tensor, memory: tuple[Tensor, Tensor], there: Tensor) -> Tensor:
        """Attention to the memory; texts that share one ask it together."""
        each = max(1, len(ask) // max(1, len(there)))
        together = self.split(ask.unflatten(0, (-1, each)).flatten(1, 2) if each > 1 else ask)
        read = F.scaled_dot_product_attention(together, *memory, attn_mask=there[:, None, None])
        return read.transpose(1, 2).flatten(2).reshape(ask.shape)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, self.training, by=self)


class TextDecoder(nn.Module):
    """p(w_t | w_1 ... w_t-1, memory), for texts of at most `length` tokens and an `END`.

    Pre-norm blocks of causal self-attention, attention to the memory, and a feed-forward; token j
    enters as ``E[w_j] + position_j``, and the logits are ``E h + b``. The memory of every row is
    led by a learned vector: a row whose memory is empty reads that alone, and so is written from the
    unconditional distribution of texts.

    No text is empty and none longer than `length`: `END` has no chance at the first place and is
    certain behind the last, `PAD` and `BEGIN` have none anywhere. So the probabilities of all texts
    add up to 1.

    Args:
        width: size d of memory and tokens.
        heads: attention heads; divides d.
        layers: number of blocks.
        vocabulary: number V of tokens, `SPECIALS` included.
        length: the most tokens of a text, its end not counted.
        dropout: share of units dropped in training.

    Reference: Vaswani et al., NeurIPS 2017; pre-norm: Xiong et al., ICML 2020; tied embeddings:
    Press and Wolf, EACL 2017.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        layers: int,
        vocabulary: int,
        length: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.length, self.dropout = width, length, dropout
        self.embedding = nn.Parameter(torch.randn(vocabulary, width) * _STD)
        self.position = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.lead = nn.Parameter(torch.randn(width) * _STD)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def start(self, memory: Float[Tensor, "n s d"], there: Bool[Tensor, "n s"]) -> State:
        """The state before the first token."""
        kept = torch.where(there[..., None], memory, memory.new_zeros(()))
        tokens = torch.cat([self.lead.to(kept.dtype).expand(len(kept), 1, -1), kept], 1)
        seen = F.pad(there, (1, 0), value=True)
        return State(tuple(block.memory(tokens) for block in self.blocks), seen)

    def step(
        self, written: Int[Tensor, "b t"], state: State, *, at: int = 0
    ) -> tuple[Float[Tensor, "b t v"], State]:
        """Log probabilities of the token behind each of `written`, and the state behind them.

        Args:
            written: tokens at the places `at`, `at` + 1, ...; the first of all is `BEGIN`.
            state: before them; where it has a past, one token is read at a time.
            at: how many tokens it has read.
        """
        x, state = self._read(written, state, at)
        return self._told(x, torch.arange(at, at + written.shape[1], device=x.device)), state

    def _read(
        self, written: Int[Tensor, "b t"], state: State, at: int
    ) -> tuple[Float[Tensor, "b t d"], State]:
        """What blocks make of each token, and the state behind them."""
        x = self.embedding[written] + self.position[at : at + written.shape[1]]
        x = drop(x, self.dropout, self.training, by=self)
        kept = []
        for number, (block, memory) in enumerate(zip(self.blocks, state.memory, strict=True)):
            past = None if state.past is None else state.past[number]
            x, own = block(x, memory, state.there, past)
            kept.append(own)
        return x, State(state.memory, state.there, tuple(kept))

    def _told(
        self, x: Float[Tensor, "*k t d"], place: Int[Tensor, " t"]
    ) -> Float[Tensor, "*k t v"]:
        """Log probabilities of the token at each `place`."""
        logits = full(F.linear(self.norm(x), self.embedding, self.bias))
        token = torch.arange(logits.shape[-1], device=logits.device)
        ends = token == END
        never = (token == PAD) | (token == BEGIN)
        barred = never | (ends & (place == 0)[:, None]) | (~ends & (place == self.length)[:, None])
        return logits.masked_fill(barred, torch.finfo(logits.dtype).min).log_softmax(-1)

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        memory: Float[Tensor, "n s d"],
        there: Bool[Tensor, "n s"],
        row: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Log probabilities at every place of texts that are known (teacher forcing).

        The memory of text j is that of row ``row[j]`` (None: of j).
        """
        return self._told(*self._along(ids, memory, there, row))

    def at_tokens(
        self,
        ids: Int[Tensor, "b t"],
        memory: Float[Tensor, "n s d"],
        there: Bool[Tensor, "n s"],
        row: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "k v"]:
        """`forward` at the k places that hold a token, text by text, and not behind the ends.

        Most of the time goes into the vocabulary: half of it where texts are half as long as the
        longest.
        """
        x, _ = self._along(ids, memory, there, row)
        real = ids != PAD
        return self._told(x[real], real.nonzero()[:, 1])

    def _along(
        self, ids: Tensor, memory: Tensor, there: Tensor, row: Tensor | None
    ) -> tuple[Float[Tensor, "b t d"], Int[Tensor, " t"]]:
        """What blocks make of the tokens before each place, and the places."""
        state = self.start(memory, there)
        state = state if row is None else state.rows(row)
        begin = torch.full_like(ids[:, :1], BEGIN)
        x, _ = self._read(torch.cat([begin, ids[:, :-1]], 1), state, 0)
        return x, torch.arange(ids.shape[1], device=ids.device)

    @torch.no_grad()
    def draw(self, state: State) -> Int[Tensor, "b t"]:
        """Texts drawn token by token from `start`'s state, `PAD` behind their end."""
        b = len(state.there)
        ids = torch.full((b, self.length + 1), PAD, device=state.there.device)
        token = torch.full((b, 1), BEGIN, device=ids.device)
        over = torch.zeros(b, dtype=torch.bool, device=ids.device)
        for place in range(self.length + 1):
            told, state = self.step(token, state, at=place)
            token = torch.multinomial(told[:, 0].exp(), 1)
            ids[:, place] = torch.where(over, PAD, token[:, 0])
            over |= token[:, 0] == END
        return ids
