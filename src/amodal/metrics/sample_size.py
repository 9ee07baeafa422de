"""How many rows the development of a prediction model for a binary outcome needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from amodal.errors import SettingError

__all__ = ["SampleSize", "cox_snell", "largest_cox_snell", "sample_size", "supported_parameters"]

_DIFFERENCE = 0.05  # between apparent and adjusted R squared (Nagelkerke)
_INTERCEPT = 0.05  # half width of the interval of the overall risk
_ERROR = 0.05  # mean absolute error of predicted risks
_FEW, _SPARSE = 30, 0.5


@dataclass(frozen=True)
class SampleSize:
    """Rows that four criteria ask for.

    Attributes:
        shrinkage: (i) predictor effects shrink by at most a tenth.
        optimism: (ii) apparent and adjusted R squared (Nagelkerke) differ by at most .05.
        overall_risk: (iii) the overall risk is known within .05.
        small_error: (iv) predicted risks are off by .05 on average; None where its formula does not
            hold (over 30 parameters; a rarer outcome of over half).
        needed: the largest of them.
        events: rows with the rarer outcome among `needed`, rounded up.
    """

    shrinkage: int
    optimism: int
    overall_risk: int
    small_error: int | None
    needed: int
    events: int


def sample_size(
    parameters: int, prevalence: float, *, r2: float, shrinkage: float = 0.9
) -> SampleSize:
    """Rows that a regression with so many parameters needs, by the criteria of Riley et al.

    With P parameters, prevalence phi, Cox-Snell R^2 and shrinkage S:

    (i) n = P / ((S - 1) ln(1 - R^2 / S)); (ii) the same with S = R^2 / (R^2 + .05 max R^2);
    (iii) n = (1.96 / .05)^2 phi (1 - phi); (iv) ln .05 = -.508 + .259 ln phi + .504 ln P - .544 ln n.

    Args:
        parameters: of candidate predictors (a factor of k levels has k - 1), at least 1.
        prevalence: of the outcome, in (0, 1).
        r2: Cox-Snell R squared to expect, above 0 and below both S and its largest possible value.
        shrinkage: S of criterion (i), in (0, 1).

    Raises:
        SettingError: a number out of its range.

    References: Riley et al., Stat Med 38, 2019 (part II) and BMJ 368:m441, 2020; (iv) van Smeden et
    al., Stat Methods Med Res 28, 2019. With 24 parameters, prevalence .174 and R^2 .288, the example
    in the documentation of pmsampsize (Ensor): 623, 662 and 221 rows.

    >>> found = sample_size(24, 0.174, r2=0.288)
    >>> found.shrinkage, found.optimism, found.overall_risk
    (623, 662, 221)
    """
    most = _check(prevalence, r2, shrinkage)
    if parameters < 1:
        raise SettingError(f"parameters are at least 1; found {parameters}. Count candidates.")
    optimism = r2 / (r2 + _DIFFERENCE * most)
    rare = min(prevalence, 1 - prevalence)
    first = math.ceil(parameters * _per_parameter(r2, shrinkage))
    second = math.ceil(parameters * _per_parameter(r2, optimism))
    third = math.ceil((1.96 / _INTERCEPT) ** 2 * prevalence * (1 - prevalence))
    fourth = None
    if parameters <= _FEW and prevalence <= _SPARSE:
        log = -0.508 + 0.259 * math.log(prevalence) + 0.504 * math.log(parameters)
        fourth = math.ceil(math.exp((log - math.log(_ERROR)) / 0.544))
    needed = max(first, second, third, fourth or 0)
    return SampleSize(first, second, third, fourth, needed, math.ceil(needed * rare))


def supported_parameters(rows: int, prevalence: float, *, r2: float, shrinkage: float = 0.9) -> int:
    """The most candidate parameters for which `rows` satisfy criteria (i) and (ii).

    Args:
        rows: for development, at least 0.
        prevalence: as in `sample_size`.
        r2: as in `sample_size`.
        shrinkage: as in `sample_size`.

    Raises:
        SettingError: a number out of its range.

    >>> supported_parameters(662, 0.174, r2=0.288), supported_parameters(661, 0.174, r2=0.288)
    (24, 23)
    """
    most = _check(prevalence, r2, shrinkage)
    optimism = r2 / (r2 + _DIFFERENCE * most)
    return math.floor(rows / max(_per_parameter(r2, shrinkage), _per_parameter(r2, optimism)))


def largest_cox_snell(prevalence: float) -> float:
    """The largest possible Cox-Snell R squared: 1 - (phi^phi (1 - phi)^(1 - phi))^2.

    Args:
        prevalence: phi, in (0, 1).

    Raises:
        SettingError: a prevalence out of its range.

    >>> largest_cox_snell(0.5), round(largest_cox_snell(0.05), 2)
    (0.75, 0.33)
    """
    if not 0 < prevalence < 1:
        raise SettingError(
            f"a prevalence lies between 0 and 1; found {prevalence}. Both outcomes must occur."
        )
    rest = 1 - prevalence
    return 1 - math.exp(2 * (prevalence * math.log(prevalence) + rest * math.log(rest)))


def cox_snell(log_loss: float, prevalence: float) -> float:
    """The Cox-Snell R squared of predictions: 1 - exp(2 (log loss - log loss of the base rate)).

    Of rows that the model was not fitted on it needs no adjustment for optimism. Below 0 where the
    base rate predicts better.

    Args:
        log_loss: mean, in nats.
        prevalence: on the same rows, in (0, 1).

    Raises:
        SettingError: a prevalence out of its range.

    Perfect predictions reach the largest value:

    >>> cox_snell(0.0, 0.5), cox_snell(0.6931471805599453, 0.5)
    (0.75, 0.0)
    """
    return 1 - (1 - largest_cox_snell(prevalence)) * math.exp(2 * log_loss)


def _per_parameter(r2: float, shrinkage: float) -> float:
    return 1 / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


def _check(prevalence: float, r2: float, shrinkage: float) -> float:
    most = largest_cox_snell(prevalence)
    if not 0 < shrinkage < 1 or not 0 < r2 < min(most, shrinkage):
        raise SettingError(
            "shrinkage lies between 0 and 1, and R squared (Cox-Snell) between 0 and the lesser of "
            f"it and {most:.3f}; found {shrinkage} and {r2}. Expect less of the model."
        )
    return most
