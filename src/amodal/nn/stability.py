"""How much the gradients of weights that all branches share vary, beside the sum over branches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Meter", "traces"]

WEIGHTS = ("query", "output")


def traces(a: Float[Tensor, "n m q d"], b: Float[Tensor, "n q e"]) -> tuple[float, float]:
    """(tr Var(sum_k G_k), sum_k tr Var(G_k)) over rows, G_ik = sum_q a_ikq b_iq' a matrix [d, e].

    Where branches are uncorrelated both are equal; where they pull the same way, the first is
    larger. No matrix of a row is formed: |G|^2 is a sum over pairs of q.

    >>> b = torch.ones(2, 1, 1)
    >>> apart = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).view(2, 2, 1, 1)
    >>> alike = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).view(2, 2, 1, 1)
    >>> traces(apart, b), traces(alike, b)
    ((1.0, 1.0), (4.0, 2.0))
    """
    a, b = a.double(), b.double()
    return float(_trace(a.sum(1, keepdim=True), b)), float(_trace(a, b))


def _trace(a: Float[Tensor, "n m q d"], b: Float[Tensor, "n q e"]) -> Float[Tensor, ""]:
    n = max(1, len(a))
    own = torch.einsum("nmqd,nmrd->nqr", a, a)
    square = (own * torch.einsum("nqe,nre->nqr", b, b)).sum() / n
    mean = torch.einsum("nmqd,nqe->mde", a, b) / n
    return square - mean.square().sum()


class Meter(nn.Module):
    """Sums up both sides of ``Var(grad Z) <= sum_k R_k^2 Var(grad Z_k)`` during training.

    The variance is that over the rows of a mini-batch of their gradients, as its trace; that of the
    batch gradient is 1/n of it on both sides. Of two sets of weights that all branches share: the
    queries' and those of the output. (With one token a modality the softmax is constant, and the
    queries have no gradient.)

    >>> meter, b = Meter(), torch.ones(2, 1, 1)
    >>> meter.add("output", torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).view(2, 2, 1, 1), b)
    >>> told = meter.report()  # branches that pull the same way: 4 against 2
    >>> told["gradient_ratio_output"], told["bound_held_output"]
    (2.0, 0.0)
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(len(WEIGHTS), 4, dtype=torch.float64))

    @torch.no_grad()
    def add(self, what: str, a: Float[Tensor, "n m q d"], b: Float[Tensor, "n q e"]) -> None:
        """Counts the gradients ``sum_q a_ikq b_iq'`` of one layer in one step; changes nothing."""
        variance, bound = traces(a, b)
        held = float(variance <= bound * (1 + 1e-9))
        told = torch.tensor([variance, bound, held, 1.0], dtype=self.sums.dtype)
        self.sums[WEIGHTS.index(what)] += told.to(self.sums.device)

    def report(self) -> dict[str, float]:
        """Means of both sides, their ratio, and the share of steps in which the bound held."""
        found: dict[str, float] = {}
        for what, (variance, bound, held, steps) in zip(WEIGHTS, self.sums.tolist(), strict=True):
            if steps and bound > 0:
                found[f"gradient_variance_{what}"] = variance / steps
                found[f"gradient_bound_{what}"] = bound / steps
                found[f"gradient_ratio_{what}"] = variance / bound
                found[f"bound_held_{what}"] = held / steps
        return found
