"""What a study's probes found, method by method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from amodal.disclosure import is_small
from amodal.metrics import Interval
from amodal.study.files import read_json
from amodal.study.results import Results

__all__ = ["Probes", "alarm", "read_probes", "worth_tables"]

Probes = Mapping[str, list[Mapping[str, Any]]]
"""Method -> what the probe of each of its fits found."""

_EVEN, _FLAT = 0.995, 0.01


def read_probes(results: Results) -> Probes:
    """The probes of the fits behind the cells of a study; none where none were asked for.

    Where training rows lost modalities, only fits that lost none count, if there are such.

    Raises:
        StorageError: a file is damaged.
    """
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    fits = {c.record["fit"]: c for c in results.cells}
    whole = {f: c for f, c in fits.items() if c.record["trained_under"]["rate"] == 0}
    for fit, cell in sorted((whole or fits).items()):
        path = results.folder / "probes" / f"{fit}.json"
        if path.exists():
            found[cell.label].append(read_json(path, "a probe"))
    return {m: found[m] for m in results.methods if m in found}


def worth_tables(probes: Probes) -> dict[str, list[dict[str, Any]]]:
    """The tables ``worth``, ``worth_noise``, ``worth_removal`` and ``reliance``: lists of rows."""
    return {
        "worth": [row for m, found in probes.items() for row in _measures(m, found)],
        "worth_noise": _mean_rows(probes, "noise", ("severity",)),
        "worth_removal": _mean_rows(probes, "removal", ("modality",)),
        "reliance": _mean_rows(probes, "reliance", ("by", "group", "modality", "quantity")),
    }


def _measures(method: str, found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over fits; of one fit with its interval, of several with the range over fits."""
    rows = []
    for name in dict.fromkeys(n for f in found for n in f["measures"]):
        each = [Interval.from_json(f["measures"][name]) for f in found if name in f["measures"]]
        values = [i.value for i in each]
        low, high = (each[0].low, each[0].high) if len(each) == 1 else (min(values), max(values))
        head = {"method": method, "measure": name, "value": float(np.mean(values))}
        row = {**head, "low": low, "high": high, "fits": len(each)}
        rows.append({**row, "alarm": alarm(name, row["value"], low, high)})
    return rows


def alarm(name: str, value: float, low: float, high: float) -> bool:
    """Whether a measure calls for a look.

    Predictions that on the whole get surer, or better, without a modality; reliance that is even
    everywhere; reliability that is the same in every row.

    >>> alarm("entropy_change", -0.02, -0.03, -0.01), alarm("entropy_change", -0.02, -0.05, 0.01)
    (True, False)
    >>> alarm("evenness", 1.0, 1.0, 1.0), alarm("spread", 0.2, 0.1, 0.3)
    (True, False)
    """
    if name in ("entropy_change", "log_loss_change"):
        return high < 0
    return value > _EVEN if name == "evenness" else name == "spread" and value < _FLAT


def _mean_rows(probes: Probes, table: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of one table, averaged over the fits of a method; small counts are not told."""
    rows = []
    for method, found in probes.items():
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
        for one in found:
            for row in one[table]:
                groups[tuple(row[k] for k in keys)].append(row)
        for key, same in groups.items():
            named = dict(zip(keys, key, strict=True))
            means = {n: _mean(n, same) for n in same[0] if n not in keys}
            rows.append({"method": method, **named, **means})
    return rows


def _mean(name: str, rows: list[Mapping[str, Any]]) -> float | int | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    if name in ("n", "rows"):
        total = int(sum(values))
        return None if is_small(total) else total
    return float(np.mean(values)) if values else None
