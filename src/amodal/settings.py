"""From `key=value` to the settings of a method, its encoders and its training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from amodal.errors import SettingError, unknown_name

__all__ = [
    "MethodSettings",
    "coerce",
    "keyed",
    "method_of",
    "parse_method",
    "parse_pairs",
    "resolve_settings",
    "told",
    "told_spec",
]

_WORDS = {"true": True, "false": False, "none": None}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class MethodSettings:
    """The settings of a `Model`, sorted by whom they are for."""

    method: Mapping[str, Any]
    encoder: Any
    train: Any
    decoder: Any = None


def coerce(name: str, value: Any, default: Any) -> Any:
    """`value` in the type of `default`; text is read ("0.5", "true").

    Raises:
        SettingError: it cannot be read as that type.

    >>> coerce("beta", "0.5", 1.0), coerce("vib", "off", True), coerce("depth", "3", 2)
    (0.5, False, 3)
    """
    kind = type(default)
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            text = str(value).lower()
            if text in _TRUE + _FALSE:
                return text in _TRUE
            raise ValueError
        if kind is int:
            number = float(value)
            if isinstance(value, bool) or number != int(number):
                raise ValueError
            return int(number)
        if kind is float:
            return float(value)
        if kind is str and value is None:
            return "none"
        if kind is str and not isinstance(value, str):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        word = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        raise SettingError(
            f"setting {name} must be {word[kind]}; got {value!r}; change it"
        ) from None
    return value


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """``["key=value", ...]`` as a dict.

    Raises:
        SettingError: there is no "=".

    >>> parse_pairs(["beta=0.1"])
    {'beta': '0.1'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SettingError(f"a setting is written key=value; got {pair!r}; add the '='")
        found[key.strip()] = value.strip()
    return found


def parse_method(spec: str) -> tuple[str, dict[str, Any]]:
    """A name and its settings out of one word: ``name:key=value:key=value``.

    Values are read as whole numbers, numbers, true, false or none where they look like one. Of a
    setting that is given twice the later value counts.

    Raises:
        SettingError: a part after the name is no ``key=value``.

    >>> parse_method("aum:aggregation=posterior:ensemble=4")
    ('aum', {'aggregation': 'posterior', 'ensemble': 4})
    >>> parse_method("aum:beta=1:beta=2")
    ('aum', {'beta': 2})
    """
    name, *parts = str(spec).split(":")
    settings: dict[str, Any] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise SettingError(
                f"settings are written name:key=value:key=value; got {part!r} in {spec!r}; "
                "write it so"
            )
        settings[key.strip()] = _typed(value.strip())
    return name.strip(), settings


def _typed(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def resolve_settings(method: type, settings: Mapping[str, Any]) -> MethodSettings:
    """Checks names and types of `settings`, and shares them out.

    Raises:
        UnknownNameError: a name that the method has no setting for.
        SettingError: a value of the wrong type or out of range.

    >>> from amodal.methods import get_method
    >>> found = resolve_settings(get_method("aum"), {"width": "8", "epochs": "3"})
    >>> found.encoder.width, found.train.epochs
    (8, 3)
    """
    own = method.settings()
    if not hasattr(method, "stages"):
        unknown = [k for k in settings if k not in own]
        if unknown:
            raise unknown_name(f"setting of {method.name}", unknown[0], own or ["(none)"])
        return MethodSettings({k: coerce(k, v, own[k]) for k, v in settings.items()}, None, None)
    from amodal.encoders import EncoderSettings
    from amodal.methods.sequence import DecoderSettings
    from amodal.training import TrainSettings

    given = {**getattr(method, "defaults", {}), **settings}
    encoder = {f.name: f.default for f in fields(EncoderSettings)}
    train = {f.name: f.default for f in fields(TrainSettings)}
    writes = "sequence" in method.tasks
    decoder = {f.name: f.default for f in fields(DecoderSettings)} if writes else {}
    for key in given:
        if key not in own | encoder | train | decoder:
            known = [*own, *encoder, *train, *decoder]
            raise unknown_name(f"setting of {method.name}", key, known)

    def pick(defaults: Mapping[str, Any]) -> dict[str, Any]:
        return {k: coerce(k, given[k], v) for k, v in defaults.items() if k in given}

    return MethodSettings(
        pick(own),
        EncoderSettings(**pick(encoder)),
        TrainSettings(**pick(train)),
        DecoderSettings(**pick(decoder)) if writes else None,
    )


def method_of(kind: type, resolved: MethodSettings, modalities: Iterable[Any], task: Any) -> Any:
    """A neural method with the settings that `resolve_settings` shared out, not yet trained."""
    given = dict(resolved.method)
    if task.kind == "sequence" and resolved.decoder is not None:
        given["decoder"] = resolved.decoder
    return kind(modalities, task, encoder=resolved.encoder, **given)


# -- settings that name places of a machine -------------------------------------------------------


def told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` as files and reports show them: of a folder its last part, of a cache nothing.

    >>> told({"names": "/home/someone/models/clinical-bert", "names_cache": "/tmp/c", "width": 8})
    {'names': 'clinical-bert', 'width': 8}
    """
    found = {k: v for k, v in settings.items() if k != "names_cache"}
    if found.get("names"):
        found["names"] = _last_part(str(found["names"]))
    return found


def told_spec(spec: str) -> str:
    """A method and its settings in one word, likewise.

    >>> told_spec("aum:names=~/models/bert:width=8:names_cache=/tmp/c"), told_spec("mean")
    ('aum:names=bert:width=8', 'mean')
    """
    name, *parts = spec.split(":")
    kept = []
    for part in parts:
        key, equals, value = part.partition("=")
        if key.strip() == "names_cache":
            continue
        place = key.strip() in ("names", "source")
        kept.append(f"{key}{equals}{_last_part(value)}" if place else part)
    return ":".join([name, *kept])


def keyed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` as they determine a model: the encoder of names by its content, wherever it lies.

    Raises:
        SettingError: no such encoder.

    >>> keyed({"names": "hashing"}), keyed({"width": 8})
    ({'names': 'hashing', 'names_content': 'hashing2-256'}, {'width': 8})
    """
    found = told(settings)
    if found.get("names"):
        from amodal.encoders.code_names import names_key

        found["names_content"] = names_key(str(settings["names"]))
    return found


def _last_part(name: str) -> str:
    """The last part of a folder; an id of a hub ("owner/name") stays as it is."""
    path = Path(name).expanduser()
    if path.is_absolute() or name.startswith((".", "~")) or path.is_dir():
        return path.resolve().name
    return name
