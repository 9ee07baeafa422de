"""What weighing by reliability adds to a training step of the same model with plain attention.

``python benchmarks/overhead.py`` takes about two minutes on one idle core and replaces its part of
results.md; with ``--quick`` sizes are small, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from measure import (
    Table,
    cpu_times,
    fill,
    machine,
    made_up,
    markdown,
    ms,
    options,
    step,
    write_part,
)
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.imro import IMRO, Seen
from amodal.types import Modality, Task

__all__ = ["Plain", "main", "overhead"]

COMMAND = "python benchmarks/overhead.py"
HEAD = """# What reliability adds to a training step

Written by `{command}` on a machine with {machine}. Times are CPU times of one
process: medians of repeated runs that took turns. What each line means: README.md.
"""
SETTINGS: Mapping[str, dict] = {
    "plain attention": {},
    "reliability": {},
    "reliability, bound measured": {"stability": True},
    "reliability, noise in training": {"corrupt": 0.2},
}


class Plain(IMRO):
    """The same encoders, attention and head with equal weights, and nothing that R needs."""

    def look(self, batch: Batch) -> Seen:
        encoded = self.encode_tokens(batch)
        index = torch.stack([batch.values[name].index for name in self.names], 1)
        none = torch.zeros(index.shape)
        pooled = pad_sequence([e.pooled for e in encoded])
        return Seen(encoded, index, pooled, none[..., None], none, none)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        seen = self.look(batch)
        return {"task": self.task_loss(self.fuse(batch, seen, self.shares(seen)), batch)}


def overhead(kind: str, n: int, *, tokens: int, depth: int, width: int, repeats: int) -> Table:
    """Times of a training step of six modalities, present with probability 0.7."""
    modalities = [Modality(f"m{k}", kind, tuple("abcdefgh")) for k in range(6)]
    encoder = EncoderSettings(width=width, depth=depth, series="transformer", max_steps=tokens)
    torch.manual_seed(0)
    batch = made_up(modalities, torch.rand(n, 6) < 0.7, partial(fill, steps=tokens))
    runs = {}
    for title, settings in SETTINGS.items():
        cls = Plain if title == "plain attention" else IMRO
        settings = {"corrupt": 0.0, **settings}
        method = cls(modalities, Task("binary"), encoder=encoder, **settings).train()
        method.prepare(batch)
        ready = method.prepare_values(batch)
        parameters = list(method.parameters())
        runs[title] = step(partial(method.loss, ready), parameters)
    times = cpu_times(runs, repeats=repeats)
    base = times["plain attention"]
    rows = [
        [t, ms(x), "" if t == "plain attention" else f"{x / base - 1:+.1%}"]
        for t, x in times.items()
    ]
    size = f"n = {n}, m = 6, {kind}, d = {width}"
    if kind == "series":
        size += f", {tokens} tokens, transformers of {depth} layers"
    return f"A training step ({size})", ["", "step", "more than plain"], rows


def main(words: list[str] | None = None) -> None:
    """The command."""
    quick, out = options(__doc__, words)
    if quick:
        found = [overhead("series", 8, tokens=6, depth=1, width=16, repeats=2)]
    else:
        found = [
            overhead("series", 32, tokens=64, depth=4, width=128, repeats=9),
            overhead("series", 128, tokens=24, depth=2, width=64, repeats=15),
            overhead("table", 128, tokens=1, depth=1, width=32, repeats=41),
        ]
    command = f"{COMMAND} --quick" if quick else COMMAND
    text = HEAD.format(command=command, machine=machine())
    text += "\n" + "\n".join(markdown(table) for table in found)
    print(text)
    if out is not None:
        write_part(out, text)


if __name__ == "__main__":
    main()
