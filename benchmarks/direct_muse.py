"""MUSE with its clinical encoders, written the direct way: dense, padded, nothing saved.

What METHODS of the field state, one operation after the other: a frozen text encoder runs inside
the step over 256 tokens of every row, absent or not; each code's frozen vector of 768 is mapped to
128 token by token; attention is an explicit softmax over scores; every row is padded to the longest
one; absent rows are encoded from padding, and only their edges are left out. The graph is edge
lists. It is what `efficient_muse` must agree with, and what a step of ours is timed beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.nn.losses import drop_to_subset

__all__ = ["CodesPart", "DirectMuse", "Padded", "TextPart", "muse_loss"]

WIDTH, HEADS, NAME_WIDTH, TEXT_TOKENS = 128, 2, 768, 256
SCALE = 1 / 0.07


@dataclass(frozen=True, eq=False)
class Padded:
    """A batch padded to its longest row; codes, types and tokens are 0 at padding.

    Args:
        code, kind: ``Int[n, t]``, 1 + code and 1 + type.
        code_count: ``Int[n]`` events of each row.
        labs: ``Float[n, s, 2 f]`` values and abnormal flags, carried forward.
        lab_count: ``Int[n]`` steps of each row.
        text: ``Int[n, 256]`` tokens of the note.
        text_count: ``Int[n]``.
        present: ``Bool[n, 3]``: codes, labs, note.
        label: ``Float[n]``, NaN = unknown.
    """

    code: Int[Tensor, "n t"]
    kind: Int[Tensor, "n t"]
    code_count: Int[Tensor, " n"]
    labs: Float[Tensor, "n s f"]
    lab_count: Int[Tensor, " n"]
    text: Int[Tensor, "n w"]
    text_count: Int[Tensor, " n"]
    present: Bool[Tensor, "n 3"]
    label: Float[Tensor, " n"]


def explicit_attention(
    q: Float[Tensor, "n h t e"],
    k: Float[Tensor, "n h t e"],
    v: Float[Tensor, "n h t e"],
    there: Bool[Tensor, "n t"],
) -> Float[Tensor, "n h t e"]:
    """softmax(q k' / sqrt(e)) v over the tokens that are there."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~there[:, None, None], -1e9)
    return scores.softmax(-1) @ v


def _heads(x: Float[Tensor, "n t d"]) -> Float[Tensor, "n h t e"]:
    n, t, d = x.shape
    return x.view(n, t, HEADS, d // HEADS).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Float[Tensor, "n t d"], there: Tensor) -> Float[Tensor, "n t d"]:
        mixed = explicit_attention(_heads(self.q(x)), _heads(self.k(x)), _heads(self.v(x)), there)
        return self.out(mixed.transpose(1, 2).flatten(2))


class PreNormBlock(nn.Module):
    """x + attention(norm(x)), then x + W2 gelu(W1 norm(x))."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm, self.feed_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = _Attention()
        self.inner, self.outer = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "n t d"], there: Tensor) -> Float[Tensor, "n t d"]:
        x = x + self.drop(self.attention(self.norm(x), there))
        hidden = self.drop(F.gelu(self.inner(self.feed_norm(x))))
        return x + self.drop(self.outer(hidden))


class CodesPart(nn.Module):
    """Frozen vector of each code's name -> Linear, plus its type; 2 blocks; the first token.

    Args:
        names: ``Float[c + 1, 768]``, 0 for padding.
        types: number of types.
    """

    def __init__(self, names: Float[Tensor, "c e"], types: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("names", names)
        self.map = nn.Linear(names.shape[1], WIDTH, bias=False)
        self.types = nn.Embedding(types + 1, WIDTH)
        self.first = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.blocks = nn.ModuleList(PreNormBlock(dropout) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, code: Tensor, kind: Tensor, count: Tensor) -> Float[Tensor, "n d"]:
        x = self.map(self.names[code]) + self.types(kind)
        x = torch.cat([self.first.expand(len(x), 1, -1), x], 1)
        there = torch.arange(x.shape[1]) <= count[:, None]
        for block in self.blocks:
            x = block(x, there)
        return self.norm(x)[:, 0]


class _PostNormLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = _Attention()
        self.norm, self.feed_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.inner, self.outer = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Float[Tensor, "n t d"], there: Tensor) -> Float[Tensor, "n t d"]:
        x = self.norm(x + self.attention(x, there))
        return self.feed_norm(x + self.outer(F.gelu(self.inner(x))))


class TextPart(nn.Module):
    """A frozen encoder of two post-norm layers over at most 256 tokens; the mean over tokens."""

    def __init__(self, vocabulary: int = 8000) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Embedding(TEXT_TOKENS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList(_PostNormLayer() for _ in range(2))
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, text: Int[Tensor, "n w"], count: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        x = self.norm(self.words(text) + self.places.weight[: text.shape[1]])
        there = torch.arange(text.shape[1]) < count[:, None]
        for layer in self.layers:
            x = layer(x, there)
        return (x * there[..., None]).sum(1) / count.clamp_min(1)[:, None]


class _Layer(nn.Module):
    """a_i = mean over neighbours of relu(W_m [x_j ; e_ij] + b); x' = relu(W_a [a ; x] + b)."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.Linear(2 * WIDTH, WIDTH)
        self.update = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, ends: Int[Tensor, "2 e"], edge: Tensor) -> Float[Tensor, "p d"]:
        messages = torch.relu(self.message(torch.cat([x[ends[0]], edge], 1)))
        total = torch.zeros_like(x).index_add(0, ends[1], messages)
        count = torch.zeros(len(x)).index_add(0, ends[1], torch.ones(len(edge)))
        mean = total / count.clamp_min(1)[:, None]
        return torch.relu(self.update(torch.cat([mean, x], 1)))


class Graph(nn.Module):
    """Two layers over rows (ones at the start) and modalities (learned); the row nodes.

    Edges have both directions; each has its own feature behind the first layer.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.randn(3, WIDTH))
        self.layers = nn.ModuleList(_Layer() for _ in range(2))
        self.edge = nn.Linear(3 * WIDTH, WIDTH)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, encoded: Float[Tensor, "n 3 d"], present: Bool[Tensor, "n 3"]
    ) -> Float[Tensor, "n d"]:
        n = len(present)
        row, modality = present.nonzero(as_tuple=True)
        one_way = torch.stack([modality + n, row])
        ends = torch.cat([one_way, one_way.flip(0)], 1)
        edge = encoded[row, modality].repeat(2, 1)
        x = torch.cat([encoded.new_ones(n, WIDTH), self.nodes])
        x = self.drop(self.layers[0](x, ends, edge))
        edge = torch.relu(self.edge(torch.cat([x[ends[0]], x[ends[1]], edge], 1)))
        return self.layers[1](x, ends, edge)[:n]


class DirectMuse(nn.Module):
    """MUSE over codes, labs and notes.

    Args:
        names: frozen vectors of the codes' names, 0 first.
        types: number of types of codes.
        labs: numbers of a time step.
        dropout: of encoders, graph and classifier.
    """

    def __init__(
        self, names: Float[Tensor, "c e"], types: int, labs: int, *, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.text = TextPart()
        self.codes = CodesPart(names, types, dropout)
        self.labs = nn.GRU(labs, WIDTH, batch_first=True)
        self.note = nn.Linear(WIDTH, WIDTH)
        self.graph = Graph(dropout)
        self.project = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(dropout), nn.Linear(WIDTH, 1)
        )

    def encode(self, batch: Padded, text: Tensor | None = None) -> Float[Tensor, "n 3 d"]:
        """One vector per row and modality, absent or not.

        Args:
            batch: padded.
            text: the notes' vectors, where they were worked out before.
        """
        codes = self.codes(batch.code, batch.kind, batch.code_count)
        states, _ = self.labs(batch.labs)
        last = (batch.lab_count - 1).clamp_min(0)
        labs = states[torch.arange(len(states)), last]
        note = self.text(batch.text, batch.text_count) if text is None else text
        return torch.stack([codes, labs, self.note(note)], 1)

    def nodes(self, encoded: Tensor, present: Bool[Tensor, "n 3"]) -> Float[Tensor, "n d"]:
        """The rows behind the graph."""
        return self.graph(encoded, present)

    def loss(self, batch: Padded, text: Tensor | None = None) -> dict[str, Tensor]:
        """Classification, and the contrast of each row with itself after losing modalities."""
        encoded = self.encode(batch, text)
        rows = self.nodes(encoded, batch.present)
        view = self.nodes(encoded, drop_to_subset(batch.present))
        return muse_loss(self, rows, view, batch.label)


def muse_loss(
    model: nn.Module, rows: Tensor, view: Tensor, label: Float[Tensor, " n"]
) -> dict[str, Tensor]:
    """L_cls, 1/2 L_unsup and 1/2 L_sup of two views of the rows."""
    known = ~label.isnan()
    logit = model.head(rows[known])[:, 0]
    u, w = (F.normalize(torch.tanh(model.project(x)), dim=-1) for x in (rows, view))
    same = torch.arange(len(u))
    across = SCALE * u @ w.T
    unsup = 0.5 * (F.cross_entropy(across, same) + F.cross_entropy(across.T, same))
    equal = (label[known][:, None] == label[known]).float()
    within = F.binary_cross_entropy_with_logits(SCALE * u[known] @ u[known].T, equal)
    both = F.binary_cross_entropy_with_logits(across[known][:, known], equal)
    other = F.binary_cross_entropy_with_logits(across.T[known][:, known], equal)
    return {
        "task": F.binary_cross_entropy_with_logits(logit, label[known]),
        "unsup": 0.5 * unsup,
        "sup": 0.5 * (2 * within + both + other) / 4,
    }
