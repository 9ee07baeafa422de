"""Characteristics of the rows by outcome and by split ("Table 1"), as exact numbers.

They are for one's own eyes: `shown_characteristics` is what a report shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.disclosure import SMALLEST, is_small

__all__ = [
    "characteristics",
    "shown_characteristics",
    "smd_of_levels",
    "smd_of_numbers",
    "table_column",
]

_MOST_VARIABLES, _MOST_LEVELS, _MOST_CLASSES = 60, 10, 4
_OTHER, _UNKNOWN = "other", "not known"

Groups = Sequence[tuple[str, str, np.ndarray]]
"""(what it is a part of: "all", "outcome" or "split"; name; Bool[n])"""


def characteristics(
    data: Dataset,
    columns: Mapping[str, np.ndarray],
    *,
    parts: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Numbers and shares of labelled rows: all, by class of the target, by part of a split.

    Variables are the facts, the named columns, which modalities are present, and the columns of
    tables, 60 at most. Differences between the two classes of a binary target, and between the two
    parts, are standardised mean differences.

    Args:
        data: all rows.
        columns: name -> ``str[n]``, told besides the facts.
        parts: "development" and "test" -> positions; None for no such columns.

    Returns:
        ``groups`` (``of``, ``name``, ``n``), ``variables`` (``name``, ``kind`` and, in the order of
        the groups, ``cells`` of numbers or ``levels`` with ``counts``; ``smd`` by what is compared),
        ``left_out`` (variables beyond 60).

    >>> d = Dataset.from_arrays({"a": [[1.0], [3.0]]}, [0, 1])
    >>> found = characteristics(d, {})
    >>> [g["name"] for g in found["groups"]], found["variables"][1]["cells"][0]["mean"]
    (['all rows', '0', '1'], 2.0)
    """
    groups = _groups(data, parts)
    every = [*_texts(data, columns), *_numbers(data)]
    kept = every[:_MOST_VARIABLES]
    return {
        "groups": [{"of": of, "name": name, "n": int(rows.sum())} for of, name, rows in groups],
        "variables": [_described(name, x, groups) for name, x in kept],
        "left_out": len(every) - len(kept),
    }


def _groups(data: Dataset, parts: Mapping[str, np.ndarray] | None) -> Groups:
    labelled = data.labelled
    found = [("all", "all rows", labelled)]
    task = data.task
    if task is not None and task.kind in ("binary", "multiclass"):
        classes = task.classes or ("0", "1")
        if len(classes) <= _MOST_CLASSES:
            found += [
                ("outcome", str(c), labelled & (data.target == k)) for k, c in enumerate(classes)
            ]
    for name, rows in (parts or {}).items():
        here = np.zeros(len(data), dtype=bool)
        here[rows] = True
        found.append(("split", name, here & labelled))
    return found


