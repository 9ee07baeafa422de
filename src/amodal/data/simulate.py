r"""`simulate`: data whose true posterior and true reliability are known.

Row i has latents :math:`z_i \sim N(0, I_L)`. Modality k measures all of them with a noise of its
own in every row,

.. math:: x_{ik} = c\,(A_k z_i + \sigma_{ik} \epsilon_{ik}), \quad A_k' A_k = I_L,
          \quad \epsilon_{ik} \sim N(0, I_F), \quad c = \sqrt{F / L},

so that :math:`A_k' x_{ik} / c` measures :math:`z_i` with variance :math:`\sigma_{ik}^2` in every
direction, and the part of :math:`x_{ik}` off the columns of :math:`A_k` shows the noise by itself.
Given the present modalities, :math:`z_i` is Gaussian with precision
:math:`1 + \sum_k 1/\sigma_{ik}^2`: the Bayes-optimal prediction follows by integration over the one
or two directions in which the target lies.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.planted import CLASSES, TARGET_STD, Plan
from amodal.errors import DataError
from amodal.types import NOT_MEASURED, PRESENT, Modality, Task
from amodal.values import Values

__all__ = [
    "oracle_outputs",
    "oracle_probability",
    "simulate",
    "true_posterior",
    "true_reliability",
    "true_variance",
]

_CHUNK = 128


def simulate(
    n: int = 4000,
    *,
    modalities: int = 4,
    latents: int = 4,
    features: int = 32,
    task: str = "binary",
    noise: str = "row",
    absence: str = "none",
    seed: int = 0,
) -> Dataset:
    """n rows of table modalities "m0", "m1", ... that measure common latents (see above).

    The target lies in a direction of the latents in which every one of them counts, with score g of
    standard deviation 1: ``binary`` has logit 3 g; ``regression`` is g plus noise of standard
    deviation 0.5; ``multiclass`` has two such directions and three classes with logits 3 g'u_c,
    the u_c at angles of 120 degrees.

    Args:
        n: number of rows; the first rows are the same for every n.
        modalities: m.
        latents: L.
        features: F, of each modality, at least 4 L.
        task: "binary", "multiclass" or "regression".
        noise: "row": the variance is log-uniform from 0.05 to 20 for each row and modality;
            "modality": one variance for all rows, evenly spaced over the logarithm of that range.
        absence: "none", or "informative": a modality is measured with odds 7:3 at the mean score
            and three times the odds for each standard deviation above it; else `NOT_MEASURED`.
        seed: of all of it.

    Raises:
        SettingError: too few features for the latents; a setting of the wrong type or name.

    >>> data = simulate(100, modalities=2, seed=1)
    >>> data.shape, float(true_reliability(data).max()) < 1
    ((100, 2), True)
    """
    plan = Plan(n, modalities, latents, features, task, noise, absence, seed)
    z, variance = plan.latents_of(plan.n), plan.variances_of(plan.n)
    measured = plan.measured_of(z)
    values = {}
    for k in range(plan.modalities):
        error = np.sqrt(variance[:, [k]]) * plan.noise_of(k, plan.n)
        x = np.sqrt(plan.features / plan.latents) * (z @ plan.loadings(k).T + error)
        has = measured[:, k]
        packed = {"numeric": x[has], "categorical": np.zeros((has.sum(), 0), dtype=np.int64)}
        values[f"m{k}"] = Values(packed, None, np.where(has, np.cumsum(has) - 1, -1))
    names = tuple(f"x{j}" for j in range(plan.features))
    return Dataset(
        modalities=tuple(Modality(name, "table", names) for name in values),
        values=values,
        absence=np.where(measured, PRESENT, NOT_MEASURED).astype(np.int8),
        row_id=np.array([f"r{i}" for i in range(plan.n)]),
        task=Task(plan.task, CLASSES if plan.task == "multiclass" else ()),
        target=plan.target_of(z),
        provenance={"source": "simulate", "simulate": asdict(plan)},
    )


def true_variance(data: Dataset) -> np.ndarray:
    """``Float64[n, m]`` variance of each modality's measurement of a latent; inf where absent.

    Like all that follows, it is drawn again from the settings in `Dataset.provenance` and joined by
    row id and modality name: `data` may be sliced, resampled, scaled or with modalities removed.

    Raises:
        DataError: `data` does not come from `simulate`.

    >>> d = simulate(2, modalities=2, noise="modality")
    >>> true_variance(d)[0].round(2).tolist()  # the ends of the range
    [0.05, 20.0]
    >>> true_variance(d.lose(np.array([[False, True], [False, False]])))[0].round(2).tolist()
    [0.05, inf]
    """
    plan, rows, columns = _planted(data)
    variance = plan.variances_of(_many(rows))[np.ix_(rows, columns)]
    return np.where(data.present, variance, np.inf)


def true_reliability(data: Dataset) -> np.ndarray:
    """``Float64[n, m]``: ``1 / (1 + variance)``, 0 where absent.

    This is the share of the latents' variance that the modality alone explains.

    >>> data = simulate(50, modalities=2, noise="modality")
    >>> true_reliability(data)[0].round(3).tolist()
    [0.952, 0.048]
    """
    return 1.0 / (1.0 + true_variance(data))


def true_posterior(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(mean ``Float64[n, L]``, variance ``Float64[n]`` of each latent) given the present values.

    ``precision = 1 + sum_k 1 / variance_k``; ``mean = sum_k (A_k' x_k / c / variance_k) /
    precision``. A row with nothing has the prior, 0 and 1. What the pattern of an informative
    absence tells is left to `oracle_outputs`; noise added to `data` later is not known here.

    Raises:
        DataError: `data` does not come from `simulate`.

    >>> d = simulate(2, modalities=2, noise="modality")
    >>> true_posterior(d)[1].round(4).tolist()  # 1 / (1 + 1 / 0.05 + 1 / 20)
    [0.0475, 0.0475]
    >>> mean, variance = true_posterior(d.lose(np.ones((2, 2), dtype=bool)))
    >>> mean[0].tolist(), variance.tolist()
    ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0])
    """
    plan, rows, columns = _planted(data)
    variance, many = true_variance(data), _many(rows)
    z, mean = plan.latents_of(many)[rows], np.zeros((len(data), plan.latents))
    for j, k in enumerate(columns.tolist()):
        error = (plan.noise_of(k, many) @ plan.loadings(k))[rows]
        has = data.present[:, j]
        own = variance[has, j, None]
        mean[has] += (z[has] + np.sqrt(own) * error[has]) / own
    posterior = 1.0 / (1.0 + (1.0 / variance).sum(axis=1))
    return mean * posterior[:, None], posterior


