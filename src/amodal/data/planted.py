"""`Plan`: every quantity that `simulate` plants, drawn again at will from its settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amodal.errors import SettingError, unknown_name

__all__ = ["CLASSES", "MEASURED", "ODDS_RATIO", "STRENGTH", "TARGET_STD", "VARIANCES", "Plan"]

VARIANCES = (0.05, 20.0)
"""Range of the noise variance, log-uniform."""
STRENGTH = 3.0
"""Logits per standard deviation of the target's score."""
TARGET_STD = 0.5
"""Noise of a real target, whose score has standard deviation 1."""
MEASURED = 0.7
"""Probability that a modality is measured at the mean score (``absence="informative"``)."""
ODDS_RATIO = 3.0
"""Factor on the odds of being measured for each standard deviation of the score."""
CLASSES = ("a", "b", "c")

_CHOICES = {
    "task": ("binary", "multiclass", "regression"),
    "noise": ("row", "modality"),
    "absence": ("none", "informative"),
}


@dataclass(frozen=True)
class Plan:
    """The settings of a simulation, and what follows from them.

    Each quantity has a random stream of its own, filled row after row: the first rows are the same
    whatever the number of rows.

    Args:
        n, modalities, latents, features, task, noise, absence, seed: as `simulate` has them.

    Raises:
        SettingError: too few features for the latents; a setting of the wrong type or name.

    >>> plan = Plan(2, 3, 1, 4, "binary", "modality", "informative", 0)
    >>> plan.variances_of(1).round(2).tolist()
    [[0.05, 1.0, 20.0]]
    >>> plan.probabilities(np.zeros((1, 1))).tolist()
    [0.5]
    >>> plan.p_measured(np.zeros(1)).round(6).tolist()
    [0.7]
    """

    n: int
    modalities: int
    latents: int
    features: int
    task: str
    noise: str
    absence: str
    seed: int

    def __post_init__(self) -> None:
        for what in ("n", "modalities", "latents", "features", "seed"):
            value, least = getattr(self, what), 0 if what == "seed" else 1
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not whole or value < least:
                raise SettingError(
                    f"{what!r} of a simulation must be a whole number of at least {least}; "
                    f"got {value!r}; change it"
                )
            object.__setattr__(self, what, int(value))
        for what, names in _CHOICES.items():
            if getattr(self, what) not in names:
                raise unknown_name(f"{what} of a simulation", getattr(self, what), names)
        if self.features < 4 * self.latents:
            raise SettingError(
                "a simulation needs at least 4 features per latent, else no row shows its noise; "
                f"got {self.features} for {self.latents}; ask for more features"
            )
        if self.task == "multiclass" and self.latents < 2:
            raise SettingError("three classes need at least 2 latents; got 1; ask for more latents")

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *stream])

    # -- the inputs ---------------------------------------------------------------------------

    def latents_of(self, n: int) -> np.ndarray:
        """``Float64[n, L]``: z of the first n rows."""
        return self._rng(1).standard_normal((n, self.latents))

    def variances_of(self, n: int) -> np.ndarray:
        """``Float64[n, m]``: noise variance of each modality in the first n rows."""
        low, high = np.log(VARIANCES)
        if self.noise == "row":
            return np.exp(self._rng(2).uniform(low, high, (n, self.modalities)))
        levels = np.linspace(low, high, self.modalities)
        if self.modalities == 1:
            levels = np.array([(low + high) / 2])
        return np.exp(np.broadcast_to(levels, (n, self.modalities)))

    def noise_of(self, k: int, n: int) -> np.ndarray:
        """``Float64[n, F]``: the standard normal noise of modality k in the first n rows."""
        return self._rng(3, k).standard_normal((n, self.features))

    def loadings(self, k: int) -> np.ndarray:
        """``Float64[F, L]``: A_k, its columns orthonormal."""
        return np.linalg.qr(self._rng(4, k).standard_normal((self.features, self.latents)))[0]

    # -- the target ---------------------------------------------------------------------------

    def directions(self) -> np.ndarray:
        """``Float64[r, L]`` orthonormal: where the target lies; r = 2 for three classes, else 1."""
        rng, r = self._rng(5), 2 if self.task == "multiclass" else 1
        size = rng.uniform(0.5, 1.5, (self.latents, r))
        sign = rng.choice([-1.0, 1.0], (self.latents, r))
        return np.linalg.qr(size * sign)[0].T

    def probabilities(self, g: np.ndarray) -> np.ndarray:
        """Of the positive class ``[...]``, or of three ``[..., 3]``, at ``g`` ``[..., r]``."""
        if self.task == "binary":
            return _sigmoid(STRENGTH * g[..., 0])
        angle = np.arange(3) * 2 * np.pi / 3
        logits = STRENGTH * g @ np.stack([np.cos(angle), np.sin(angle)])
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return p / p.sum(axis=-1, keepdims=True)

    def target_of(self, z: np.ndarray) -> np.ndarray:
        """``Float64[n]``: the targets of the first n rows, whose latents are `z`."""
        g = z @ self.directions().T
        if self.task == "regression":
            return g[:, 0] + TARGET_STD * self._rng(6).standard_normal(len(z))
        p, u = self.probabilities(g), self._rng(6).uniform(size=len(z))
        if self.task == "binary":
            return (u < p).astype(np.float64)
        return (u[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1).astype(np.float64)

    # -- absence ------------------------------------------------------------------------------

    def p_measured(self, g: np.ndarray) -> np.ndarray:
        """Probability that a modality is measured at score `g` (of the first direction)."""
        if self.absence == "none":
            return np.ones_like(g)
        return _sigmoid(np.log(MEASURED / (1 - MEASURED)) + np.log(ODDS_RATIO) * g)

    def measured_of(self, z: np.ndarray) -> np.ndarray:
        """``Bool[n, m]``: what is measured in the first n rows, whose latents are `z`."""
        p = self.p_measured(z @ self.directions()[0])
        return self._rng(7).uniform(size=(len(z), self.modalities)) < p[:, None]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
