"""Temperature scaling around the base rate, so that a row with nothing keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from amodal.batch import Prediction

__all__ = ["Temperature"]

_SPREAD = 0.25
"""Prior standard deviation of each log coefficient: with few rows the temperature stays near 1."""


@dataclass(frozen=True)
class Temperature:
    """Shrinks predictions towards the base rate: params' = base + (params - base) / T_i.

    T_i = exp(level + slope (share of modalities that row i lacks - centre)): a row with less to go by
    can be shrunk more. For regression the mean stays and the standard deviation is multiplied by
    T_i. Rows with nothing present predict the base rate already and keep it exactly.

    level and slope minimise the negative log likelihood of the rows set aside, plus a normal prior
    of standard deviation 0.25 on each.

    Args:
        base: ``[p]`` parameters of the base rate.
        level: log temperature of a row with the mean share of modalities absent.
        slope: change of the log temperature from nothing absent to everything absent.
        centre: mean share absent among the rows it was fitted on.

    Reference: Guo et al., ICML 2017; the centre and the slope are ours.

    >>> import math
    >>> Temperature((0.0,), math.log(2), 0.0, 0.0).scale(torch.tensor([[3.0]]), torch.zeros(1)).item()
    1.5
    """

    base: tuple[float, ...]
    level: float = 0.0
    slope: float = 0.0
    centre: float = 0.0

    def scale(
        self, params: Float[Tensor, "n p"], absent: Float[Tensor, " n"], *, regression: bool = False
    ) -> Float[Tensor, "n p"]:
        """The scaled parameters of rows that lack the share `absent` of their modalities."""
        log_t = (self.level + self.slope * (absent - self.centre))[:, None]
        if regression:
            return torch.cat([params[:, :1], params[:, 1:] + log_t], 1)
        base = torch.as_tensor(self.base, dtype=params.dtype, device=params.device)
        return base + (params - base) * torch.exp(-log_t)

    def apply(self, prediction: Prediction) -> Prediction:
        """The same prediction, calibrated."""
        present = prediction.present
        absent = 1 - present.float().mean(1)
        scaled = self.scale(
            prediction.params, absent, regression=prediction.task.kind == "regression"
        )
        some = present.any(1, keepdim=True)
        return prediction.replace(params=torch.where(some, scaled, prediction.params))

    @classmethod
    def fit(
        cls,
        prediction: Prediction,
        target: Tensor,
        base: Tensor,
        *,
        weight: np.ndarray | None = None,
    ) -> Temperature:
        """The temperature that fits labelled rows set aside; T = 1 where there are none."""
        fixed = tuple(float(x) for x in base)
        known = ~target.isnan() if target.ndim == 1 else ~target.isnan().any(1)
        use = known & prediction.present.any(1)
        if not bool(use.any()):
            return cls(fixed)
        task = prediction.task
        params, target = prediction.params[use].double(), target[use].double()
        absent = 1 - prediction.present[use].double().mean(1)
        scale = torch.ones(len(params)) if weight is None else torch.as_tensor(weight)[use]
        centre = float(absent.mean())

        def cost(x: np.ndarray) -> float:
            found = cls(fixed, float(x[0]), float(x[1]), centre)
            scaled = found.scale(params, absent, regression=task.kind == "regression")
            nll = -(scale * task.dist(scaled).log_prob(target)).sum()
            return float(nll) + float((x**2).sum()) / (2 * _SPREAD**2)

        x = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4}).x
        return cls(fixed, float(x[0]), float(x[1]), centre)

    def to_json(self) -> dict:
        """A JSON object; `Temperature(**obj)` reads it."""
        return {
            "base": list(self.base),
            "level": self.level,
            "slope": self.slope,
            "centre": self.centre,
        }
