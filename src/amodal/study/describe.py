"""What a data set consists of, in counts: written beside the cells, shown by the report."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np

import amodal
from amodal.data.dataset import Dataset
from amodal.types import LOST, NOT_MEASURED

__all__ = ["describe_data", "read_flow", "versions"]


def describe_data(data: Dataset) -> dict[str, Any]:
    """Counts of rows, groups, labels, classes and of absence per modality (exact; for one's eyes).

    >>> d = Dataset.from_arrays({"a": [[1.0], [np.nan]]}, [0, 1])
    >>> describe_data(d)["modalities"][0]["not_measured"]
    1
    """
    labelled = data.labelled
    out: dict[str, Any] = {
        "fingerprint": data.fingerprint(),
        "task": data.task.to_json() if data.task else None,
        "rows": len(data),
        "labelled": int(labelled.sum()),
        "groups": None if data.group is None else len(np.unique(data.group)),
        "with_nothing": int((~data.present.any(axis=1)).sum()),
        "modalities": [_modality(data, k) for k in range(data.shape[1])],
        "published_split": _split(data),
        "name": str(data.provenance.get("name", "")),
        "source": str(data.provenance.get("source", "")),
    }
    if data.task is not None and labelled.any():
        out["target"] = _target(data, data.target[labelled])
    return out


def read_flow(data: str | Path) -> dict[str, Any] | None:
    """How a cohort came about, from the ``cohort.json`` that `amodal prepare` leaves beside its rows.

    Counts are texts in which small ones are hidden already. None where there is no such file, or it
    says nothing of the kind: a report goes without.

    >>> read_flow("builtin:digits") is None
    True
    """
    try:
        report = json.loads((Path(data) / "cohort.json").read_text(encoding="utf-8"))
        flow = {k: report[k] for k in ("title", "candidates", "removed", "rows", "outcomes")}
        flow["candidates"] = {k: str(flow["candidates"][k]) for k in ("what", "count")}
        flow |= {k: {str(a): str(b) for a, b in flow[k].items()} for k in ("removed", "outcomes")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return flow


def _modality(data: Dataset, k: int) -> dict[str, Any]:
    modality = data.modalities[k]
    return {
        "name": modality.name,
        "kind": modality.kind,
        "features": modality.n_features + len(modality.levels) + len(modality.vocabulary),
        "present": int(data.present[:, k].sum()),
        "not_measured": int((data.absence[:, k] == NOT_MEASURED).sum()),
        "lost": int((data.absence[:, k] == LOST).sum()),
    }


def _target(data: Dataset, target: np.ndarray) -> dict[str, Any]:
    task = data.task
    if task.kind == "regression":
        return {"mean": float(target.mean()), "std": float(target.std())}
    if task.kind == "sequence":
        return {"texts per row": float(target.mean())}
    if task.kind == "multilabel":
        return {"positive": {c: int(target[:, k].sum()) for k, c in enumerate(task.classes)}}
    return {"counts": {c: int((target == k).sum()) for k, c in enumerate(task.classes)}}


def _split(data: Dataset) -> dict[str, int] | None:
    if data.split is None:
        return None
    names, counts = np.unique(data.split, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def versions() -> dict[str, str]:
    """Versions of Python, this package, and what computes.

    >>> versions()["amodal"] == amodal.__version__, "torch" in versions()
    (True, True)
    """
    found = {"python": platform.python_version(), "amodal": amodal.__version__}
    for name in ("torch", "numpy", "scipy", "scikit-learn", "lightning-fabric"):
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:  # pragma: no cover - all are dependencies
            found[name] = "unknown"
    return found
