"""Made-up values of each kind, for the tests of all encoders."""

from __future__ import annotations

import math

import pytest
import torch

from amodal.types import Modality
from amodal.values import Values

MODALITIES = {
    "table": Modality(
        "t", "table", features=("a", "b", "c"), levels={"u": ("x", "y"), "w": ("p", "q", "r")}
    ),
    "series": Modality("s", "series", features=("a", "b")),
    "codes": Modality("c", "codes", vocabulary=("i", "j", "k", "l"), types=("dx", "rx")),
    "embedding": Modality("e", "embedding", features=tuple(str(i) for i in range(6))),
    "text": Modality("x", "text"),
    "image": Modality("p", "image"),
    "audio": Modality("w", "audio"),
}


def hide(x, g, share=0.3):
    return torch.where(torch.rand(x.shape, generator=g) < share, math.nan, x)


def some_table(v, g, lengths):
    numeric = hide(torch.randn(v, 3, generator=g), g)
    levels = [torch.randint(-1, n, (v,), generator=g) for n in (2, 3)]
    return {"numeric": numeric, "categorical": torch.stack(levels, dim=1)}


def some_series(v, g, lengths):
    s = sum(lengths)
    times = [torch.rand(n, generator=g).sort().values for n in lengths]
    value = hide(torch.randn(s, 2, generator=g), g, 0.5)
    return {"time": torch.cat([torch.zeros(0), *times]), "value": value}


def some_codes(v, g, lengths):
    s = sum(lengths)
    code, kind = (torch.randint(-1, n, (s,), generator=g) for n in (4, 2))
    return {"code": code, "type": kind, "time": hide(torch.rand(s, generator=g), g)}


def some_embedding(v, g, lengths):
    return {"value": torch.randn(v, 6, generator=g)}


def some_text(v, g, lengths):
    """Read already: tokens."""
    return {"token": torch.randint(0, 300, (sum(lengths),), generator=g)}


def some_image(v, g, lengths):
    return {"pixels": torch.randint(0, 256, (v, 3, 16, 16), generator=g, dtype=torch.uint8)}


def some_audio(v, g, lengths):
    return {"frame": torch.randn(sum(lengths), 64, generator=g)}


MAKERS = {
    "table": some_table,
    "series": some_series,
    "codes": some_codes,
    "embedding": some_embedding,
    "text": some_text,
    "image": some_image,
    "audio": some_audio,
}
PACKED = ("series", "codes", "text", "audio")


def make_values(kind, v=6, *, seed=0, longest=9):
    """Values with missing cells, unknown levels, codes and times, and an empty sequence."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (v,), generator=g).tolist()
    if v > 2:
        lengths[2] = 0
    offsets = torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()])
    data = MAKERS[kind](v, g, lengths)
    return Values(data, offsets if kind in PACKED else None, torch.arange(v))


def pick(values, order):
    """The values at `order`, by a loop."""
    if values.offsets is None:
        return Values({k: x[order] for k, x in values.data.items()}, None, torch.arange(len(order)))
    spans = [range(*values.offsets[j : j + 2].tolist()) for j in order]
    steps = torch.tensor([i for span in spans for i in span], dtype=torch.long)
    ends = torch.tensor([0, *torch.tensor([len(x) for x in spans]).cumsum(0).tolist()])
    return Values({k: x[steps] for k, x in values.data.items()}, ends, torch.arange(len(order)))


def with_data(values, **changes):
    """The same values with some arrays replaced."""
    return Values({**values.data, **changes}, values.offsets, values.index)


@pytest.fixture
def modalities():
    return MODALITIES


@pytest.fixture
def made():
    return make_values


@pytest.fixture
def picked():
    return pick


@pytest.fixture
def changed():
    return with_data
