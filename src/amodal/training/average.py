"""A running average of weights: what is judged and kept."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

__all__ = ["RunningAverage"]


class RunningAverage:
    """Exponential moving average of a module's parameters; its buffers are copied.

    The first call takes the weights as they are; call t, from 1, moves the average towards them by
    1 - k, k = min(memory, (1 + t) / (10 + t)): short at first, else early weights would linger.

    One fused call a step: `torch.optim.swa_utils.AveragedModel` looks its parameters up anew each
    time, which takes longer than a small model's forward pass.

    Args:
        source: the module that is trained.
        memory: k in the long run, in [0, 1).

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = RunningAverage(layer, 0.5)
    >>> for value in (1.0, 2.0, 4.0):
    ...     with torch.no_grad():
    ...         _ = layer.weight.fill_(value)
    ...     average.update()
    >>> round(average.module.weight.item(), 4)  # 1; 2 - 1 * 2/11; 4 - 2.1818 * 3/12
    3.4545
    """

    def __init__(self, source: nn.Module, memory: float) -> None:
        self.module = deepcopy(source)
        self.memory, self.count = memory, 0
        self._ours, self._theirs = _tensors(self.module), _tensors(source)

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights as they are now."""
        keep = min(self.memory, (1 + self.count) / (10 + self.count)) if self.count else 0.0
        (ours, our_rest), (theirs, their_rest) = self._ours, self._theirs
        if ours:
            torch._foreach_lerp_(ours, theirs, 1 - keep)
        if our_rest:
            torch._foreach_copy_(our_rest, their_rest)
        self.count += 1

    def state_dict(self) -> dict[str, Tensor]:
        """What `load_state_dict` reads."""
        state = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        return state | {"count": torch.tensor(self.count)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from there."""
        own = {k.removeprefix("module."): v for k, v in state.items() if k != "count"}
        self.module.load_state_dict(own)
        self.count = int(state["count"])


def _tensors(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Its parameters, and its buffers."""
    return [p.detach() for p in module.parameters()], list(module.buffers())
