"""One training step of the full clinical model (codes, labs, note) beside MUSE written directly.

``python benchmarks/clinical_step.py`` takes about five minutes on one idle core and replaces its
part of results.md; with ``--quick`` sizes are small, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from direct_muse import NAME_WIDTH, TEXT_TOKENS, WIDTH, DirectMuse, Padded
from efficient_muse import EfficientMuse, TorchText
from measure import Table, cpu_times, machine, markdown, ms, options, peak_bytes, step, write_part
from torch import Tensor

from amodal.batch import Batch
from amodal.encoders import EncoderSettings
from amodal.methods.aum import AUM
from amodal.nn.ragged import pad
from amodal.types import NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values

__all__ = ["Cohort", "made_cohort", "main", "our_model", "same_results", "step_table"]

ROWS, CODES, STEPS, LABS, TYPES, VOCABULARY = 1024, 64, 24, 57, 3, 10_000
PRESENCE = (0.97, 0.9, 0.6)
COMMAND = "python benchmarks/clinical_step.py"
HEAD = """# One training step of the clinical model

Written by `{command}` on a machine with {machine}. Times are CPU times of one
process: medians of repeated runs that took turns. What each line means: README.md.
"""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Made-up rows, packed for ours and padded for the direct way, and the codes' frozen vectors."""

    batch: Batch
    padded: Padded
    names: Tensor
    modalities: tuple[Modality, ...]


def _lengths(n: int, median: float, most: int) -> Tensor:
    """Lengths as in hospitals: log-normal, cut at `most`, at least 1."""
    return (median * (0.8 * torch.randn(n)).exp()).long().clamp(1, most)


