"""The application: its commands, and what its exceptions become."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from amodal import __version__
from amodal.cli import embed, evaluate, predict, prepare, report, simulate, study, train, tune
from amodal.cli import list as list_
from amodal.cli.failures import BAD, INTERRUPTED, UNFINISHED, UsageError, explain, usage_sentence
from amodal.cli.failures import report as tell

__all__ = ["app"]


class Group(TyperGroup):
    """Ends in an exit code: errors that a user can mend become one sentence on stderr."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As typer's, with this program's way to fail."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
            sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except UsageError as error:
            tell(usage_sentence(error))
            code = BAD
        except Exception as error:
            code = _code(error)
            if code is None:
                raise
        if code == INTERRUPTED:
            tell("interrupted; finished work is kept, and the same command goes on from there")
        sys.exit(code if isinstance(code, int) else 0)


def _code(error: Exception) -> int | None:
    """The exit code of an error, which is told; None for a bug."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        # Whoever read our output went away (`amodal list methods | head`), which is no news; what
        # is still buffered would raise again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNFINISHED
    sentence = explain(error)
    if sentence is None:
        return None
    tell(sentence)
    return BAD


app = typer.Typer(
    name="amodal",
    cls=Group,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,  # half the time of `--help` would go into importing rich
    pretty_exceptions_enable=False,  # its tracebacks print local variables: patients' values
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amodal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Multimodal models that keep working when modalities are absent.

    They say how far each modality was relied on, and give calibrated predictions. DATA is a
    prepared folder, or a built-in set such as builtin:digits (`amodal list data`).
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _command(name: str, function: Callable[..., None], short: str) -> None:
    app.command(name, short_help=short)(function)


_command("list", list_.list_names, "Methods, data, encoders, shifts and metrics there are.")
app.add_typer(prepare.app, name="prepare", short_help="Raw files -> a data set.")
app.add_typer(simulate.app, name="simulate", short_help="A synthetic raw database.")
_command("embed", embed.embed, "Texts of a data set -> vectors that methods read.")
_command("train", train.train, "A data set -> a fitted model in a folder.")
_command("predict", predict.predict, "A model and a data set -> a table of predictions.")
_command("evaluate", evaluate.evaluate, "How good a model is, also when modalities get lost.")
_command("tune", tune.tune, "Settings of methods, searched with the same budget.")
_command("study", study.study, "Methods x rates of loss x seeds, compared.")
_command("report", report.report, "A study -> one HTML page.")
