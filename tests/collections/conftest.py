"""Small files in official layouts, made up."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def zipped():
    """A function: a folder -> the zip of it, under a folder of that name."""

    def pack(folder: Path) -> Path:
        out = folder.with_suffix(".zip")
        with zipfile.ZipFile(out, "w") as file:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    file.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
        return out

    return pack


def jpeg(colour=(10, 20, 30)) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def picture():
    """A function: a colour -> a small picture in JPEG, as bytes."""
    pytest.importorskip("PIL.Image")
    return jpeg


@pytest.fixture
def same_bytes():
    """A function: whether two folders hold the same files of the same content."""

    def same(a: Path, b: Path) -> bool:
        found = [
            {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()}
            for f in (a, b)
        ]
        return found[0] == found[1]

    return same
