"""One list of measurements for both databases: `concepts.toml`, read and laid out as tables.

A model that was trained on the labs, vital signs and demographics of one database can predict the
other, because both call them alike and give them in the same units.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Concept", "Item", "concepts", "item_lines", "parse_concepts"]


@dataclass(frozen=True)
class Item:
    """What a database calls a concept.

    Args:
        source: "mimic4" or "eicu".
        item: itemid, labname, or table.column.
        label: of the item.
        units: unit as written, in lower case -> (factor, offset); "" for a value without unit.
    """

    source: str
    item: str
    label: str
    units: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Concept:
    """A measurement: modality, name, unit, plausible range (both ends included), fluid, items.

    >>> ph = next(c for c in concepts("labs") if c.name == "ph")
    >>> ph.unit, ph.fluid, [i.item for i in ph.items if i.source == "eicu"]
    ('1', 'Blood', ['pH'])
    """

    modality: str
    name: str
    unit: str
    low: float
    high: float
    fluid: str
    items: tuple[Item, ...]


@cache
def concepts(modality: str) -> tuple[Concept, ...]:
    """The concepts of a modality ("labs", "vitals"), in the order of the file.

    >>> [c.name for c in concepts("vitals")][:3]
    ['heart_rate', 'respiratory_rate', 'oxygen_saturation']
    """
    text = files("amodal.clinical").joinpath("concepts.toml").read_text(encoding="utf-8")
    return tuple(c for c in parse_concepts(text) if c.modality == modality)


def parse_concepts(text: str) -> tuple[Concept, ...]:
    """The concepts in a text in the form of `concepts.toml`.

    >>> one = '[labs.ph]\\nunit = "1"\\nrange = [6.5, 8]\\neicu = ["pH"]\\n'
    >>> parse_concepts(one)[0].items[0].units
    {'1': (1.0, 0.0), '': (1.0, 0.0)}
    """
    return tuple(
        _concept(modality, name, entry)
        for modality, entries in tomllib.loads(text).items()
        for name, entry in entries.items()
    )


def _concept(modality: str, name: str, entry: Mapping[str, Any]) -> Concept:
    unit = entry["unit"]
    factors = {unit: 1.0, **entry.get("units", {}), "": 1.0}
    units = {u.lower(): (float(f), 0.0) for u, f in factors.items()}
    items = [_mimic4_item(i, units) for i in entry.get("mimic4", ())]
    items += [Item("eicu", name, name, units) for name in entry.get("eicu", ())]
    low, high = map(float, entry["range"])
    return Concept(modality, name, unit, low, high, entry.get("fluid", ""), tuple(items))


def _mimic4_item(entry: Mapping[str, Any], units: Mapping[str, tuple[float, float]]) -> Item:
    if "unit" in entry:
        scale = (float(entry.get("factor", 1.0)), float(entry.get("offset", 0.0)))
        units = {entry["unit"].lower(): scale, "": scale}
    return Item("mimic4", str(entry["item"]), entry["label"], units)


def item_lines(source: str, modality: str) -> pa.Table:
    """One line for each item and unit of a database.

    Columns: ``item`` (text), ``unit`` (lower case, "" = none written), ``concept`` (position among
    `concepts` of the modality), ``factor``, ``offset``, ``low``, ``high``, ``fluid``.

    >>> lines = item_lines("mimic4", "vitals").to_pylist()
    >>> warm = next(x for x in lines if x["item"] == "223761")  # Temperature Fahrenheit
    >>> warm["unit"], round(98.6 * warm["factor"] + warm["offset"], 6), warm["high"]
    ('°f', 37.0, 45.0)
    """
    import pyarrow as pa

    lines = [
        {
            "item": item.item,
            "unit": unit,
            "concept": position,
            "factor": factor,
            "offset": offset,
            "low": concept.low,
            "high": concept.high,
            "fluid": concept.fluid,
        }
        for position, concept in enumerate(concepts(modality))
        for item in concept.items
        if item.source == source
        for unit, (factor, offset) in item.units.items()
    ]
    return pa.Table.from_pylist(lines)