def oracle_outputs(data: Dataset) -> dict[str, np.ndarray]:
    """The best prediction that these inputs allow, in the form that metrics read.

    ``probability`` (``[n]``, or ``[n, 3]`` for three classes), or ``mean`` and ``std``: the
    expectation over the posterior of the target's score, each point weighted by the probability
    of the pattern of `NOT_MEASURED` where that is informative. `LOST` tells nothing. The integral
    is a trapezoidal sum, for such smooth integrands exact to 1e-9 (three classes: 1e-5).

    Raises:
        DataError: `data` does not come from `simulate`.

    >>> d = simulate(2, modalities=1, task="regression")
    >>> nothing = oracle_outputs(d.lose(np.ones((2, 1), dtype=bool)))
    >>> nothing["mean"].round(6).tolist(), nothing["std"].round(3).tolist()  # sqrt(1 + 0.5 ** 2)
    ([0.0, 0.0], [1.118, 1.118])
    """
    plan, _, _ = _planted(data)
    mean, variance = true_posterior(data)
    directions = plan.directions()
    grid, weight = _grid(len(directions))
    parts = []
    for low in range(0, max(len(data), 1), _CHUNK):
        rows = slice(low, low + _CHUNK)
        centre = mean[rows] @ directions.T
        g = centre[:, None, :] + np.sqrt(variance[rows])[:, None, None] * grid
        w = weight * _pattern_likelihood(plan.p_measured(g[..., 0]), data.absence[rows])
        parts.append(_expectation(plan, g, w / w.sum(axis=1, keepdims=True)))
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def oracle_probability(data: Dataset) -> np.ndarray:
    """The probability part of `oracle_outputs`.

    Raises:
        DataError: a regression, which has none; `data` does not come from `simulate`.

    >>> d = simulate(2, modalities=1)
    >>> oracle_probability(d.lose(np.ones((2, 1), dtype=bool))).round(6).tolist()
    [0.5, 0.5]
    """
    found = oracle_outputs(data)
    if "probability" not in found:
        raise DataError("a real target has no probability; got a regression; ask oracle_outputs")
    return found["probability"]


def _planted(data: Dataset) -> tuple[Plan, np.ndarray, np.ndarray]:
    """(settings, number of each row, number of each modality) from provenance, ids and names."""
    try:
        plan = Plan(**data.provenance["simulate"])
        rows = [int(i.split("#")[0].removeprefix("r")) for i in data.row_id.tolist()]
        columns = [int(name.removeprefix("m")) for name in data.names]
        known = set(rows) <= set(range(plan.n)) and set(columns) <= set(range(plan.modalities))
        if not known:
            raise ValueError("rows or modalities that were not simulated")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the truth is known of simulated data only; these are others; make them by simulate()"
        ) from error
    return plan, np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)


def _many(rows: np.ndarray) -> int:
    """How many rows must be drawn again to have all of `rows`."""
    return int(rows.max(initial=-1)) + 1


# -- integration ----------------------------------------------------------------------------------


def _grid(r: int) -> tuple[np.ndarray, np.ndarray]:
    """Points ``[q, r]`` and weights ``[q]`` of the standard normal distribution in r dimensions.

    Evenly spaced: a logistic function is steep enough to make Gauss-Hermite sums converge slowly.
    """
    reach, steps = (8.5, 97) if r == 1 else (6.5, 45)
    u = np.linspace(-reach, reach, steps)
    points = np.stack(np.meshgrid(*[u] * r, indexing="ij"), axis=-1).reshape(-1, r)
    points = points[(points**2).sum(axis=1) <= reach**2]
    weight = np.exp(-0.5 * (points**2).sum(axis=1))
    return points, weight / weight.sum()


def _pattern_likelihood(p: np.ndarray, absence: np.ndarray) -> np.ndarray:
    """``[n, q]``: probability of each row's pattern of absence, measured with ``p`` ``[n, q]``."""
    here = (absence == PRESENT).sum(axis=1)[:, None]
    away = (absence == NOT_MEASURED).sum(axis=1)[:, None]
    return p**here * (1.0 - p) ** away


def _expectation(plan: Plan, g: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """The prediction from scores ``g`` ``[n, q, r]`` with `weight` ``[n, q]``."""
    if plan.task == "regression":
        mean = (weight * g[..., 0]).sum(axis=1)
        spread = (weight * (g[..., 0] - mean[:, None]) ** 2).sum(axis=1)
        return {"mean": mean, "std": np.sqrt(spread + TARGET_STD**2)}
    p = plan.probabilities(g)
    if plan.task == "binary":
        return {"probability": (weight * p).sum(axis=1)}
    return {"probability": np.einsum("nq,nqc->nc", weight, p)}
