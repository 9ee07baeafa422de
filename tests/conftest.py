"""Shared by all tests: one thread, and no leftover state of the random generators."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

# The same examples at every run: a red build is a change, not a draw.
settings.register_profile("stable", derandomize=True)
settings.load_profile("stable")


@pytest.fixture(autouse=True)
def one_thread_and_seeded():
    import sys

    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        torch.manual_seed(0)