def _texts(data: Dataset, columns: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Variables of levels: facts, named columns, presence, categorical columns of tables."""
    found = {**data.facts, **columns}
    yes = np.array(["no", "yes"])
    found |= {f"{n} present": yes[data.present[:, k].astype(int)] for k, n in enumerate(data.names)}
    for m in data.modalities:
        if m.kind == "table":
            found |= {f"{m.name}.{c}": table_column(data, m.name, c) for c in m.levels}
    return [(k, np.where(x == "", _UNKNOWN, x)) for k, x in found.items()]


def _numbers(data: Dataset) -> list[tuple[str, np.ndarray]]:
    found = []
    for m in data.modalities:
        if m.kind == "table":
            values = data.values[m.name]
            wide = values.data["numeric"]
            names = m.features or [f"x{j}" for j in range(wide.shape[1])]
            for j, name in enumerate(names):
                one = np.append(wide[:, j].astype(np.float64), np.nan)[values.index]
                found.append((f"{m.name}.{name}", one))
    return found


def _described(name: str, x: np.ndarray, groups: Groups) -> dict[str, Any]:
    pairs = {of: [rows for kind, _, rows in groups if kind == of] for of in ("outcome", "split")}
    pairs = {of: two for of, two in pairs.items() if len(two) == 2}
    if x.dtype.kind == "f":
        cells = [_number_cell(x[rows]) for _, _, rows in groups]
        smd = {of: smd_of_numbers(x[a], x[b]) for of, (a, b) in pairs.items()}
        return {"name": name, "kind": "numbers", "cells": cells, "smd": smd}
    x = _fewer(x)
    names = sorted(set(x.tolist()), key=lambda v: (v in (_OTHER, _UNKNOWN), v))
    table = np.array([[np.sum(x[rows] == v) for _, _, rows in groups] for v in names])
    order = [k for k in range(len(names)) if table[k].sum()]
    levels = [{"name": names[k], "counts": table[k].tolist()} for k in order]
    smd = {of: smd_of_levels(x[a], x[b]) for of, (a, b) in pairs.items()}
    return {"name": name, "kind": "levels", "levels": levels, "smd": smd}


def _number_cell(x: np.ndarray) -> dict[str, float | int]:
    known = x[~np.isnan(x)]
    if not len(known):
        return {"known": 0}
    q1, median, q3 = np.quantile(known, (0.25, 0.5, 0.75)).tolist()
    sd = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    mean = float(known.mean())
    return {"known": len(known), "mean": mean, "sd": sd, "q1": q1, "median": median, "q3": q3}


def _fewer(x: np.ndarray) -> np.ndarray:
    """At most ten levels: the rarest become "other"."""
    names, counts = np.unique(x, return_counts=True)
    if len(names) <= _MOST_LEVELS:
        return x
    kept = names[np.argsort(-counts, kind="stable")[: _MOST_LEVELS - 1]]
    return np.where(np.isin(x, [*kept, _UNKNOWN]), x, _OTHER)


def table_column(data: Dataset, table: str, column: str) -> np.ndarray:
    """A column of a table for every row: floats (NaN) or texts ("" where unknown)."""
    m, values = data.modality(table), data.values[table]
    if column in m.features:
        one = values.data["numeric"][:, m.features.index(column)].astype(np.float64)
        return np.append(one, np.nan)[values.index]
    place = values.data["categorical"][:, list(m.levels).index(column)]
    texts = np.array([*m.levels[column], ""], dtype=str)
    return texts[np.append(place, -1)[values.index]]


def smd_of_numbers(a: np.ndarray, b: np.ndarray) -> float:
    """Standardised mean difference: (mean b - mean a) / sqrt((var a + var b) / 2), NaN left out.

    NaN where either has fewer than two known values, or neither varies.

    Reference: Austin, Stat Med 28, 2009.

    >>> round(smd_of_numbers(np.array([0.0, 2.0]), np.array([1.0, 3.0])), 4)  # 1 / sqrt(2)
    0.7071
    """
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if min(len(a), len(b)) < 2:
        return float("nan")
    spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return float((b.mean() - a.mean()) / spread) if spread > 0 else float("nan")


def smd_of_levels(a: np.ndarray, b: np.ndarray) -> float:
    """Standardised difference of a variable with levels: the Mahalanobis distance of its shares.

    With shares p (without those of one level) and covariances diag(p) - p p' of both groups, S their
    mean: sqrt((p_b - p_a)' S^-1 (p_b - p_a)). At least 0; for two levels |p_b - p_a| / sqrt((p_a (1 -
    p_a) + p_b (1 - p_b)) / 2). NaN where a group is empty or nothing varies.

    Reference: Yang and Dalton, SAS Global Forum 2012, paper 335.

    >>> round(smd_of_levels(np.array(list("xxyy")), np.array(list("xyyy"))), 4)  # .25 / sqrt(.21875)
    0.5345
    """
    names = np.unique(np.concatenate([a, b]))
    if not (len(a) and len(b)) or len(names) < 2:
        return float("nan")
    p, q = (np.array([np.mean(x == v) for v in names[1:]]) for x in (a, b))
    middle = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    return float(np.sqrt((q - p) @ np.linalg.pinv(middle, hermitian=True) @ (q - p)))


# -- as it may be shown ---------------------------------------------------------------------------

_HIDDEN = "not shown"


def shown_characteristics(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The characteristics as a table of texts from which no count of 1 to 9 follows.

    One dict per variable, or level of one: ``characteristic``, one entry per group, and ``SMD`` for
    each comparison. Counts and shares of a level that is small in any group are hidden in all
    groups, together with those of another level; so is their difference. Groups of under ten rows
    are left out with what they are compared with.

    Args:
        found: as `characteristics` gives it; empty for no rows.
    """
    if not found:
        return []
    small = {g["of"] for g in found["groups"] if g["n"] < SMALLEST}
    kept = [k for k, g in enumerate(found["groups"]) if g["of"] not in small]
    groups = [found["groups"][k] for k in kept]
    heads = [g["name"] if g["of"] != "outcome" else f"outcome: {g['name']}" for g in groups]
    compared = sorted({of for v in found["variables"] for of in v["smd"]} - small)
    rows = [_line("rows", heads, [f"{g['n']:,}" for g in groups], dict.fromkeys(compared, ""))]
    for variable in found["variables"]:
        smd = {of: _smd(variable["smd"].get(of)) for of in compared}
        if variable["kind"] == "numbers":
            cells = [variable["cells"][k] for k in kept]
            rows += _number_lines(variable["name"], heads, cells, groups, smd)
        else:
            counts = {v["name"]: [v["counts"][k] for k in kept] for v in variable["levels"]}
            rows += _level_lines(variable["name"], heads, counts, groups, smd)
    return rows


