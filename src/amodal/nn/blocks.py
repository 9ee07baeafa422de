"""Residual and transformer blocks that know nothing of modalities."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from amodal.nn.ragged import buckets, pad
from amodal.nn.thinning import thin

__all__ = [
    "Attention",
    "Dropout",
    "FeedForward",
    "ResidualMLP",
    "Transformer",
    "TransformerBlock",
    "drop",
]


def drop(
    x: Float[Tensor, "v *t d"], rate: float, training: bool, *, by: nn.Module | None = None
) -> Float[Tensor, "v *t d"]:
    """Dropout that removes the same units from all tokens of a value.

    As good a regulariser (Gal and Ghahramani 2016), and t times fewer random numbers. Four units
    share one draw of 64 bits (`rate` is rounded to 1/65536): on a CPU the draws of
    `torch.nn.functional.dropout` would cost more than the products around it.

    >>> x = torch.ones(2, 3)
    >>> drop(x, 0.5, training=False) is x
    True
    """
    if not training:
        return thin(x, rate, by)
    if rate == 0.0:
        return x
    v, d = len(x), x.shape[-1]
    draws = torch.empty(-(-v * d // 4), dtype=torch.int64, device=x.device)
    draws.random_(-(2**63), None)
    removed = round(rate * 2**16)
    keep = (draws.view(torch.int16)[: v * d] >= removed - 2**15).to(x.dtype)
    keep *= 2**16 / (2**16 - removed)
    return x * keep.view(v, *(1,) * (x.ndim - 2), d)


class Dropout(nn.Module):
    """`drop` as a module.

    Args:
        rate: share of units dropped in training.

    >>> x = torch.ones(2, 3, 8)  # two values of three tokens
    >>> y = Dropout(0.5)(x)
    >>> bool((y == y[:, :1]).all()), set(y.unique().tolist()) <= {0.0, 2.0}
    (True, True)
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "v *t d"]) -> Float[Tensor, "v *t d"]:
        return drop(x, self.rate, self.training, by=self)


