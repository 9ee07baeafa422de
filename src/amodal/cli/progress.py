"""Progress of long work on stderr: a live bar on a terminal, one line a step elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from amodal.cli.show import is_terminal, shown

if TYPE_CHECKING:
    from amodal.training import Epoch

__all__ = [
    "StudyProgress",
    "TextProgress",
    "TrainProgress",
    "TuneProgress",
    "epoch_line",
    "time_left",
]


def epoch_line(epoch: Epoch) -> str:
    """The loss terms by name, then the watched metric.

    >>> from types import SimpleNamespace as E
    >>> epoch_line(E(terms={"task": 0.5, "kl": 2.0}, monitor="auroc", valid=0.75, best=True))
    'task 0.500  kl 2.000  | auroc 0.7500 best'
    """
    terms = "  ".join(f"{name} {shown(value)}" for name, value in epoch.terms.items())
    watched = f"  | {epoch.monitor} {shown(epoch.valid, 4)}" if epoch.valid == epoch.valid else ""
    return f"{terms}{watched}{' best' if watched and epoch.best else ''}"


def time_left(seconds: float, done: int, left: int) -> str:
    """What `left` steps take at the pace of those done, in words; nothing where it is not known.

    >>> time_left(30.0, 2, 4), time_left(600.0, 2, 4), time_left(7200.0, 1, 3)
    (', about 1 min left', ', about 20 min left', ', about 6 h left')
    >>> time_left(1.0, 0, 4), time_left(1.0, 4, 0)
    ('', '')
    """
    if done < 1 or left < 1:
        return ""
    minutes = seconds / done * left / 60
    if minutes < 1:
        return ", less than a minute left"
    return (
        f", about {minutes:.0f} min left" if minutes < 120 else f", about {minutes / 60:.0f} h left"
    )


class _Bar:
    """A bar with a line above and one below, redrawn in place; nothing where no terminal is."""

    def __init__(self) -> None:
        self.live: Any = None
        if not is_terminal(sys.stderr):
            return
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.bar = Progress(*columns, console=console, expand=True)
        self.task = self.bar.add_task("", total=None)
        self.live = Live(console=console, transient=True)

    def wait(self, text: str) -> None:
        """Shows that something is done whose length is not known."""
        from rich.spinner import Spinner

        self.live.update(Spinner("dots", text))

    def update(self, above: str, below: str, *, done: int, total: int | None) -> None:
        """Redraws the bar with its lines."""
        from rich.console import Group
        from rich.text import Text

        self.bar.update(self.task, completed=done, total=total)
        lines = Text(above, style="bold"), Text(below, no_wrap=True, overflow="ellipsis")
        self.live.update(Group(lines[0], self.bar, lines[1]))

    def __enter__(self) -> Any:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class TrainProgress(_Bar):
    """Progress of `Model.fit`: hand `epoch` to it.

    Args:
        method: its name.
        members: of the ensemble.
        resumed: an earlier call began the run.
    """

    def __init__(self, method: str, members: int, *, resumed: bool = False) -> None:
        super().__init__()
        self.method, self.members = method, members
        if resumed:
            _tell(f"Going on with the unfinished run of {method}.")

    def __enter__(self) -> TrainProgress:
        super().__enter__()
        if self.live is not None:
            self.wait(self._title(0))
        return self

    def _title(self, member: int) -> str:
        which = f", member {member + 1} of {self.members}" if self.members > 1 else ""
        return f"Training {self.method}{which}"

    def epoch(self, member: int, epoch: Epoch, epochs: int) -> None:
        """Called after each epoch of each member."""
        number, line = epoch.epoch + 1, epoch_line(epoch)
        if self.live is not None:
            title = self._title(member) + (", final fit" if epoch.final else "")
            self.update(title, line, done=number, total=epochs)
            return
        which = f"member {member + 1}/{self.members}  " if self.members > 1 else ""
        what = "final fit:" if epoch.final else "epoch"
        _tell(f"{which}{what} {number:{len(str(epochs))}}/{epochs}  {line}")


class TextProgress(_Bar):
    """Progress of `amodal.embed.embed`: call it."""

    def __call__(self, done: int, total: int) -> None:
        """Called after each batch of texts."""
        if self.live is not None:
            self.update("Texts", "", done=done, total=total)


class StudyProgress(_Bar):
    """Progress of `run_study`: call it."""

    title = "Study"

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.began, self.before = 0, time.monotonic(), 0

    def __enter__(self) -> StudyProgress:
        super().__enter__()
        return self

    def __call__(self, done: int, total: int, text: str) -> None:
        """Called after each cell."""
        if self.live is not None:
            self.update(self.title, text, done=done, total=total or None)
            if "failed" in text:
                self.live.console.print(text, markup=False, highlight=False)
            return
        if not self.calls:
            self.began, self.before = time.monotonic(), done
        run, self.calls = self.calls, self.calls + 1
        left = time_left(time.monotonic() - self.began, run, total - self.before - run)
        of = f"[{done:{len(str(total))}}/{total}]" if total else f"[{done}]"
        _tell(f"{of} {text}{left}")


class TuneProgress(StudyProgress):
    """Progress of `amodal.tuning.tune`: call it."""

    title = "Search"
