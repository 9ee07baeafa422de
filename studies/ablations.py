"""Prints what the studies of parts found: a metric in a table, methods against rates, and diagnostics.

`python studies/ablations.py STUDY ...` reads `STUDY/report/tables`, which `amodal report STUDY`
writes, and prints Markdown. Means over rates are left out.
"""

from __future__ import annotations

import sys
from operator import itemgetter
from pathlib import Path

import to_markdown
from to_markdown import number, read, table, tables_of

Rows = list[dict[str, str]]

MECHANISMS = {"mcar": "Lost completely at random", "mnar": "Lost by their own values (MNAR)"}
DIAGNOSTICS = (
    "log_variance_q05",
    "log_variance_q50",
    "log_variance_q95",
    "variance_collapse",
    "attention_entropy",
    "kl_nats",
)


def code(method: str) -> str:
    return f"`{method}`"


def values(rows: Rows, metric: str, mechanism: str) -> str:
    """Methods against rates of one mechanism; nothing lost is the first."""
    rows = [r for r in rows if r["rate"] and r["mechanism"] in ("none", mechanism)]
    corner = metric.replace("_", " ")
    return to_markdown.values(rows, metric, corner=corner, method=code, at=itemgetter("rate"))


def diagnostics(rows: Rows) -> str:
    """Methods against diagnostics with nothing lost; "" where no method has variances."""
    rows = [r for r in rows if r["mechanism"] == "none"]
    found = {(r["method"], r["diagnostic"]): number(float(r["value"])) for r in rows}
    methods = [m for m in dict.fromkeys(r["method"] for r in rows) if (m, DIAGNOSTICS[0]) in found]
    head = ["with nothing lost", *(d.replace("_", " ") for d in DIAGNOSTICS)]
    body = [[code(m), *(found.get((m, d), "") for d in DIAGNOSTICS)] for m in methods]
    return table(head, body) if body else ""


def main(studies: list[str]) -> None:
    for study in studies:
        tables = tables_of(study)
        pooled = read(tables / "pooled.csv")
        mechanisms = [k for k in dict.fromkeys(r["mechanism"] for r in pooled) if k in MECHANISMS]
        print(f"## {Path(study).name}\n")
        for mechanism in mechanisms:
            if len(mechanisms) > 1:
                print(f"{MECHANISMS[mechanism]}:\n")
            for metric in [pooled[0]["metric"], "log_loss"]:
                print(values(pooled, metric, mechanism))
        print(diagnostics(read(tables / "diagnostics.csv")))


if __name__ == "__main__":
    main(sys.argv[1:])
