"""The command line: one file a command, each a thin shell over library functions."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Runs ``amodal`` and ends the process with its exit code.

    | code | meaning |
    |---|---|
    | 0 | done |
    | 1 | parts of a study failed; nobody reads the output; or a bug, with its traceback |
    | 2 | the command line, the data or the disk do not allow it: one sentence on stderr |
    | 130 | interrupted |

    Args:
        args: words after ``amodal``; those of the process if left out.
    """
    from amodal.cli.app import app

    app(args, prog_name="amodal")
