"""Who became a row and who did not: the report that lies beside a prepared data set.

Counts under ten are hidden, and so are those from which one would follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.disclosure import is_small, shown_count, shown_counts, shown_share

__all__ = ["cohort_report", "report_files", "report_text"]

_HIDDEN = "not shown"


def cohort_report(
    data: Dataset,
    *,
    title: str,
    choices: Mapping[str, Any],
    removed: Mapping[str, int],
    candidates: str,
    outcome: np.ndarray,
    flags: Mapping[str, np.ndarray],
    expected: Sequence[tuple[str, float, float]] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """What became of every candidate, in counts that may be shown (texts).

    Args:
        data: the data set.
        title: database and edition.
        choices: how it was prepared.
        removed: rule -> candidates that it removed, in order.
        candidates: what the candidates are ("hospital admissions").
        outcome: ``str[n]`` what happened to each row, competing events included.
        flags: name -> ``Bool[n]``.
        expected: (what, published value, value found).
        notes: sentences.

    >>> data = Dataset.from_arrays({"labs": np.ones((30, 1))}, [0] * 18 + [1] * 12)
    >>> outcome = np.array(["lived"] * 18 + ["died"] * 12)
    >>> told = {"title": "made up", "choices": {}, "candidates": "stays", "flags": {}}
    >>> found = cohort_report(data, removed={"young": 9, "old": 10}, outcome=outcome, **told)
    >>> found["removed"], found["rows"]  # 9 is small, and would follow if 10 were shown
    ({'young': '<10', 'old': 'not shown'}, '30')
    >>> found["labels"]
    {'positive': '12', 'negative': '18', 'unlabelled': '0'}
    """
    positive, negative = _classes(data)
    n, kept = len(data), len(data)
    told, total = _removed(removed, kept)
    groups = None if data.group is None else len(np.unique(data.group))
    return {
        "title": title,
        "choices": dict(choices),
        "candidates": {"what": candidates, "count": total},
        "removed": {rule: told[rule] for rule in removed},
        "rows": told["kept"],
        "groups": None if groups is None else shown_count(groups, n),
        **_labels(outcome, positive, negative),
        "presence": _presence(data),
        "combinations": _parts(_combinations(data), positive, negative),
        "splits": [] if data.split is None else _parts(_by(data.split), positive, negative),
        "flags": [
            part
            for name, on in flags.items()
            for part in _parts({name: on, f"not {name}": ~on}, positive, negative)[:1]
        ],
        "expected": [_compare(*line) for line in expected],
        "notes": list(notes),
    }


def _removed(removed: Mapping[str, int], kept: int) -> tuple[dict[str, str], str]:
    """(rule -> how many it removed, and "kept"; how many candidates there were)

    How many are kept follows from labels and modalities too. Where it would have to be hidden, for
    a small count not to follow from it, the number of candidates is hidden in its place.
    """
    told = shown_counts({**removed, "kept": kept})
    if told["kept"] == _HIDDEN:
        return {**told, "kept": shown_count(kept)}, _HIDDEN
    return told, shown_count(sum(removed.values()) + kept)


def _labels(
    outcome: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> dict[str, dict[str, str]]:
    """Counts of labels, and of the outcomes inside each label."""
    parts = {"positive": positive, "negative": negative, "unlabelled": ~(positive | negative)}
    told = shown_counts({name: int(rows.sum()) for name, rows in parts.items()})
    outcomes: dict[str, str] = {}
    for name, rows in parts.items():
        inside = _counts(outcome[rows])
        if len(inside) == 1:  # as many as the label has
            outcomes |= dict.fromkeys(inside, told[name])
        elif _exact(told[name]):
            outcomes |= shown_counts(inside)
        else:
            outcomes |= dict.fromkeys(inside, _HIDDEN)
    return {"labels": told, "outcomes": outcomes}


def _classes(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """``Bool[n]`` of positive and of negative rows."""
    if data.target is None:
        return np.zeros(len(data), dtype=bool), np.zeros(len(data), dtype=bool)
    return data.target == 1, data.target == 0


def _counts(names: np.ndarray) -> dict[str, int]:
    found, counts = np.unique(names, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _by(names: np.ndarray) -> dict[str, np.ndarray]:
    return {str(name) or "none": names == name for name in np.unique(names)}


def _combinations(data: Dataset) -> dict[str, np.ndarray]:
    """Combination of modalities -> ``Bool[n]``, the most frequent first."""
    code = data.present @ (1 << np.arange(data.shape[1]))
    found, counts = np.unique(code, return_counts=True)
    order = sorted(range(len(found)), key=lambda k: (-counts[k], found[k]))
    return {
        " + ".join(m for k, m in enumerate(data.names) if found[j] >> k & 1) or "nothing": code
        == found[j]
        for j in order
    }


def _parts(
    parts: Mapping[str, np.ndarray], positive: np.ndarray, negative: np.ndarray
) -> list[dict[str, str]]:
    """Rows, labelled rows and share of positives of each part, as they may be shown."""
    sizes = {k: int(rows.sum()) for k, rows in parts.items()}
    ups = {k: int((rows & positive).sum()) for k, rows in parts.items()}
    downs = {k: int((rows & negative).sum()) for k, rows in parts.items()}
    size, up, down = (shown_counts(c) for c in (sizes, ups, downs))
    lines = []
    for name in parts:
        exact = _exact(up[name]) and _exact(down[name])
        total = ups[name] + downs[name]
        rate = "n/a" if not total else shown_share(ups[name] / total, total) if exact else _HIDDEN
        labelled = f"{total:,}" if exact else _HIDDEN
        lines.append({"part": name, "rows": size[name], "labelled": labelled, "positive": rate})
    return lines


def _exact(shown: str) -> bool:
    return shown.replace(",", "").isdigit()


def _presence(data: Dataset) -> dict[str, str]:
    """How many rows have each modality; rounded where an exact count would tell a hidden one."""
    parts = _combinations(data)
    shown = shown_counts({k: int(rows.sum()) for k, rows in parts.items()})
    hidden = np.zeros(len(data), dtype=bool)
    for name, rows in parts.items():
        hidden |= rows & (not _exact(shown[name]))
    told = {}
    for k, name in enumerate(data.names):
        have = data.present[:, k]
        rest = (int((hidden & have).sum()), int((hidden & ~have).sum()))
        count = int(have.sum())
        told[name] = (
            f"about {round(count, -1):,}"
            if any(is_small(r) for r in rest)
            else shown_count(count, len(data))
        )
    return told


def _compare(what: str, published: float, found: float) -> dict[str, Any]:
    agrees = abs(published - found) <= (0.005 if published < 1 else 0.0)
    return {"what": what, "published": published, "found": found, "agrees": agrees}


# -- as files -------------------------------------------------------------------------------------


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """``cohort.json`` and ``cohort.md``: name -> content, in UTF-8.

    >>> data = Dataset.from_arrays({"labs": np.ones((30, 1))}, [0] * 18 + [1] * 12)
    >>> told = {"title": "made up", "choices": {}, "candidates": "stays", "flags": {}, "removed": {}}
    >>> report = cohort_report(data, outcome=np.array(["x"] * 30), **told)
    >>> files = report_files(report)
    >>> json.loads(files["cohort.json"]) == report, files["cohort.md"].decode()[:17]
    (True, '# Cohort: made up')
    """
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return {"cohort.json": text.encode(), "cohort.md": report_text(report).encode()}


def report_text(report: Mapping[str, Any]) -> str:
    """The report as Markdown: what `cohort_report` returns, as headings and tables.

    >>> data = Dataset.from_arrays({"labs": np.ones((30, 1))}, [0] * 18 + [1] * 12)
    >>> told = {"title": "made up", "candidates": "stays", "flags": {}, "removed": {"young": 20}}
    >>> choices = {"task": "mortality", "window": None}
    >>> report = cohort_report(data, outcome=np.array(["x"] * 30), choices=choices, **told)
    >>> for line in report_text(report).splitlines()[2:10]:
    ...     print(line or "-")
    task mortality.
    -
    ## Rows
    -
    |  | count |
    |---|---|
    | all stays | 50 |
    | removed: young | 20 |
    """
    lines = [f"# Cohort: {report['title']}", ""]
    chosen = {k: v for k, v in report["choices"].items() if v not in (None, "", 0.0)}
    told = (
        f"{k.replace('_', ' ')} {', '.join(v) if isinstance(v, list) else v}"
        for k, v in chosen.items()
    )
    lines += ["; ".join(told) + ".", ""]
    lines += [*notes_lines(report["notes"])]
    first = [[f"all {report['candidates']['what']}", report["candidates"]["count"]]]
    first += [[f"removed: {rule}", n] for rule, n in report["removed"].items()]
    first += [["rows", report["rows"]]]
    lines += ["## Rows", "", *_table(["", "count"], first)]
    lines += ["## Outcomes", "", *_table(["outcome", "rows"], report["outcomes"].items())]
    lines += _table(["label", "rows"], report["labels"].items())
    lines += ["## Modalities", "", *_table(["modality", "present"], report["presence"].items())]
    for title, key in (
        ("Combinations", "combinations"),
        ("Splits", "splits"),
        ("Flags, which remove nobody", "flags"),
    ):
        if report[key]:
            cells = [list(part.values()) for part in report[key]]
            lines += [f"## {title}", "", *_table(["", "rows", "labelled", "positive"], cells)]
    if report["expected"]:
        cells = [
            [e["what"], f"{e['published']:,}", f"{e['found']:,}", "yes" if e["agrees"] else "NO"]
            for e in report["expected"]
        ]
        lines += ["## Published counts", "", *_table(["", "published", "found", "agrees"], cells)]
    return "\n".join(lines).rstrip() + "\n"


def notes_lines(notes: Sequence[str]) -> list[str]:
    return [*(f"- {note}" for note in notes), ""] if notes else []


def _table(head: Sequence[str], rows: Any) -> list[str]:
    lines = [list(map(str, row)) for row in rows]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(line)} |" for line in lines),
        "",
    ]
