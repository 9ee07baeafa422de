"""Sample size: the worked examples of the papers, and the inverse."""

from __future__ import annotations

import math

import pytest

from amodal.errors import SettingError
from amodal.metrics.sample_size import (
    cox_snell,
    largest_cox_snell,
    sample_size,
    supported_parameters,
)


def test_pre_eclampsia():
    """Riley et al., BMJ 2020, figures 1 to 4: 30 parameters, 5% events, R^2 .05."""
    found = sample_size(30, 0.05, r2=0.05)
    assert (found.overall_risk, found.small_error, found.shrinkage) == (73, 544, 5249)
    assert (found.needed, found.events) == (5249, 263)


def test_documentation_of_pmsampsize():
    found = sample_size(24, 0.174, r2=0.288)
    assert (found.shrinkage, found.optimism, found.overall_risk) == (623, 662, 221)


@pytest.mark.parametrize("p", [1, 7, 30, 400])
def test_supported_is_the_inverse(p):
    needed = sample_size(p, 0.2, r2=0.1)
    rows = max(needed.shrinkage, needed.optimism)
    assert supported_parameters(rows, 0.2, r2=0.1) == p
    assert supported_parameters(rows - 1, 0.2, r2=0.1) == p - 1


def test_the_small_error_formula_is_kept_to_where_it_holds():
    assert sample_size(31, 0.2, r2=0.1).small_error is None
    assert sample_size(30, 0.6, r2=0.1).small_error is None
    assert sample_size(30, 0.6, r2=0.1).events == math.ceil(
        0.4 * sample_size(30, 0.6, r2=0.1).needed
    )


def test_r_squared():
    phi = 0.3
    entropy = -phi * math.log(phi) - (1 - phi) * math.log(1 - phi)
    assert cox_snell(entropy, phi) == pytest.approx(0.0)
    assert cox_snell(0.0, phi) == pytest.approx(largest_cox_snell(phi))
    assert cox_snell(entropy + 0.1, phi) < 0


def test_refused():
    for p, phi, r2 in ((0, 0.1, 0.1), (3, 0.0, 0.1), (3, 1.0, 0.1), (3, 0.1, 0.0), (3, 0.1, 0.5)):
        with pytest.raises(SettingError):
            sample_size(p, phi, r2=r2)
    with pytest.raises(SettingError, match="shrinkage"):
        supported_parameters(10, 0.3, r2=0.1, shrinkage=1.0)
    assert supported_parameters(0, 0.3, r2=0.1) == 0
