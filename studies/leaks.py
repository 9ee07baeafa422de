"""What leaks gain, one factor at a time, on MIMIC-IV or eICU-CRD (or a synthetic folder).

`python studies/leaks.py {mimic4,eicu} RAW [--task mortality] [--learner logistic ...]` prepares RAW
by the clean rules, lets one leak in at a time, and prints a Markdown table: the score with and
without it on the same rows, and the difference with a 95% interval over patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from to_markdown import number, table

from amodal import Dataset
from amodal.clinical import eicu_choices, mimic4_choices, prepare_eicu, prepare_mimic4
from amodal.clinical.leaks import LEAKS
from amodal.clinical.workspace import Machine
from amodal.disclosure import shown_count
from amodal.study.leaks import Arm, Gain, cross_scores, gain, make_learner

__all__ = ["arms", "prepare"]

SOURCES: dict[str, tuple[Callable, Callable]] = {
    "mimic4": (mimic4_choices, prepare_mimic4),
    "eicu": (eicu_choices, prepare_eicu),
}
OFFERED = {
    ("mimic4", "mortality"): ("stored", "later", "coded", "selected"),
    ("mimic4", "readmission"): ("stored", "later", "coded", "selected"),
    ("eicu", "mortality"): ("stored", "later", "coded", "apache", "selected"),
    ("eicu", "readmission"): ("stored", "later", "coded", "selected"),
}


def prepare(source: str, raw: Path, task: str, leaks: tuple[str, ...], machine: Machine) -> Dataset:
    """The data set of RAW by the clean rules, with leaks."""
    choose, make = SOURCES[source]
    choices = choose(task=task, protocol="clean", split="patient", leaks=leaks)
    return make(raw, choices=choices, machine=machine).data


def arms(source: str, raw: Path, task: str, machine: Machine) -> dict[str, Arm]:
    """The honest arm under "", and each leaky one under what it lets in."""
    clean = prepare(source, raw, task, (), machine)
    found = {
        "": Arm(clean),
        "split by row, not by patient": Arm(clean, by_group=False),
        "scales and vocabularies from all rows": Arm(clean, statistics="all"),
    }
    known = OFFERED[source, task]
    for name in known:
        found[f"{name}: {LEAKS[name]}"] = Arm(prepare(source, raw, task, (name,), machine))
    times = tuple(name for name in known if name != "selected")
    every = prepare(source, raw, task, times, machine)
    found[f"{', '.join(times)} together"] = Arm(every)
    return found


def line(name: str, found: Gain) -> list[str]:
    cells = [name]
    for metric in ("auroc", "auprc"):
        d = found.difference[metric]
        cells += [
            number(found.honest[metric].value),
            number(found.leaky[metric].value),
            f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]",
        ]
    cells += [shown_count(found.rows), shown_count(found.positive, found.rows)]
    return cells


def main() -> None:
    """Prepares, trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--task", choices=("mortality", "readmission"), default="mortality")
    parser.add_argument("--learner", nargs="+", default=["logistic"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="800MB")
    asked = parser.parse_args()
    machine = Machine(threads=asked.threads, memory=asked.memory)
    found = arms(asked.source, asked.raw, asked.task, machine)
    honest = found.pop("")
    patients = len(np.unique(honest.data.group))
    print(f"{len(honest.data):,} rows of {patients:,} patients, {asked.folds} folds.\n")
    head = ["leak", "AUROC without", "with", "gain", "AUPRC without", "with", "gain"]
    for spec in asked.learner:
        learner = make_learner(spec)
        settings = {"like": honest.data, "k": asked.folds, "seed": asked.seed}
        base = cross_scores(honest, learner, **settings)
        lines, reported = [], []
        for name, arm in found.items():
            g = gain(honest, arm, (base, cross_scores(arm, learner, **settings)))
            lines.append(line(name, g))
            if name.startswith("selected"):
                reported = [number(x) for x in g.as_reported]
            print(f"{spec}: {name}", flush=True)
        print(f"\n### {spec}\n")
        print(table([*head, "rows", "positive"], lines))
        if reported:
            print(
                f"Each arm on all rows that it labels itself: AUROC {reported[0]} with all labels, "
                f"{reported[1]} with those that muse keeps.\n"
            )


if __name__ == "__main__":
    main()
