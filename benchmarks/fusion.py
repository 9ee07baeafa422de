"""Speed and memory of fusion beside edge lists, encoders and other methods; prints ratios.

``python benchmarks/fusion.py`` takes about three minutes on one idle core and writes results.md;
with ``--quick`` sizes are small, it takes a few seconds and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from edge_list import EdgeListAUM
from measure import (
    Table,
    cpu_times,
    embedding,
    fill,
    machine,
    made_up,
    markdown,
    ms,
    options,
    parameters,
    peak_bytes,
    step,
    write_part,
)
from share import share_of_fusion
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.aum import AUM
from amodal.types import Modality, Task

__all__ = ["beside_edge_lists", "by_rows", "falls_with_absence", "largest_differences", "main"]

ROWS, MODALITIES, WIDTH, PRESENCE = 1024, 6, 128, 0.7
COMMAND = "python benchmarks/fusion.py"
HEAD = """# Speed and memory of fusion

Written by `{command}` on a machine with {machine}. Times are CPU times of one
process: medians of repeated runs that took turns. What each table means: README.md.
"""


# -- what is compared -----------------------------------------------------------------------------


def fusion_only(
    n: int, *, m: int = MODALITIES, d: int = WIDTH, dropout: float = 0.1, **settings: float
) -> tuple[AUM, Batch, Tensor]:
    """An AUM in training, its encoders replaced by what they gave: `hidden`."""
    torch.manual_seed(0)
    modalities = [Modality(f"m{k}", "embedding", ("x",)) for k in range(m)]
    encoder = EncoderSettings(width=d, depth=1, dropout=dropout)
    if "corrupt" in AUM.settings():  # encodes the batch once more, and is not fusion
        settings = {"corrupt": 0.0, "aggregation": "paper", **settings}
    method = AUM(modalities, Task("binary"), encoder=encoder, **settings)
    with torch.no_grad():
        for weight in method.parameters():  # some start at 0, and hide what they multiply
            weight += torch.randn_like(weight) * (0.1 if weight.ndim == 1 else 0.3 * d**-0.5)
    batch = made_up(modalities, torch.rand(n, m) < PRESENCE, embedding)
    method.prepare(batch)
    hidden = torch.where(batch.present[..., None], torch.randn(n, m, d), 0.0).requires_grad_()
    method.encode = lambda _: hidden
    return method.train(), batch, hidden


def largest_differences(
    n: int = 64, d: int = 16, *, joined: bool = False, layers: int = 2
) -> dict[str, float]:
    """Loss and gradients, ours minus edge lists, in double precision, both in training."""
    method, batch, hidden = fusion_only(n, d=d, dropout=0.0, layers=layers)
    method.double()
    batch = batch.to("cpu", torch.float64)
    mine, other = (hidden.detach().double().requires_grad_() for _ in range(2))
    method.encode = lambda _: mine
    edges = EdgeListAUM(method, joined=joined).train()
    found = []
    for loss in (lambda: method.loss(batch), lambda: edges.loss(other, batch)):
        torch.manual_seed(1)  # of the latent's noise and of the second view
        found.append(loss())
        sum(found[-1].values()).backward()
    terms = max(float((x - found[1][k]).detach().abs()) for k, x in found[0].items())
    ours = {k.removeprefix("graph."): x for k, x in method.named_parameters()}
    pairs = [(ours[name].grad, p.grad) for name, p in edges.named_parameters()]
    weights = max(float((a - b).abs().max()) for a, b in pairs)
    largest = max(float(a.abs().max()) for a, _ in pairs)
    rows = float((mine.grad - other.grad).abs().max())
    return {"loss": terms, "rows": rows, "weights": weights, "largest gradient": largest}


def equality() -> Table:
    """The largest differences between ours and edge lists."""
    ways = {"[x ; e]": largest_differences(joined=True), "split": largest_differences(joined=False)}
    head = ["edge list", *ways["split"]]
    rows = [[name, *(f"{x:.1e}" for x in found.values())] for name, found in ways.items()]
    return "Ours minus edge lists, in double precision: largest differences", head, rows


def beside_edge_lists(n: int = ROWS, *, repeats: int = 9) -> Table:
    """One training step of the fusion, ours and with edge lists."""
    rows = []
    for title, settings in (
        ("the whole step", {}),
        ("without dropout", {"dropout": 0.0}),
        ("without contrast and dropout", {"dropout": 0.0, "contrast": 0.0}),
    ):
        method, batch, hidden = fusion_only(n, **settings)
        variants = {"ours": step(partial(method.loss, batch), parameters(method, encoders=False))}
        for joined in (True, False):
            other = EdgeListAUM(method, joined=joined).train()
            run = step(partial(other.loss, hidden, batch), list(other.parameters()))
            variants["joined" if joined else "split"] = run
        t = cpu_times(variants, repeats=repeats)
        ratios = [f"{t[name] / t['ours']:.2f}" for name in ("joined", "split")]
        rows.append([title, *(ms(t[name]) for name in variants), *ratios])
    head = ["fusion of one training step", "ours", "edge list, [x ; e]", "edge list, split"]
    title = f"Beside edge lists in torch_geometric (n = {n}, m = {MODALITIES}, d = {WIDTH})"
    return title, [*head, "ratio, [x ; e]", "ratio, split"], rows


def falls_with_absence(n: int = 96, *, repeats: int = 7) -> Table:
    """Full training steps with encoders, the share of absent pairs growing."""
    modalities = [Modality(f"t{k}", "table", tuple("abcdefghijklmnop")) for k in range(3)]
    modalities += [Modality(f"s{k}", "series", tuple("abcd")) for k in range(3)]
    encoder = EncoderSettings(width=64, depth=2, series="transformer", table="tokens", max_steps=24)
    torch.manual_seed(0)
    draw = torch.rand(n, len(modalities))
    variants = {}
    for rate in (0.0, 0.3, 0.5, 0.7, 0.9):
        method = AUM(modalities, Task("binary"), encoder=encoder, aggregation="paper")
        batch = made_up(modalities, draw >= rate, partial(fill, steps=24))
        method.prepare(batch)
        batch = method.prepare_values(batch)
        variants[f"{rate:g}"] = step(partial(method.train().loss, batch), list(method.parameters()))
    t = cpu_times(variants, repeats=repeats)
    title = (
        f"A full step by the share of absent pairs (n = {n}: 3 tables and 3 series, transformers)"
    )
    rows = [
        ["time", *(ms(x) for x in t.values())],
        ["ratio to none absent", *(f"{x / t['0']:.2f}" for x in t.values())],
    ]
    return title, ["absent", *t], rows


def by_rows(sizes: tuple[int, ...], *, contrast: bool, repeats: int = 5) -> Table:
    """Time and memory per row of fusion, forward and backward, by the rows in a batch."""
    runs, memory = {}, []
    for n in sizes:
        method, batch, hidden = fusion_only(n, contrast=0.1 if contrast else 0.0)
        runs[str(n)] = partial(_forward_backward, method, batch, hidden)
        memory.append(peak_bytes(runs[str(n)]) / n)
    times = cpu_times(runs, repeats=repeats)
    t = [x / n for n, x in zip(sizes, times.values(), strict=True)]
    rows = [
        ["time per row", *(f"{x * 1e6:.0f} us" for x in t)],
        ["ratio to the first", *(f"{x / t[0]:.2f}" for x in t)],
        ["peak memory per row", *(f"{x / 1024:.0f} KiB" for x in memory)],
        ["ratio to the first", *(f"{x / memory[0]:.2f}" for x in memory)],
    ]
    name = "Fusion with contrast (each row with each other row)" if contrast else "Fusion alone"
    return f"{name}, by the number of rows in a batch", ["n", *runs], rows


def _forward_backward(method: AUM, batch: Batch, hidden: Tensor) -> None:
    hidden.grad = None
    method.zero_grad()
    sum(method.loss(batch).values()).backward()


# -- printing -------------------------------------------------------------------------------------


def measurements(quick: bool) -> list[Callable[[], Table]]:
    """What is measured, in order."""
    if quick:
        return [
            partial(beside_edge_lists, 64, repeats=1),
            partial(falls_with_absence, 8, repeats=1),
            partial(by_rows, (32, 64), contrast=False, repeats=1),
            partial(by_rows, (32, 64), contrast=True, repeats=1),
            partial(share_of_fusion, 4, steps=8, depth=1, width=32, repeats=1),
        ]
    return [
        beside_edge_lists,
        falls_with_absence,
        partial(by_rows, (512, 1024, 2048, 4096, 8192, 16384), contrast=False),
        partial(by_rows, (512, 1024, 2048, 4096), contrast=True),
        share_of_fusion,
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints, and writes `--out`."""
    quick, out = options(__doc__, arguments)
    text = [HEAD.format(command=COMMAND + " --quick" * quick, machine=machine())]
    text.append(markdown(equality()))
    print("\n".join(text), flush=True)
    for measure in measurements(quick):
        text.append(markdown(measure()))
        print(text[-1], flush=True)
    if out:
        write_part(out, "\n".join(text))


if __name__ == "__main__":
    main()
