"""Made-up predictions with ties, weights and known calibration, shared by the metric tests."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def binary() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, probabilities rounded to .05 (many ties) and real weights, some of them 0."""
    rng = np.random.default_rng(1)
    p = np.round(rng.beta(1, 3, size=300) * 20) / 20
    y = (rng.random(300) < p).astype(int)
    return y, p, rng.integers(0, 4, size=300) * rng.random(300)


@pytest.fixture
def multiclass() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets of 4 classes, probabilities in steps of 1/8 (ties), real weights."""
    rng = np.random.default_rng(2)
    p = rng.multinomial(8, rng.dirichlet(np.ones(4), size=200)) / 8
    y = np.array([rng.choice(4, p=0.7 * row + 0.3 / 4) for row in p])
    return y, p, rng.random(200)
