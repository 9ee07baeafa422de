"""Estimates of several sites put together: random effects, and what to expect of another site."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amodal.errors import DataError, SettingError, unknown_name

__all__ = ["VARIANCES", "RandomEffects", "random_effects"]

VARIANCES = ("reml", "dl")
_STEPS, _TOLERANCE = 200, 1e-12


@dataclass(frozen=True)
class RandomEffects:
    """The mean over sites, how far sites differ, and what to expect of another one.

    Attributes:
        value: estimated mean of the sites' true values.
        low: lower end of its interval (Hartung-Knapp); NaN for one site.
        high: upper end.
        prediction_low: lower end of the interval for the true value of another site; NaN below
            three sites.
        prediction_high: upper end.
        tau: standard deviation of the true values between sites.
        i2: share of the variation that chance within sites does not explain, in [0, 1].
        q: Cochran's Q.
        sites: how many.
        level: nominal coverage of both intervals.
    """

    value: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    tau: float
    i2: float
    q: float
    sites: int
    level: float


def random_effects(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    *,
    level: float = 0.95,
    variance: str = "reml",
) -> RandomEffects:
    """Random-effects pooling of one estimate per site.

    Site i has estimate y_i with standard error s_i and true value theta_i ~ N(mu, tau^2); weights
    w_i = 1 / (s_i^2 + tau^2), mu = sum w y / sum w. The interval is Hartung and Knapp's, with k - 1
    degrees of freedom: mu -+ t SE, SE^2 = max(1, q) / sum w, q = sum w (y - mu)^2 / (k - 1); it is
    never narrower than the plain one (the "ad hoc" correction: with few sites that agree by chance
    q can be near 0). The prediction interval is mu -+ t sqrt(tau^2 + SE^2) with k - 2 degrees of
    freedom: where the true value of another such site lies. Take estimates on a scale on which
    they are about normal (logit of an AUROC, log of observed/expected).

    Args:
        estimates: [k], finite.
        standard_errors: [k], finite and above 0.
        level: nominal coverage, between 0 and 1.
        variance: of tau^2: "reml" (restricted maximum likelihood) or "dl" (DerSimonian and Laird).

    Raises:
        DataError: shapes differ, no site, values not finite, or a standard error not above 0.
        SettingError: a level outside (0, 1).
        UnknownNameError: another `variance`.

    References: DerSimonian and Laird, 1986; Hartung and Knapp, 2001; Roever et al., BMC Med Res
    Methodol 15, 2015 (the correction); Riley et al., BMJ 342, 2011 (prediction interval); Debray
    et al., Stat Methods Med Res 28, 2019 (scales).

    Sites that agree leave the standard error of their mean, 1 / sqrt(4) = .5, times t = 3.182:

    >>> found = random_effects([2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0])
    >>> found.value, found.tau, round(found.high - found.value, 3)
    (2.0, 0.0, 1.591)
    """
    y, v = _checked(estimates, standard_errors)
    if not 0 < level < 1:
        raise SettingError(f"level lies between 0 and 1; found {level}. Use .95 for 95%.")
    if variance not in VARIANCES:
        raise unknown_name("estimator of the variance between sites", variance, VARIANCES)
    k = len(y)
    q, typical = _heterogeneity(y, v)
    laird = max(0.0, (q - (k - 1)) / typical) if k > 1 else 0.0
    tau2 = laird if variance == "dl" or k < 2 else _reml(y, v, start=laird)
    w = 1 / (v + tau2)
    mean = float((w * y).sum() / w.sum())
    low, high, predicted = np.nan, np.nan, (np.nan, np.nan)
    if k > 1:
        scatter = float((w * (y - mean) ** 2).sum()) / (k - 1)
        error = np.sqrt(max(1.0, scatter) / w.sum())
        half = _t(level, k - 1) * error
        low, high = mean - half, mean + half
        if k > 2:
            wide = _t(level, k - 2) * np.sqrt(tau2 + error**2)
            predicted = (float(mean - wide), float(mean + wide))
    # Higgins and Thompson: tau2 against a typical variance within sites
    within = (k - 1) / typical if k > 1 else 1.0
    return RandomEffects(
        mean,
        float(low),
        float(high),
        *predicted,
        tau=float(np.sqrt(tau2)),
        i2=float(tau2 / (tau2 + within)),
        q=q,
        sites=k,
        level=level,
    )


def _heterogeneity(y: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    """Cochran's Q, and sum w - sum w^2 / sum w, with w = 1 / v."""
    w = 1 / v
    mean = (w * y).sum() / w.sum()
    return float((w * (y - mean) ** 2).sum()), float(w.sum() - (w**2).sum() / w.sum())


def _reml(y: np.ndarray, v: np.ndarray, *, start: float) -> float:
    """tau^2 by Fisher scoring on the restricted likelihood, kept at 0 or above.

    P = W - w w' / sum w; the score is (y'PPy - tr P) / 2, the information tr(PP) / 2.
    """
    tau2 = start
    for _ in range(_STEPS):
        w = 1 / (v + tau2)
        off = w * (y - (w * y).sum() / w.sum())  # P y
        trace = w.sum() - (w**2).sum() / w.sum()
        square = (w**2).sum() - 2 * (w**3).sum() / w.sum() + ((w**2).sum() / w.sum()) ** 2
        step = ((off**2).sum() - trace) / square
        to = max(0.0, tau2 + step)
        if abs(to - tau2) <= _TOLERANCE * (1 + tau2):
            return to
        tau2 = to
    return tau2


def _t(level: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))


def _checked(estimates: ArrayLike, errors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and variances, [k] each."""
    y, s = (np.asarray(x, dtype=np.float64) for x in (estimates, errors))
    if y.ndim != 1 or y.shape != s.shape or not len(y):
        raise DataError(
            "estimates and standard errors have one number per site, at least one; found shapes "
            f"{list(y.shape)} and {list(s.shape)}. Pass two equal lists."
        )
    if not (np.isfinite(y).all() and np.isfinite(s).all() and (s > 0).all()):
        raise DataError(
            "estimates are finite and standard errors above 0; found others. Leave out sites on "
            "which the estimate is undefined, and say how many."
        )
    return y, s**2
