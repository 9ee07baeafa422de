"""`MediaCheckpoint`: a frozen network from a folder or the hub, for images or audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amodal.embed.backbone import (
    audio_reader,
    fingerprint,
    hidden_states,
    image_reader,
    read_backbone,
)
from amodal.media.decode import decode_many

__all__ = ["MediaCheckpoint"]

_AT_ONCE = 32


class MediaCheckpoint:
    """[The first; the mean of the others] of a frozen network's last hidden states.

    The first stands for the whole file in a Vision Transformer and an Audio Spectrogram
    Transformer ("[CLS]"); the mean tells more of what is where. Files are read as the checkpoint
    says; weights are safetensors, and code that comes with a checkpoint is not run.

    Args:
        source: a folder that transformers saved, or an id of the Hugging Face hub.
        kind: "image" or "audio".
        device: where it runs.

    Raises:
        SettingError: transformers is not installed; no checkpoint of that name can be read.
    """

    batch_size = 256

    def __init__(self, source: str | Path, kind: str, *, device: str = "cpu") -> None:
        found = read_backbone(str(source), kind)
        self.kind, self.device = kind, device
        self._model = found.module.eval().requires_grad_(False).to(device)
        self._mean, self._std = [0.0], [1.0]
        if kind == "image":
            self.decoder, self._mean, self._std = image_reader(found.facts)
        else:
            self.decoder: Any = audio_reader(found.facts)
        self.width = 2 * found.width
        self.name = Path(str(source)).name
        told = [repr(self.decoder), self._mean, self._std]
        head = {"pooling": "first, mean", "model": type(self._model).__name__, "reader": told}
        self.key = fingerprint(head, self._model, set(self._model.state_dict()))

    def facts(self) -> dict[str, object]:
        """What provenance says of it: no path of a machine."""
        return {"encoder": self.name, "width": self.width}

    def embed(self, sources: Sequence[str]) -> np.ndarray:
        """``Float32[k, width]``.

        Raises:
            MediaError: a file cannot be decoded.
        """
        out = np.zeros((len(sources), self.width), dtype=np.float32)
        for begin in range(0, len(sources), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            out[part] = self._vectors(decode_many(self.decoder, sources[part]))
        return out

    @torch.inference_mode()
    def _vectors(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x = torch.from_numpy(np.stack(arrays)).to(self.device).float()
        if self.kind == "image":
            mean, std = torch.tensor(self._mean), torch.tensor(self._std)
            x = (x / 255 - mean.to(x)[:, None, None]) / std.to(x)[:, None, None]
        name = "pixel_values" if self.kind == "image" else "input_values"
        hidden, _ = hidden_states(self._model, {name: x}, None)
        rest = hidden[:, 1:].mean(1) if hidden.shape[1] > 1 else torch.zeros_like(hidden[:, 0])
        return torch.cat([hidden[:, 0], rest], dim=1).cpu().numpy()
