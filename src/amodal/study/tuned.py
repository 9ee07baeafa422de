"""Files of tuned settings: what `amodal tune` writes and a study names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from amodal.errors import SettingError
from amodal.settings import parse_method
from amodal.study.files import read_toml
from amodal.study.plan import Plan

__all__ = ["FORMAT", "read_tuned", "toml_text", "with_tuned"]

FORMAT = {"format": "amodal-tuned", "version": 1}


def read_tuned(path: str | Path) -> dict[str, Any]:
    """What a file of tuned settings holds: ``tuned`` (how), ``found``, ``settings`` by method.

    Raises:
        StorageError: it cannot be read.
        SettingError: it is no such file.
    """
    path = Path(path)
    found = read_toml(path, "a file of tuned settings")
    head = found.get("tuned")
    settings = found.get("settings", {})
    whole = isinstance(head, dict) and {k: head.get(k) for k in FORMAT} == FORMAT
    if not whole or not all(isinstance(x, dict) for x in settings.values()):
        raise SettingError(
            f"tuned settings come from `amodal tune`, format {FORMAT['format']} version "
            f"{FORMAT['version']}; {path.name} holds something else; name its tuned.toml"
        )
    return {**found, "settings": settings}


def with_tuned(plan: Plan, path: str | Path) -> Plan:
    """The plan with the tuned settings of its methods; settings that the plan states itself win.

    A method of the plan takes the settings that were found for its spec, else for its name.

    Raises:
        StorageError: the file cannot be read.
        SettingError: it is no such file, or it has none of the plan's methods.
    """
    found = read_tuned(path)
    tuned, settings = found["settings"], {k: dict(v) for k, v in plan.settings.items()}
    taken = 0
    for spec in plan.methods:
        name, own = parse_method(spec)
        known = tuned.get(spec, tuned.get(name))
        if known is None:
            continue
        taken += 1
        stated = {*own, *plan.settings.get(name, {}), *plan.settings.get(spec, {})}
        fresh = {k: v for k, v in known.items() if k not in stated}
        if fresh:
            settings[spec] = {**fresh, **settings.get(spec, {})}
    if not taken:
        raise SettingError(
            f"tuned settings are of methods of the study; {Path(path).name} has "
            f"{', '.join(tuned) or 'none'}; tune the study's methods"
        )
    return replace(plan, settings=settings, tuned=_told(Path(path), found["tuned"]))


def _told(path: Path, head: Mapping[str, Any]) -> str:
    """How they were found, in a few words."""
    budget = f"{head['trials']} trials" if head.get("trials") else f"{head.get('seconds', 0):g} s"
    folds = head.get("validation_folds")
    rows = f"{folds} folds of development rows" if folds else "validation rows"
    return (
        f"{path.name}: {budget} for each method, by {head.get('metric')} on {rows} of "
        f"{head.get('data')}, seed {head.get('seed')}"
    )


def toml_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of texts, numbers, truth values and lists of them as TOML.

    >>> print(toml_text({"a": {"x": 1, "y": [0.5, 2.0]}, 'b.c"': {"z": "q", "t": True}}))
    [a]
    x = 1
    y = [0.5, 2.0]
    <BLANKLINE>
    ["b.c\\""]
    z = "q"
    t = true
    <BLANKLINE>
    """
    parts = []
    for name, table in tables.items():
        key = name if name.replace("_", "").isalnum() else _value(name)
        parts.append(f"[{key}]")
        parts += [f"{k} = {_value(v)}" for k, v in table.items()]
        parts.append("")
    return "\n".join(parts)


def _value(value: Any) -> str:
    import json

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool | str):
        return json.dumps(value)
    return repr(value)
