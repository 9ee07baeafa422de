"""Shared by all tests: one thread, and no leftover state of the random generators."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

# The same examples at every run: a red build is a change, not a draw.
settings.register_profile("stable", derandomize=True)
settings.load_profile("stable")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data."""
    folder = os.environ.get("AMODAL_TEST_DATA")
    if not folder:
        pytest.skip("AMODAL_TEST_DATA is not set: no real data to test with")
    return Path(folder)


@pytest.fixture(scope="session")
def made_up():
    """The module that makes studies up: tests are no package, so it is loaded by its path."""
    import importlib.util
    import sys

    name = "amodal_tests_made_up"
    if name not in sys.modules:
        path = Path(__file__).parent / "analysis" / "made_up.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="module")
def benchmark_module():
    """Imports a file of benchmarks/, which finds its neighbours as its command does."""
    import importlib
    import sys

    folder = Path(__file__).parents[1] / "benchmarks"
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    yield importlib.import_module
    sys.path.remove(str(folder))
    for file in folder.glob("*.py"):
        if file.stem not in before:
            sys.modules.pop(file.stem, None)


@pytest.fixture(autouse=True)
def one_thread_and_seeded():
    import sys

    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        torch.manual_seed(0)
