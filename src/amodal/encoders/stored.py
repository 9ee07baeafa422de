"""`StoredText`: a text among the weights of a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["StoredText"]


class StoredText(nn.Module):
    """A text that is saved and loaded with the weights: the rules of a tokenizer, a configuration.

    Kept as its bytes in UTF-8, so that it goes wherever tensors go: into safetensors, checkpoints
    and copies.

    >>> stored = StoredText()
    >>> stored.write("rules"), stored.read(), StoredText().read()
    (None, 'rules', '')
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("content", torch.zeros(0, dtype=torch.uint8))

    def write(self, text: str) -> None:
        """Replaces the text."""
        content = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
        self.content = (content if text else content[:0]).to(self.content.device)

    def read(self) -> str:
        """The text; empty where none was written."""
        return bytes(self.content.cpu().numpy()).decode()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        if f"{prefix}content" in state:  # its length is known only to who wrote it
            self.content = torch.empty_like(state[f"{prefix}content"], device=self.content.device)
        super()._load_from_state_dict(state, prefix, *rest)
