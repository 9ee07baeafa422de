"""The error family: everything that amodal raises on purpose is an `AmodalError`.

A message states the rule, what was found and what to do, in that order. The command line prints it
as one line and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = [
    "AmodalError",
    "CheckpointError",
    "DataError",
    "MediaError",
    "NotFittedError",
    "SettingError",
    "StorageError",
    "UnknownNameError",
    "at_least",
    "did_you_mean",
    "unknown_name",
    "whole_numbers",
]


class AmodalError(Exception):
    """Base of every error that amodal raises on purpose.

    >>> issubclass(SettingError, AmodalError), issubclass(SettingError, ValueError)
    (True, True)
    """


class DataError(AmodalError, ValueError):
    """What a user handed in as data breaks a stated rule."""


class MediaError(DataError):
    """A file of an image or of sound cannot be decoded.

    Args:
        kind: of the modality.
        reason: in one or two words.
        why: the same as a sentence.
        source: what was to be decoded; not part of the text, for names of files can tell of people.
        where: whose file it is, for people.

    >>> error = MediaError("image", "damaged", "it ends too early", source="smith.png")
    >>> "smith" in str(error), error.source, error.at("that of row 1").reason
    (False, 'smith.png', 'damaged')
    """

    def __init__(
        self, kind: str, reason: str, why: str, *, source: str, where: str = "one of them"
    ) -> None:
        self.kind, self.reason, self.why, self.source = kind, reason, why, source
        super().__init__(
            f"files of kind {kind} must be readable; {where} is not: {why}; mend or remove it, or "
            'let it count as lost when the data are prepared (unreadable = "lost")'
        )

    def at(self, where: str) -> MediaError:
        """The same error, saying whose file it is."""
        return MediaError(self.kind, self.reason, self.why, source=self.source, where=where)


class SettingError(AmodalError, ValueError):
    """A setting has a wrong name, type or value."""


class UnknownNameError(SettingError, KeyError):
    """A name (method, modality, metric, setting) is not one of the known ones.

    >>> str(UnknownNameError("unknown shift")), isinstance(UnknownNameError(""), KeyError)
    ('unknown shift', True)
    """

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class NotFittedError(AmodalError, AttributeError):
    """A model was asked to predict before it was fitted."""


class CheckpointError(AmodalError, ValueError):
    """A stored model or checkpoint cannot be used: foreign, of another version, or truncated."""


class StorageError(AmodalError, OSError):
    """A file cannot be read or written."""


def at_least(least: int, **settings: float) -> None:
    """Refuses settings that are smaller than they may be.

    Raises:
        SettingError: one of them is below `least`.

    >>> at_least(1, layers=0)
    Traceback (most recent call last):
    amodal.errors.SettingError: layers must be at least 1; got 0; change it
    """
    for name, value in settings.items():
        if value < least:
            raise SettingError(f"{name} must be at least {least}; got {value}; change it")


def whole_numbers(settings: object, least: Mapping[str, int]) -> None:
    """Refuses attributes of `settings` that are no whole numbers, or smaller than they may be.

    Raises:
        SettingError: naming the first of them.

    >>> from types import SimpleNamespace
    >>> whole_numbers(SimpleNamespace(width=8), {"width": 1})
    >>> whole_numbers(SimpleNamespace(width=2.5), {"width": 1})
    Traceback (most recent call last):
    amodal.errors.SettingError: width must be a whole number from 1; got 2.5; raise it
    """
    for name, smallest in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
            raise SettingError(
                f"{name} must be a whole number from {smallest}; got {value!r}; raise it"
            )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ends an error text with the nearest known name, or with all of them.

    >>> did_you_mean("bosting", ["boosting", "mean"])
    "did you mean 'boosting'?"
    >>> did_you_mean("zzz", ["boosting", "mean"])
    'choose from boosting, mean'
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not known.

    >>> str(unknown_name("method", "bosting", ["boosting", "mean"]))
    "unknown method 'bosting': did you mean 'boosting'?"
    """
    return UnknownNameError(f"unknown {what} {name!r}: {did_you_mean(name, known)}")
