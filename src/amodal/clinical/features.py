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

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> with DuckEngine(threads=1) as engine:
    ...     t = engine.arrow(pa.table({"row": [0, 0, 1], "kind": [1, 1, 1]}))
    ...     rows_by_kind(engine, t, ("diagnosis", "drug"))
    [0, 2]
    """
    found = engine.fetch(events.group_by("kind").agg(rows=events.row.nunique()))
    rows = dict(zip(found["kind"].to_pylist(), found["rows"].to_pylist(), strict=True))
    return [rows.get(k, 0) for k in range(len(kinds))]


def code_features(
    engine: Engine, events: ibis.Table, n: int, *, kinds: Sequence[str], unit: str
) -> Features:
    """Events as the modality `codes` of n rows, and how many rows have each kind.

    Args:
        engine: what runs.
        events: row, time, kind (position in `kinds`), seq, code.
        n: number of rows.
        kinds: names.
        unit: of the times.

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> t = {"row": [2, 2], "time": [0.5, 1.0], "kind": [0, 0], "seq": [0, 0], "code": ["b", "a"]}
    >>> with DuckEngine(threads=1) as engine:
    ...     made = code_features(engine, engine.arrow(pa.table(t)), 3, kinds=("drug",), unit="hours")
    >>> made.modality.vocabulary, made.values.data["code"].tolist(), made.values.index.tolist()
    (('a', 'b'), [1, 0], [-1, -1, 0])
    >>> made.facts
    {'drug': {'rows': 1}}
    """
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

    >>> import pyarrow as pa
    >>> from amodal.clinical.duck import DuckEngine
    >>> t = {"row": [0, 0], "time": [1.0, 2.0], "concept": [0, 0], "value": [80.0, 999.0]}
    >>> t |= {"fate": ["kept", "out of range"]}
    >>> rule = lambda t: t.filter(t.fate == "kept").drop("fate")
    >>> with DuckEngine(threads=1) as engine:
    ...     made = concept_features(engine, "vitals", engine.arrow(pa.table(t)), rule, 2)
    >>> made.facts, made.values.data["time"].tolist(), made.values.data["value"][0, :2].tolist()
    ({'kept': 1, 'out of range': 1}, [1.0], [80.0, nan])
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