def _line(name: str, heads: Sequence[str], cells: Sequence[str], smd: Mapping[str, str]) -> dict:
    told = {f"SMD by {of}": text for of, text in smd.items()}
    return {"characteristic": name, **dict(zip(heads, cells, strict=True)), **told}


def _smd(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.2f}"


def _number_lines(
    name: str,
    heads: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    smd: Mapping[str, str],
) -> list[dict[str, str]]:
    """Mean (SD); median [quartiles] where twenty are known; and how many are."""
    known = [c["known"] for c in cells]
    lacking = [g["n"] - k for g, k in zip(groups, known, strict=True)]
    hide = any(map(is_small, [*known, *lacking]))
    told = []
    for c in cells:
        if c["known"] < SMALLEST:
            told.append(_HIDDEN if c["known"] else "none known")
            continue
        text = f"{c['mean']:.4g} ({c['sd']:.3g})"
        if c["known"] >= 2 * SMALLEST:
            text += f"; {c['median']:.4g} [{c['q1']:.4g}, {c['q3']:.4g}]"
        told.append(text)
    shown = smd if min(known) >= SMALLEST else dict.fromkeys(smd, _HIDDEN)
    rows = [_line(f"{name}: mean (SD); median [quartiles]", heads, told, shown)]
    if any(lacking):
        counts = [_HIDDEN if hide else f"{k:,}" for k in known]
        rows.append(_line(f"{name}: known", heads, counts, dict.fromkeys(smd, "")))
    return rows


def _level_lines(
    name: str,
    heads: Sequence[str],
    counts: Mapping[str, Sequence[int]],
    groups: Sequence[Mapping[str, Any]],
    smd: Mapping[str, str],
) -> list[dict[str, str]]:
    hidden = {level for level, each in counts.items() if any(map(is_small, each))}
    if len(hidden) == 1 and len(counts) > 1:
        rest = [level for level in counts if level not in hidden]
        hidden.add(min(rest, key=lambda level: sum(counts[level])))
    rows = []
    for k, (level, each) in enumerate(counts.items()):
        cells = [
            _HIDDEN if level in hidden else f"{n:,} ({n / g['n']:.1%})"
            for n, g in zip(each, groups, strict=True)
        ]
        own = smd if k == 0 else dict.fromkeys(smd, "")
        own = dict.fromkeys(smd, _HIDDEN) if hidden and k == 0 else own
        rows.append(_line(f"{name}: {level}", heads, cells, own))
    return rows
