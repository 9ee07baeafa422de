"""Gaussians as pure functions: attention by variance, fusion, divergence, conflict.

Shapes throughout: n rows, m modalities, d dimensions. `mean` and `log_var` are ``[n, m, d]``,
`present` is ``Bool[n, m]``; what stands in absent places is never read.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amodal.errors import unknown_name
from amodal.nn.grouped import select_present

__all__ = [
    "ATTENTION",
    "attention_weights",
    "conflict",
    "full",
    "fuse_posterior",
    "kl_to_standard",
    "reliability",
    "standard_normal_draws",
    "uncertainty_attention",
]

ATTENTION = ("softmax", "precision", "uniform")


def full(x: Tensor) -> Tensor:
    """At least single precision: exponentials of bfloat16 numbers are too coarse.

    >>> full(torch.ones(1, dtype=torch.bfloat16)).dtype, full(torch.ones(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return x if x.dtype.itemsize >= 4 else x.float()


def uncertainty_attention(
    log_var: Float[Tensor, "n m d"],
    present: Bool[Tensor, "n m"],
    *,
    kind: str = "softmax",
    theta: float = 1.0,
    absent: str = "mask",
) -> Float[Tensor, "n m"]:
    """How much each modality of a row is attended to, from its variance.

    With s_ik the mean over d of var_ik, ``softmax`` is alpha_i = softmax_k(1 / (theta s_ik)),
    ``precision`` is alpha proportional to 1 / s_ik, ``uniform`` is 1 / (number present).

    Args:
        log_var: log variances of the edges.
        present: which edges there are.
        kind: one of `ATTENTION`.
        theta: temperature, positive; large values make attention uniform.
        absent: ``mask`` gives absent edges no weight; ``literal`` takes the formula at its word: an
            absent edge of infinite variance has logit 0, and keeps weight.

    Returns:
        Weights in [0, 1], 0 where absent. They sum to 1 over the modalities of a row that has one
        (less under ``literal``, where absent edges keep their part).

    Reference: AUM, Eq. 3.

    >>> log_var = torch.tensor([[[0.0], [0.0], [5.0]]])
    >>> there = torch.tensor([[True, True, False]])
    >>> uncertainty_attention(log_var, there, absent="literal").round(decimals=3).tolist()
    [[0.42..., 0.42..., 0.0]]
    """
    spread = select_present(full(log_var), present).exp().mean(-1)
    return attention_weights(spread, present, kind=kind, theta=theta, absent=absent)


def attention_weights(
    spread: Float[Tensor, "*v n m"],
    present: Bool[Tensor, "*v n m"],
    *,
    kind: str = "softmax",
    theta: float = 1.0,
    absent: str = "mask",
) -> Float[Tensor, "*v n m"]:
    """`uncertainty_attention` from the mean variances s_ik; finite ones, also where absent.

    Shapes are broadcast: several views of the same rows can differ in what is present.

    Raises:
        UnknownNameError: an unknown `kind` or `absent`.

    >>> spread, there = torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])
    >>> attention_weights(spread, there, kind="precision").tolist()  # 1 : 1/3
    [[0.75, 0.25, 0.0]]
    >>> attention_weights(spread, there, kind="uniform").tolist()
    [[0.5, 0.5, 0.0]]
    """
    if kind not in ATTENTION:
        raise unknown_name("attention", kind, ATTENTION)
    if absent not in ("mask", "literal"):
        raise unknown_name("way with absent edges", absent, ("mask", "literal"))
    inverse = 1.0 / spread
    if kind == "softmax":
        logits = torch.where(present, inverse / theta, inverse.new_zeros(()))
        if absent == "mask":
            logits = logits.masked_fill(~present, -torch.inf)
            logits = torch.where(present.any(-1, keepdim=True), logits, logits.new_zeros(()))
        alpha = logits.softmax(-1)
    else:
        weight = inverse if kind == "precision" else torch.ones_like(inverse)
        weight = torch.where(present, weight, weight.new_zeros(()))
        alpha = weight / weight.sum(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    return torch.where(present, alpha, alpha.new_zeros(()))


def _precision(
    log_var: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> Float[Tensor, "n m d"]:
    """1 / var, 0 where absent; selected before the exponential, so that no gradient is NaN."""
    return select_present((-select_present(log_var, present)).exp(), present)


def fuse_posterior(
    mean: Float[Tensor, "n m d"], log_var: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n m"]]:
    """The exact posterior of a latent that every present modality measures.

    z ~ N(0, I); mean_k = z + noise, noise ~ N(0, diag var_k), independent over modalities. Then
    precision = 1 + sum_k 1/var_k and posterior mean = sum_k (mean_k / var_k) / precision. Adding a
    modality never raises the variance; an absent one has precision 0.

    Returns:
        posterior mean ``[n, d]``, variance ``[n, d]`` in (0, 1], and reliance ``[n, m]``: the mean
        over d of each modality's share of the precision (the prior keeps the rest).

    >>> m, v, r = fuse_posterior(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1).bool())
    >>> m.item(), v.item(), r.item()
    (0.5, 0.5, 0.5)
    """
    weight = _precision(full(log_var), present)
    precision = 1.0 + weight.sum(1)
    share = weight / precision[:, None]
    fused = (share * select_present(full(mean), present)).sum(1)
    return fused, 1.0 / precision, share.mean(-1)


def kl_to_standard(mean: Float[Tensor, "n d"], var: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """KL(N(mean, diag var) || N(0, I)) in nats, at least 0, summed over d.

    1/2 sum_d (var + mean^2 - 1 - log var). Reference: AUM, Eq. 6.

    >>> kl_to_standard(torch.ones(1, 2), torch.ones(1, 2)).item()
    1.0
    """
    return 0.5 * (var + mean.square() - 1.0 - var.log()).sum(-1)


def reliability(
    log_var: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    """What each modality alone would explain against the N(0, I) prior: mean_d 1 / (1 + var).

    In (0, 1), independent of the other modalities; 0 where absent.

    >>> reliability(torch.zeros(1, 1, 3), torch.ones(1, 1).bool()).item()
    0.5
    """
    value = torch.sigmoid(-select_present(full(log_var), present)).mean(-1)
    return torch.where(present, value, value.new_zeros(()))


def conflict(
    mean: Float[Tensor, "n m d"], log_var: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> Float[Tensor, " n"]:
    """p-value of "the present modalities measure the same latent".

    sum over present k and d of (mean_k - c)^2 / var_k, with c the precision-weighted mean without
    the prior, against chi-square with d (number present - 1) degrees of freedom. Fixed variances
    cannot see that two confident modalities contradict each other; this can.

    Returns:
        in [0, 1], small where modalities contradict each other; NaN where fewer than two are present.

    >>> mean = torch.tensor([[[0.0], [2.0]]])
    >>> conflict(mean, torch.zeros(1, 2, 1), torch.ones(1, 2).bool()).round(decimals=3).item()
    0.157...
    """
    weight = _precision(log_var.double(), present)
    centred = select_present(mean.double(), present)
    centre = (weight * centred).sum(1) / weight.sum(1).clamp_min(1e-300)
    statistic = (weight * (centred - centre[:, None]).square()).sum((1, 2))
    count = present.sum(1)
    freedom = (mean.shape[-1] * (count - 1)).clamp_min(1).double()
    # One measurement agrees with itself: statistic 0, where the derivative is infinite.
    statistic = torch.where(count >= 2, statistic, statistic.new_ones(()))
    p = torch.special.gammaincc(freedom / 2, statistic / 2)
    return torch.where(count >= 2, p, torch.nan).to(mean.dtype)


def standard_normal_draws(draws: int, width: int, *, seed: int = 0) -> Float[Tensor, "s d"]:
    """`draws` fixed points that stand for N(0, I), antithetic: the mean of an even number is 0.

    Stored with a method's weights and shared by all rows, so that a prediction averages over the
    latent and yet does not change from call to call.

    Args:
        draws: how many points; of an odd number one has no opposite.
        width: d.
        seed: of the draw.

    >>> points = standard_normal_draws(4, 2)
    >>> points.sum(0).tolist(), bool((points[:2] == -points[2:]).all())
    ([0.0, 0.0], True)
    """
    half = torch.randn((draws + 1) // 2, width, generator=torch.Generator().manual_seed(seed))
    return torch.cat([half, -half])[:draws]
