"""CPU time, memory, made-up batches, and the machine in words."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from amodal.batch import Batch
from amodal.methods.base import NeuralMethod
from amodal.types import LOST, PRESENT, Modality
from amodal.values import Values

__all__ = [
    "Table",
    "cpu_times",
    "embedding",
    "fill",
    "machine",
    "made_up",
    "markdown",
    "ms",
    "options",
    "parameters",
    "peak_bytes",
    "step",
    "write_part",
]

Table = tuple[str, list[str], list[list[str]]]
"""Title, heads of the columns, rows."""


def cpu_times(
    variants: Mapping[str, Callable[[], object]], *, repeats: int = 7
) -> dict[str, float]:
    """Median CPU seconds of each variant, all in turn, `repeats` times after a first round.

    CPU time of this process, not the clock on the wall; taking turns, because what else the machine
    does slows all of them down alike.
    """
    # As after any larger array: glibc keeps memory from here on, and no step waits for fresh pages.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats + 1):
            for name, run in variants.items():
                start = time.process_time()
                run()
                taken[name].append(time.process_time() - start)
    finally:
        gc.enable()
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def peak_bytes(run: Callable[[], object]) -> int:
    """The most that torch held at a time of what it allocated during the second `run`."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        found.export_chrome_trace(str(file))
        trace = json.loads(file.read_text())["traceEvents"]
    events = [e for e in trace if e.get("name") == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: (e["ts"], e["args"]["Ev Idx"])):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


def step(
    loss: Callable[[], Mapping[str, Tensor]], parameters: list[nn.Parameter]
) -> Callable[[], None]:
    """A training step: loss, backward, AdamW."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2, fused=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(loss().values()).backward()
        optimizer.step()

    return run


def machine() -> str:
    """Cores, processor, and versions of what computes."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x.split(":")[1] for x in info.read_text().splitlines() if "model name" in x]
        cpu = names[0].strip() if names else cpu
    return (
        f"{os.cpu_count()} cores, {cpu}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} thread"
    )


def parameters(method: NeuralMethod, *, encoders: bool) -> list[nn.Parameter]:
    """Those of the encoders, or all others."""
    named = method.named_parameters()
    return [p for name, p in named if name.startswith("encoders.") == encoders]


def ms(seconds: float) -> str:
    """`seconds` as text."""
    return f"{seconds * 1e3:.1f} ms"


# -- results.md: a part under a heading of its own for each command --------------------------------


def markdown(found: Table) -> str:
    """A heading and a table."""
    title, head, rows = found
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(x)} |\n" for x in lines)


def options(about: str, words: list[str] | None) -> tuple[bool, Path | None]:
    """Whether `--quick` was asked, and the file to write, if any; one thread from here on."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--out", type=Path, help="Markdown file; results.md here unless --quick")
    found = parser.parse_args(words)
    torch.set_num_threads(1)
    whole = None if found.quick else Path(__file__).with_name("results.md")
    return found.quick, found.out or whole


def write_part(out: Path, text: str) -> None:
    """Replaces the part of `out` that has the same first line, ``# ...``, or adds one."""
    title = text.splitlines()[0]
    old = out.read_text() if out.exists() else ""
    parts = [f"# {x}".strip() for x in re.split(r"^# ", old, flags=re.MULTILINE) if x.strip()]
    places = [k for k, x in enumerate(parts) if x.splitlines()[0] == title]
    for k in places or [len(parts)]:
        parts[k : k + 1] = [text.strip()]
    half = out.with_name(f".{out.name}.half")
    half.write_text("\n\n".join(parts) + "\n")
    os.replace(half, out)


# -- made-up batches: standard normal numbers, targets that have nothing to do with them ----------


def made_up(
    modalities: list[Modality],
    present: Bool[Tensor, "n m"],
    fill: Callable[[Modality, Bool[Tensor, " n"]], Values],
) -> Batch:
    """A batch with a binary target; what is not present is lost."""
    absence = torch.where(present, PRESENT, LOST).to(torch.int8)
    values = {x.name: fill(x, there) for x, there in zip(modalities, present.T, strict=True)}
    target = (torch.rand(len(present)) < 0.3).float()
    return Batch(tuple(values), values, absence, target)


def _index(present: Bool[Tensor, " n"]) -> Tensor:
    return torch.where(present, present.cumsum(0) - 1, -1)


def embedding(modality: Modality, present: Bool[Tensor, " n"]) -> Values:
    """One vector per present row."""
    value = torch.randn(int(present.sum()), modality.n_features)
    return Values({"value": value}, None, _index(present))


def _table(modality: Modality, present: Bool[Tensor, " n"]) -> Values:
    """One line of numbers per present row, none missing."""
    shape = int(present.sum()), modality.n_features
    cells = {"numeric": torch.randn(shape), "categorical": torch.zeros(shape[0], 0).long()}
    return Values(cells, None, _index(present))


def _series(modality: Modality, present: Bool[Tensor, " n"], *, steps: int) -> Values:
    """`steps` observations of all variables per present row, at even times."""
    v = int(present.sum())
    time_of = torch.linspace(0, 1, steps).repeat(v)
    data = {"time": time_of, "value": torch.randn(v * steps, modality.n_features)}
    return Values(data, torch.arange(v + 1) * steps, _index(present))


def fill(modality: Modality, present: Bool[Tensor, " n"], *, steps: int) -> Values:
    """A table, or a series of `steps` observations."""
    if modality.kind == "table":
        return _table(modality, present)
    return _series(modality, present, steps=steps)
