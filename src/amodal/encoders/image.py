"""Encoder of images: a Vision Transformer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.embed.backbone import image_reader
from amodal.encoders.base import EncoderSettings
from amodal.encoders.media import MediaEncoder, stacked
from amodal.media.image import ImageDecoder
from amodal.nn.convolution import ConvolutionStem
from amodal.types import Modality
from amodal.values import Values

__all__ = ["ImageEncoder"]


class ImageEncoder(MediaEncoder):
    """A Vision Transformer: attention over patches of the image.

    Images are squares of `EncoderSettings.image_size`, each channel standardised by its mean and
    standard deviation over (at most 512 of) the training images, cut into squares of
    `EncoderSettings.patch`: token j is ``W patch_j + b + position_j``, to which convolutions add
    what they see there where `EncoderSettings.stem` says so (`ConvolutionStem`). A checkpoint
    (`EncoderSettings.image`) brings its own size, fit and standardisation. See `MediaEncoder`.

    Args:
        modality: an image.
        settings: sizes.

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.

    >>> encoder = ImageEncoder(Modality("a", "image"), EncoderSettings(width=8, image_size=16))
    >>> pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    >>> encoder(Values({"pixels": pixels}, None, torch.arange(2))).tokens.shape
    torch.Size([2, 4, 8])
    """

    kind = "image"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        across = settings.image_size // settings.patch
        super().__init__(modality, settings, across**2)
        self.register_buffer("mean", torch.full((3,), 0.5))
        self.register_buffer("std", torch.full((3,), 0.5))
        if not self.source:
            self.first = nn.Linear(3 * settings.patch**2, settings.width)
            self.stem: ConvolutionStem | None = None
            if settings.stem == "convolution":
                self.stem = ConvolutionStem(3, settings.width, settings.patch)

    @property
    def decoder(self) -> ImageDecoder:
        if self.backbone is not None:
            return image_reader(json.loads(self.record.read()))[0]
        return ImageDecoder(self.settings.image_size, fit=self.settings.image_fit)

    def filled(self, values: Values, arrays: Sequence[np.ndarray]) -> Values:
        pixels = torch.from_numpy(stacked(arrays, self.decoder.shape))
        return Values({"pixels": pixels.to(values.index.device)}, None, values.index)

    @torch.no_grad()
    def fit_values(self, values: Values) -> None:
        if self.backbone is not None:
            _, mean, std = image_reader(json.loads(self.record.read()))
            self.mean.copy_(torch.tensor(mean))
            self.std.copy_(torch.tensor(std))
            return
        pixels = self.sample(values).data["pixels"]
        if len(pixels):
            x = pixels.double() / 255
            self.mean.copy_(x.mean((0, 2, 3)))
            self.std.copy_(x.std((0, 2, 3), correction=0).clamp_min(1 / 255))

    def _standardised(self, values: Values) -> Float[Tensor, "v 3 h w"]:
        x = values.data["pixels"].to(self.real) / 255
        mean, std = self.mean.to(x.dtype), self.std.to(x.dtype)
        return ((x - mean[:, None, None]) / std[:, None, None]).to(self.dtype)

    def tokens(self, values: Values) -> tuple[Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        x, side = self._standardised(values), self.settings.patch
        seen = 0 if self.stem is None else self.stem(x)
        v, c, height, width = x.shape
        x = x.view(v, c, height // side, side, width // side, side)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(v, (height // side) * (width // side), c * side**2)
        return self.first(x) + seen, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def inputs(self, values: Values) -> tuple[dict[str, Tensor], None]:
        return {"pixel_values": self._standardised(values)}, None