def _ragged(lengths: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """(offsets of the values, index of the rows)"""
    kept = lengths[there]
    offsets = torch.cat([kept.new_zeros(1), kept.cumsum(0)])
    return offsets, torch.where(there, there.cumsum(0) - 1, -1)


def _padded(x: Tensor, values: Values, width: int) -> Tensor:
    """``[n, width, ...]``, 0 where a row has nothing."""
    some, _ = pad(x, values.offsets)
    out = x.new_zeros(len(values.index), width, *x.shape[1:])
    out[values.index >= 0, : some.shape[1]] = some
    return out


def _counts(values: Values) -> Tensor:
    return torch.where(values.index >= 0, values.lengths[values.index.clamp_min(0)], 0)


def made_cohort(n: int = ROWS, vocabulary: int = VOCABULARY, *, seed: int = 0) -> Cohort:
    """`n` rows with codes, labs (values and abnormal flags, carried forward) and notes."""
    torch.manual_seed(seed)
    there = torch.rand(n, 3) < torch.tensor(PRESENCE)
    offsets, index = _ragged(_lengths(n, 40, CODES), there[:, 0])
    s = int(offsets[-1])
    codes = {
        "code": (torch.rand(s).square() * vocabulary).long(),  # some far more often than others
        "type": torch.randint(TYPES, (s,)),
        "time": torch.rand(s),
    }
    codes = Values(codes, offsets, index)
    offsets, index = _ragged(_lengths(n, 12, STEPS), there[:, 1])
    s = int(offsets[-1])
    numbers = torch.cat([torch.randn(s, LABS), (torch.rand(s, LABS) < 0.3).float()], 1)
    numbers = torch.where(torch.rand(s, LABS).repeat(1, 2) < 0.5, numbers, 0.0)
    labs = Values({"time": torch.rand(s), "value": numbers}, offsets, index)
    text_count = torch.where(there[:, 2], _lengths(n, 200, TEXT_TOKENS), 0)
    text = torch.randint(1, 8000, (n, TEXT_TOKENS))
    text = torch.where(torch.arange(TEXT_TOKENS) < text_count[:, None], text, 0)
    label = (torch.rand(n) < 0.2).float()
    label[torch.rand(n) < 0.3] = torch.nan
    padded = Padded(
        code=_padded(codes.data["code"] + 1, codes, CODES),
        kind=_padded(codes.data["type"] + 1, codes, CODES),
        code_count=_counts(codes),
        labs=_padded(numbers, labs, STEPS),
        lab_count=_counts(labs),
        text=text,
        text_count=text_count,
        present=there,
        label=label,
    )
    names = torch.cat([torch.zeros(1, NAME_WIDTH), torch.randn(vocabulary, NAME_WIDTH)])
    note = Values({"value": torch.zeros(int(there[:, 2].sum()), WIDTH)}, None, _rows(there[:, 2]))
    absence = torch.where(there, PRESENT, NOT_MEASURED).to(torch.int8)
    values = {"codes": codes, "labs": labs, "note": note}
    batch = Batch(tuple(values), values, absence, label)
    return Cohort(batch, padded, names, _modalities(vocabulary))


def _rows(there: Tensor) -> Tensor:
    return torch.where(there, there.cumsum(0) - 1, -1)


def _modalities(vocabulary: int) -> tuple[Modality, ...]:
    features = [f"lab{k}" for k in range(LABS)] + [f"lab{k} abnormal" for k in range(LABS)]
    return (
        Modality(
            "codes",
            "codes",
            vocabulary=tuple(f"code{k}" for k in range(vocabulary)),
            types=tuple(f"type{k}" for k in range(TYPES)),
        ),
        Modality("labs", "series", tuple(features)),
        Modality("note", "embedding", tuple(f"t{k}" for k in range(WIDTH))),
    )


def with_text(batch: Batch, text: Tensor) -> Batch:
    """The batch with the notes' vectors, one per present note."""
    note = batch.values["note"]
    value = Values({"value": text[note.index >= 0]}, None, note.index)
    return batch.with_values({**batch.values, "note": value})


def our_model(cohort: Cohort, batch: Batch, settings: EncoderSettings) -> tuple[AUM, Batch]:
    """AUM in stage 2, all its terms on, and the batch as training keeps it."""
    method = AUM(cohort.modalities, Task("binary"), encoder=settings)
    if settings.names:  # the frozen vectors that the direct way reads
        named = method.encoders[0].named
        named.fit = lambda *_: None
        named.table = cohort.names
        start = torch.randn(NAME_WIDTH, settings.width) * 0.1 / NAME_WIDTH**0.5
        named.map = torch.nn.Parameter(start)
    method.prepare(batch)
    method.begin_stage(2)
    return method.train(), method.prepare_values(batch)


# -- what is shown --------------------------------------------------------------------------------


def same_results(n: int = 128, vocabulary: int = 500) -> Table:
    """The direct way against the same weights in the package's parts: largest differences."""
    cohort = made_cohort(n, vocabulary)
    direct = DirectMuse(cohort.names, TYPES, 2 * LABS).eval()
    ours = EfficientMuse(direct).eval()
    there = cohort.padded.present
    text = TorchText(direct.text)(cohort.padded.text, cohort.padded.text_count)
    theirs = direct.text(cohort.padded.text, cohort.padded.text_count)
    encoded, again = direct.encode(cohort.padded), ours.encode(with_text(cohort.batch, text))
    found = {"text": (text[there[:, 2]], theirs[there[:, 2]])}
    for k, name in enumerate(cohort.batch.names):
        found[name] = (again[:, k][there[:, k]], encoded[:, k][there[:, k]])
    rows = direct.nodes(encoded, there)
    found["rows behind the graph"] = (ours.nodes(again, there), rows)
    found["logits"] = (ours.head(found["rows behind the graph"][0]), direct.head(rows))
    for model, batch in ((direct, cohort.padded), (ours, with_text(cohort.batch, text))):
        torch.manual_seed(1)
        terms = model.loss(batch)
        sum(terms.values()).backward()
        found["loss"] = (*found.get("loss", ()), torch.stack(list(terms.values())))
    lines = [
        [name, f"{float((a - b).detach().abs().max()):.1e}", f"{float(a.detach().abs().max()):.1e}"]
        for name, (a, b) in found.items()
    ]
    head = ["", "largest difference", "largest value"]
    return "The direct way and the same weights in the package's parts", head, lines


def variants(cohort: Cohort) -> dict[str, Callable[[], None]]:
    """Training steps by name."""
    direct = DirectMuse(cohort.names, TYPES, 2 * LABS).train()
    text = TorchText(direct.text)(cohort.padded.text, cohort.padded.text_count)
    batch = with_text(cohort.batch, text)
    trained = [p for p in direct.parameters() if p.requires_grad]
    same = EfficientMuse(direct).train()
    found = {
        "direct, text in the step": step(partial(direct.loss, cohort.padded), trained),
        "direct, text cached": step(partial(direct.loss, cohort.padded, text), trained),
        "the same mathematics in the package's parts": step(
            partial(same.loss, batch), list(same.parameters())
        ),
    }
    wide = EncoderSettings(width=WIDTH, heads=2, dropout=0.25, names="given", max_events=CODES)
    for name, settings in (
        ("AUM, d = 128, names of codes, labs by GRU", wide.replace(series="gru", max_steps=STEPS)),
        ("AUM, d = 128, names of codes", wide),
        ("AUM, defaults", EncoderSettings()),
    ):
        method, kept = our_model(cohort, batch, settings)
        weights = [p for p in method.parameters() if p.requires_grad]
        found[name] = step(partial(method.loss, kept), weights)
    return found


def step_table(n: int = ROWS, vocabulary: int = VOCABULARY, *, repeats: int = 5) -> Table:
    """Time and memory of a training step of each variant, and ratios to the direct ones."""
    runs = variants(made_cohort(n, vocabulary))
    t = cpu_times(runs, repeats=repeats)
    whole, cached = (t[f"direct, text {x}"] for x in ("in the step", "cached"))
    rows = [
        [
            name,
            ms(x),
            f"{x / whole:.3f}",
            f"{x / cached:.3f}",
            f"{peak_bytes(runs[name]) / 1e6:,.0f} MB",
        ]
        for name, x in t.items()
    ]
    head = ["step", "time", "share of the first", "share of the second", "peak memory"]
    return f"A training step (n = {n})", head, rows


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints, and replaces this part of `--out`."""
    quick, out = options(__doc__, arguments)
    small = {"n": 48, "vocabulary": 100}
    tables = [same_results(**small) if quick else same_results()]
    tables.append(step_table(**small, repeats=1) if quick else step_table())
    text = [HEAD.format(command=COMMAND + " --quick" * quick, machine=machine())]
    text += [markdown(x) for x in tables]
    print("\n".join(text), flush=True)
    if out:
        write_part(out, "\n".join(text))


if __name__ == "__main__":
    main()