class FeedForward(nn.Module):
    """``W2 dropout(gelu(W1 norm(x)))``: the inner part of a pre-norm residual block.

    Args:
        width: size d of the last axis, in and out.
        hidden: size between; None for 2 d.
        dropout: share of hidden units dropped in training.

    >>> layer = FeedForward(4, hidden=6)
    >>> layer.inner.out_features, layer(torch.zeros(5, 3, 4)).shape
    (6, torch.Size([5, 3, 4]))
    """

    def __init__(self, width: int, *, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = hidden or 2 * width
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        hidden = F.gelu(self.inner(self.norm(x)))
        return self.outer(drop(hidden, self.dropout, self.training, by=self))


class ResidualMLP(nn.Module):
    """``norm(x_L) + s log rms(x_L)``, ``x_0 = W x``, ``x_{l+1} = x_l + dropout(FeedForward(x_l))``.

    The norm alone would hide how large the input is, and size is what tells a noisy input: the
    learned vector s hands it on.

    Args:
        inputs: size of the last axis, in.
        width: size of the last axis, out.
        depth: number L of blocks; 0 for a normalised linear map.
        dropout: share of units dropped in training, inside the blocks and behind them.

    >>> ResidualMLP(3, 8, depth=2)(torch.zeros(5, 3)).shape
    torch.Size([5, 8])
    """

    def __init__(self, inputs: int, width: int, *, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(FeedForward(width, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.size = nn.Parameter(torch.randn(width) * 0.3)
        self.dropout = dropout
        self.register_buffer("pace", torch.ones(()))

    @torch.no_grad()
    def slow(self, rows: int, *, inputs: int | None = None, power: float = 3.0) -> None:
        """Makes the first map learn slowly where it has more inputs than there are training rows.

        Adam moves every weight as fast as any other, and so what comes out of a map the faster the
        more inputs it has: with more inputs than rows it has fitted their noise before the layers
        behind it have learned. Inputs are multiplied by ``pace = min(1, rows / inputs)^power`` and
        the weights divided by it: the map stays the same, its steps become smaller. At power 1 what
        comes out moves as fast as with as many inputs as rows; above it, slower.

        Args:
            rows: training rows.
            inputs: of the map that are not always 0; all of them if left out.
            power: 3 for inputs of which most tell nothing, 1 for those of which many tell the same.

        Reference: steps that shrink with the number of inputs, Yang et al., "Tensor Programs V",
        NeurIPS 2021; the rule and its powers are ours, chosen on training rows of a small clinical
        set (3) and of omics tables (1).

        >>> layer = ResidualMLP(4, 2, depth=0)
        >>> before = layer(torch.ones(1, 4))
        >>> layer.slow(rows=2)
        >>> layer.pace.item(), bool(torch.allclose(layer(torch.ones(1, 4)), before))
        (0.125, True)
        """
        pace = min(1.0, max(rows, 1) / (inputs or self.first.in_features)) ** power
        self.first.weight *= self.pace / pace
        self.pace.fill_(pace)

    def enter(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b d"]:
        """The first map."""
        return self.first(x * self.pace.to(x.dtype))

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b d"]:
        return self.refine(self.enter(x))

    def refine(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """What comes behind the first map."""
        for block in self.blocks:
            x = x + drop(block(x), self.dropout, self.training, by=self)
        log_size = 0.5 * (x.float().square().mean(-1, keepdim=True) + 1e-6).log()
        return self.norm(x) + log_size.to(x.dtype) * self.size


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2) with absent keys.

    ``softmax(Q K' / sqrt(d / heads)) V`` over the present keys; 0 where there is none.

    Args:
        width: size d of the last axis, in and out.
        heads: number of heads; divides d.

    >>> x, there = torch.randn(2, 3, 4), torch.tensor([[True, True, False], [False, False, False]])
    >>> layer = Attention(4, heads=2).eval()
    >>> changed = x.clone()
    >>> changed[0, 2] = 1e6  # what is absent is not read
    >>> y, z = layer(x, there), layer(changed, there)
    >>> bool((y[0, :2] == z[0, :2]).all()), y[1].abs().max().item()
    (True, 0.0)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]
    ) -> Float[Tensor, "v t d"]:
        v, t, d = x.shape
        qkv = self.qkv(x).view(v, t, 3, self.heads, d // self.heads)
        q, k, val = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = present[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, val, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(v, t, d))

    def lead(self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]) -> Float[Tensor, "v d"]:
        """What the first token gets, and no other."""
        v, t, d = x.shape
        (w_q, w_kv), (b_q, b_kv) = (y.split([d, 2 * d]) for y in (self.qkv.weight, self.qkv.bias))
        q = F.linear(x[:, 0], w_q, b_q).view(v, self.heads, 1, d // self.heads)
        kv = F.linear(x, w_kv, b_kv).view(v, t, 2, self.heads, d // self.heads)
        k, val = kv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = present[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, val, attn_mask=mask)
        return self.out(mixed.reshape(v, d))


class TransformerBlock(nn.Module):
    """Pre-norm block: ``x + attention(norm(x))``, then ``x + FeedForward(x)``.

    Args:
        width: size d of the last axis.
        heads: attention heads; divides d.
        dropout: share of units dropped in training.

    >>> x, there = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    >>> block = TransformerBlock(4, heads=2)
    >>> bool(torch.allclose(block(x, there)[:, 0], block.lead(x, there), atol=1e-5))
    True
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed = FeedForward(width, dropout=dropout)
        self.dropout = dropout

    def forward(
        self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]
    ) -> Float[Tensor, "v t d"]:
        mixed = self.attention(self.norm(x), present)
        x = x + drop(mixed, self.dropout, self.training, by=self)
        return x + drop(self.feed(x), self.dropout, self.training, by=self)

    def lead(self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]) -> Float[Tensor, "v d"]:
        """The first token alone."""
        mixed = self.attention.lead(self.norm(x), present)
        first = x[:, 0] + drop(mixed, self.dropout, self.training, by=self)
        return first + drop(self.feed(first), self.dropout, self.training, by=self)


class Transformer(nn.Module):
    """Blocks over tokens, led by a learned summary token (the "[CLS]" of Devlin et al. 2019).

    Args:
        width: size d of the tokens.
        heads: attention heads; divides d.
        depth: number of blocks.
        dropout: share of units dropped in training.

    >>> x, there = torch.randn(2, 3, 4), torch.tensor([[True, True, False], [True, True, True]])
    >>> summary, tokens = Transformer(4, heads=2)(x, there)
    >>> summary.shape, tokens[0, 2].tolist()
    (torch.Size([2, 4]), [0.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, width: int, heads: int, *, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]
    ) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v t d"]]:
        """``(summary, tokens)``; tokens are 0 where they are not present."""
        x, seen = self._led(x, present)
        for block in self.blocks:
            x = block(x, seen)
        x = self.norm(x)
        tokens = torch.where(present[..., None], x[:, 1:], torch.zeros_like(x[:, 1:]))
        return x[:, 0], tokens

    def summarise(
        self,
        x: Float[Tensor, "s d"],
        offsets: Int[Tensor, " v1"],
        max_len: int | None = None,
    ) -> Float[Tensor, "v d"]:
        """The summaries alone of packed tokens: what `forward` gives, several times faster.

        Sequences of like length are padded together, and of the last block only the summary token
        is worked out.

        Args:
            x: the tokens of all sequences, one sequence after the other.
            offsets: sequence j has the tokens ``offsets[j]:offsets[j + 1]``.
            max_len: of more tokens only the last ones are read.
        """
        lengths = offsets[1:] - offsets[:-1]
        places = buckets(lengths if max_len is None else lengths.clamp_max(max_len))
        found = [self.summary_of(*pad(x, offsets, max_len, rows=rows)) for rows in places]
        return torch.cat(found)[torch.cat(places).argsort()]

    def summary_of(
        self, x: Float[Tensor, "v t d"], present: Bool[Tensor, "v t"]
    ) -> Float[Tensor, "v d"]:
        """The summaries alone of padded tokens."""
        x, seen = self._led(x, present)
        for block in self.blocks[:-1]:
            x = block(x, seen)
        return self.norm(self.blocks[-1].lead(x, seen))

    def _led(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """The summary token before the others, and which are there."""
        lead = self.summary.expand(len(x), 1, -1)
        seen = torch.cat([present.new_ones(len(x), 1), present], dim=1)
        return torch.cat([lead, x], dim=1), seen
