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
    """Which module is running, how often it has dropped units, and the masks that were drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.running: list[list] = [["", 0]]
        self.masks: dict[tuple, Tensor] = {}

    def enter(self, name: str) -> None:
        self.running.append([name, 0])

    def leave(self) -> None:
        self.running.pop()

    def mask(self, width: int, rate: float) -> Tensor:
        """``Float64[width]`` of 0 and 1 / (1 - rate), by seed, module and number of the call."""
        name, number = self.running[-1]
        self.running[-1][1] += 1
        key = (self.seed, name, number, width, rate)
        if key not in self.masks:
            digest = hashlib.sha256(repr(key).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            draw = torch.rand(width, generator=generator, dtype=torch.float64)
            self.masks[key] = (draw >= rate) / (1 - rate)
        return self.masks[key]


_ACTIVE: ContextVar[_Thinning | None] = ContextVar("thinning", default=None)


def thin(x: Tensor, rate: float) -> Tensor:
    """`x` with the units of the present draw dropped; `x` itself outside of `thinned`."""
    active = _ACTIVE.get()
    if active is None or rate == 0.0:
        return x
    return x * active.mask(x.shape[-1], rate).to(x.dtype).to(x.device)


@contextmanager
def thinned(module: nn.Module, seed: int) -> Iterator[None]:
    """While it lasts, `module` in eval mode runs with units dropped: a smaller network, by `seed`.

    Units are drawn once for each place where training drops some, and are the same for all rows:
    what comes out of a row does not depend on the others, nor on the order of calls. The mean over
    seeds is Monte Carlo dropout (Gal and Ghahramani, ICML 2016) with common random numbers.

    >>> from amodal.nn.blocks import Dropout
    >>> layer = Dropout(0.5).eval()
    >>> with thinned(layer, seed=1):
    ...     y = layer(torch.ones(3, 64))
    >>> bool((y == y[0]).all()), sorted(set(y[0].tolist())), bool((layer(y) == y).all())
    (True, [0.0, 2.0], True)
    """
    state, handles = _Thinning(seed), []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda *_, n=name: state.enter(n)))
        if isinstance(part, nn.Dropout):
            handles.append(part.register_forward_hook(lambda m, _, out: thin(out, m.p)))
        leave = part.register_forward_hook(lambda *_: state.leave(), always_call=True)
        handles.append(leave)
    token = _ACTIVE.set(state)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        for handle in handles:
            handle.remove()
