"""`direct_muse` with the package's parts: the same mathematics and weights, nothing computed twice.

Absent rows are not encoded; texts were encoded beforehand; names of codes are mapped once for each
code of the batch; events of rows of like length are attended to together by a fused kernel, and of
the last block only the first token is worked out; the graph is masked dense arithmetic.
"""

from __future__ import annotations

import torch
from direct_muse import HEADS, TEXT_TOKENS, WIDTH, DirectMuse, Graph, PreNormBlock, muse_loss
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.batch import Batch
from amodal.methods.parts import spread
from amodal.nn.blocks import Transformer, TransformerBlock
from amodal.nn.losses import drop_to_subset
from amodal.nn.recurrent import GRU

__all__ = ["EfficientMuse", "TorchText", "dense_graph"]


class EfficientMuse(nn.Module):
    """The weights of a `DirectMuse`, its results, and less work."""

    def __init__(self, direct: DirectMuse, *, dropout: float = 0.25) -> None:
        super().__init__()
        codes = direct.codes
        self.register_buffer("names", codes.names)
        self.map, self.types, self.note = codes.map, codes.types, direct.note
        self.course = Transformer(WIDTH, HEADS, depth=len(codes.blocks), dropout=dropout)
        self.course.summary, self.course.norm = codes.first, codes.norm
        for ours, theirs in zip(self.course.blocks, codes.blocks, strict=True):
            _load_block(ours, theirs)
        self.labs = GRU(direct.labs.input_size, WIDTH)
        self.labs.load_state_dict(direct.labs.state_dict())
        self.graph, self.project, self.head = direct.graph, direct.project, direct.head

    def encode(self, batch: Batch) -> Float[Tensor, "n 3 d"]:
        """The vector of every present pair, 0 elsewhere."""
        codes, labs, note = (batch.values[name] for name in ("codes", "labs", "note"))
        used, at = torch.unique(codes.data["code"] + 1, return_inverse=True)
        events = F.embedding(at, self.map(self.names[used]))
        events = events + self.types(codes.data["type"] + 1)
        vectors = [
            spread(self.course.summarise(events, codes.offsets), codes),
            spread(self.labs(labs.data["value"], labs.offsets)[0], labs),
            spread(self.note(note.data["value"]), note),
        ]
        return torch.stack(vectors, 1)

    def nodes(self, encoded: Tensor, present: Bool[Tensor, "n 3"]) -> Float[Tensor, "n d"]:
        """The rows behind the graph."""
        return dense_graph(self.graph, encoded, present)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """As `DirectMuse.loss`."""
        encoded = self.encode(batch)
        rows = self.nodes(encoded, batch.present)
        view = self.nodes(encoded, drop_to_subset(batch.present))
        return muse_loss(self, rows, view, batch.target)


def _load_block(ours: TransformerBlock, theirs: PreNormBlock) -> None:
    attention = theirs.attention
    parts = (attention.q, attention.k, attention.v)
    with torch.no_grad():
        ours.attention.qkv.weight.copy_(torch.cat([p.weight for p in parts]))
        ours.attention.qkv.bias.copy_(torch.cat([p.bias for p in parts]))
    ours.attention.out, ours.norm = attention.out, theirs.norm
    ours.feed.norm, ours.feed.inner, ours.feed.outer = (
        theirs.feed_norm,
        theirs.inner,
        theirs.outer,
    )


def dense_graph(
    graph: Graph, encoded: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> Float[Tensor, "n d"]:
    """`Graph` without edge lists: means over m for rows, over n for modalities; W [x ; e] split."""
    there = present[..., None]
    per_row = there.sum(1).clamp_min(1)
    per_node = there.sum(0).clamp_min(1)
    first, last = graph.layers
    ones, nodes = encoded.new_ones(len(encoded), WIDTH), graph.nodes
    x_part, e_part = first.message.weight.split(WIDTH, dim=1)
    shared = encoded @ e_part.T + first.message.bias
    to_row = torch.where(there, torch.relu(shared + nodes @ x_part.T), 0.0).sum(1) / per_row
    to_node = torch.where(there, torch.relu(shared + x_part.sum(1)), 0.0).sum(0) / per_node
    row = graph.drop(torch.relu(first.update(torch.cat([to_row, ones], 1))))
    node = graph.drop(torch.relu(first.update(torch.cat([to_node, nodes], 1))))
    sender, receiver, kept = graph.edge.weight.split(WIDTH, dim=1)
    ends = (node @ sender.T + graph.edge.bias) + (row @ receiver.T)[:, None]
    edge = torch.relu(encoded @ kept.T + ends)
    x_part, e_part = last.message.weight.split(WIDTH, dim=1)
    message = torch.relu(edge @ e_part.T + node @ x_part.T + last.message.bias)
    to_row = torch.where(there, message, 0.0).sum(1) / per_row
    return torch.relu(last.update(torch.cat([to_row, row], 1)))


class TorchText(nn.Module):
    """`direct_muse.TextPart` with the layers of torch, which use fused attention."""

    def __init__(self, direct: nn.Module) -> None:
        super().__init__()
        self.words, self.places, self.norm = direct.words, direct.places, direct.norm
        self.layers = nn.ModuleList(_torch_layer(layer) for layer in direct.layers)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, text: Int[Tensor, "n w"], count: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """As `TextPart`; 0 for a row without tokens."""
        some = count > 0
        found = self.places.weight.new_zeros(len(count), WIDTH)
        found[some] = self._read(text[some], count[some])
        return found

    def _read(self, text: Tensor, count: Tensor) -> Float[Tensor, "n d"]:
        x = self.norm(self.words(text) + self.places.weight[: text.shape[1]])
        there = torch.arange(min(text.shape[1], TEXT_TOKENS)) < count[:, None]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~there)
        return (x * there[..., None]).sum(1) / count[:, None]


def _torch_layer(layer: nn.Module) -> nn.TransformerEncoderLayer:
    made = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True
    )
    attention, parts = layer.attention, (layer.attention.q, layer.attention.k, layer.attention.v)
    with torch.no_grad():
        made.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        made.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        made.self_attn.out_proj.weight.copy_(attention.out.weight)
        made.self_attn.out_proj.bias.zero_()
    made.linear1, made.linear2 = layer.inner, layer.outer
    made.norm1, made.norm2 = layer.norm, layer.feed_norm
    return made
