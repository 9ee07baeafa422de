"""Bounds and estimates of mutual information where it is known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.feature_selection import mutual_info_regression

from amodal.errors import DataError, UnknownNameError
from amodal.nn import information_bounds as b
from amodal.nn.mutual_information import ESTIMATORS, MineLoss, estimate
from amodal.nn.neighbours import knn_entropy, ksg


def normals(n: int, rho: float, dims: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of normals, each of correlation rho: I = -dims / 2 log(1 - rho^2)."""
    x, e = torch.randn(2, n, dims, generator=torch.Generator().manual_seed(seed))
    return x, rho * x + math.sqrt(1 - rho**2) * e


def log_conditional(x: torch.Tensor, y: torch.Tensor, rho: float) -> torch.Tensor:
    """log p(y_j | x_i) of all pairs."""
    scale = math.sqrt(1 - rho**2)
    return torch.distributions.Normal(rho * x[:, None], scale).log_prob(y).sum(-1)


@pytest.mark.parametrize(("rho", "dims"), [(0.0, 1), (0.5, 1), (0.6, 3)])
def test_bounds_with_the_true_density_are_the_information(rho: float, dims: int) -> None:
    x, y = normals(3000, rho, dims)
    log_q = log_conditional(x, y, rho)
    marginal = torch.distributions.Normal(0.0, 1.0)
    ratio = log_q - marginal.log_prob(y).sum(-1)
    true = b.gaussian_information(rho, dims)
    near = pytest.approx(true, abs=0.06)
    entropy = dims * float(marginal.entropy())
    assert float(b.barber_agakov(log_q.diagonal(), entropy)) == near
    assert float(b.info_nce(ratio)) == near
    assert float(b.nwj(1 + ratio)) == near
    assert float(b.mine(ratio + 3.0)) == near
    assert float(b.club(log_q)) == pytest.approx(dims * rho**2 / (1 - rho**2), abs=0.12)


def test_bounds_are_their_formulas() -> None:
    f = torch.randn(6, 6).double()
    n, value = len(f), f.numpy()
    apart = [value[i, j] for i in range(n) for j in range(n) if i != j]
    own = np.diag(value).mean()
    each = [value[i, i] - math.log(np.exp(value[i]).mean()) for i in range(n)]
    assert float(b.info_nce(f)) == pytest.approx(np.mean(each))
    assert float(b.nwj(f)) == pytest.approx(own - np.mean(np.exp(np.array(apart) - 1)))
    assert float(b.mine(f)) == pytest.approx(own - math.log(np.mean(np.exp(apart))))
    assert float(b.club(f)) == pytest.approx(own - value.mean())
    assert float(b.nwj(f)) <= float(b.mine(f))  # e^(z - 1) >= z
    assert float(b.info_nce(50 * f)) <= math.log(n)


def test_corrected_gradient_of_mine_is_that_of_the_running_mean() -> None:
    first, second = torch.randn(2, 5, 5).double()
    loss = MineLoss(memory=0.9)
    loss(first)
    scores = second.clone().requires_grad_()
    loss(scores).backward()
    apart = ~torch.eye(5, dtype=torch.bool)
    means = [s[apart].exp().mean() for s in (first, second)]
    keep = min(0.9, 1 / 11)
    running = keep * means[0] + (1 - keep) * means[1]
    expected = torch.where(apart, second.exp() / running / 20, torch.tensor(-0.2).double())
    torch.testing.assert_close(scores.grad, expected)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimates_lie_on_their_side(kind: str) -> None:
    rho, dims = 0.7, 2
    x, y = normals(3000, rho, dims, seed=1)
    true = b.gaussian_information(rho, dims)  # 0.673
    found = estimate(3 * x + 1, y / 2, kind=kind, steps=200, batch_size=128)
    if kind == "club":
        assert true < found < dims * rho**2 / (1 - rho**2) + 0.25
    else:
        assert true - 0.15 < found < true + 0.05
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(2))]
    assert abs(estimate(x, shuffled, kind=kind, steps=40)) < 0.06


