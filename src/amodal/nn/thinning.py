"""Dropout at prediction: one draw of the units that are dropped, the same for every row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

__all__ = ["thin", "thinned"]


class _Thinning:
    """Names of the modules that drop units, and the masks that were drawn for them."""

    def __init__(self, module: nn.Module, seed: int) -> None:
        self.seed = seed
        self.names = {id(part): name for name, part in module.named_modules()}
        self.masks: dict[tuple, Tensor] = {}

    def mask(self, by: nn.Module, width: int, rate: float) -> Tensor | None:
        """``Float64[width]`` of 0 and 1 / (1 - rate); None for a module of something else.

        From the seed and the module's name, and not from the order of calls: what a batch lacks is
        passed over, and must not change what is dropped elsewhere.
        """
        if id(by) not in self.names:
            return None
        key = (self.seed, self.names[id(by)], width, rate)
        if key not in self.masks:
            digest = hashlib.sha256(repr(key).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            draw = torch.rand(width, generator=generator, dtype=torch.float64)
            self.masks[key] = (draw >= rate) / (1 - rate)
        return self.masks[key]


_ACTIVE: ContextVar[_Thinning | None] = ContextVar("thinning", default=None)


def thin(x: Tensor, rate: float, by: nn.Module | None) -> Tensor:
    """`x` with the units that the present draw drops in module `by`; `x` itself without a draw.

    >>> x, layer = torch.ones(2, 4), nn.Dropout(0.5)
    >>> thin(x, 0.5, layer) is x
    True
    >>> with thinned(layer, seed=0):
    ...     y = thin(x, 0.5, layer)
    >>> bool((y[0] == y[1]).all()), set(y[0].tolist()) <= {0.0, 2.0}
    (True, True)
    """
    active = _ACTIVE.get()
    if active is None or by is None or rate == 0.0:
        return x
    mask = active.mask(by, x.shape[-1], rate)
    return x if mask is None else x * mask.to(x.dtype).to(x.device)


@contextmanager
def thinned(module: nn.Module, seed: int) -> Iterator[None]:
    """While it lasts, `module` in eval mode runs with units dropped: a smaller network, by `seed`.

    Units are drawn once for each part of the module that drops some in training, and are the same
    for all rows: what comes out of a row does not depend on the others, nor on the order of calls.
    The mean over seeds is Monte Carlo dropout (Gal and Ghahramani, ICML 2016) with common random
    numbers.

    >>> from amodal.nn.blocks import Dropout
    >>> layer = Dropout(0.5).eval()
    >>> with thinned(layer, seed=1):
    ...     y = layer(torch.ones(3, 64))
    >>> bool((y == y[0]).all()), sorted(set(y[0].tolist())), bool((layer(y) == y).all())
    (True, [0.0, 2.0], True)
    """
    handles = [
        part.register_forward_hook(lambda m, _, out: thin(out, m.p, m))
        for part in module.modules()
        if isinstance(part, nn.Dropout)
    ]
    token = _ACTIVE.set(_Thinning(module, seed))
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        for handle in handles:
            handle.remove()
