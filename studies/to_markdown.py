"""Prints the tables of a study's report as Markdown.

`python studies/to_markdown.py STUDY [METRIC ...]` reads `STUDY/report/tables`, which
`amodal report STUDY` writes. No row of any data is in them.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amodal.metrics import Interval

METRICS = ("auroc", "auprc", "log_loss", "ece", "calibration_slope", "accuracy")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tables_of(study: str) -> Path:
    """The folder of tables in a study's report; ends the script where there is none."""
    tables = Path(study) / "report" / "tables"
    if not read(tables / "pooled.csv"):
        sys.exit(f"tables come with a study's report; {study} has none; run amodal report {study}")
    return tables


def number(x: float) -> str:
    """Three decimals, without a leading zero.

    >>> number(0.5), number(-0.25), number(10.5)
    ('.500', '-.250', '10.500')
    """
    return re.sub(r"^(-?)0\.", r"\1.", f"{x:.3f}")


def interval(row: dict[str, str], value: str = "value") -> str:
    """A value with both ends of its 95% interval.

    >>> interval({"value": "0.5", "low": "0.41", "high": "0.6"})
    '.500 [.410, .600]'
    """
    return with_ends(*(float(row[k]) for k in (value, "low", "high")))


def estimate(found: Interval) -> str:
    """The same of a metric as `amodal.metrics.score` gives it."""
    return with_ends(found.value, found.low, found.high)


def with_ends(value: float, low: float, high: float) -> str:
    return f"{number(value)} [{number(low)}, {number(high)}]"


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)]) + "\n"


def point(row: dict[str, str]) -> str:
    rate = row["rate"] or "mean over rates"
    plain = row["mechanism"] == "none" or not rate[:1].isdigit()
    return rate if plain else f"{rate} {row['mechanism']}"


def values(
    rows: list[dict[str, str]],
    metric: str,
    *,
    corner: str = "method",
    method: Callable[[str], str] = str,
    at: Callable[[dict[str, str]], str] = point,
) -> str:
    """Methods against rates; `corner` heads the methods, `method` and `at` write both."""
    rows = [r for r in rows if r["metric"] == metric]
    points = list(dict.fromkeys(at(r) for r in rows))
    methods = list(dict.fromkeys(r["method"] for r in rows))
    found = {(r["method"], at(r)): interval(r) for r in rows}
    body = [[method(m), *(found.get((m, p), "") for p in points)] for m in methods]
    return table([corner, *points], body)


def differences(rows: list[dict[str, str]], metric: str) -> str:
    """Methods against the best baseline at each rate, paired."""
    body = [
        [r["method"], point(r), r["other"], interval(r, "difference"), r["verdict"]]
        for r in rows
        if r["metric"] == metric
    ]
    return table(["method", "absent", "best baseline", "difference", "verdict"], body)


def main(study: str, *metrics: str) -> None:
    tables = tables_of(study)
    pooled = read(tables / "pooled.csv")
    against = read(tables / "against_best_baseline.csv")
    known = {r["metric"] for r in pooled}
    for metric in metrics or METRICS:
        if metric in known:
            print(f"### {metric}\n\n{values(pooled, metric)}")
            if any(r["metric"] == metric for r in against):
                print(f"{differences(against, metric)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
