"""``amodal embed``: a data set with texts, images or audio -> one with vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from amodal.cli.options import Data, Device, check_device, many
from amodal.cli.prepared import show_dataset
from amodal.cli.progress import TextProgress
from amodal.cli.show import heading
from amodal.errors import SettingError

__all__ = ["embed"]


def embed(
    data: Data,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new folder, or a data set that is replaced.")
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="hashing (nothing learned), a folder that transformers saved, or an id of the hub."
        ),
    ] = "hashing",
    modalities: Annotated[
        str,
        typer.Option(help="Which modalities, with commas; all that the encoder reads if left out."),
    ] = "",
    width: Annotated[int | None, typer.Option(help="Of hashed words; 256 by default.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Of a window of text (checkpoints); 256 by default.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(help="Windows read of a text (checkpoints); 1 by default.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="A folder for vectors, which tell of their texts; none if left out."),
    ] = None,
    device: Device = "cpu",
) -> None:
    """Turn texts, images or audio into vectors, once: each is encoded alone, absent ones never.

    A checkpoint reads what it was made for. The result is a data set that every method reads. A
    checkpoint stays frozen; with --cache, a stopped run goes on and later ones reuse what is known.
    """
    from amodal.data.dataset import Dataset
    from amodal.data.store import check_target_folder
    from amodal.embed import HASHING, VectorCache, make_embedder
    from amodal.embed import embed as embed_texts

    check_target_folder(out)
    if cache is not None and out.resolve() in (cache.resolve(), *cache.resolve().parents):
        raise SettingError(
            f"a cache outlives the data sets made with it; {cache} lies in OUT; choose a folder "
            "beside it"
        )
    asked = {"width": width, "max_tokens": max_tokens, "windows": windows}
    settings: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
    own = {"width"} if encoder == HASHING else {"max_tokens", "windows"}
    if set(settings) - own:
        odd = min(set(settings) - own).replace("_", "-")
        raise SettingError(f"--{odd} is not for the encoder {encoder}; leave it out")
    if encoder != HASHING or device != "cpu":
        device = check_device(device)
    if encoder != HASHING:
        settings["device"] = device
    texts, embedder = Dataset.load(data), make_embedder(encoder, **settings)
    with TextProgress() as progress:
        made = embed_texts(
            texts,
            embedder,
            modalities=many(modalities) or None,
            cache=None if cache is None else VectorCache(cache),
            progress=progress,
        )
    made.save(out)
    heading(f"{embedder.kind.capitalize()} became vectors by {encoder}")
    show_dataset(made, out)
