"""The benchmarks compare the same mathematics, and their command writes what it measured."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch_geometric") is None, reason="torch_geometric is not installed"
)


@pytest.fixture(scope="module")
def fusion(benchmark_module):
    return benchmark_module("fusion")


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fusion_equals_edge_lists_forward_and_backward(
    fusion: ModuleType, joined: bool, layers: int
) -> None:
    found = fusion.largest_differences(joined=joined, layers=layers)
    assert found.pop("largest gradient") > 1e-3
    assert max(found.values()) < 1e-6


def test_peak_counts_what_is_held_at_once(fusion: ModuleType) -> None:
    def run() -> None:
        first = torch.zeros(1000, 250)  # a megabyte
        second = first + 1
        del first
        second * 2

    assert sys.modules["measure"].peak_bytes(run) == pytest.approx(2e6, rel=0.01)


def test_times_are_medians_and_take_turns(fusion: ModuleType) -> None:
    order: list[str] = []
    variants = {name: lambda name=name: order.append(name) for name in "ab"}
    times = sys.modules["measure"].cpu_times(variants, repeats=2)
    assert order == ["a", "b"] * 3
    assert set(times) == {"a", "b"}
    assert all(0 <= x < 0.1 for x in times.values())


@pytest.mark.slow
def test_command_writes_a_table_for_every_question(fusion: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    fusion.main(["--quick", "--out", str(out)])
    text = out.read_text()
    assert text.count("\n## ") == 6
    assert "1 thread" in text
    assert "python benchmarks/fusion.py --quick" in text
    assert list(tmp_path.iterdir()) == [out]


def test_the_plain_model_is_the_same_but_for_reliability(benchmark_module) -> None:
    overhead = benchmark_module("overhead")
    from amodal.methods.imro import IMRO
    from amodal.types import Modality, Task

    modalities = [Modality(f"m{k}", "table", ("x", "y")) for k in range(3)]
    measure = sys.modules["measure"]
    fill = partial(measure.fill, steps=1)
    batch = measure.made_up(modalities, torch.rand(9, 3) < 0.7, fill)
    plain = overhead.Plain(modalities, Task("binary"), corrupt=0.0)
    whole = IMRO(modalities, Task("binary"), corrupt=0.0, weights="uniform")
    plain.prepare(batch)
    whole.load_state_dict(plain.state_dict())
    first, second = plain.eval().loss(batch)["task"], whole.eval().loss(batch)["task"]
    torch.testing.assert_close(first, second)
