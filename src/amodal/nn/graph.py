"""Message passing on the bipartite graph of rows and modalities, as masked dense arithmetic.

An edge (i, k) exists where row i has modality k. With m modalities everything is ``[n, m, d]``:
the row side of a layer is a weighted sum over m, the modality side a mean over n, and
W [x ; e] = W_x x + W_e e, so neither edge lists nor a loop over rows are needed.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["BipartiteLayer", "EdgeUpdate", "mean_over_rows"]


def mean_over_rows(
    x: Float[Tensor, "n m d"], present: Bool[Tensor, "n m"]
) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
    """Mean of each modality's edges over the rows that have it, and their number.

    Summed over the devices of a distributed run; (0, 0) for a modality that no row has.

    >>> mean, count = mean_over_rows(torch.ones(2, 1, 1), torch.tensor([[True], [False]]))
    >>> mean.item(), count.item()
    (1.0, 1.0)
    """
    total = torch.where(present[..., None], x, x.new_zeros(())).sum(0)
    count = present.sum(0).to(total.dtype)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.nn.functional import all_reduce

        total, count = all_reduce(total), all_reduce(count)
    return total / count.clamp_min(1)[:, None], count


class BipartiteLayer(nn.Module):
    """One layer: messages along edges, aggregation, update of both sides' nodes.

    message_{j->i} = relu(W_m [x_j ; e_ij] + b_m); x_i' = act(W_u [x_i ; a_i] + b_u), with a_i the
    weighted sum (rows) or the mean (modalities) of the messages. Both directions share weights.

    Reference: MUSE (Wu et al., ICLR 2024); AUM, Eq. 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_node = nn.Linear(width, width)
        self.from_edge = nn.Linear(width, width, bias=False)
        self.keep = nn.Linear(width, width)
        self.take = nn.Linear(width, width, bias=False)

    def to_rows(
        self,
        modality: Float[Tensor, "m d"],
        edge: Float[Tensor, "n m d"],
        weight: Float[Tensor, "n m"],
    ) -> Float[Tensor, "n d"]:
        """sum_k weight_ik relu(W_m [v_k ; e_ik])."""
        message = torch.relu(self.from_edge(edge) + self.from_node(modality))
        return torch.bmm(weight.to(message.dtype)[:, None], message)[:, 0]

    def to_modalities(
        self,
        row: Float[Tensor, "n d"],
        edge: Float[Tensor, "n m d"],
        present: Bool[Tensor, "n m"],
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
        """mean over present rows of relu(W_m [u_i ; e_ik]), and the number of those rows."""
        message = torch.relu(self.from_edge(edge) + self.from_node(row)[:, None])
        return mean_over_rows(message, present)

    def update(self, node: Tensor, message: Tensor, *, last: bool = False) -> Tensor:
        """act(W_u [x ; a]): relu, or the identity in the last layer."""
        new = self.keep(node) + self.take(message)
        return new if last else torch.relu(new)


class EdgeUpdate(nn.Module):
    """e_ij <- relu(W_e [x_j ; x_i ; e_ij] + b_e), between two layers.

    Edges have a direction from here on: `sender` and `receiver` change places for the other one.
    Shapes: broadcastable to ``[n, m, d]``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sender = nn.Linear(width, width)
        self.receiver = nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(width, width, bias=False)

    def forward(self, sender: Tensor, receiver: Tensor, edge: Tensor) -> Tensor:
        return torch.relu(self.edge(edge) + self.sender(sender) + self.receiver(receiver))
