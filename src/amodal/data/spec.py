"""The spec of a user's own files: a TOML file, checked key by key.

See `amodal.data.files.example_spec` for a commented one.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amodal.checks import SPLITS
from amodal.errors import SettingError, StorageError, unknown_name
from amodal.types import TASK_KINDS
from amodal.values import MEDIA

__all__ = ["MISSING", "ModalitySpec", "RowsSpec", "Spec", "parse_spec", "read_spec"]

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "?")
"""Texts that stand for a missing cell unless the spec says otherwise."""

Ref = str | Mapping[str, str]
"""A column or array; or one array for each split, whose rows follow each other."""


@dataclass(frozen=True)
class RowsSpec:
    """Section ``[rows]``: one line a row."""

    file: Path
    row_id: Ref | None = None
    target: Ref | tuple[str, ...] | None = None
    task: str | None = None
    classes: tuple[str, ...] = ()
    positive: Any = None
    threshold: float | None = None
    group: Ref | None = None
    weight: Ref | None = None
    split: Ref | None = None
    split_names: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    missing: tuple[str, ...] = MISSING
    delimiter: str = ""


@dataclass(frozen=True)
class ModalitySpec:
    """A section ``[modality.NAME]``.

    >>> ModalitySpec("x", "image").unreadable
    'refuse'
    """

    name: str
    kind: str
    file: Path | None = None
    row_id: Ref | None = None
    columns: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    array: Ref | None = None
    present: Ref | None = None
    features: tuple[str, ...] = ()
    time: str | None = None
    time_unit: str = ""
    variable: str | None = None
    value: str | None = None
    code: str | None = None
    type: str | None = None
    column: str | None = None
    folder: Path | None = None
    unreadable: str = "refuse"
    absent: str = "not_measured"
    missing: tuple[str, ...] | None = None
    delimiter: str = ""


@dataclass(frozen=True)
class Spec:
    """A whole spec: the rows, the modalities, and the TOML as it was."""

    rows: RowsSpec
    modalities: tuple[ModalitySpec, ...]
    raw: Mapping[str, Any]
    name: str = ""


# -- values of keys -------------------------------------------------------------------------------


def _wrong(where: str, rule: str, found: Any) -> SettingError:
    return SettingError(f"{where} must be {rule}; got {str(found)[:60]!r}; correct the spec")


def _text(where: str, x: Any, folder: Path) -> str:
    if not isinstance(x, str) or not x:
        raise _wrong(where, "a text", x)
    return x


def _texts(where: str, x: Any, folder: Path) -> tuple[str, ...]:
    if not isinstance(x, list) or not all(isinstance(t, str) for t in x):
        raise _wrong(where, "a list of texts", x)
    if len(set(x)) < len(x):
        raise _wrong(where, "a list without repeats", x)
    return tuple(x)


def _names(where: str, x: Any, folder: Path) -> tuple[str, ...]:
    found = _texts(where, x, folder)
    if not found or not all(found):
        raise _wrong(where, "a list of at least one name", x)
    return found


def _ref(where: str, x: Any, folder: Path) -> Ref:
    if not isinstance(x, dict) or not x:
        return _text(where, x, folder)
    for part, name in x.items():
        if part not in SPLITS:
            raise unknown_name(f"split in {where}", part, SPLITS)
        _text(f"{where}.{part}", name, folder)
    return dict(x)


def _target(where: str, x: Any, folder: Path) -> Ref | tuple[str, ...]:
    return _names(where, x, folder) if isinstance(x, list) else _ref(where, x, folder)


def _scalar(where: str, x: Any, folder: Path) -> Any:
    if not isinstance(x, (str, int, float)) or (isinstance(x, float) and not math.isfinite(x)):
        raise _wrong(where, "a text or a finite number", x)
    return x


def _number(where: str, x: Any, folder: Path) -> float:
    if isinstance(x, (bool, str)) or isinstance(_scalar(where, x, folder), str):
        raise _wrong(where, "a number", x)
    return x


def _split_names(where: str, x: Any, folder: Path) -> dict[str, str]:
    if not isinstance(x, dict):
        raise _wrong(where, "a table of value = split", x)
    for value, split in x.items():
        if split not in (*SPLITS, ""):
            raise unknown_name(f"split in {where}.{value}", str(split), SPLITS)
    return dict(x)


def _one_of(*known: str) -> Callable[[str, Any, Path], str]:
    def check(where: str, x: Any, folder: Path) -> str:
        if x not in known:
            raise unknown_name(f"value of {where}:", str(x), known)
        return x

    return check


def _delimiter(where: str, x: Any, folder: Path) -> str:
    if not isinstance(x, str) or len(x) != 1 or not x.isascii() or x in '\r\n"':
        raise _wrong(where, "one character", x)
    return x


def _file(where: str, x: Any, folder: Path) -> Path:
    """A path relative to the spec; ``${NAME}`` is the environment variable NAME."""

    def expand(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SettingError(
                f"{where} names the environment variable {match[1]}, which must be set; it is not; "
                "set it to the folder of the files"
            )
        return os.environ[match[1]]

    text = re.sub(r"\$\{(\w+)\}", expand, _text(where, x, folder))
    try:
        return folder / Path(text).expanduser()
    except (RuntimeError, ValueError):
        raise _wrong(where, "the path of a file", x) from None


_ROWS = {
    "file": _file,
    "row_id": _ref,
    "target": _target,
    "task": _one_of(*TASK_KINDS),
    "classes": _names,
    "positive": _scalar,
    "threshold": _number,
    "group": _ref,
    "weight": _ref,
    "split": _ref,
    "split_names": _split_names,
    "facts": _names,
    "missing": _texts,
    "delimiter": _delimiter,
}
_COMMON = {
    "kind": _text,
    "file": _file,
    "row_id": _ref,
    "absent": _one_of("not_measured", "lost"),
    "missing": _texts,
    "delimiter": _delimiter,
}
_MATRIX = {"columns": _names, "array": _ref, "present": _ref, "features": _names}
_TIME = {"time": _text, "time_unit": _text}
_MEDIA = {"column": _text, "folder": _file, "unreadable": _one_of("refuse", "lost")}
_KINDS: dict[str, dict[str, Callable]] = {
    "table": {**_COMMON, **_MATRIX, "categorical": _names},
    "embedding": {**_COMMON, **_MATRIX},
    "series": {**_COMMON, **_TIME, "columns": _names, "variable": _text, "value": _text},
    "codes": {**_COMMON, **_TIME, "code": _text, "type": _text},
    "text": {**_COMMON, "column": _text},
    **{kind: {**_COMMON, **_MEDIA} for kind in MEDIA},
}
_REQUIRED = {
    "series": ("time",),
    "codes": ("code",),
    **dict.fromkeys(("text", *MEDIA), ("column",)),
}


# -- sections -------------------------------------------------------------------------------------


def _section(
    where: str, x: Any, known: Mapping[str, Callable], required: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    if not isinstance(x, dict):
        raise _wrong(where, "a section", x)
    for key in x:
        if key not in known:
            raise unknown_name(f"key in {where}:", key, known)
    for key in required:
        if key not in x:
            raise SettingError(f"{where} needs the key {key!r}; it has none; add it to the spec")
    return {key: known[key](f"{key!r} in {where}", value, folder) for key, value in x.items()}


def _modality(name: str, x: Any, folder: Path) -> ModalitySpec:
    where = f"[modality.{name}]"
    kind = x.get("kind", "table") if isinstance(x, dict) else "table"
    if kind not in tuple(_KINDS):
        raise unknown_name(f"kind in {where}:", str(kind), _KINDS)
    found = _section(where, x, _KINDS[kind], _REQUIRED.get(kind, ()), folder)
    if kind in ("table", "embedding") and "array" in found and "columns" in found:
        raise SettingError(f"{where} needs `columns` or `array`; it has both; keep one")
    for key in ("present", "features"):
        if key in found and "array" not in found:
            raise SettingError(f"{key!r} in {where} goes with `array`; it has none; leave it out")
    if ("variable" in found) != ("value" in found):
        raise SettingError(
            f"{where} needs `variable` and `value` together, or neither; it has one; add the other"
        )
    return ModalitySpec(**{"name": name, "kind": kind, **found})


def _rows(x: Any, folder: Path) -> RowsSpec:
    rows = RowsSpec(**_section("[rows]", x, _ROWS, ("file",), folder))
    said = [k for k in ("positive", "threshold") if getattr(rows, k) is not None]
    if len(said) > 1 or (said and rows.task not in (None, "binary")):
        raise SettingError(
            "[rows] may say what is positive of a binary task, by `positive` or by `threshold`; "
            f"got {' and '.join(said)} with task {rows.task!r}; keep one"
        )
    if said and rows.target is None:
        raise SettingError(f"{said[0]!r} in [rows] needs a target; it has none; add `target`")
    return rows


def parse_spec(raw: Mapping[str, Any], folder: Path = Path()) -> Spec:
    """The spec that a parsed TOML file holds; paths are relative to `folder`.

    Raises:
        UnknownNameError: an unknown key.
        SettingError: a key with a wrong value, or one that is lacking.

    >>> spec = parse_spec({"rows": {"file": "a.csv"}, "modality": {"x": {"columns": ["ph"]}}})
    >>> spec.rows.file.name, spec.modalities[0].columns
    ('a.csv', ('ph',))
    """
    for key in raw:
        if key not in ("name", "rows", "modality"):
            raise unknown_name("key in the spec:", key, ("name", "rows", "modality"))
    if "rows" not in raw:
        raise SettingError("a spec needs a section [rows]; it has none; add it")
    sections = raw.get("modality")
    if not isinstance(sections, dict) or not sections:
        raise SettingError("a spec needs a section [modality.NAME]; it has none; add one")
    name = _text("'name'", raw["name"], folder) if "name" in raw else ""
    modalities = tuple(_modality(key, x, folder) for key, x in sections.items())
    return Spec(_rows(raw["rows"], folder), modalities, dict(raw), name)


def read_spec(path: str | Path) -> Spec:
    """The spec in a TOML file.

    Raises:
        StorageError: it cannot be read.
        SettingError: no TOML, or a key is wrong.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     text = '[rows]\\nfile = "a.csv"\\n[modality.x]\\ncolumns = ["age"]\\n'
    ...     _ = Path(folder, "spec.toml").write_text(text)
    ...     spec = read_spec(f"{folder}/spec.toml")
    >>> spec.rows.file.name, spec.modalities[0].kind, spec.modalities[0].absent
    ('a.csv', 'table', 'not_measured')
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error)[:120]
        raise SettingError(f"a spec is a TOML file; {path} is none: {reason}; correct it") from None
    return parse_spec(raw, path.resolve().parent)
