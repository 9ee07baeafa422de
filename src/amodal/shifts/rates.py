"""Rates of single modalities as one word that fits into a spec, and names of sources without paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amodal.checks import check_fraction
from amodal.errors import SettingError

__all__ = ["check_rates", "last_part", "rates_text"]

_BETWEEN = "/"
_RESERVED = "/=:,+"


def check_rates(rates: Any) -> tuple[tuple[str, float], ...]:
    """(modality, rate) of single modalities, in the order of their names.

    Args:
        rates: a mapping, pairs, or a text ``"labs=0.7/notes=0.1"``.

    Raises:
        SettingError: it is none of these, or a rate lies outside [0, 1].

    >>> check_rates("notes=0.1/labs=0.7")
    (('labs', 0.7), ('notes', 0.1))
    """
    try:
        if isinstance(rates, str):
            rates = [part.split("=") for part in rates.split(_BETWEEN) if part]
            rates = {name.strip(): float(rate) for name, rate in rates}
        pairs = sorted(dict(rates).items())
    except (TypeError, ValueError):
        raise SettingError(
            f"rates must map names of modalities to rates; got {rates!r}; change it"
        ) from None
    return tuple((str(n), check_fraction(f"the rate of modality {n!r}", r)) for n, r in pairs)


def rates_text(rates: Any) -> str:
    """The rates of single modalities as one word, which `check_rates` reads.

    Raises:
        SettingError: as `check_rates`; or a name holds a letter that parts a spec.

    >>> rates_text({"notes": 0.1, "labs": 0.7})
    'labs=0.7/notes=0.1'
    """
    pairs = check_rates(rates)
    if not pairs:
        raise SettingError("a table of rates names at least one modality; got none; name one")
    for name, _ in pairs:
        if set(name) & set(_RESERVED):
            raise SettingError(
                f"modalities with rates of their own have names without {' '.join(_RESERVED)}; "
                f"got {name!r}; rename it in the data, or state the rates in Python"
            )
    return _BETWEEN.join(f"{name}={rate:g}" for name, rate in pairs)


def last_part(source: str) -> str:
    """A folder by its last part, for records; ``builtin:NAME`` and "" as they are.

    >>> last_part("a/b/p12"), last_part("builtin:digits"), last_part("")
    ('p12', 'builtin:digits', '')
    """
    return source if not source or source.startswith("builtin:") else Path(source).name
