"""`TextCheckpoint`: a frozen transformer from a folder or the hub, for texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch

from amodal.embed.backbone import (
    fingerprint,
    kind_of,
    longest,
    read_config,
    read_model,
    read_tokenizer,
    unreadable,
)
from amodal.errors import SettingError

__all__ = ["TextCheckpoint"]

_WINDOWS_AT_ONCE = 32


class TextCheckpoint:
    """The mean over a text's tokens of a frozen encoder's last hidden states.

    A text is cut into windows of `max_tokens` tokens, special tokens included, of which the first
    `windows` are read; the mean is over all tokens of all windows, special ones left out where the
    text has others. Weights are read as safetensors alone; code that comes with a checkpoint is
    not run.

    Args:
        source: a folder that transformers saved, or an id of the Hugging Face hub.
        max_tokens: of a window; at most what the checkpoint was made for.
        windows: how many windows of a text are read, from its beginning.
        device: where it runs.

    Raises:
        SettingError: transformers is not installed; no checkpoint of that name can be read.

    Reference: mean pooling as in Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.
    """

    kind = "text"
    batch_size = 256

    def __init__(
        self, source: str | Path, *, max_tokens: int = 256, windows: int = 1, device: str = "cpu"
    ) -> None:
        if max_tokens < 8 or windows < 1:
            raise SettingError(
                f"max_tokens must be at least 8 and windows at least 1; got {max_tokens} and "
                f"{windows}; raise them"
            )
        config = read_config(str(source))
        if kind_of(config) != "text":
            raise unreadable(str(source), f"it is no encoder of texts ({config.model_type})")
        self._tokenizer = read_tokenizer(str(source))
        self._model, loaded = read_model(str(source))
        self._rules = self._tokenizer.backend_tokenizer.to_str()  # before it is told to truncate
        self._model.eval().requires_grad_(False).to(device)
        self.max_tokens = min(max_tokens, longest(self._tokenizer, self._model.config))
        self.windows, self.device = windows, device
        self.width = int(self._model.config.hidden_size)
        self.name = Path(str(source)).name
        self.key = self._fingerprint(loaded)

    def facts(self) -> dict[str, object]:
        """What provenance says of it: no path of a machine."""
        return {
            "encoder": self.name,
            "width": self.width,
            "max_tokens": self.max_tokens,
            "windows": self.windows,
        }

    def _fingerprint(self, loaded: Collection[str]) -> str:
        """Of all that changes a vector: rules and sizes, and the weights that were loaded."""
        head = {
            "pooling": 1,
            "max_tokens": self.max_tokens,
            "windows": self.windows,
            "model": type(self._model).__name__,
            "tokenizer": self._rules,
        }
        return fingerprint(head, self._model, loaded)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``Float32[k, width]``."""
        owners, windows = [], []
        for k, text in enumerate(texts):
            found = self._windows(text)
            owners += [k] * len(found)
            windows += found
        total = np.zeros((len(texts), self.width))
        count = np.zeros(len(texts))
        order = sorted(range(len(windows)), key=lambda j: -len(windows[j]["input_ids"]))
        for begin in range(0, len(order), _WINDOWS_AT_ONCE):
            some = order[begin : begin + _WINDOWS_AT_ONCE]
            sums, counts = self._sums([windows[j] for j in some])
            place = np.array([owners[j] for j in some])
            np.add.at(total, place, sums)
            np.add.at(count, place, counts)
        return (total / np.maximum(count, 1.0)[:, None]).astype(np.float32)

    def _windows(self, text: str) -> list[dict[str, list[int]]]:
        """Token ids of each window, and which of them are special."""
        found = self._tokenizer(
            text,
            truncation=True,
            max_length=self.max_tokens,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids, special = found["input_ids"], found["special_tokens_mask"]
        return [
            {"input_ids": i, "special": s}
            for i, s in list(zip(ids, special, strict=True))[: self.windows]
        ]

    @torch.inference_mode()
    def _sums(self, windows: list[dict[str, list[int]]]) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the hidden states of each window's own tokens, and their numbers."""
        longest = max(len(w["input_ids"]) for w in windows)
        ids = torch.full((len(windows), longest), self._tokenizer.pad_token_id or 0)
        there, own = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for k, w in enumerate(windows):
            n = len(w["input_ids"])
            ids[k, :n] = torch.tensor(w["input_ids"], dtype=torch.long)
            there[k, :n] = 1
            plain = ~torch.tensor(w["special"], dtype=torch.bool)
            own[k, :n] = plain if bool(plain.any()) else True
        found = self._model(
            input_ids=ids.to(self.device), attention_mask=there.to(self.device)
        ).last_hidden_state
        mask = own.to(found.device)[..., None]
        sums = torch.where(mask, found.double(), 0.0).sum(1)
        return sums.cpu().numpy(), own.sum(1).numpy()
