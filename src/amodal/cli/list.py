"""``amodal list``: what there is, without loading any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from amodal.cli.show import as_json, table
from amodal.errors import unknown_name

__all__ = ["KINDS", "inventory", "list_names", "settings_of"]

KINDS = ("methods", "data", "encoders", "shifts", "metrics")

_COLUMNS = {
    "methods": ("name", "title", "year", "kind", "tasks", "reports", "unlabelled", "reference"),
    "data": ("name", "what"),
    "encoders": ("kind", "what"),
    "shifts": ("name", "title"),
    "metrics": ("name", "title", "needs", "better", "tasks", "range"),
}
_CLASSES = ["binary", "multiclass", "multilabel"]
_FAMILIES = {
    "all": [*_CLASSES, "regression", "sequence"],
    "values": [*_CLASSES, "regression"],
    "classes": _CLASSES,
}
"""What sets of tasks are called in short."""
_RAW = {
    "prepare physionet2012": "The PhysioNet/CinC Challenge 2012, from its raw files.",
    "prepare mimic4": "MIMIC-IV, hospital stays, from its official folders.",
    "prepare eicu": "eICU-CRD, stays in intensive care, from its official folder.",
    "prepare digits3": "Spoken and written digits with a clue, from FSDD recordings.",
    "prepare easyvqa": "easy-VQA, questions about images, from its official files.",
    "prepare files": "Your own CSV, Parquet and npz files, described by a TOML spec.",
}


def list_names(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="methods, data, encoders, shifts or metrics.")
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them, to see its settings.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List methods, data, encoders, shifts or metrics; with NAME, what one is and its settings.

    Of methods: the kinds of task that they predict ("all"; "values": all but texts; "classes": all
    but texts and regression), what they report of each modality besides the prediction, and whether
    rows without a label teach them anything.
    """
    if what not in KINDS:
        raise unknown_name("inventory", what, KINDS)
    rows = inventory(what)
    if name is not None:
        _show_one(what, _pick(what, name, rows), json=json)
    elif json:
        as_json(rows)
    else:
        columns = _COLUMNS[what]
        cells = [[_brief(c, row[c]) for c in columns] for row in rows]
        table(columns, cells, right=("year",))


