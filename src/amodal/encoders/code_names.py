"""What codes are called, as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amodal.embed import Embedder, VectorCache, make_embedder, vectors_of
from amodal.encoders.base import EncoderSettings
from amodal.errors import SettingError

__all__ = ["NamedCodes", "names_key"]

_STD = 0.1  # as the learned vectors of codes


class NamedCodes(nn.Module):
    """``N W``: the frozen vectors of the codes' names under a learned map.

    N has mean square 1; its first line, that of an unknown code, is 0. Empty until `fit`, which
    embeds each name once; a stored model has N among its weights and needs no embedder.

    Args:
        width: size of the vectors that come out.

    >>> named = NamedCodes(4)
    >>> named.fit(("acute sepsis", "chronic sepsis"), EncoderSettings(names="hashing"))
    >>> named().shape, named()[0].abs().sum().item()
    (torch.Size([3, 4]), 0.0)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("table", torch.zeros(0, 0))
        self.map = nn.Parameter(torch.zeros(0, width))

    def fit(self, vocabulary: Sequence[str], settings: EncoderSettings) -> None:
        """Embeds the names of `vocabulary`.

        Raises:
            SettingError: no such embedder.
        """
        cache = VectorCache(settings.names_cache) if settings.names_cache else None
        found = vectors_of(list(vocabulary), _embedder(settings.names), cache)
        size = float(np.sqrt(np.square(found).mean())) if found.size else 1.0
        table = torch.from_numpy(found / (size or 1.0))
        self.table = torch.cat([table.new_zeros(1, table.shape[1]), table]).to(self.map)
        source = torch.Generator().manual_seed(0)  # `fit` comes after the seeded constructor
        start = torch.randn(table.shape[1], self.width, generator=source)
        start *= _STD / max(table.shape[1], 1) ** 0.5
        self.map = nn.Parameter(start.to(self.map))

    def forward(self, used: Int[Tensor, " u"] | None = None) -> Float[Tensor, "u d"]:
        """The vectors of the codes at places `used`; None for all."""
        return (self.table if used is None else self.table[used]) @ self.map

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("table", "map"):  # their sizes are known only to who fitted them
            if f"{prefix}{name}" in state:
                getattr(self, name).data = torch.empty_like(state[f"{prefix}{name}"])
        super()._load_from_state_dict(state, prefix, *rest)


def names_key(name: str) -> str:
    """What the embedder `name` is by its content: the same wherever its files lie.

    Raises:
        SettingError: no such embedder.

    >>> names_key("hashing")
    'hashing2-256'
    """
    return _embedder(name).key


def _embedder(name: str) -> Embedder:
    return _made(name, _state(name))


@lru_cache(maxsize=2)
def _made(name: str, state: tuple[tuple[str, int, int], ...]) -> Embedder:
    found = make_embedder(name)
    if found.kind != "text":
        raise SettingError(
            f"names are texts; {name!r} is a checkpoint that reads {found.kind}; choose another"
        )
    return found


def _state(name: str) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a folder: another state may be another content."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return ()
    found = [(p.name, p.stat()) for p in sorted(folder.iterdir())]
    return tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in found)
