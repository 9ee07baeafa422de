"""What was prepared, for people: counts of rows, labels, classes and of absence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amodal.cli.show import heading, next_step, prose, table

if TYPE_CHECKING:
    from amodal.data.dataset import Dataset

__all__ = ["show_dataset"]


def show_dataset(data: Dataset, out: Path) -> None:
    """Prints counts of rows, labels, classes and of absence; those under ten are not shown."""
    from amodal.disclosure import shown_count, shown_share
    from amodal.study.describe import describe_data

    facts = describe_data(data)
    n, labelled = facts["rows"], facts["labelled"]
    heading(f"Prepared {shown_count(n)} rows in {out}")
    parts = [f"{shown_count(labelled, n)} with an outcome" if labelled else "without outcomes"]
    if facts["groups"] not in (None, n):
        parts.append(f"{shown_count(facts['groups'])} groups")
    typer.echo("  " + ", ".join(parts))
    for line in (_target(facts), _references(data), _split(facts), _removed(data)):
        if line:
            prose(f"  {line}")
    if warning := data.provenance.get("warning"):
        prose(f"  note: {warning}")
    rows = []
    for m in facts["modalities"]:
        absent = [shown_share(m[k] / n if n else None, n) for k in ("not_measured", "lost")]
        size = f"{m['features']:,}" if m["features"] else ""
        rows.append([m["name"], m["kind"], size, *absent])
    typer.echo()
    columns = ("modality", "kind", "features", "not measured", "lost")
    table(columns, rows, right=columns[2:])
    if labelled:
        method = "imro" if data.task.kind == "sequence" else "aum"
        next_step("amodal", "train", out, "--method", method, "--out", "RUN")


def _target(facts: dict) -> str:
    from amodal.disclosure import shown_count, shown_counts

    target, task = facts.get("target"), facts["task"]
    if not target:
        return ""
    name = f"{task['name']} ({task['kind']})" if task.get("name") else task["kind"]
    if task["kind"] == "sequence":
        return name
    if "counts" in target:
        told = shown_counts(target["counts"])
    elif "positive" in target:
        told = {k: shown_count(v, facts["labelled"]) for k, v in target["positive"].items()}
    elif facts["labelled"] < 10:
        return name  # mean and deviation of a few rows tell their values
    else:
        told = {k: f"{v:.4g}" for k, v in target.items()}
    first = [f"{k} {v}" for k, v in list(told.items())[:12]]
    return f"{name}: " + ", ".join(first) + (", ..." if len(told) > 12 else "")


def _references(data: Dataset) -> str:
    """How many right answers there are, where rows have several."""
    from amodal.disclosure import shown_count

    if data.references is None:
        return ""
    return f"{shown_count(sum(map(len, data.references)))} references"


def _split(facts: dict) -> str:
    from amodal.disclosure import shown_counts

    if not facts["published_split"]:
        return ""
    told = shown_counts(facts["published_split"])
    return "published split: " + ", ".join(f"{k or 'free'} {v}" for k, v in told.items())


def _removed(data: Dataset) -> str:
    """What cleaning did to the raw values, where the reader counted it."""
    from amodal.disclosure import shown_count

    counts = data.provenance.get("counts", {})
    other = data.provenance.get("lines_of_other_rows", {})
    total = {k: sum(v.values()) if isinstance(v, Mapping) else v for k, v in counts.items()}
    told = {k.replace("_", " "): v for k, v in total.items() if k not in ("stays", "labelled")}
    told |= {f"lines of {name} without a row": v for name, v in other.items()}
    words = [f"{k} {shown_count(v)}" for k, v in told.items() if v]
    return "raw values: " + ", ".join(words) if words else ""