def _pick(what: str, name: str, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    key = _COLUMNS[what][0]
    for row in rows:
        if row[key] == name:
            return row
    raise unknown_name(what.rstrip("s") if what != "data" else what, name, [r[key] for r in rows])


def _show_one(what: str, row: Mapping[str, Any], *, json: bool) -> None:
    settings = settings_of(what, row[_COLUMNS[what][0]])
    if json:
        as_json({**row, "settings": settings})
        return
    for key, value in row.items():
        if _cell(value):
            typer.echo(f"{key:11}{_cell(value)}")
    if settings:
        typer.echo()
        rows = [[s["name"], _cell(s["default"]), s["of"], s["meaning"]] for s in settings]
        table(("setting", "default", "of", "meaning"), rows)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None or value == () else f"{value}"


def _brief(column: str, value: Any) -> str:
    """A cell of a table with many columns."""
    if column == "tasks" and value in _FAMILIES.values():
        return next(name for name, tasks in _FAMILIES.items() if tasks == value)
    if column == "unlabelled":
        return "yes" if value else ""
    return _cell(value)


# -- inventories ----------------------------------------------------------------------------------


def inventory(what: str) -> list[dict[str, Any]]:
    """One dict per method, data set, encoder, shift or metric, in the order of their registers."""
    return {
        "methods": _methods,
        "data": _data,
        "encoders": _encoders,
        "shifts": _shifts,
        "metrics": _metrics,
    }[what]()


def _methods() -> list[dict[str, Any]]:
    from amodal.cli.catalogue import class_facts
    from amodal.methods import METHODS

    rows = []
    for name, where in METHODS.items():
        facts = class_facts(*where.split(":"))
        own = facts.attributes
        told = {k: own.get(k) or None for k in ("title", "year", "reference")}
        handled = {
            "kind": "neural" if "stages" in own else "classic",
            "tasks": list(own["tasks"]),
            "reports": list(own["reports"]),
            "unlabelled": own["uses_unlabelled"],
        }
        rows.append({"name": name, **told, **handled, "what": _first(facts.doc)})
    return rows


def _data() -> list[dict[str, Any]]:
    from amodal.data.builtin import BUILTIN
    from amodal.data.source import PREFIX

    builtin = {PREFIX + name: _first(make.__doc__ or "") for name, make in BUILTIN.items()}
    return [{"name": name, "what": text} for name, text in (builtin | _RAW).items()]


def _encoders() -> list[dict[str, Any]]:
    from amodal.cli.catalogue import class_facts, names_in_dict

    found = names_in_dict("amodal.encoders", "ENCODERS")
    return [{"kind": k, "what": _first(class_facts(*w).doc)} for k, w in found.items()]


def _shifts() -> list[dict[str, Any]]:
    from amodal.shifts import SHIFTS

    return [
        {"name": name, "title": cls.title, "what": _first(cls.__doc__ or "")}
        for name, cls in SHIFTS.items()
    ]


def _metrics() -> list[dict[str, Any]]:
    from amodal.metrics import METRICS

    better = {True: "higher", False: "lower"}
    return [
        {
            "name": name,
            "title": metric.title,
            "tasks": list(metric.kinds),
            "range": metric.range,
            "better": better.get(metric.higher_is_better, f"near {metric.ideal:g}"),
            "needs": f"amodal[{metric.extra}]" if metric.extra else None,
        }
        for name, metric in METRICS.items()
    ]


def _first(doc: str) -> str:
    """The first line of a docstring, which may break in the source."""
    return " ".join(doc.strip().split("\n\n")[0].split())


# -- settings -------------------------------------------------------------------------------------


def settings_of(what: str, name: str) -> list[dict[str, Any]]:
    """The settings of a method, encoder or shift: name, default, what it is of, and its meaning.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if what == "methods":
        return _method_settings(name)
    if what == "encoders":
        return _group("amodal.encoders.base", "EncoderSettings", "encoders")
    if what == "shifts":
        return _shift_settings(name)
    return []


def _method_settings(name: str) -> list[dict[str, Any]]:
    from amodal.cli.catalogue import class_facts
    from amodal.methods import METHODS

    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    facts = class_facts(*METHODS[name].split(":"))
    hidden = ("encoder", "decoder", "seed")
    own = {k: v for k, v in facts.settings.items() if k not in hidden}
    rows = [_row(k, v, "method", facts.docs) for k, v in own.items()]
    if "stages" not in facts.attributes:
        return rows
    rows += _group("amodal.training.settings", "TrainSettings", "training")
    rows += _group("amodal.encoders.base", "EncoderSettings", "encoders")
    if "sequence" in facts.attributes["tasks"]:
        rows += _group("amodal.methods.sequence", "DecoderSettings", "texts")
    changed = facts.attributes.get("defaults") or {}
    return [{**row, "default": changed.get(row["name"], row["default"])} for row in rows]


def _group(module: str, name: str, of: str) -> list[dict[str, Any]]:
    from amodal.cli.catalogue import class_facts

    facts = class_facts(module, name)
    return [_row(k, v, of, facts.docs) for k, v in facts.fields.items()]


def _shift_settings(name: str) -> list[dict[str, Any]]:
    from dataclasses import MISSING, fields

    from amodal.cli.catalogue import setting_docs
    from amodal.shifts import shift_class

    cls = shift_class(name)
    docs: dict[str, str] = {}
    for c in reversed(cls.__mro__):
        found = setting_docs(_dedent(c.__doc__ or ""))
        docs |= {k: v for k, v in found.items() if not v.startswith("see `")}
    defaults = {f.name: None if f.default is MISSING else f.default for f in fields(cls)}
    return [_row(k, v, "shift", docs) for k, v in defaults.items()]


def _dedent(doc: str) -> str:
    import inspect

    return inspect.cleandoc(doc)


def _row(name: str, default: Any, of: str, docs: Mapping[str, str]) -> dict[str, Any]:
    meaning = docs.get(name, "").replace("``", "")
    return {"name": name, "default": default, "of": of, "meaning": meaning}
