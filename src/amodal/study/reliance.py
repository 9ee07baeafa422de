"""Reliance and reliability by outcome, subgroup, and how much was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.study.predictions import Predicted

__all__ = ["groupings", "measurements", "reliance_rows"]

_LEAST = 20  # rows below which a mean would tell of single ones
_LEVELS = 6  # categories of a subgroup
_QUANTILES = (1 / 3, 2 / 3)


def reliance_rows(data: Dataset, predicted: Predicted) -> list[dict[str, Any]]:
    """Mean reliance and reliability of each modality, by groups of rows in which it is present.

    One dict per grouping, group, modality and quantity; left out where fewer than twenty rows count.

    Args:
        data: the rows, as predicted.
        predicted: what was said of them.
    """
    rows = []
    for quantity in ("reliance", "reliability"):
        claim = getattr(predicted, quantity)
        if claim is None:
            continue
        for k, name in enumerate(data.names):
            there = data.present[:, k]
            for grouping, label in groupings(data, name):
                for group in dict.fromkeys(np.sort(label[label != ""]).tolist()):
                    use = there & (label == group)
                    if use.sum() >= _LEAST:
                        head = {"by": grouping, "group": group, "modality": name}
                        value = float(claim[use, k].mean())
                        rows.append(
                            {**head, "quantity": quantity, "mean": value, "n": int(use.sum())}
                        )
    return rows


def groupings(data: Dataset, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """(what rows are grouped by, ``str[n]`` the group of each; "" for none)."""
    yield "outcome", _outcome(data)
    yield "modalities present", np.char.mod("%d", data.present.sum(axis=1))
    yield "measurements of it", _thirds(measurements(data, name))
    yield from _subgroups(data)


def measurements(data: Dataset, name: str) -> np.ndarray:
    """``Float64[n]`` how much a row's value of a modality holds; NaN where absent.

    Known cells of a table, observed values of a series, events of codes, words of a text.
    """
    values, kind = data.values[name], data.modality(name).kind
    if kind == "table":
        count = (~np.isnan(values.data["numeric"])).sum(axis=1)
        if "categorical" in values.data:
            count = count + (values.data["categorical"] >= 0).sum(axis=1)
    elif kind == "series":
        known = (~np.isnan(values.data["value"])).sum(axis=1)
        count = np.add.reduceat(known, values.offsets[:-1]) if len(values) else known
    elif kind == "codes":
        count = values.lengths
    elif kind == "text":
        count = np.array([len(str(t).split()) for t in values.data["source"]])
    else:
        count = np.ones(len(values))
    padded = np.append(np.asarray(count, dtype=np.float64), np.nan)
    return padded[values.index]


def _thirds(count: np.ndarray) -> np.ndarray:
    """Few, some or many, by thirds of the rows; "" where unknown or all have the same."""
    known = count[~np.isnan(count)]
    label = np.full(len(count), "", dtype="<U8")
    if len(known) and known.min() < known.max():
        low, high = np.quantile(known, _QUANTILES)
        label[count <= low] = "few"
        label[(count > low) & (count <= high)] = "some"
        label[count > high] = "many"
    return label


def _outcome(data: Dataset) -> np.ndarray:
    task, target = data.task, data.target
    if task.kind == "regression":
        return _thirds(target)
    if task.kind == "multilabel":
        return np.char.mod("%d labels", target.sum(axis=1))
    names = np.array(task.classes or ("0", "1"))
    return names[target.astype(int)]


def _subgroups(data: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """The categories of tables that have two to six levels."""
    for modality in data.modalities:
        if modality.kind != "table":
            continue
        values = data.values[modality.name]
        for j, (column, levels) in enumerate(modality.levels.items()):
            if 2 <= len(levels) <= _LEVELS:
                code = np.append(values.data["categorical"][:, j], -1)[values.index]
                names = np.array([*map(str, levels), ""])
                yield f"{modality.name}: {column}", names[code]
