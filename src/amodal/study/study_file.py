"""Study files: a plan written down in TOML, before the results are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amodal.errors import SettingError
from amodal.study.files import read_toml
from amodal.study.plan import Plan
from amodal.study.tuned import with_tuned

__all__ = ["read_study_file"]


def read_study_file(path: str | Path, changes: Mapping[str, Any] | None = None) -> Plan:
    """The `Plan` of a study file.

    A study file names the fields of `Plan`; ``data`` is a path seen from the file, or
    ``builtin:NAME``; ``[settings.METHOD]`` holds settings of a method, of ``neural``, ``classic`` or
    of all (``"*"``)::

        data = "builtin:digits"
        methods = ["aum", "concat", "pattern"]
        rates = [0, 0.5]
        metrics = ["accuracy", "log_loss"]
        margin = 0.01
        tuned = "tuned/tuned.toml"      # of `amodal tune`, seen from the file; may be left out

        [settings.neural]
        epochs = 20

    Args:
        path: the file.
        changes: fields that win over the file; those of ``settings`` join the file's, key by key.

    Raises:
        StorageError: the file cannot be read.
        SettingError: it is no TOML, a value has no meaning, or a field that a plan needs lacks.
        UnknownNameError: a field that plans do not have, with the nearest known name.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "s.toml").write_text('data = "builtin:digits"\\nmethods = ["mean"]\\n')
    ...     plan = read_study_file(Path(folder, "s.toml"), {"rates": [0, 0.2]})
    >>> plan.methods, plan.rates
    (('mean',), (0.0, 0.2))
    """
    path = Path(path)
    fields = read_toml(path, "a study file")
    where = fields.get("data")
    if isinstance(where, str) and not where.startswith("builtin:"):
        fields["data"] = str(path.parent / where)
    changes = dict(changes or {})
    tuned = fields.pop("tuned", None)
    if tuned is not None and not isinstance(tuned, str):
        raise SettingError(f"tuned names a file; got {tuned!r}; write a path in quotes")
    tuned = changes.pop("tuned", path.parent / tuned if tuned else None)
    settings = _merged(fields.get("settings", {}), changes.pop("settings", {}))
    plan = Plan.from_json({**fields, "settings": settings, **changes})
    return with_tuned(plan, tuned) if tuned else plan


def _merged(ours: Any, theirs: Mapping[str, Mapping[str, Any]]) -> Any:
    """Settings of a file with others put over them; what is no table is left to `Plan` to refuse."""
    if not isinstance(ours, Mapping) or not all(isinstance(v, Mapping) for v in ours.values()):
        return ours
    keys = dict.fromkeys([*ours, *theirs])
    return {key: {**ours.get(key, {}), **theirs.get(key, {})} for key in keys}
