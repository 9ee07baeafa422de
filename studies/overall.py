"""One method over several studies: against each one's best baseline, and ranks over data sets.

`python studies/overall.py STUDY ...` reads `STUDY/report/tables`, which `amodal report STUDY`
writes, and prints Markdown. The method is the study's reference; the metric is the study's primary
one, higher being better. A method counts as the same whether or not it is an ensemble: where a study
has both, its plain form is ranked.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
from to_markdown import interval, number, point, read, table, tables_of

from amodal.analysis.ranks import Ranking, rank_methods


def plain(method: str) -> str:
    """The method without what makes an ensemble of it.

    >>> plain("aum:ensemble=5:cross=on"), plain("aum:aggregation=paper")
    ('aum', 'aum:aggregation=paper')
    """
    return re.sub(r":(ensemble=\d+|cross=on)", "", method)


class Study:
    """The tables of a study's report that are read here."""

    def __init__(self, folder: str) -> None:
        tables = tables_of(folder)
        facts = json.loads((Path(folder) / "study.json").read_text())["plan"]
        self.name = Path(folder).name.removesuffix("-study")
        self.metric, self.reference = facts["metrics"][0], facts["reference"]
        pooled = [r for r in read(tables / "pooled.csv") if r["metric"] == self.metric]
        self.values = {(r["method"], point(r)): float(r["value"]) for r in pooled}
        self.against = [
            r
            for r in read(tables / "against_best_baseline.csv")
            if (r["metric"], r["method"]) == (self.metric, self.reference)
        ]
        if not self.against:
            sys.exit(
                f"{self.reference} is compared with no baseline in {folder}; name one as a method"
            )

    def means(self) -> dict[str, float]:
        """Method -> the mean over the points, by its plain name; the reference is `aum` itself."""
        named = {plain(m): m for m, _ in self.values}
        named |= {m: m for m, _ in self.values if m == plain(m)}
        named[plain(self.reference)] = self.reference
        points = {p for _, p in self.values}
        return {
            name: float(np.mean([self.values[m, p] for p in points]))
            for name, m in named.items()
            if all((m, p) in self.values for p in points)
        }


def differences(studies: list[Study]) -> str:
    """Each study's method against its best baseline at each rate, and the mean over studies."""
    points = [point(r) for r in studies[0].against]
    body = []
    for s in studies:
        found = {point(r): r for r in s.against}
        cells = [f"{interval(found[p], 'difference')} {plain(found[p]['other'])}" for p in points]
        body.append([s.name, s.metric, *cells])
    mean = [
        np.mean([float({point(r): r for r in s.against}[p]["difference"]) for s in studies])
        for p in points
    ]
    body.append(["mean", "", *(number(float(x)) for x in mean)])
    return table(["data set", "metric", *points], body)


def ranking(studies: list[Study]) -> Ranking:
    """Ranks of the methods that all studies have."""
    means = [s.means() for s in studies]
    shared = [m for m in means[0] if all(m in found for found in means)]
    values = np.array([[found[m] for m in shared] for found in means])
    return rank_methods(values, shared, [s.name for s in studies], metric="accuracy")


def ranks(found: Ranking) -> str:
    rows = [
        [r["method"], f"{r['mean_rank']:.2f}", *(number(r[n]) for n in found.data_sets)]
        for r in found.rows()
    ]
    return table(["method", "mean rank", *found.data_sets], rows)


def main(*folders: str) -> None:
    studies = [Study(f) for f in folders]
    print(f"{differences(studies)}\n{ranks(ranking(studies))}")
    found = ranking(studies)
    print(
        found.why_not or f"All alike: p = {found.p:.2g}; critical difference {found.critical:.2f}."
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