def test_estimates_of_classes() -> None:
    x, _ = normals(3000, 0.0)
    y = (x[:, 0] > 0.5).long() + (x[:, 0] > 1.0).long()
    share = torch.bincount(y) / len(y)
    entropy = float(-(share * share.log()).sum())  # y follows from x: I = H(Y)
    for kind in ("barber_agakov", "info_nce"):
        assert entropy - 0.25 < estimate(x, y, kind=kind, steps=200) < entropy + 0.02
    known = estimate(x, y, kind="barber_agakov", steps=50)
    assert estimate(x, y, kind="barber_agakov", steps=50, entropy=entropy + 1) == pytest.approx(
        known + 1, abs=1e-4
    )


def test_a_given_entropy_is_in_the_units_of_y() -> None:
    x, y = normals(2000, 0.7, seed=3)
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(5.0)
    given = estimate(x, 5 * y, kind="barber_agakov", steps=150, entropy=entropy)
    assert given == pytest.approx(b.gaussian_information(0.7), abs=0.08)


def test_estimate_repeats_itself_and_leaves_the_generator_alone() -> None:
    x, y = normals(64, 0.5)
    before = torch.random.get_rng_state()
    first = estimate(x, y, steps=3)
    assert estimate(x, y, steps=3) == first != estimate(x, y, steps=3, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize(("rho", "dims"), [(0.0, 1), (0.6, 1), (0.9, 1), (0.6, 2)])
def test_ksg_is_near_the_closed_form(rho: float, dims: int, variant: int) -> None:
    x, y = (z.numpy() for z in normals(3000, rho, dims))
    true = b.gaussian_information(rho, dims)
    assert ksg(x, y, variant=variant) == pytest.approx(true, abs=0.06)
    assert ksg(100 * x - 3, y, variant=variant) == pytest.approx(ksg(x, y, variant=variant))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ksg_is_that_of_scikit_learn(k: int) -> None:
    x, y = (z[:, 0].double().numpy() for z in normals(800, 0.6))
    other = mutual_info_regression(x[:, None], y, n_neighbors=k, random_state=0)[0]
    assert ksg(x, y, neighbours=k) == pytest.approx(other, abs=1e-6)  # it adds noise of 1e-10


def test_ksg_counts_as_a_loop_does() -> None:
    from scipy.special import digamma

    x, y = (z.double().numpy() for z in normals(40, 0.5, 2))
    x, y = ((z - z.mean(0)) / z.std(0) for z in (x, y))
    k, n = 3, len(x)
    dx, dy = (np.abs(z[:, None] - z).max(-1) for z in (x, y))
    one, two = [], []
    for i in range(n):
        both = np.maximum(dx[i], dy[i])
        near = np.argsort(both)[1 : k + 1]
        others = np.arange(n) != i
        e = both[near[-1]]
        one.append(sum(digamma((d[i][others] < e).sum() + 1) for d in (dx, dy)))
        two.append(sum(digamma((d[i][others] <= d[i][near].max()).sum()) for d in (dx, dy)))
    head = digamma(k) + digamma(n)
    assert ksg(x, y) == pytest.approx(head - np.mean(one))
    assert ksg(x, y, variant=2) == pytest.approx(head - 1 / k - np.mean(two))


def test_entropy_of_normals() -> None:
    x, _ = normals(4000, 0.0, 2)
    exact = math.log(2 * math.pi * math.e) + math.log(6.0)
    assert knn_entropy((x * torch.tensor([2.0, 3.0])).numpy()) == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ksg(np.ones(3), np.ones(3)), DataError, "more than k rows"),
        (lambda: ksg(np.ones(9), np.ones(8)), DataError, "as many x as y"),
        (lambda: ksg(np.ones(9), np.full(9, np.nan)), DataError, "finite"),
        (lambda: ksg(np.ones(9), np.ones(9), variant=3), UnknownNameError, "variant"),
        (lambda: knn_entropy(np.ones(9)), DataError, "repeats"),
        (lambda: estimate(torch.ones(4, 1), torch.ones(4)), DataError, "at least 8"),
        (lambda: estimate(torch.ones(9, 1), torch.ones(9) / 0), DataError, "finite"),
        (lambda: estimate(torch.ones(9, 1), torch.ones(9, dtype=int) - 3), DataError, "classes"),
        (lambda: estimate(torch.ones(9, 1), torch.ones(9), kind="nce"), UnknownNameError, "nce"),
    ],
)
def test_bad_input_is_refused(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_constant_columns_tell_nothing(kind: str) -> None:
    found = estimate(torch.ones(200, 1), normals(200, 0.5)[1], kind=kind, steps=20)
    assert abs(found) < 0.2
