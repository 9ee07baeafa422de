"""Bounds of the mutual information I(X; Y) in nats, as pure functions of scores of pairs.

``scores[i, j]`` is what a critic f says of the pair (x_i, y_j), or log q(y_j | x_i): pairs on the
diagonal are drawn together, the others apart. The bounds hold for expectations; an estimate from n
pairs scatters around them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["barber_agakov", "club", "gaussian_information", "info_nce", "mine", "nwj"]


def gaussian_information(rho: float, dims: int = 1) -> float:
    """-d/2 log(1 - rho^2): the information between d pairs of normals, each of correlation rho.

    >>> round(gaussian_information(0.6, dims=2), 4)
    0.4463
    """
    return -0.5 * dims * math.log1p(-rho * rho)


def barber_agakov(log_conditional: Float[Tensor, " n"], entropy: float) -> Float[Tensor, ""]:
    """H(Y) + mean log q(y_i | x_i): a lower bound for every q, equal to I where q = p(y | x).

    Args:
        log_conditional: of each pair.
        entropy: H(Y) in nats; of the density where Y is continuous.

    Reference: Barber and Agakov, The IM algorithm, NeurIPS 2003.

    >>> barber_agakov(torch.log(torch.tensor([0.5, 0.5])), math.log(2)).item()
    0.0
    """
    return log_conditional.mean() + entropy


def info_nce(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """mean_i [f_ii - log (1/n) sum_j exp f_ij]: a lower bound, and never above log n.

    Reference: van den Oord et al., Representation learning with contrastive predictive coding, 2018;
    Poole et al., On variational bounds of mutual information, ICML 2019, equation 10.

    >>> round(info_nce(100 * torch.eye(3)).item(), 4) == round(math.log(3), 4)
    True
    """
    return (scores.diagonal() - scores.logsumexp(1)).mean() + math.log(max(1, len(scores)))


def nwj(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """mean f_ii - mean over i != j of exp(f_ij - 1): a lower bound, equal at f = 1 + log ratio.

    Reference: Nguyen, Wainwright and Jordan, IEEE Trans. Information Theory 56(11), 2010.

    >>> nwj(torch.ones(2, 2)).item()
    0.0
    """
    return scores.diagonal().mean() - (_log_mean_apart(scores) - 1).exp()


def mine(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """mean f_ii - log mean over i != j of exp f_ij: Donsker and Varadhan's lower bound.

    It does not change when a constant is added to f. The logarithm of a sample mean lies too low on
    average, which lifts estimates from few pairs: evaluate on many.

    Reference: Belghazi et al., Mutual information neural estimation, ICML 2018.

    >>> mine(torch.full((2, 2), 5.0)).item()
    0.0
    """
    return scores.diagonal().mean() - _log_mean_apart(scores)


def club(log_conditional: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """mean log q(y_i | x_i) - mean over i, j of log q(y_j | x_i): an upper bound where q = p(y | x).

    It stays one for a q that is not far from p(y | x). For normals of correlation rho it tends to
    d rho^2 / (1 - rho^2).

    Reference: Cheng et al., CLUB: a contrastive log-ratio upper bound, ICML 2020.

    >>> club(torch.zeros(2, 2)).item()
    0.0
    """
    return log_conditional.diagonal().mean() - log_conditional.mean()


def _log_mean_apart(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """log of the mean of exp f over the pairs off the diagonal."""
    n = len(scores)
    apart = scores.masked_fill(torch.eye(n, dtype=torch.bool, device=scores.device), -torch.inf)
    return apart.flatten().logsumexp(0) - math.log(max(1, n * (n - 1)))
