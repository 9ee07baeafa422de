r"""What is planted in synthetic rows: risk, noise, and absence that tells something.

Each row has a severity z ~ N(0, 1), shared in part by the rows of a patient.

- **Risk**: the outcome is drawn with probability ``sigmoid(a + b z)``.
- **Signal**: a measurement of weight w is ``mean + sd (w z + s eps)``; codes come from a list that
  is ordered by severity, around the place that z has in it.
- **Noise**: s is 0.3, 1 or 3, drawn for every row and modality: a row of 3 says little about z.
- **Informative absence**: a group of measurements is taken with probability ``sigmoid(c + d z)``.

What leaks could exploit is planted beside it, see `hindsight`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["LABS", "NOISE", "PANELS", "VITALS", "Measure", "Severity", "chance", "code_places"]

NOISE = (0.3, 1.0, 3.0)
"""Scales of the noise of a row's modality, equally likely."""


class Measure(NamedTuple):
    """A measurement: concept of `concepts.toml`, mean, standard deviation, weight of z.

    >>> ph = LABS["gases"][0]
    >>> ph.mean + ph.sd * ph.weight * 2  # expected at severity 2: worse is more acid
    7.29
    """

    concept: str
    mean: float
    sd: float
    weight: float


PANELS: dict[str, tuple[float, float]] = {
    "chemistry": (3.0, 0.5),
    "blood count": (2.5, 0.3),
    "liver": (-0.5, 0.5),
    "gases": (-1.5, 1.2),
    "heart": (-2.0, 0.6),
    "clotting": (-0.5, 0.4),
}
"""Panel -> (c, d): a row has it with probability sigmoid(c + d z)."""

LABS: dict[str, tuple[Measure, ...]] = {
    "chemistry": (
        Measure("sodium", 139, 4, -0.1),
        Measure("potassium", 4.1, 0.5, 0.2),
        Measure("chloride", 103, 5, -0.1),
        Measure("bicarbonate", 25, 4, -0.5),
        Measure("urea_nitrogen", 24, 12, 0.7),
        Measure("creatinine", 1.3, 0.6, 0.5),
        Measure("glucose", 130, 40, 0.3),
        Measure("calcium", 8.6, 0.7, -0.3),
    ),
    "blood count": (
        Measure("hemoglobin", 10.8, 2, -0.5),
        Measure("hematocrit", 33, 5, -0.5),
        Measure("platelets", 215, 80, -0.3),
        Measure("white_cells", 9.5, 4, 0.4),
    ),
    "liver": (
        Measure("bilirubin_total", 1.2, 0.8, 0.5),
        Measure("alt", 45, 25, 0.2),
        Measure("albumin", 3.2, 0.6, -0.8),
    ),
    "gases": (
        Measure("ph", 7.36, 0.07, -0.5),
        Measure("pco2", 42, 9, 0.2),
        Measure("lactate", 2.2, 1.2, 0.9),
    ),
    "heart": (Measure("troponin_t", 0.4, 0.3, 0.4),),
    "clotting": (Measure("inr", 1.4, 0.4, 0.4), Measure("ptt", 36, 11, 0.2)),
}
"""Panel -> what is measured in it."""

VITALS: tuple[Measure, ...] = (
    Measure("heart_rate", 87, 14, 0.5),
    Measure("respiratory_rate", 19, 4, 0.5),
    Measure("oxygen_saturation", 96.5, 2, -0.4),
    Measure("temperature", 36.9, 0.5, 0.1),
    Measure("systolic_pressure", 120, 17, -0.4),
    Measure("diastolic_pressure", 63, 11, -0.3),
    Measure("mean_pressure", 80, 12, -0.4),
)


class Severity(NamedTuple):
    """What is planted in n rows.

    Args:
        z: ``Float[n]`` severity.
        noise: modality -> ``Float[n]`` scale of its noise, of `NOISE`.

    >>> severity = Severity(np.array([0.0, 1.0]), {"labs": np.array([0.0, 0.0])})  # no noise
    >>> rng = np.random.default_rng(0)
    >>> severity.values(rng, Measure("x", 10, 2, 0.5), np.array([0, 1]), "labs").tolist()
    [10.0, 11.0]
    """

    z: np.ndarray
    noise: dict[str, np.ndarray]

    @classmethod
    def draw(cls, rng: np.random.Generator, patient: np.ndarray) -> Severity:
        """Rows of the same `patient` (``Int[n]``) share half of the variance."""
        shared = rng.standard_normal(int(patient.max(initial=-1)) + 1)
        own = rng.standard_normal(len(patient))
        z = (shared[patient] + own) / np.sqrt(2)
        names = ("codes", "labs", "vitals")
        return cls(z, {m: rng.choice(NOISE, size=len(patient)) for m in names})

    def values(
        self, rng: np.random.Generator, measure: Measure, row: np.ndarray, modality: str
    ) -> np.ndarray:
        """``Float[s]``: one measurement for each entry of `row`, at least a hundredth."""
        eps = rng.standard_normal(len(row)) * self.noise[modality][row]
        x = measure.mean + measure.sd * (measure.weight * self.z[row] + 0.7 * eps)
        return np.round(np.maximum(x, 0.01), 2)


def chance(x: np.ndarray) -> np.ndarray:
    """sigmoid(x)

    >>> chance(np.array([0.0])).tolist()
    [0.5]
    """
    return 1.0 / (1.0 + np.exp(-x))


def code_places(
    rng: np.random.Generator, severity: Severity, row: np.ndarray, size: int
) -> np.ndarray:
    """``Int[s]``: a code for each entry of `row` from a list of `size`, ordered by severity.

    >>> severity = Severity(np.array([-9.0, 0.0, 9.0]), {"codes": np.zeros(3)})  # no noise
    >>> code_places(np.random.default_rng(0), severity, np.array([0, 1, 2]), 10).tolist()
    [0, 5, 9]
    """
    spread = rng.standard_normal(len(row)) * severity.noise["codes"][row]
    return np.minimum((chance(severity.z[row] + 1.5 * spread) * size).astype(np.int64), size - 1)
