"""Published collections of texts, images and audio, from their official files."""

from __future__ import annotations

from amodal.collections.cremad import prepare_cremad
from amodal.collections.digits3 import prepare_digits3
from amodal.collections.easyvqa import prepare_easyvqa

__all__ = ["prepare_cremad", "prepare_digits3", "prepare_easyvqa"]
