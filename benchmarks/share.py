"""The share of a training step that fusion takes, for every neural method."""

from __future__ import annotations

import statistics
import time
from functools import partial

import torch
from measure import Table, cpu_times, fill, made_up, ms, parameters
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods import get_method
from amodal.methods.base import NeuralMethod
from amodal.types import Modality, Task

__all__ = ["NEURAL", "Parts", "share_of_fusion"]

NEURAL = {
    "AUM": ("aum", {}),
    "AUM, paper's rule": ("aum", {"aggregation": "paper"}),
    "mean": ("mean", {}),
    "concat": ("concat", {}),
    "attention": ("attention", {}),
}


class Parts:
    """Training steps of one method, whole and in parts; they share the weights and the batch.

    `whole` is an ordinary step. `encode` is what encoders do in it, towards given gradients. `cut`
    is a step that is cut where encoders end, with the time of both sides: `shares` is fusion's part.
    """

    def __init__(self, method: NeuralMethod, batch: Batch) -> None:
        self.method, self.batch = method.train(), batch
        self.inner = torch.optim.AdamW(parameters(method, encoders=True), fused=True)
        self.outer = torch.optim.AdamW(parameters(method, encoders=False), fused=True)
        self.encoded: list[tuple[Batch, bool]] = []  # and whether gradients flow
        self.shares: list[float] = []
        self.cut()

    def whole(self) -> None:
        self._clear()
        sum(self.method.loss(self.batch).values()).backward()
        self.inner.step()
        self.outer.step()

    def encode(self) -> None:
        self._clear()
        for batch, learns in self.encoded:
            with torch.set_grad_enabled(learns):
                hidden = self.method.encode(batch)
            if learns:
                hidden.backward(torch.full_like(hidden, 1e-3))
        self.inner.step()

    def cut(self) -> None:
        self._clear()
        self.encoded, ends, forward = [], [], 0.0

        def encode(batch: Batch) -> Tensor:
            nonlocal forward
            begun = time.process_time()
            hidden = type(self.method).encode(self.method, batch)
            leaf = hidden.detach().requires_grad_()
            self.encoded.append((batch, hidden.requires_grad))
            if hidden.requires_grad:
                ends.append((hidden, leaf))
            forward += time.process_time() - begun
            return leaf

        start = time.process_time()
        self.method.encode = encode
        sum(self.method.loss(self.batch).values()).backward()
        self.outer.step()
        del self.method.encode
        middle = time.process_time()
        for hidden, leaf in ends:
            hidden.backward(leaf.grad)
        self.inner.step()
        end = time.process_time()
        self.shares.append((middle - start - forward) / (end - start))

    def _clear(self) -> None:
        self.inner.zero_grad(set_to_none=True)
        self.outer.zero_grad(set_to_none=True)


def share_of_fusion(
    n: int = 32, *, steps: int = 64, depth: int = 4, width: int = 128, repeats: int = 4
) -> Table:
    """The share of a step that fusion takes, for every neural method, measured in two ways."""
    modalities = [Modality(f"s{k}", "series", tuple("abcdefgh")) for k in range(6)]
    encoder = EncoderSettings(width=width, depth=depth, series="transformer", max_steps=steps)
    torch.manual_seed(0)
    batch = made_up(modalities, torch.rand(n, 6) < 0.7, partial(fill, steps=steps))
    found, runs = {}, {}
    for title, (name, settings) in NEURAL.items():
        method = get_method(name)(modalities, Task("binary"), encoder=encoder, **settings)
        method.prepare(batch)
        found[title] = Parts(method, method.prepare_values(batch))
        for part in ("whole", "encode", "cut"):
            runs[f"{title}/{part}"] = getattr(found[title], part)
    t = cpu_times(runs, repeats=repeats)
    rows = []
    for title, parts in found.items():
        inside = statistics.median(parts.shares[2:])
        whole, alone = t[f"{title}/whole"], t[f"{title}/encode"]
        rows.append([title, ms(whole), ms(alone), f"{inside:.1%}", f"{1 - alone / whole:.1%}"])
    head = ["method", "step", "encoders alone", "fusion, timed inside", "step - encoders"]
    size = f"n = {n}, m = 6, {steps} tokens, transformers of {depth} layers, d = {width}"
    return f"Share of fusion in a step ({size})", head, rows
