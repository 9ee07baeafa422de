"""`ImageDecoder`: a picture as pixels of one size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from amodal.errors import SettingError, unknown_name
from amodal.media.changes import change_image
from amodal.media.source import Source, UnreadableError

__all__ = ["FITS", "RESAMPLING", "ImageDecoder"]

FITS = ("crop", "letterbox", "stretch")
"""How a picture gets its size."""
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic")
"""How pixels are resampled, in Pillow's order."""

_SHORT, _BLACK = 255.0 / 65535.0, (0, 0, 0)


@dataclass(frozen=True)
class ImageDecoder:
    """A picture file as ``UInt8[3, height, width]``: red, green, blue.

    Turned upright by its EXIF tag; grey, palette and CMYK pictures become RGB, 16-bit grey is
    divided by 257, what is transparent lies on white, and of a moving picture the first frame
    counts. Then resampled with anti-aliasing:

    | fit | what happens |
    |---|---|
    | ``crop`` | the shorter side gets the size asked for, the middle is cut out |
    | ``letterbox`` | the longer side gets it, the rest is black |
    | ``stretch`` | both sides get it, whatever the shape |

    Changes that shifts ask for are made to the result (`amodal.media.changes.change_image`).

    Args:
        height: in pixels.
        width: in pixels; 0 for a square.
        fit: one of `FITS`.
        resample: one of `RESAMPLING`.
        border: share of each side that is cut away first, in [0, .5); for ``crop``.

    Raises:
        SettingError: a size below 1.
        UnknownNameError: another fit or resampling.

    >>> ImageDecoder(32).shape
    (3, 32, 32)
    """

    height: int
    width: int = 0
    fit: str = "crop"
    resample: str = "bilinear"
    border: float = 0.0

    kind = "image"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 0:
            raise SettingError(
                f"the size of a picture is at least 1; got {self.height} x {self.width}; raise it"
            )
        if self.fit not in FITS:
            raise unknown_name("fit of pictures", self.fit, FITS)
        if self.resample not in RESAMPLING:
            raise unknown_name("resampling", self.resample, RESAMPLING)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what `decode` returns."""
        return (3, self.height, self.width or self.height)

    def decode(self, source: str) -> np.ndarray:
        """The pixels of the file.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        found = Source.parse(source)
        return change_image(self.pixels(found.read()), found.changes)

    def pixels(self, content: bytes) -> np.ndarray:
        """The pixels of the content of a file, without changes."""
        image = _open(content)
        array = np.asarray(self._fitted(image), dtype=np.uint8)
        return np.ascontiguousarray(array.transpose(2, 0, 1))

    def _fitted(self, image: Any) -> Any:
        from PIL import ImageOps

        size = (self.width or self.height, self.height)
        how = RESAMPLING.index(self.resample)
        if self.fit == "stretch":
            return image.resize(size, how)
        if self.fit == "crop":
            return ImageOps.fit(image, size, how, bleed=self.border)
        return ImageOps.pad(image, size, how, color=_BLACK)


def _open(content: bytes) -> Any:
    """The picture, upright, in RGB."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags and of size; what is too large raises
            with Image.open(BytesIO(content)) as image:
                image.load()
                return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise UnreadableError("wrong kind") from None
    except Image.DecompressionBombError:
        raise UnreadableError("too large") from None
    except UnreadableError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError):
        raise UnreadableError("truncated") from None


def _rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode == "F":
        raise UnreadableError("wrong kind")  # nobody says which number is white
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image, dtype=np.float64) * _SHORT, 0, 255)
        return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
