"""Training of neural methods: one loop, its settings, its checkpoints."""

from amodal.training.loop import device_of, fit
from amodal.training.run import Epoch, History, predict_batches, seed_of
from amodal.training.settings import TrainSettings

__all__ = ["Epoch", "History", "TrainSettings", "device_of", "fit", "predict_batches", "seed_of"]
