"""Long tables of events as modalities: what MIMIC-IV and eICU pack alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from amodal.clinical.concepts import concepts
from amodal.clinical.engine import Engine
from amodal.clinical.pack import pack_codes, pack_series
from amodal.types import Modality
from amodal.values import Values

if TYPE_CHECKING:
    import ibis

__all__ = ["Features", "code_features", "concept_features", "rows_by_kind"]


class Features(NamedTuple):
    """A modality with its values, and what is to be said of how it was made."""

    modality: Modality
    values: Values
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


def rows_by_kind(engine: Engine, events: ibis.Table, kinds: Sequence[str]) -> list[int]:
    """How many rows have a code of each of the `kinds`.

    Args:
        engine: what runs.
        events: row, kind (position in `kinds`).
        kinds: names.
    """
    found = engine.fetch(events.group_by("kind").agg(rows=events.row.nunique()))
    rows = dict(zip(found["kind"].to_pylist(), found["rows"].to_pylist(), strict=True))
    return [rows.get(k, 0) for k in range(len(kinds))]


def code_features(
    engine: Engine, events: ibis.Table, n: int, *, kinds: Sequence[str], unit: str
) -> Features:
    """Events as the modality `codes` of n rows, and how many rows have each kind."""
    events = engine.keep(events, "codes")
    modality, values = pack_codes(engine, "codes", events, n, types=kinds, unit=unit)
    rows = rows_by_kind(engine, events, kinds)
    engine.drop(events)
    return Features(
        modality, values, {k: {"rows": count} for k, count in zip(kinds, rows, strict=True)}
    )


def concept_features(
    engine: Engine,
    name: str,
    measured: ibis.Table,
    kept: Callable[[ibis.Table], ibis.Table],
    n: int,
) -> Features:
    """The concepts of modality `name` as a series of n rows, and how many values met which fate.

    Args:
        engine: what runs.
        name: of the modality.
        measured: row, time (hours), concept, value, fate.
        kept: which of them enter: without `fate`.
        n: number of rows.
    """
    t = engine.keep(measured, name)
    fates = engine.fetch(t.group_by("fate").agg(n=t.count()).order_by("fate"))
    last = engine.keep(kept(t), f"last_{name}")
    engine.drop(t)
    features = [c.name for c in concepts(name)]
    modality, values = pack_series(engine, name, last, n, features=features, unit="hours")
    engine.drop(last)
    told = dict(zip(fates["fate"].to_pylist(), fates["n"].to_pylist(), strict=True))
    return Features(modality, values, told)
