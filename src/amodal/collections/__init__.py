"""Published collections of texts, images and audio, from their official files."""

from __future__ import annotations

from amodal.collections.coco import prepare_coco_captions
from amodal.collections.cremad import prepare_cremad
from amodal.collections.daquar import prepare_daquar
from amodal.collections.digits3 import prepare_digits3
from amodal.collections.easyvqa import prepare_easyvqa
from amodal.collections.flickr8k import prepare_flickr8k
from amodal.collections.mosi import prepare_mosi
from amodal.collections.vqa2 import prepare_vqa2

__all__ = [
    "prepare_coco_captions",
    "prepare_cremad",
    "prepare_daquar",
    "prepare_digits3",
    "prepare_easyvqa",
    "prepare_flickr8k",
    "prepare_mosi",
    "prepare_vqa2",
]
