"""Mutual information from samples: critics, and `estimate`, which trains one and tests it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor, nn

from amodal.errors import DataError, unknown_name
from amodal.nn.information_bounds import barber_agakov, club, info_nce, mine, nwj
from amodal.nn.neighbours import knn_entropy

__all__ = [
    "ESTIMATORS",
    "CategoricalConditional",
    "Critic",
    "GaussianConditional",
    "MineLoss",
    "estimate",
]

_WIDTH = 64
_BLOCK = 2048  # rows whose pairs are all scored at a time


class Critic(nn.Module):
    """f(x, y) = g(x)' h(y) + a(x) + b(y), each a part of a small network of x or of y.

    Every pair of a batch is scored by one product. With squares in a and b the log ratio of jointly
    normal variables is of this form.

    Args:
        x_dims, y_dims: sizes of x and y.
        width: hidden units, and size of g and h.

    >>> Critic(1, 2)(torch.zeros(3, 1), torch.zeros(4, 2)).shape
    torch.Size([3, 4])
    """

    def __init__(self, x_dims: int, y_dims: int, *, width: int = _WIDTH) -> None:
        super().__init__()
        self.of_x, self.of_y = (
            _network(x_dims, width + 1, width),
            _network(y_dims, width + 1, width),
        )

    def forward(self, x: Float[Tensor, "n d"], y: Float[Tensor, "k e"]) -> Float[Tensor, "n k"]:
        g, h = self.of_x(x), self.of_y(y)
        return g[:, 1:] @ h[:, 1:].T / math.sqrt(g.shape[1]) + g[:, :1] + h[:, 0]


class GaussianConditional(nn.Module):
    """log q(y | x) with q normal, its mean and log variances a small network of x.

    Args:
        x_dims, y_dims: sizes of x and y.
        width: hidden units.

    >>> network = GaussianConditional(1, 1)
    >>> x, y = torch.randn(2, 5, 1)
    >>> bool(torch.allclose(network(x, y).diagonal(), network.own(x, y), atol=1e-5))
    True
    """

    def __init__(self, x_dims: int, y_dims: int, *, width: int = _WIDTH) -> None:
        super().__init__()
        self.body = _network(x_dims, 2 * y_dims, width)

    def forward(self, x: Float[Tensor, "n d"], y: Float[Tensor, "k e"]) -> Float[Tensor, "n k"]:
        """log q(y_j | x_i) of all pairs."""
        return _log_normal(self.body(x)[:, None], y)

    def own(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n e"]) -> Float[Tensor, " n"]:
        """log q(y_i | x_i)."""
        return _log_normal(self.body(x), y)


class CategoricalConditional(nn.Module):
    """log q(y | x) of classes y = 0, 1, ..., from a small network of x.

    Args:
        x_dims: size of x.
        classes: how many.
        width: hidden units.

    >>> network = CategoricalConditional(1, 3)
    >>> network(torch.zeros(1, 1), torch.arange(3)).exp().sum().round(decimals=5).item()
    1.0
    """

    def __init__(self, x_dims: int, classes: int, *, width: int = _WIDTH) -> None:
        super().__init__()
        self.body = _network(x_dims, classes, width)

    def forward(self, x: Float[Tensor, "n d"], y: Num[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """log q(y_j | x_i) of all pairs."""
        return self.body(x).log_softmax(-1)[:, y]

    def own(self, x: Float[Tensor, "n d"], y: Num[Tensor, " n"]) -> Float[Tensor, " n"]:
        """log q(y_i | x_i)."""
        return -F.cross_entropy(self.body(x), y, reduction="none")


def _log_normal(params: Float[Tensor, "*b f"], y: Float[Tensor, "*c e"]) -> Float[Tensor, "*b"]:
    mean, log_var = params.chunk(2, -1)
    log_var = log_var.clamp(-10, 10)
    square = (y - mean).square() * (-log_var).exp()
    return -0.5 * (square + log_var + math.log(2 * math.pi)).sum(-1)


class MineLoss:
    """Minus Donsker and Varadhan's bound with the gradient that Belghazi et al. correct.

    The logarithm of a mini-batch mean has a biased gradient; here the mean in its denominator is a
    running one: loss = -(mean f_ii - mean exp f_ij / running mean). The value of the loss is not
    that of the bound; its gradient is what counts.

    Args:
        memory: of the running mean, per step.

    Reference: ICML 2018, section 3.2.

    >>> MineLoss()(torch.zeros(3, 3)).item()  # at first the running mean is that of the batch
    1.0
    """

    def __init__(self, memory: float = 0.99) -> None:
        self.memory, self.log_mean, self.steps = memory, 0.0, 0

    def __call__(self, scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
        joint = scores.diagonal().mean()
        log_apart = joint - mine(scores)
        now = float(log_apart.detach())
        # A short memory at first, as for averaged weights.
        keep = min(self.memory, self.steps / (self.steps + 10)) if self.steps else 0.0
        self.steps += 1
        terms = [math.log(keep) + self.log_mean] if keep else []
        terms.append(math.log1p(-keep) + now)
        self.log_mean = float(torch.tensor(terms, dtype=torch.float64).logsumexp(0))
        return (log_apart - self.log_mean).exp() - joint


_CRITICS: dict[str, Callable[[Tensor], Tensor]] = {"info_nce": info_nce, "nwj": nwj, "mine": mine}
ESTIMATORS = ("barber_agakov", *_CRITICS, "club")
"""What `estimate` knows. The first four are lower bounds, CLUB is an upper one."""


def estimate(
    x: Float[Tensor, "n d"],
    y: Num[Tensor, "n *e"],
    *,
    kind: str = "info_nce",
    steps: int = 400,
    batch_size: int = 256,
    lr: float = 3e-3,
    seed: int = 0,
    entropy: float | None = None,
) -> float:
    """I(X; Y) in nats: what a bound trained on half of the pairs says of the other half.

    Being tested on pairs that it was not trained on, a lower bound that comes out high was not
    fitted to noise. Columns are standardised by the training half, which changes no information.

    Args:
        x: one row a pair, finite.
        y: floats ``[n, e]`` or ``[n]``; or classes 0, 1, ... as whole numbers ``[n]``.
        kind: one of `ESTIMATORS`; those but ``barber_agakov`` and ``club`` read classes as one-hot
            vectors.
        steps: of training.
        batch_size: pairs per step.
        lr: peak learning rate of Adam; it falls along a cosine.
        seed: of the halves, the weights and the batches.
        entropy: H(Y), which ``barber_agakov`` needs. None: of the classes as they are frequent, or
            by `amodal.nn.neighbours.knn_entropy`.

    Raises:
        UnknownNameError: an unknown kind.
        DataError: fewer than 8 pairs, different lengths, values that are not finite.

    >>> x = torch.randn(600, 1)
    >>> 0.4 < estimate(x, (x[:, 0] > 0).long(), kind="barber_agakov", steps=100) < 0.7  # log 2
    True
    """
    if kind not in ESTIMATORS:
        raise unknown_name("estimator of mutual information", kind, ESTIMATORS)
    x, y, classes = _checked(x, y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, test = order[: len(x) // 2], order[len(x) // 2 :]
    if kind == "barber_agakov" and entropy is None:
        entropy = _entropy(y, classes)
    x, _ = _standardised(x, train)
    if classes and kind in _CRITICS:
        y = F.one_hot(y, classes).to(x.dtype)
    if y.is_floating_point():
        y, shrunk = _standardised(y, train)
        entropy = None if entropy is None else entropy - (0.0 if classes else shrunk)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network_for(kind, x, y, classes)
        _train(network, _loss(kind, network), x[train], y[train], (steps, batch_size, lr))
    bound = _bound(kind, entropy)
    with torch.no_grad():
        parts = test.tensor_split(-(-len(test) // _BLOCK))
        values = [float(bound(network(x[p], y[p]))) * len(p) for p in parts]
    return sum(values) / len(test)


def _checked(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, int]:
    """x ``[n, d]``, y ``[n, e]`` or classes ``[n]``, and the number of classes (0: real values)."""
    x = x.detach().reshape(len(x), -1).float()
    classes = 0 if y.is_floating_point() else int(y.max()) + 1 if len(y) else 1
    y = y.detach().long() if classes else y.detach().reshape(len(y), -1).float()
    if len(x) != len(y) or len(x) < 8:
        raise DataError(
            f"pairs have as many x as y, at least 8; got {len(x)} and {len(y)}; "
            "hand in rows of the same pairs"
        )
    if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise DataError("networks need finite values; some are not; leave such rows out")
    if classes and (y.ndim > 1 or int(y.min()) < 0):
        raise DataError("classes are whole numbers from 0, one a row; got others; number them so")
    return x, y, classes


def _standardised(x: Tensor, train: Tensor) -> tuple[Tensor, float]:
    """x with mean 0 and standard deviation 1 over `train`, and the sum of their logarithms."""
    scale = x[train].std(0, correction=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (x - x[train].mean(0)) / scale, float(scale.log().sum())


def _entropy(y: Tensor, classes: int) -> float:
    if not classes:
        return knn_entropy(y.double().numpy())
    share = torch.bincount(y, minlength=classes).double() / len(y)
    return float(-torch.special.xlogy(share, share).sum())


def _network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))


def _network_for(kind: str, x: Tensor, y: Tensor, classes: int) -> nn.Module:
    if kind in _CRITICS:
        return Critic(x.shape[1], y.shape[1])
    if classes:
        return CategoricalConditional(x.shape[1], classes)
    return GaussianConditional(x.shape[1], y.shape[1])


def _loss(kind: str, network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """What training minimises, of the x and y of a mini-batch."""
    if kind not in _CRITICS:
        return lambda x, y: -network.own(x, y).mean()
    bound = MineLoss() if kind == "mine" else lambda scores: -_CRITICS[kind](scores)
    return lambda x, y: bound(network(x, y))


def _bound(kind: str, entropy: float | None) -> Callable[[Tensor], Tensor]:
    if kind == "barber_agakov":
        return lambda scores: barber_agakov(scores.diagonal(), entropy)
    return club if kind == "club" else _CRITICS[kind]


def _train(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    plan: tuple[int, int, float],
) -> None:
    steps, batch_size, lr = plan
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(x), (min(batch_size, len(x)),))
        optimizer.zero_grad()
        loss(x[rows], y[rows]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
