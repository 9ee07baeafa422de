"""``amodal prepare`` of published collections of texts, images and audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from amodal.cli.prepared import show_dataset

__all__ = ["COLLECTIONS"]

Raw = Annotated[Path, typer.Argument(metavar="RAW", help="The folder or zip of its files.")]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="A new folder, or a data set that is replaced.")
]
Unreadable = Annotated[
    str, typer.Option(help="What becomes of files that cannot be decoded: refuse or lost.")
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Leave pictures where they are; RAW is a folder.")
]


def digits3(
    raw: Raw,
    out: Out,
    split: Annotated[
        str, typer.Option(help="What test rows share with no training row: recording or speaker.")
    ] = "recording",
    seed: Annotated[int, typer.Option(help="Of which image and which clue a row gets.")] = 0,
) -> None:
    """Prepare digits3: recordings paired by class with images of digits and a written clue."""
    from amodal.collections import prepare_digits3

    show_dataset(prepare_digits3(raw, out, split=split, seed=seed), out)


def easyvqa(raw: Raw, out: Out) -> None:
    """Prepare easy-VQA: questions about images of one coloured shape."""
    from amodal.collections import prepare_easyvqa

    show_dataset(prepare_easyvqa(raw, out), out)


def cremad(
    raw: Raw,
    out: Out,
    modalities: Annotated[
        str, typer.Option(help="Some of voice, face (votes) and recording (sound).")
    ] = "voice,face",
    unreadable: Unreadable = "refuse",
) -> None:
    """Prepare CREMA-D: acted emotions, as raters named them by voice and by face."""
    from amodal.collections import prepare_cremad

    chosen = [m.strip() for m in modalities.split(",")]
    show_dataset(prepare_cremad(raw, out, modalities=chosen, unreadable=unreadable), out)


def flickr8k(raw: Raw, out: Out, unreadable: Unreadable = "refuse") -> None:
    """Prepare Flickr8k: photographs to be described, with five captions each."""
    from amodal.collections import prepare_flickr8k

    show_dataset(prepare_flickr8k(raw, out, unreadable=unreadable), out)


def coco_captions(
    raw: Raw,
    out: Out,
    split: Annotated[
        str, typer.Option(help="Test rows: official (its validation part) or karpathy.")
    ] = "official",
    unreadable: Unreadable = "refuse",
    in_place: InPlace = False,
) -> None:
    """Prepare COCO captions: pictures to be described, with five captions each."""
    from amodal.collections import prepare_coco_captions

    data = prepare_coco_captions(raw, out, split=split, unreadable=unreadable, in_place=in_place)
    show_dataset(data, out)


def vqa2(
    raw: Raw,
    out: Out,
    answers: Annotated[int, typer.Option(help="Number of classes: the most frequent answers.")] = (
        3129
    ),
    unreadable: Unreadable = "refuse",
    in_place: InPlace = False,
) -> None:
    """Prepare VQA v2: questions about pictures, with the answers of ten people."""
    from amodal.collections import prepare_vqa2

    data = prepare_vqa2(raw, out, answers=answers, unreadable=unreadable, in_place=in_place)
    show_dataset(data, out)


def daquar(
    raw: Raw,
    out: Out,
    version: Annotated[
        str, typer.Option(help="Number of answer words: 894, or 37, the reduced set.")
    ] = "",
    unreadable: Unreadable = "refuse",
) -> None:
    """Prepare DAQUAR: questions about photographs of rooms."""
    from amodal.collections import prepare_daquar

    show_dataset(prepare_daquar(raw, out, version=version, unreadable=unreadable), out)


def mosi(
    raw: Annotated[
        Path, typer.Argument(metavar="RAW", help="An npz file, or the folder or zip of such files.")
    ],
    out: Out,
    modalities: Annotated[
        str, typer.Option(help="Some of transcript, text, audio, vision, video; all if left out.")
    ] = "",
    target: Annotated[
        str, typer.Option(help="score (-3 to 3), or sign (whether it is positive).")
    ] = "",
) -> None:
    """Prepare CMU-MOSI or CMU-MOSEI: the sentiment of utterances in videos, from npz files."""
    from amodal.collections import prepare_mosi

    chosen = [m.strip() for m in modalities.split(",") if m.strip()]
    show_dataset(prepare_mosi(raw, out, modalities=chosen, target=target), out)


COLLECTIONS: dict[str, tuple[Callable[..., None], str]] = {
    "digits3": (digits3, "Spoken and written digits with a clue, from FSDD recordings."),
    "easyvqa": (easyvqa, "easy-VQA, from its official files."),
    "cremad": (cremad, "CREMA-D, from its official files or a table of its votes."),
    "flickr8k": (flickr8k, "Flickr8k, from its official files."),
    "vqa2": (vqa2, "VQA v2, from its official files and COCO pictures."),
    "daquar": (daquar, "DAQUAR, from its official files."),
    "mosi": (mosi, "CMU-MOSI or CMU-MOSEI, from npz files of arrays."),
    "coco-captions": (coco_captions, "COCO captions, from its official files."),
}
"""Name of the command -> its function, and what it does."""
