"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from amodal.errors import SettingError, unknown_name

__all__ = [
    "DEVICES",
    "Data",
    "Device",
    "Json",
    "Mechanisms",
    "Methods",
    "Metrics",
    "Run",
    "Settings",
    "StudyData",
    "check_device",
    "many",
    "numbers",
    "rates_of_loss",
]

T = TypeVar("T")

DEVICES = ("cpu", "cuda", "mps", "auto")

Data = Annotated[str, typer.Argument(metavar="DATA", help="A prepared folder, or builtin:NAME.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `amodal train` wrote.")]
StudyData = Annotated[
    str,
    typer.Argument(
        metavar="DATA|FILE.toml",
        help="A prepared folder, builtin:NAME, or a study file; options win over the file.",
    ),
]
Methods = Annotated[str | None, typer.Option(help="Names or name:key=value:..., with commas.")]
Mechanisms = Annotated[
    str | None,
    typer.Option(
        help="Mechanisms of loss, with commas; mcar+noise:severity=2 adds noise.",
        show_default="mcar",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Metrics = Annotated[str, typer.Option(help="Names, with commas; those of the task if left out.")]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; may be given several times."),
]


def many(text: str) -> list[str]:
    """Words between commas.

    >>> many("aum, boosting,")
    ['aum', 'boosting']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(what: str, text: str, read: Callable[[str], T]) -> list[T]:
    """Numbers between commas.

    Raises:
        SettingError: one is none.

    >>> numbers("rates", "0,0.5", float)
    [0.0, 0.5]
    """
    try:
        return [read(word) for word in many(text)]
    except ValueError:
        kind = "whole numbers" if read is int else "numbers"
        raise SettingError(f"{what} are {kind} between commas; got {text!r}; change it") from None


def rates_of_loss(text: str) -> list[float | str]:
    """Rates between commas; a rate per modality stays a text for `amodal.shifts.rates`.

    Raises:
        SettingError: one is none.

    >>> rates_of_loss("0,0.5,labs=0.7/notes=0.1")
    [0.0, 0.5, 'labs=0.7/notes=0.1']
    """
    words = many(text)
    tables = [word for word in words if "=" in word]
    plain = ",".join(word for word in words if "=" not in word)
    return [*numbers("rates of loss", plain, float), *tables]


def check_device(name: str) -> str:
    """The device that `name` means on this machine: "cpu", "cuda" or "mps".

    Raises:
        UnknownNameError: none of `DEVICES`.
        SettingError: this machine has no such device.
    """
    import torch

    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    there: dict[str, Any] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        return next(device for device, check in there.items() if check())
    if not there[name]():
        raise SettingError(
            f"device {name} must be there to be used; PyTorch finds none on this machine; "
            "use cpu or auto"
        )
    return name
