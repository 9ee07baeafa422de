"""What went wrong, in one sentence: which exceptions are a user's to mend, and how they read."""

from __future__ import annotations

import errno
import sys

import typer

from amodal.errors import AmodalError

__all__ = ["BAD", "INTERRUPTED", "UNFINISHED", "UsageError", "explain", "report", "usage_sentence"]

UNFINISHED = 1
"""Exit code where parts of a study failed, or nobody reads the output any more."""
BAD = 2
"""Exit code of what a user can mend."""
INTERRUPTED = 130

UsageError = typer.BadParameter.__mro__[1]
"""What typer raises about the command line; the class itself has no public name."""

_LONG = 300
"""Words longer than this (a path that is no path) are cut."""
_ADVICE = {
    errno.ENOSPC: "free space, or write to another disk",
    errno.EDQUOT: "free space, or write to another disk",
    errno.EFBIG: "write to another disk",
    errno.EROFS: "write to another place",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EIO: "check the disk",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a folder that exists",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "choose another place",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the limit of open files",
    errno.ENODEV: "choose another place",
    errno.ESTALE: "check the disk",
}
"""Errors of the system that are no bugs of this program."""


def explain(error: BaseException) -> str | None:
    """One sentence for an error that is the user's to mend; None for a bug.

    >>> explain(AmodalError("a rule;\\nwhat was found; what to do"))
    'a rule; what was found; what to do'
    >>> explain(OSError(errno.EISDIR, "Is a directory", "out"))
    "the system refused 'out': Is a directory; name a file"
    >>> explain(ValueError("a bug")) is None
    True
    """
    if isinstance(error, AmodalError):
        words = (w if len(w) < _LONG else f"{w[:60]}...{w[-20:]}" for w in str(error).split())
        return " ".join(words) or type(error).__name__
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; use fewer rows, jobs or a smaller model"
    if isinstance(error, OSError) and error.errno in _ADVICE:
        what = f"{error.filename!r}" if error.filename else "to read or write a file"
        reason = error.strerror or "error of the system"
        return f"the system refused {what}: {reason}; {_ADVICE[error.errno]}"
    return None


def usage_sentence(error: Exception) -> str:
    """What is wrong with the command line, and where help is."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "amodal"
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]} (see `{command} --help`)"


def report(sentence: str) -> None:
    """Writes the sentence to stderr, whatever the encoding of the terminal."""
    stream = sys.stderr
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = f"amodal: {sentence}\n"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
