"""What a user chooses when a clinical database is prepared, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from amodal.checks import check_fraction
from amodal.errors import SettingError, unknown_name

__all__ = ["EDITIONS", "PROTOCOLS", "TASKS", "Choices", "check_edition", "choose"]

PROTOCOLS = ("clean", "muse")
TASKS = ("mortality", "readmission")
EDITIONS = ("any", "full", "demo")


@dataclass(frozen=True)
class Choices:
    """How a database is prepared; every field is decided.

    Args:
        task: "mortality" or "readmission".
        protocol: "clean" or "muse".
        window: days after discharge; None where the protocol has no window.
        outcome: which death ("hospital", "icu"); "" where there is no choice.
        predict_at: "discharge", "coding", "12h" or "icu discharge".
        modalities: names, in order.
        split: what stays together: "row", "patient", "hospital" or "region".
        seed: of the split and of `mask_labels`.
        mask_labels: share of the labels that is taken away at random.
        leaks: what is let in on purpose, of `amodal.clinical.leaks.LEAKS`; for accounting alone.

    >>> task = ("mortality", "clean", 90, "", "discharge", ("codes", "labs"), "patient")
    >>> "leaks" in Choices(*task).to_json(), Choices(*task, leaks=("coded",)).to_json()["leaks"]
    (False, ['coded'])
    """

    task: str
    protocol: str
    window: int | None
    outcome: str
    predict_at: str
    modalities: tuple[str, ...]
    split: str
    seed: int = 0
    mask_labels: float = 0.0
    leaks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The choices as JSON."""
        told = {**asdict(self), "modalities": list(self.modalities), "leaks": list(self.leaks)}
        return told if self.leaks else {k: v for k, v in told.items() if k != "leaks"}


def choose(
    offered: Mapping[str, Sequence[Any]],
    *,
    task: str,
    protocol: str,
    seed: int = 0,
    mask_labels: float = 0.0,
    **asked: Any,
) -> Choices:
    """The choices that were asked for, the first that is offered where nothing was.

    Args:
        offered: "window", "outcome", "predict_at", "split" -> what this task and protocol offer,
            the default first; "modalities" and "leaks" -> all there are.
        task: one of `TASKS`.
        protocol: one of `PROTOCOLS`.
        seed: of the draws.
        mask_labels: share, in [0, 1).
        asked: the same keys as `offered`, None for the default.

    Raises:
        SettingError: something is asked for that is not offered, or there is no such task or
            protocol.

    >>> offered = {"window": (90, 30), "outcome": ("",), "predict_at": ("discharge",),
    ...            "split": ("patient",), "modalities": ("codes", "labs")}
    >>> choose(offered, task="mortality", protocol="clean", window=30).window
    30
    """
    if task not in TASKS or protocol not in PROTOCOLS:
        raise SettingError(
            "the task is mortality or readmission and the protocol clean or muse; got "
            f"{task!r} and {protocol!r}; choose of these"
        )
    decided = {
        key: _one(key, offered[key], asked.get(key), f"--task {task} --protocol {protocol}")
        for key in ("window", "outcome", "predict_at", "split")
    }
    names = asked.get("modalities") or tuple(offered["modalities"])
    for name in names:
        if name not in offered["modalities"]:
            raise unknown_name("modality", name, offered["modalities"])
    ordered = tuple(n for n in offered["modalities"] if n in set(names))
    share = check_fraction("the share of labels that is masked", mask_labels)
    leaks = tuple(asked.get("leaks") or ())
    for name in leaks:
        if name not in offered.get("leaks", ()):
            raise unknown_name(f"leak of {task} by {protocol}", name, offered.get("leaks", ()))
    return Choices(
        task,
        protocol,
        modalities=ordered,
        seed=int(seed),
        mask_labels=share,
        leaks=leaks,
        **decided,
    )


def check_edition(edition: str) -> None:
    """Refuses an edition that is none of `EDITIONS`.

    >>> check_edition("demo")
    """
    if edition not in EDITIONS:
        raise SettingError(
            f"the edition is any, full or demo; got {edition!r}; choose one of these"
        )


def _one(key: str, offered: Sequence[Any], asked: Any, where: str) -> Any:
    if asked is None:
        return offered[0]
    if asked in offered:
        return asked
    known = ", ".join(str(o) for o in offered if o not in (None, ""))
    raise SettingError(
        f"--{key.replace('_', '-')} of {where} is "
        f"{f'one of {known}' if known else 'fixed'}; got {asked!r}; "
        f"{'choose one of these' if known else 'leave it out'}"
    )
