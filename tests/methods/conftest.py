"""Small made-up data sets for the tests of methods, as fixtures that return functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal.data.dataset import Dataset
from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.encoders import EncoderSettings
from amodal.testing import made_up
from amodal.types import Modality, Task
from amodal.values import Values


def make_task(kind: str) -> Task:
    """A task of three classes or labels where it has any number of them."""
    return Task(kind, {"multiclass": ("a", "b", "c"), "multilabel": ("u", "v", "w")}.get(kind, ()))


def make_target(kind: str, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A target that rises with `signal` ``[n]``, with noise."""
    noisy = signal + 0.5 * rng.normal(size=len(signal))
    if kind == "regression":
        return noisy
    if kind == "multiclass":
        return np.digitize(noisy, np.quantile(noisy, [1 / 3, 2 / 3])).astype(float)
    if kind == "multilabel":
        return np.column_stack([noisy > c for c in (-0.5, 0.0, 0.5)]).astype(float)
    return (noisy > 0).astype(float)


def make_rows(
    n: int = 120,
    kind: str = "binary",
    *,
    seed: int = 0,
    absent: float = 0.2,
    weight: np.ndarray | None = None,
) -> Dataset:
    """n rows of two tables: "a" (3 columns, a cell in ten missing) tells more than "b" (2)."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    a = np.column_stack([signal, 3 * rng.normal(size=n) + 5, rng.normal(size=n)])
    b = np.column_stack([signal + rng.normal(size=n), rng.normal(size=n)])
    a[:, 1:][rng.random((n, 2)) < 0.1] = np.nan
    absence = (rng.random((n, 2)) < absent).astype(np.int8)
    return tables([a, b], absence, make_target(kind, signal, rng), make_task(kind), weight=weight)


def tables(
    blocks: list[np.ndarray],
    absence: np.ndarray,
    target: np.ndarray | None,
    task: Task,
    *,
    weight: np.ndarray | None = None,
) -> Dataset:
    """A data set of tables "a", "b", ... with `absence` ``[n, m]``."""
    names = "abcdefgh"[: len(blocks)]
    modalities, values = [], {}
    every = np.arange(len(absence))
    for k, (name, x) in enumerate(zip(names, blocks, strict=True)):
        modalities.append(Modality(name, "table", tuple(f"x{j}" for j in range(x.shape[1]))))
        values[name] = Values({"numeric": x}, None, every).without(absence[:, k] != 0)
    ids = np.array([f"r{i}" for i in every], dtype=str)
    return Dataset(
        tuple(modalities), values, absence.astype(np.int8), ids, task, target, weight=weight
    )


@pytest.fixture(name="make_task")
def _make_task():
    return make_task


@pytest.fixture(name="make_rows")
def _make_rows():
    return make_rows


@pytest.fixture(name="tables")
def _tables():
    return tables


def build(kind: type, task: str = "binary", *, n: int = 40, dropout: float = 0.0, **settings):
    """(an unfitted neural method of width 8 in double precision, the batch that it was prepared on).

    The rows are `amodal.testing.made_up`'s: four kinds of modality, row 0 without any.
    """
    data = made_up(task, n)
    scaler = Scaler.fit(data)
    batch = to_batch(scaler.apply(data), dtype=torch.float64)
    encoder = EncoderSettings(width=8, depth=1, heads=2, dropout=dropout)
    torch.manual_seed(0)
    method = kind(scaler.modalities, scaler.task, encoder=encoder, **settings).double()
    method.prepare(batch)
    return method, batch


@pytest.fixture(name="build")
def _build():
    return build
